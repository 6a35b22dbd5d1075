//! The page.

mod stats;
mod tables;

use std::{collections::BTreeSet, fmt};

use self::stats::{Median, cell};
use crate::{
    host::Host,
    mode::Mode,
    record::{Load, Record, What},
    systems::System,
};

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) host: Host,
    pub(crate) records: Vec<Record>,
}

/// A load's outcome in one round.
struct Outcome<'a> {
    round: u32,
    result: &'a herald_loadgen::measure::Summary,
    cpu: &'a crate::record::ByRole,
}

impl Bench {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, records: Vec::new() }
    }

    fn systems(&self) -> BTreeSet<System> {
        self.records.iter().map(|record| record.system).collect()
    }

    fn loads(&self) -> BTreeSet<Load> {
        let loads = self.records.iter().filter_map(|record| match record.what {
            What::Load { load, .. } => Some(load),
            _ => None,
        });
        loads.collect()
    }

    /// The outcomes of a system under a load, a round each.
    fn outcomes(&self, system: System, wanted: Load) -> Vec<Outcome<'_>> {
        let of_system = self.records.iter().filter(|record| record.system == system);
        of_system
            .filter_map(|record| match &record.what {
                What::Load { load, result, cpu, .. } if *load == wanted => {
                    Some(Outcome { round: record.round, result, cpu })
                }
                _ => None,
            })
            .collect()
    }

    fn rounds(&self) -> usize {
        self.records.iter().map(|record| record.round).collect::<BTreeSet<_>>().len()
    }

    /// How many processors others kept busy while something was measured.
    fn others(&self) -> Option<Median> {
        Median::of(self.records.iter().filter_map(|record| match record.what {
            What::Load { others, .. } => Some(others),
            _ => None,
        }))
    }
}

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        let mode = match host.mode {
            Mode::Quick => "quick",
            Mode::Full => "full",
        };
        writeln!(
            f,
            "# Benchmarks

Written by `make bench BENCH={mode}` on {}: Herald beside other systems on one machine, {} rounds in which
every system takes its turn. **Compare within a table, never with another run or machine.** Everything ran on
{} processors, the servers, Redis and the load alike, and other work kept {} of them busy meanwhile (median
and range over all measurements; an idle machine shows about 0).",
            host.date,
            self.rounds(),
            host.processors,
            cell(self.others()),
        )?;
        if self.others().is_some_and(|others| others.median > 0.1) {
            writeln!(
                f,
                "\n**The machine was busy.** Throughput and latency are worse here than the systems are, and unevenly
so; ratios within one round and processor seconds suffer least."
            )?;
        }
        writeln!(f, "\n{}", METHOD.trim())?;
        writeln!(f, "\n{}", self.tables())?;
        writeln!(f, "## Made with\n\n| | |\n|---|---|")?;
        writeln!(
            f,
            "| machine | {} × {}, {:.0} GB, {} |",
            host.processors, host.processor, host.memory_gb, host.kernel
        )?;
        for (name, version) in &host.versions {
            writeln!(f, "| {name} | {version} |")?;
        }
        write!(f, "\n{}", COMMANDS.trim_start())
    }
}

const METHOD: &str = "
## What is measured

1,000 clients, one user each, over WebSocket; payloads of 200 bytes to one user after the other; every system
is started anew for each round, warmed up, measured and stopped. A value is the median of the rounds, in
parentheses the lowest and the highest.

| name | what runs |
|---|---|
| herald-embedded | `herald dev`: one process, no Redis |
| herald-*n* | *n* `herald-gateway`, one `herald-notifier`, Redis with `appendonly yes`, `appendfsync everysec`: each notice is stored before it is accepted, and answered with its sessions |
| node-*n* | [bench/node](../bench/node): *n* processes of Socket.IO with `@socket.io/redis-adapter` and the users' socket ids in Redis, and one notifier over gRPC with `@socket.io/redis-emitter`; `perMessageDeflate` off, `ws` with its native masking. Nothing is stored |
| nchan-*n* | *n* nginx, each one worker, with [nchan](../bench/nginx/nchan.conf) in its mode `nostore`; publishers post over HTTP to all of them in turn. Nothing is stored |

- **Delivered/s**: arrivals at clients, with 32 unary calls in flight. Herald and Node are sent to over gRPC.
  *Batches*: 4 calls in flight, each with 100 notices.
- **CPU s per 10,000**: user and system time of all servers, Redis among them, from `/proc`, for 10,000 notices
  that arrived. *load* is what the load generator itself used, which is not in it.
- **Open loop**: each notice has its own time by the schedule, and its latency counts from that time to its
  arrival, whatever the system did meanwhile (no coordinated omission). *late* is how late the load generator
  began its calls, at p99; it is part of the latency, and where it is large the latency is not the system's alone.
- **Missing**: accepted and not arrived 3 s later. *Failed*: not accepted.
- **Idle**: growth of the servers' resident memory, Redis among them, since before the first connection, for
  each of so many connections that are joined and wait; the kernel's socket buffers are not in it.
";

const COMMANDS: &str = "
## Again

```sh
make bench                # all systems, about an hour
make bench BENCH=quick    # some 3 minutes
```

All that was measured is kept as lines of JSON in `target/bench.jsonl`. For one's own deployment, with
`HERALD_CLIENT_AUTH=insecure`:

```sh
herald-loadgen measure --gateway 10.0.0.1:8013,10.0.0.2:8013 --grpc 10.0.0.3:50051 --clients 1000 --in-flight 32
herald-loadgen measure --clients 50000 --processes 4 --sources 4 --rate 5000 --duration 30 --json
```
";
