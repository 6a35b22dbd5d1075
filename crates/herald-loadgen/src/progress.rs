//! How far something is, on a terminal's standard error; elsewhere nothing is shown.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::interval;

/// How often it is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Shows a bar from 0 to `total` while `work` is done; `position` says how far it is.
pub async fn during<T>(
    what: &'static str,
    total: u64,
    position: impl Fn() -> u64,
    work: impl Future<Output = T>,
) -> T {
    let style =
        ProgressStyle::with_template("{msg:<12} {bar:40} {human_pos} of {human_len} ({eta})")
            .expect("the template is valid");
    let bar = ProgressBar::new(total).with_style(style).with_message(what);
    let mut tick = interval(TICK);
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = tick.tick() => bar.set_position(position()),
        }
    };
    bar.finish_and_clear();
    done
}

/// The same for a wait, in seconds.
pub async fn wait(what: &'static str, time: Duration) {
    let begin = tokio::time::Instant::now();
    let position = || begin.elapsed().as_secs();
    during(what, time.as_secs().max(1), position, tokio::time::sleep(time)).await;
}
