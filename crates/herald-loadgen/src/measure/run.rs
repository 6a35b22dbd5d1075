//! Sending to a swarm's users.

#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::{
    runtime::Handle,
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use super::{
    Figures,
    meter::{self, Meter},
    producer::Producer,
    swarm::{Population, Swarm},
};
use crate::{
    procfs,
    sender::{Outgoing, WaitFor},
};

/// The most calls of an open loop that are under way at once. Beyond it the schedule is kept, and
/// what waits is late.
const MAX_OPEN: u64 = 4096;

/// The longest that a pacing thread sleeps before it looks whether it should end.
const PACER_NAP: Duration = Duration::from_millis(20);

/// How often the end of a run is looked for.
const STEP: Duration = Duration::from_millis(10);

/// When notices are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// So many calls at any time, each followed by the next.
    Closed {
        /// How many.
        in_flight: u32,
    },
    /// By the clock, whatever the answers take.
    Open {
        /// Notices a second.
        rate: u32,
    },
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// When.
    pub load: Load,
    /// Notices a call, each to another user; 1 is unary.
    pub batch: u32,
    /// A payload's size in bytes, at least what its stamp takes.
    pub payload: usize,
    /// Whether notices skip the inbox.
    pub volatile: bool,
    /// What each call waits for besides the acceptance, and for how long.
    pub wait: Option<(WaitFor, Duration)>,
}

impl Plan {
    /// Durable notices of 200 bytes, one a call, accepted and no more.
    pub fn new(load: Load) -> Self {
        Self { load, batch: 1, payload: 200, volatile: false, wait: None }
    }
}

/// A load under way. [`begin`](Self::begin) after the warm-up, [`end`](Self::end) when it has been
/// measured for long enough, then [`settle`](Self::settle).
#[derive(Debug)]
pub struct Run {
    shared: Arc<Shared>,
    pacer: Option<thread::JoinHandle<()>>,
    senders: JoinSet<()>,
    arrived_before: u64,
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    begin: Instant,
    arrived: u64,
    cpu: f64,
    ended: Option<(f64, u64, f64)>,
}

#[derive(Debug)]
struct Shared {
    producer: Producer,
    population: Arc<Population>,
    meter: Arc<Meter>,
    users: u32,
    plan: Plan,
    phase: AtomicU64,
    next: AtomicU64,
    under_way: AtomicU64,
    accepted: AtomicU64,
    failed: AtomicU64,
    failure: Mutex<Option<String>>,
    late: Mutex<Histogram<u64>>,
    stop: AtomicBool,
}

impl Run {
    /// Begins to send to the users of a swarm, one after the other.
    ///
    /// # Panics
    ///
    /// When the swarm is empty, or a number of the plan is 0.
    pub fn start(swarm: &Swarm, producer: Producer, plan: Plan) -> Self {
        let (Load::Closed { in_flight: many } | Load::Open { rate: many }) = plan.load;
        assert!(!swarm.is_empty() && many > 0 && plan.batch > 0, "there is nothing to do");
        let meter = Arc::clone(&swarm.meter);
        let shared = Arc::new(Shared {
            producer,
            population: Arc::clone(&swarm.population),
            users: swarm.len(),
            plan,
            phase: AtomicU64::new(meter.next_phase()),
            next: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failure: Mutex::new(None),
            late: Mutex::new(meter::histogram()),
            stop: AtomicBool::new(false),
            meter,
        });
        let mut run = Self {
            arrived_before: shared.meter.arrivals(),
            pacer: None,
            senders: JoinSet::new(),
            window: None,
            shared,
        };
        match plan.load {
            Load::Closed { in_flight } => {
                for _ in 0..in_flight {
                    let shared = Arc::clone(&run.shared);
                    run.senders.spawn(async move {
                        while !shared.stop.load(Ordering::Relaxed) {
                            shared.under_way.fetch_add(1, Ordering::Relaxed);
                            shared.call(meter::now()).await;
                        }
                    });
                }
            }
            Load::Open { rate } => {
                let interval = Duration::from_secs_f64(f64::from(plan.batch) / f64::from(rate));
                let (shared, runtime) = (Arc::clone(&run.shared), Handle::current());
                // The runtime's timers are exact to a millisecond, which is too little here.
                run.pacer = Some(thread::spawn(move || pace(&shared, &runtime, interval)));
            }
        }
        run
    }

