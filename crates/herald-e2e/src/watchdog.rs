//! Ends all children when the test process ends, however it ends.
//!
//! A test that is killed (by a runner's time limit, or SIGKILL) runs no destructors. The kernel
//! could tell children of their parent's death, but asking for it takes unsafe code and is tied to
//! the thread that started them. Instead a shell holds the reading end of a pipe whose writing end
//! only this process has: it is told which process groups are alive, and at end of file, which
//! nobody can prevent, it kills them.

use std::{
    fmt::Display,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;

const SCRIPT: &str = r#"
groups=' '
directory=
while read -r sign group; do
    case $sign in
        /) directory=$group ;;
        +) groups="$groups$group " ;;
        -) groups="${groups%%" $group "*} ${groups#*" $group "}" ;;
    esac
done
for group in $groups; do kill -9 "-$group"; done 2>/dev/null
if [ -n "$directory" ]; then sleep 1; rm -rf "$directory"; fi
"#;

/// The shell that survives this process for a moment.
#[derive(Debug)]
pub struct Watchdog {
    shell: Mutex<Child>,
}

impl Watchdog {
    /// Starts it, in a process group of its own so that Ctrl-C spares it.
    ///
    /// # Errors
    ///
    /// When there is no shell.
    pub fn start() -> anyhow::Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start sh")?;
        Ok(Self { shell: Mutex::new(shell) })
    }

    /// Kill this process group should this process end.
    pub fn watch(&self, group: u32) {
        self.tell('+', group);
    }

    /// Remove this directory, with what the children left there, once all have ended.
    pub fn clean_up(&self, directory: &Path) {
        self.tell('/', directory.display());
    }

    /// The process group has ended; its number may be given to others.
    pub fn forget(&self, group: u32) {
        self.tell('-', group);
    }

    fn tell(&self, sign: char, what: impl Display) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = &mut shell.stdin {
            // Without the watchdog all still ends with the sandbox.
            let _ = writeln!(pipe, "{sign} {what}");
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.stdin.take());
        let _ = shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("30").process_group(0).spawn().unwrap()
    }

    #[test]
    fn watched_groups_die_with_it_and_forgotten_ones_do_not() {
        let watchdog = Watchdog::start().unwrap();
        let (mut first, mut forgotten, mut last) = (sleeper(), sleeper(), sleeper());
        for child in [&first, &forgotten, &last] {
            watchdog.watch(child.id());
        }
        watchdog.forget(forgotten.id());
        drop(watchdog);

        assert!(!first.wait().unwrap().success());
        assert!(!last.wait().unwrap().success());
        assert!(forgotten.try_wait().unwrap().is_none(), "killed although forgotten");
        forgotten.kill().unwrap();
        forgotten.wait().unwrap();
    }
}
