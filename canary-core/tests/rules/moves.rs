//! Random moves: whatever may happen to a rollout.

use std::time::Duration;

use canary_core::rollout::CommandKind;
use canary_core::value::{FailureKind, StageRef, Weight};
use proptest::prelude::*;

use crate::plans::gate;
use crate::world::{Manner, World};

/// One thing that happens; what it is about is picked from what there is then.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// Everything that can be done at once is done well, then time goes on to the deadline.
    Flow(u8),
    Deadline,
    Wait(u64),
    Saved,
    NotSaved {
        landed: bool,
    },
    Answer(usize, Manner),
    LandLate(usize),
    Repeat(usize),
    Command(CommandKind, Option<&'static str>),
    Drift(u8),
    See,
    Crash {
        down: u64,
        landed: bool,
    },
    CrashBehind {
        landed: bool,
    },
}

impl Move {
    pub(crate) fn make(&self, world: &mut World) {
        match self {
            Self::Flow(steps) => {
                for _ in 0..*steps {
                    world.go_on();
                }
            }
            Self::Deadline => drop(world.tick()),
            Self::Wait(ms) => world.pass(Duration::from_millis(*ms)),
            Self::Saved => world.saved(Ok(()), true),
            Self::NotSaved { landed } => world.saved(Err(FailureKind::Unavailable), *landed),
            Self::Answer(index, manner) => world.answer(*index, manner),
            Self::LandLate(index) => world.land_late(*index),
            Self::Repeat(index) => {
                if !world.old.is_empty() {
                    let event = world.old[index % world.old.len()].clone();
                    world.step(event);
                }
            }
            Self::Command(kind, stage) => {
                drop(world.command(kind.clone(), stage.map(StageRef::new)))
            }
            Self::Drift(percent) => world.drift(Weight::percent(*percent)),
            Self::See => world.see(),
            Self::Crash { down, landed } => world.crash(Duration::from_secs(*down), *landed),
            Self::CrashBehind { landed } => world.crash_behind(*landed),
        }
    }
}

pub(crate) fn kinds() -> impl Strategy<Value = FailureKind> {
    use FailureKind::{
        Conflict, Denied, Internal, Invalid, NotFound, RateLimited, Timeout, Unavailable,
        Unsupported,
    };
    proptest::sample::select(vec![
        Unavailable,
        Timeout,
        RateLimited,
        Conflict,
        NotFound,
        Denied,
        Invalid,
        Unsupported,
        Internal,
    ])
}

pub(crate) fn manners() -> impl Strategy<Value = Manner> {
    prop_oneof![
        6 => Just(Manner::Well),
        2 => kinds().prop_map(Manner::Fails),
        1 => Just(Manner::Lost),
        1 => any::<u8>().prop_map(Manner::Ill),
    ]
}

pub(crate) fn commands() -> impl Strategy<Value = CommandKind> {
    prop_oneof![
        4 => Just(CommandKind::Pause),
        4 => Just(CommandKind::Resume),
        3 => Just(CommandKind::Approve { gate: gate("oncall") }),
        1 => Just(CommandKind::Approve { gate: gate("errors") }),
        1 => Just(CommandKind::Reject { gate: gate("oncall"), reason: "no".to_owned() }),
        3 => Just(CommandKind::Advance),
        2 => Just(CommandKind::PromoteFull),
        2 => Just(CommandKind::Retry),
        1 => Just(CommandKind::Abort { reason: "no".to_owned() }),
    ]
}

fn places() -> impl Strategy<Value = Option<&'static str>> {
    proptest::option::of(proptest::sample::select(vec![
        "at-0",
        "at-10",
        "at-30",
        "at-50",
        "at-100",
        "bake",
        "start",
        "promotion",
    ]))
}

/// Returns a move of any sort.
pub(crate) fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (1_u8..12).prop_map(Move::Flow),
        4 => Just(Move::Deadline),
        2 => (0_u64..12_000).prop_map(Move::Wait),
        4 => Just(Move::Saved),
        1 => any::<bool>().prop_map(|landed| Move::NotSaved { landed }),
        6 => (any::<usize>(), manners()).prop_map(|(i, manner)| Move::Answer(i, manner)),
        1 => any::<usize>().prop_map(Move::LandLate),
        1 => any::<usize>().prop_map(Move::Repeat),
        3 => (commands(), places()).prop_map(|(kind, at)| Move::Command(kind, at)),
        1 => prop_oneof![Just(0_u8), Just(10), Just(50), Just(100)].prop_map(Move::Drift),
        2 => Just(Move::See),
        1 => (0_u64..600, any::<bool>()).prop_map(|(down, landed)| Move::Crash { down, landed }),
        1 => any::<bool>().prop_map(|landed| Move::CrashBehind { landed }),
    ]
}
