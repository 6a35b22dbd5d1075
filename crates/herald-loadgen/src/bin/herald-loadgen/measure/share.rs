//! Several processes: each has its share of the clients and of the load, and begins when all of
//! them are connected. They speak lines over their pipes.

use std::{env, io::stdin, process::Stdio};

use anyhow::{Context as _, bail};
use herald_loadgen::measure::{Figures, Opened};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::spawn_blocking,
};

use super::{Line, MeasureArgs, connect, connected, milestone, print, wait, work};

/// One with a share: connects, says so, waits for a line, works, tells its figures.
pub(super) async fn run(args: &MeasureArgs) -> anyhow::Result<bool> {
    let (swarm, Opened { connections, seconds }) = connect(args).await?;
    print(&Line::Connected { connections, seconds })?;
    let told = spawn_blocking(|| stdin().read_line(&mut String::new())).await??;
    if told == 0 {
        bail!("the process that started this one is gone");
    }
    if let Some(figures) = work(args, &swarm).await? {
        print(&Line::Figures(Box::new(figures)))?;
    }
    Ok(true)
}

struct Share {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Share {
    fn start(number: u32) -> anyhow::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(env::args_os().skip(1))
            .args(["--share", &number.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a process")?;
        let stdin = child.stdin.take().context("the pipe was asked for")?;
        let stdout = child.stdout.take().context("the pipe was asked for")?;
        Ok(Self { child, stdin, stdout: BufReader::new(stdout).lines() })
    }

    async fn line(&mut self) -> anyhow::Result<Option<Line>> {
        match self.stdout.next_line().await? {
            Some(line) => Ok(Some(serde_json::from_str(&line)?)),
            None => Ok(None),
        }
    }
}

/// The one that starts the others, and adds up what they tell.
pub(super) async fn lead(args: &MeasureArgs) -> anyhow::Result<Option<Figures>> {
    let mut shares = (0..args.processes).map(Share::start).collect::<Result<Vec<_>, _>>()?;
    let mut all = Opened { connections: 0, seconds: 0.0 };
    for share in &mut shares {
        let Some(Line::Connected { connections, seconds }) = share.line().await? else {
            bail!("a process could not connect its clients");
        };
        all.connections += connections;
        all.seconds = all.seconds.max(seconds);
    }
    connected(args, all)?;
    for share in &mut shares {
        share.stdin.write_all(b"go\n").await?;
    }
    if args.idle.is_none() {
        wait(args, "warming up", args.warm_up).await;
        milestone(args, &Line::Measuring {})?;
        wait(args, "measuring", args.duration).await;
        milestone(args, &Line::Measured {})?;
    }
    let mut sum: Option<Figures> = None;
    for share in &mut shares {
        let line = share.line().await?;
        let status = share.child.wait().await?;
        match line {
            Some(Line::Figures(figures)) => match &mut sum {
                Some(sum) => sum.add(&figures),
                None => sum = Some(*figures),
            },
            None if args.idle.is_some() && status.success() => {}
            _ => bail!("a process ended early: {status}"),
        }
    }
    Ok(sum)
}
