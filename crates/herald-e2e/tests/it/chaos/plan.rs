//! What goes wrong when: a pure function of a seed.

use std::{fmt, ops::Range, time::Duration};

use rand::{Rng, RngExt as _, SeedableRng as _, rngs::StdRng};

/// `HERALD_LEASE` while the plan is played. What lasts shorter takes no session away.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// How many there are to go wrong.
pub(crate) const GATEWAYS: usize = 3;
pub(crate) const NOTIFIERS: usize = 2;

/// Ways that clients go to the gateways; the first one leads through no relay.
pub(crate) const ROADS: usize = 3;

/// Of the clients one in so many is struck by a fault of clients.
pub(crate) const STRUCK: usize = 8;

/// Milliseconds, shorter and longer than a lease.
const SHORT: Range<u64> = 200..2_500;
const LONG: Range<u64> = 3_500..6_000;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How long notices are sent; all faults are over by then.
    pub(crate) time: Duration,
    /// In the order of their beginning.
    pub(crate) faults: Vec<Fault>,
}

/// Something that goes wrong. Faults of one target follow each other, those of others overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// When it begins.
    pub(crate) at: Duration,
    /// How long it lasts; what has to recover from it does so afterwards.
    pub(crate) lasts: Duration,
    pub(crate) target: Target,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Gateway(usize),
    Notifier(usize),
    Redis,
    /// All clients that go this way.
    Road(usize),
    /// Every so many-th client, from this one on.
    Clients(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// `kill -9`, and started again when it is over.
    Kill,
    /// SIGTERM, and started again when it is over.
    Terminate,
    /// SIGSTOP, and SIGCONT when it is over.
    Freeze,
    /// Its connections stay open and carry nothing: to Redis, or of clients.
    Silence,
    /// The same for the gateway's subscription alone.
    SilenceChannel,
    /// All connections are closed, again and again until it is over.
    Cut,
    /// The same for gateways' subscriptions alone.
    CutChannels,
    /// They do not read, and answer no ping.
    StandStill,
    /// They leave without a word, and come back.
    Vanish,
}

impl Plan {
    /// Everything that can go wrong, at times and in combinations that the seed decides.
    pub(crate) fn random(seed: u64, time: Duration) -> Self {
        use What::*;
        let mut faults = Vec::new();
        let mut track = |target, gap: Range<u64>, choices: &[(What, Range<u64>)]| {
            // A dice for each, so that one more target leaves the others as they are.
            let mut dice = StdRng::seed_from_u64(seed.wrapping_add(number(target) << 32));
            faults.extend(follow_each_other(&mut dice, target, time, gap, choices));
        };
        for gateway in 0..GATEWAYS {
            let choices = [
                (Kill, 0..2_000),
                (Terminate, 0..1_000),
                (Freeze, SHORT),
                (Freeze, LONG),
                (Silence, SHORT),
                (Silence, LONG),
                (SilenceChannel, LONG),
            ];
            track(Target::Gateway(gateway), 2_000..9_000, &choices);
        }
        for notifier in 0..NOTIFIERS {
            let choices = [
                (Kill, 0..2_000),
                (Terminate, 0..1_000),
                (Freeze, SHORT),
                (Freeze, LONG),
                (Silence, SHORT),
                (Silence, LONG),
            ];
            track(Target::Notifier(notifier), 3_000..12_000, &choices);
        }
        let choices = [
            (Kill, 0..1_500),
            (Terminate, 0..1_500),
            (Freeze, SHORT),
            (Freeze, LONG),
            (Cut, 0..3_000),
            (CutChannels, 0..1),
            (CutChannels, 1_000..4_000),
        ];
        track(Target::Redis, 4_000..11_000, &choices);
        // The first one has no relay that something could happen to.
        for road in 1..ROADS {
            let choices = [(Cut, 0..500), (Silence, SHORT), (Silence, 6_000..11_000)];
            track(Target::Road(road), 5_000..13_000, &choices);
        }
        let choices = [(Vanish, 0..1), (StandStill, SHORT), (StandStill, 6_000..11_000)];
        track(Target::Clients(0), 1_000..5_000, &choices);
        Self::of(seed, time, faults)
    }