    /// From now on it is measured.
    pub fn begin(&mut self) {
        self.shared.late.lock().unwrap_or_else(PoisonError::into_inner).reset();
        self.shared.phase.store(self.shared.meter.next_phase(), Ordering::Relaxed);
        self.window = Some(Window {
            begin: Instant::now(),
            arrived: self.shared.meter.arrivals(),
            cpu: procfs::own_cpu_seconds().unwrap_or_default(),
            ended: None,
        });
    }

    /// No longer is, and nothing more is sent.
    pub fn end(&mut self) {
        if let Some(window) = &mut self.window {
            let arrived = self.shared.meter.arrivals() - window.arrived;
            let cpu = procfs::own_cpu_seconds().unwrap_or_default() - window.cpu;
            window.ended = Some((window.begin.elapsed().as_secs_f64(), arrived, cpu));
        }
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the answers, and until nothing is missing or `patience` is over.
    pub async fn settle(mut self, patience: Duration) -> Figures {
        if self.window.as_ref().is_none_or(|window| window.ended.is_none()) {
            self.end();
        }
        if let Some(pacer) = self.pacer.take() {
            // It looks every few milliseconds whether it should end.
            let _ = spawn_blocking(move || pacer.join()).await;
        }
        let deadline = Instant::now() + patience;
        while (self.shared.under_way.load(Ordering::Relaxed) > 0 || self.missing() > 0)
            && Instant::now() < deadline
        {
            sleep(STEP).await;
        }
        let (seconds, arrived, own_cpu_seconds) =
            self.window.as_ref().and_then(|window| window.ended).unwrap_or_default();
        let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        Figures {
            seconds,
            arrived,
            accepted: self.accepted(),
            failed: self.failed(),
            missing: self.missing(),
            ended: self.shared.meter.ends(),
            latency: self.shared.meter.latency(),
            late: self.shared.late.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            failure,
            own_cpu_seconds,
        }
    }

    /// Notices that have been accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Notices that have not been, or not for sure, so far.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    fn missing(&self) -> i64 {
        let arrived = self.shared.meter.arrivals() - self.arrived_before;
        self.accepted().cast_signed() - arrived.cast_signed()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    /// One call, counted as under way already, with notices that were due at this time.
    async fn call(&self, due: u64) {
        let phase = self.phase.load(Ordering::Relaxed);
        let batch = u64::from(self.plan.batch);
        let first = self.next.fetch_add(batch, Ordering::Relaxed);
        let notices: Vec<_> = (first..first + batch)
            .map(|number| {
                let user = u32::try_from(number % u64::from(self.users)).unwrap_or_default();
                let payload = meter::payload(phase, due, self.plan.payload);
                Outgoing {
                    volatile: self.plan.volatile,
                    wait: self.plan.wait,
                    ..Outgoing::new(self.population.user(user), payload)
                }
            })
            .collect();
        let late = meter::now().saturating_sub(due);
        self.late.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(late);
        let accepted = match self.producer.send(&notices).await {
            Ok(accepted) => accepted,
            Err(error) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| error.to_string());
                0
            }
        };
        self.accepted.fetch_add(accepted, Ordering::Relaxed);
        self.failed.fetch_add(batch - accepted, Ordering::Relaxed);
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts each call when it is due. The n-th call's time depends on n alone, so that neither a slow
/// answer nor a late wake-up moves those after it.
fn pace(shared: &Arc<Shared>, runtime: &Handle, interval: Duration) {
    // By default Linux adds up to 50 µs to each sleep, to wake fewer times; refused, it stays so.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let begin = meter::now();
    for number in 0_u64.. {
        let due = begin + (interval.as_secs_f64() * 1e6 * number as f64) as u64;
        loop {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            let early = Duration::from_micros(due.saturating_sub(meter::now()));
            let full = shared.under_way.load(Ordering::Relaxed) >= MAX_OPEN;
            match (early, full) {
                (Duration::ZERO, false) => break,
                (Duration::ZERO, true) => thread::sleep(Duration::from_micros(200)),
                (early, _) => thread::sleep(early.min(PACER_NAP)),
            }
        }
        shared.under_way.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(shared);
        runtime.spawn(async move { shared.call(due).await });
    }
}
