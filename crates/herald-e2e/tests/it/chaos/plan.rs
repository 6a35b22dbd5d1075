//! What goes wrong when: a pure function of a seed.

#[cfg(test)]
use std::{collections::HashSet, mem::discriminant};
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

/// What keeps the inboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One Redis server. Services reach it through relays.
    Single,
    /// A master and two replicas, watched by three Sentinels.
    Sentinel,
    /// Three masters, each with a replica.
    Cluster,
}

/// Masters of a cluster at first.
pub(crate) const MASTERS: usize = 3;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
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
    /// The server, or whichever is the master.
    Redis,
    /// The master that has so many thirds of all slots before it.
    Shard(usize),
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
    /// The slot of one user moves to another master.
    MoveSlot,
    /// They do not read, and answer no ping.
    StandStill,
    /// They leave without a word, and come back.
    Vanish,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Single, Self::Sentinel, Self::Cluster];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
    }
}

impl Plan {
    /// Everything that can go wrong, at times and in combinations that the seed decides.
    pub(crate) fn random(kind: Kind, seed: u64, time: Duration) -> Self {
        use What::*;
        let mut faults = Vec::new();
        let mut track = |target, gap: Range<u64>, choices: &[(What, Range<u64>)]| {
            // A dice for each, so that one more target leaves the others as they are.
            let mut dice = StdRng::seed_from_u64(seed.wrapping_add(number(target) << 32));
            faults.extend(follow_each_other(&mut dice, target, time, gap, choices));
        };
        let process = [(Kill, 0..2_000), (Terminate, 0..1_000), (Freeze, SHORT), (Freeze, LONG)];
        let mut service = process.to_vec();
        if kind == Kind::Single {
            service.extend([(Silence, SHORT), (Silence, LONG)]);
        }
        for notifier in 0..NOTIFIERS {
            track(Target::Notifier(notifier), 3_000..12_000, &service);
        }
        if kind == Kind::Single {
            service.push((SilenceChannel, LONG));
        }
        for gateway in 0..GATEWAYS {
            track(Target::Gateway(gateway), 2_000..9_000, &service);
        }
        let mut cuts = vec![(Cut, 0..3_000), (CutChannels, 0..1), (CutChannels, 1_000..4_000)];
        match kind {
            Kind::Single => {
                cuts.extend([
                    (Kill, 0..1_500),
                    (Terminate, 0..1_500),
                    (Freeze, SHORT),
                    (Freeze, LONG),
                ]);
                track(Target::Redis, 4_000..11_000, &cuts);
            }
            // Longer ones are failovers, which need time for each other.
            Kind::Sentinel => {
                cuts.extend([(Kill, LONG), (Kill, LONG), (Freeze, SHORT), (Freeze, LONG)]);
                track(Target::Redis, 8_000..14_000, &cuts);
            }
            Kind::Cluster => {
                cuts.extend([(Kill, LONG), (Kill, LONG), (Freeze, SHORT), (Freeze, LONG)]);
                cuts.extend([(MoveSlot, 100..1_000), (MoveSlot, 1_000..2_000)]);
                track(Target::Shard(0), 6_000..12_000, &cuts);
            }
        }
        // The first one has no relay that something could happen to.
        for road in 1..ROADS {
            let choices = [(Cut, 0..500), (Silence, SHORT), (Silence, 6_000..11_000)];
            track(Target::Road(road), 5_000..13_000, &choices);
        }
        let choices = [(Vanish, 0..1), (StandStill, SHORT), (StandStill, 6_000..11_000)];
        track(Target::Clients(0), 1_000..5_000, &choices);
        Self::of(kind, seed, time, faults)
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
        Self::of(Kind::Single, seed, time, faults.collect())
    }

    fn of(kind: Kind, seed: u64, time: Duration, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| (fault.at, number(fault.target)));
        Self { kind, seed, time, faults }
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
            Target::Shard(_) => Target::Shard(dice.random_range(0..MASTERS)),
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
        Target::Shard(nth) => (6, nth),
        Target::Road(nth) => (4, nth),
        Target::Clients(nth) => (5, nth),
    };
    kind * 100 + nth as u64
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs();
        let (kind, seed) = (self.kind.name(), self.seed);
        write!(f, "{kind}, seed {seed}, {seconds} s, {} faults", self.faults.len())?;
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
            Self::Shard(nth) => write!(f, "redis of shard {nth}"),
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
            Self::MoveSlot => "a slot moves",
            Self::StandStill => "do not read",
            Self::Vanish => "vanish",
        })
    }
}

#[test]
fn a_plan_is_a_pure_function_of_its_seed() {
    for kind in Kind::ALL {
        let plan = |seed| Plan::random(kind, seed, Duration::from_secs(60));
        let plans: Vec<_> = (0..100).map(plan).collect();
        for (seed, first) in (0..).zip(&plans) {
            let again = plan(seed);
            assert_eq!((first, first.to_string()), (&again, again.to_string()));
        }
        assert!(plans.windows(2).all(|two| two[0].faults != two[1].faults));
    }
}

#[test]
fn faults_of_one_target_follow_each_other_within_the_time_and_all_kinds_occur() {
    let time = Duration::from_secs(40);
    for (kind, expected) in Kind::ALL.into_iter().zip([18, 14, 15]) {
        let mut kinds = HashSet::new();
        for seed in 0..200 {
            let plan = Plan::random(kind, seed, time);
            assert!(plan.faults.is_sorted_by_key(|fault| fault.at));
            for fault in &plan.faults {
                assert!(fault.at + fault.lasts <= time, "{fault}");
                kinds.insert((discriminant(&fault.target), fault.what));
            }
            for target in plan.faults.iter().map(|fault| fault.target) {
                let faults = plan.of_target(|other| discriminant(&other) == discriminant(&target));
                // Those of a service, a road: one of several.
                let faults: Vec<_> = match target {
                    Target::Shard(_) | Target::Clients(_) => faults,
                    target => plan.of_target(|other| other == target),
                };
                let apart = |two: &[Fault]| two[0].at + two[0].lasts < two[1].at;
                assert!(faults.windows(2).all(apart), "{plan}");
            }
        }
        assert_eq!(kinds.len(), expected, "{kinds:?}");
    }
}