    /// `kill -9` of one gateway after the other, at random, which starts again at once.
    pub(crate) fn kills(seed: u64, time: Duration, every: Duration) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let times = (1..).map(|nth| every * nth).take_while(|at| *at + every / 2 < time);
        let faults = times.map(|at| Fault {
            at,
            lasts: Duration::ZERO,
            target: Target::Gateway(dice.random_range(0..GATEWAYS)),
            what: What::Kill,
        });
        Self::of(seed, time, faults.collect())
    }

    fn of(seed: u64, time: Duration, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| (fault.at, number(fault.target)));
        Self { seed, time, faults }
    }

    /// Those of one target, in the order of their beginning.
    pub(crate) fn of_target(&self, wanted: impl Fn(Target) -> bool) -> Vec<Fault> {
        self.faults.iter().filter(|fault| wanted(fault.target)).copied().collect()
    }
}

/// Faults of one target until the time is over, with pauses between them.
fn follow_each_other(
    dice: &mut impl Rng,
    target: Target,
    time: Duration,
    gap: Range<u64>,
    choices: &[(What, Range<u64>)],
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at = Duration::from_millis(dice.random_range(1_000..gap.end));
    loop {
        let (what, lasts) = &choices[dice.random_range(0..choices.len())];
        let lasts = Duration::from_millis(dice.random_range(lasts.clone()));
        if at + lasts > time {
            return faults;
        }
        let target = match target {
            Target::Clients(_) => Target::Clients(dice.random_range(0..STRUCK)),
            target => target,
        };
        faults.push(Fault { at, lasts, target, what: *what });
        at += lasts + Duration::from_millis(dice.random_range(gap.clone()));
    }
}

fn number(target: Target) -> u64 {
    let (kind, nth) = match target {
        Target::Gateway(nth) => (1, nth),
        Target::Notifier(nth) => (2, nth),
        Target::Redis => (3, 0),
        Target::Road(nth) => (4, nth),
        Target::Clients(nth) => (5, nth),
    };
    kind * 100 + nth as u64
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs();
        write!(f, "seed {}, {seconds} s, {} faults", self.seed, self.faults.len())?;
        for fault in &self.faults {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, lasts, target, what } = self;
        write!(f, "{:7.3} s  {target}: {what}", at.as_secs_f64())?;
        if lasts.is_zero() { Ok(()) } else { write!(f, ", {:.3} s", lasts.as_secs_f64()) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(nth) => write!(f, "gateway-{nth}"),
            Self::Notifier(nth) => write!(f, "notifier-{nth}"),
            Self::Redis => write!(f, "redis"),
            Self::Road(nth) => write!(f, "clients on road {nth}"),
            Self::Clients(nth) => write!(f, "clients {nth}, {}, …", nth + STRUCK),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill -9",
            Self::Terminate => "SIGTERM",
            Self::Freeze => "SIGSTOP",
            Self::Silence => "connections silent",
            Self::SilenceChannel => "subscription silent",
            Self::Cut => "connections cut",
            Self::CutChannels => "subscriptions cut",
            Self::StandStill => "do not read",
            Self::Vanish => "vanish",
        })
    }
}

#[test]
fn a_plan_is_a_pure_function_of_its_seed() {
    let plan = |seed| Plan::random(seed, Duration::from_secs(60));
    let plans: Vec<_> = (0..100).map(plan).collect();
    for (seed, plan) in (0..).zip(&plans) {
        let again = Plan::random(seed, Duration::from_secs(60));
        assert_eq!((plan, plan.to_string()), (&again, again.to_string()));
    }
    assert!(plans.windows(2).all(|two| two[0].faults != two[1].faults));
}

#[test]
fn faults_of_one_target_follow_each_other_within_the_time_and_all_kinds_occur() {
    let time = Duration::from_secs(40);
    let mut kinds = std::collections::HashSet::new();
    for seed in 0..200 {
        let plan = Plan::random(seed, time);
        assert!(plan.faults.is_sorted_by_key(|fault| fault.at));
        for fault in &plan.faults {
            assert!(fault.at + fault.lasts <= time, "{fault}");
            kinds.insert((std::mem::discriminant(&fault.target), fault.what));
        }
        for target in plan.faults.iter().map(|fault| fault.target) {
            let faults = plan.of_target(|other| other == target);
            let apart = |two: &[Fault]| two[0].at + two[0].lasts < two[1].at;
            assert!(faults.windows(2).all(apart), "{plan}");
        }
    }
    assert_eq!(kinds.len(), 5 + 4 + 5 + 2 + 2);
}
