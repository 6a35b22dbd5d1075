//! How thoroughly.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::systems::{Kind, System};

/// How thoroughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    Quick,
    Full,
}

/// What is done with each system.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    /// Of the rounds, those that measure idle connections too.
    pub(crate) idle_rounds: u32,
    pub(crate) clients: u32,
    pub(crate) payload: usize,
    pub(crate) in_flight: u32,
    pub(crate) batch: u32,
    /// Calls of a batch in flight.
    pub(crate) batches_in_flight: u32,
    pub(crate) rates: Vec<u32>,
    pub(crate) warm_up: Duration,
    pub(crate) saturated: Duration,
    pub(crate) open: Duration,
    /// Numbers of idle connections, growing.
    pub(crate) idle: Vec<u32>,
}

impl Mode {
    pub(crate) fn systems(self) -> Vec<System> {
        let gateways: &[u32] = match self {
            Self::Quick => &[1, 4],
            Self::Full => &[1, 2, 4, 8],
        };
        let mut systems = vec![System { kind: Kind::Embedded, gateways: 1 }];
        for &gateways in gateways {
            for kind in [Kind::Herald, Kind::Node, Kind::Nchan] {
                systems.push(System { kind, gateways });
            }
        }
        systems
    }

    pub(crate) fn plan(self, rounds: Option<u32>) -> Plan {
        let quick = self == Self::Quick;
        let seconds = |quickly, fully| Duration::from_secs(if quick { quickly } else { fully });
        let rounds = rounds.unwrap_or(if quick { 2 } else { 5 });
        Plan {
            rounds,
            idle_rounds: if quick { 1 } else { rounds },
            clients: 1000,
            payload: 200,
            in_flight: 32,
            batch: 100,
            batches_in_flight: 4,
            rates: if quick { vec![2000, 5000] } else { vec![500, 2000, 5000] },
            warm_up: seconds(1, 2),
            saturated: seconds(3, 10),
            open: seconds(2, 10),
            idle: vec![1000, 10_000],
        }
    }
}
