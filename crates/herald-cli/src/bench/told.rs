//! What `herald bench` tells.

use herald_loadgen::measure::{Figures, Opened, Spread, Summary};
use serde::Serialize;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    /// All clients are connected.
    Connected { connections: u32, seconds: f64, per_second: f64 },
    /// The end.
    Result(&'a Summary),
}

pub(super) fn connected(opened: Opened, json: bool) {
    let Opened { connections, seconds } = opened;
    let per_second = opened.per_second();
    if json {
        print(&Line::Connected { connections, seconds, per_second });
    } else {
        println!("connected  {connections} clients in {seconds:.2} s ({per_second:.0} a second)");
    }
}

pub(super) fn result(figures: &Figures, json: bool) {
    let summary = figures.summary();
    if json {
        print(&Line::Result(&summary));
    } else {
        println!("{}", page(&summary));
    }
}

fn print(line: &Line<'_>) {
    println!("{}", serde_json::to_string(line).expect("figures are always JSON"));
}

/// The figures for people.
fn page(summary: &Summary) -> String {
    let ms = |micros: u64| micros as f64 / 1000.0;
    let spread = |Spread { p50, p99, p999, max, .. }: Spread| {
        format!(
            "p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
            ms(p50),
            ms(p99),
            ms(p999),
            ms(max)
        )
    };
    let Summary { arrived, seconds, per_second, accepted, failed, missing, ended, .. } = summary;
    let mut lines = vec![
        format!("delivered  {per_second:.0} a second ({arrived} in {seconds:.1} s)"),
        format!("latency    {}", spread(summary.latency_us)),
        format!(
            "accepted   {accepted}; {failed} not accepted, {missing} missing, {ended} connections ended"
        ),
        format!(
            "this side  {:.0} % of a processor; calls began late by {}",
            100.0 * summary.own_cpu_seconds / seconds.max(f64::EPSILON),
            spread(summary.late_us)
        ),
    ];
    if summary.late_us.p99 * 2 > summary.latency_us.p99 {
        lines.push(
            "           Much of the latency is this side's own: lower --rate or use a faster machine."
                .to_owned(),
        );
    }
    if let Some(failure) = &summary.failure {
        lines.push(format!("failure    {failure}"));
    }
    if *accepted > 0 && *missing == i64::try_from(*accepted).unwrap_or(i64::MAX) {
        lines.push(
            "hint       Nothing arrived: do gateways and notifier have the same HERALD_BACKPLANE and \
             HERALD_KEY_PREFIX?"
                .to_owned(),
        );
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let spread = |p99| Spread { p50: 400, p90: 500, p99, p999: 2000, max: 3000 };
        Summary {
            seconds: 10.0,
            arrived: 1000,
            per_second: 100.0,
            accepted: 1200,
            failed: 0,
            missing: 0,
            ended: 0,
            latency_us: spread(1500),
            late_us: spread(100),
            own_cpu_seconds: 0.5,
            failure: None,
        }
    }

    #[test]
    fn a_page_tells_what_counts() {
        assert_eq!(
            page(&summary()),
            "\
delivered  100 a second (1000 in 10.0 s)
latency    p50 0.40 ms, p99 1.50 ms, p99.9 2.00 ms, max 3.00 ms
accepted   1200; 0 not accepted, 0 missing, 0 connections ended
this side  5 % of a processor; calls began late by p50 0.40 ms, p99 0.10 ms, p99.9 2.00 ms, max 3.00 ms"
        );
    }

    #[test]
    fn what_is_this_sides_own_and_what_is_misconfigured_is_said() {
        let late = Summary { late_us: summary().latency_us, ..summary() };
        assert!(page(&late).contains("this side's own"));
        let lost = Summary { missing: 1200, arrived: 0, ..summary() };
        assert!(page(&lost).contains("HERALD_KEY_PREFIX"));
    }
}
