//! What goes wrong in a simulated rollout beside the canary.

use std::time::Duration;

use crate::rollout::Action;
use crate::value::{FailureKind, IntoDuration, Traffic, Weight, millis};

/// Reads a time of a simulated rollout since its begin: `at("20m")`.
///
/// # Panics
/// If the text is no span of time.
#[must_use]
#[track_caller]
pub fn at(time: &str) -> Duration {
    time.into_duration()
}

/// Names a moment at which the process dies: right after its nth effect, from 1.
pub const fn after_effect(effect: usize) -> Crash {
    Crash { when: CrashTime::Effect(effect), down: Duration::ZERO }
}

/// Lets the process die, and another one take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Crash {
    pub(super) when: CrashTime,
    pub(super) down: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CrashTime {
    Effect(usize),
    At(Duration),
}

impl Crash {
    /// Dies at this time since the begin.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn at(time: impl IntoDuration) -> Self {
        Self { when: CrashTime::At(time.into_duration()), down: Duration::ZERO }
    }

    /// Lets nobody take over for this long; at once unless said.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn down_for(mut self, time: impl IntoDuration) -> Self {
        self.down = time.into_duration();
        self
    }
}

/// Names what a rollout calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a rollout has these ports")]
pub enum Port {
    /// What moves the traffic.
    Router,
    /// What measures.
    Metrics,
    /// What decides beside the checks.
    Gates,
    /// What runs the versions.
    Workload,
    /// What keeps the state.
    Store,
}

/// Goes wrong from the time on at which [`Simulation::fault`](super::Simulation::fault) places it.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Fault(pub(super) Kind);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Calls that are made in this time go wrong.
    Calls { port: Port, for_ms: u64, mishap: Mishap },
    /// Somebody routes by hand.
    Routed(Traffic),
    /// The process stands still.
    Frozen { for_ms: u64, replaced: bool },
    /// The clock of processes that start from now on is off.
    Clock { ahead_ms: i64 },
}

/// Says what becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It is answered with an error, and nothing is done.
    Fails(FailureKind),
    /// It is never answered, and nothing is done.
    Hangs,
    /// It is done, and the answer is lost.
    Unanswered,
    /// It reaches the other side this much later, and is done and answered then.
    Late(Duration),
    /// It is done, and the answer makes no sense.
    Nonsense(Nonsense),
}

/// Says how an answer is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "each is a way in which an answer is known to be wrong"
)]
pub enum Nonsense {
    /// The metric source answers with NaN.
    NotFinite,
    /// More requests failed than there were.
    ImpossibleCounts,
    /// The window begins before its cursor, so that requests would count twice.
    Overlap,
    /// The router says that it holds another weight than it was asked for.
    OtherWeight,
}

impl Port {
    /// Cannot be reached for this long.
    ///
    /// # Panics
    /// If a text is no span of time; so do the others.
    #[track_caller]
    pub fn down_for(self, time: impl IntoDuration) -> Fault {
        self.fails_for(time, FailureKind::Unavailable)
    }

    /// Answers every call with an error of this kind for so long: `Port::Router.fails_for("5m", FailureKind::Conflict)`.
    #[track_caller]
    pub fn fails_for(self, time: impl IntoDuration, kind: FailureKind) -> Fault {
        self.calls(time, Mishap::Fails(kind))
    }

    /// Does nothing and never answers for this long; the machine gives up at the call's deadline.
    #[track_caller]
    pub fn hangs_for(self, time: impl IntoDuration) -> Fault {
        self.calls(time, Mishap::Hangs)
    }

    /// Does what it is asked, but its answers are lost for this long.
    #[track_caller]
    pub fn loses_answers_for(self, time: impl IntoDuration) -> Fault {
        self.calls(time, Mishap::Unanswered)
    }

    /// Is reached by calls of this time only `by` later, even by those that the machine has given up on.
    #[track_caller]
    pub fn late_for(self, time: impl IntoDuration, by: impl IntoDuration) -> Fault {
        self.calls(time, Mishap::Late(by.into_duration()))
    }

    /// Answers what makes no sense for this long.
    ///
    /// # Panics
    /// If this port cannot give such an answer.
    #[track_caller]
    pub fn answers_for(self, time: impl IntoDuration, nonsense: Nonsense) -> Fault {
        let fits = match nonsense {
            Nonsense::OtherWeight => self == Self::Router,
            Nonsense::NotFinite | Nonsense::ImpossibleCounts | Nonsense::Overlap => {
                self == Self::Metrics
            }
        };
        assert!(fits, "{self:?} cannot answer {nonsense:?}");
        self.calls(time, Mishap::Nonsense(nonsense))
    }

    #[track_caller]
    fn calls(self, time: impl IntoDuration, mishap: Mishap) -> Fault {
        Fault(Kind::Calls { port: self, for_ms: millis(time.into_duration()), mishap })
    }

    /// Returns whom an action calls.
    pub(super) const fn of(action: &Action) -> Self {
        match action {
            Action::Route { .. } | Action::Observe | Action::Release => Self::Router,
            Action::Measure { .. } => Self::Metrics,
            Action::AskGate { .. } => Self::Gates,
            Action::Prepare { .. }
            | Action::Promote { .. }
            | Action::Restore { .. }
            | Action::Retire { .. } => Self::Workload,
        }
    }
}

impl Fault {
    /// Lets somebody else set the canary's weight.
    pub fn routed_by_hand(weight: Weight) -> Self {
        Self(Kind::Routed(Traffic::to_canary(weight)))
    }

    /// Lets the process stand still for this long, such as on a machine that is suspended.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn frozen_for(time: impl IntoDuration) -> Self {
        Self(Kind::Frozen { for_ms: millis(time.into_duration()), replaced: false })
    }

    /// Lets the process stand still for this long and another one take over at once: when the first wakes up it does
    /// not know of that.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn replaced_while_frozen_for(time: impl IntoDuration) -> Self {
        Self(Kind::Frozen { for_ms: millis(time.into_duration()), replaced: true })
    }

    /// Puts the clock forward: who takes over from now on believes that it is later.
    ///
    /// A process that runs already does not notice, since it counts from its own start.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn clock_forward(by: impl IntoDuration) -> Self {
        Self(Kind::Clock {
            ahead_ms: i64::try_from(millis(by.into_duration())).unwrap_or(i64::MAX),
        })
    }

    /// Puts the clock back, as [`clock_forward`](Self::clock_forward) puts it forward.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn clock_back(by: impl IntoDuration) -> Self {
        let ahead_ms = i64::try_from(millis(by.into_duration())).map_or(i64::MIN, |ms| -ms);
        Self(Kind::Clock { ahead_ms })
    }
}
