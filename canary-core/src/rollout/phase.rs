//! Where a rollout stands.

use serde::{Deserialize, Serialize};

use crate::record::{Outcome, Reason};
use crate::value::{StageRef, Timestamp};

/// Says where a rollout stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// The router is asked to send everything to stable, which also makes the route ours.
    Starting {
        /// The gates that had opened before a take-over.
        gates: Asking,
    },
    /// Nothing reaches the canary yet: gates are asked, and the canary is made ready.
    Opening {
        /// The gates of the start, then those of the first stage.
        gates: Asking,
    },
    /// The traffic of a stage is asked for.
    Entering {
        /// What is known of the stage already: more than nothing after a take-over, or where the route had drifted.
        hold: Hold,
        /// Whether the traffic changes: not so after a take-over that found everything in place.
        changes: bool,
        /// Whether a person said so, whatever the checks say.
        forced: bool,
    },
    /// The traffic stands, the checks run, then the gates are asked.
    Holding {
        /// How far the stage is.
        hold: Hold,
    },
    /// The new version becomes the stable one, and the traffic what it shall stay.
    Promoting {
        /// Whether it is the stable one already, or there is no workload to make it so.
        replaced: bool,
    },
    /// The new version is the stable one: the last gates are asked.
    Closing {
        /// The gates after the promotion.
        gates: Asking,
    },
    /// The canary is taken back.
    RollingBack {
        /// Why.
        reason: Reason,
        /// Since when.
        since: Timestamp,
        /// When it is next called stuck.
        stuck_at: Timestamp,
        /// Whether the router has accepted that the canary gets nothing.
        emptied: bool,
    },
    /// It is decided and routed; the version that has no traffic any more is kept for a while, then removed.
    Retiring {
        /// How it ends.
        outcome: Outcome,
        /// When the version goes.
        due: Timestamp,
        /// Whether it may be going already, so that there is no way back to it.
        going: bool,
    },
    /// Our marks are taken off the route.
    Releasing {
        /// How it ends.
        outcome: Outcome,
    },
    /// It is over.
    Ended {
        /// How it ended.
        outcome: Outcome,
    },
}

/// Tells how far a stage is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hold {
    /// The stage's position.
    pub stage: usize,
    /// How much of its hold has been observed, in milliseconds.
    pub held_ms: u64,
    /// Whether a person took the rest of it as done.
    pub waived: bool,
    /// The gates between this stage and what follows.
    pub gates: Asking,
}

/// Tells how far a row of gates is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Asking {
    /// How many have opened.
    pub opened: usize,
    /// Since when the next one is asked.
    pub since: Option<Timestamp>,
    /// When the first of the calendars among them opened: where that minute is over when the rollout may go on, they
    /// are asked again, until all are open in the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Timestamp>,
    /// Whether only the calendars are asked: all gates have opened once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Whether a gate was passed because it had its time; it is not asked again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
}

impl Asking {
    /// Says that nothing was asked after so many gates had opened.
    pub(super) const fn opened(opened: usize) -> Self {
        Self { opened, since: None, calendar: None, again: false, timed_out: false }
    }
}

impl Hold {
    pub(super) const fn begin(stage: usize) -> Self {
        Self { stage, held_ms: 0, waived: false, gates: Asking::opened(0) }
    }
}

impl Phase {
    /// Returns its name as it stands in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Opening { .. } => "opening",
            Self::Entering { .. } => "entering",
            Self::Holding { .. } => "holding",
            Self::Promoting { .. } => "promoting",
            Self::Closing { .. } => "closing",
            Self::RollingBack { .. } => "rolling_back",
            Self::Retiring { .. } => "retiring",
            Self::Releasing { .. } => "releasing",
            Self::Ended { .. } => "ended",
        }
    }

    /// Returns how far the stage is that it is about, if it is about one.
    #[must_use]
    pub const fn hold(&self) -> Option<&Hold> {
        match self {
            Self::Entering { hold, .. } | Self::Holding { hold } => Some(hold),
            _ => None,
        }
    }

    /// Returns the position of the stage that it is about, if it is about one.
    #[must_use]
    pub fn stage(&self) -> Option<usize> {
        self.hold().map(|hold| hold.stage)
    }

    /// Returns how far the gates are that are asked in this phase.
    #[must_use]
    pub const fn asking(&self) -> Option<&Asking> {
        match self {
            Self::Opening { gates } | Self::Closing { gates } => Some(gates),
            Self::Holding { hold } => Some(&hold.gates),
            _ => None,
        }
    }

    /// Returns how far the gates are, asked in this phase or in the one that it goes back to.
    pub(super) const fn gates_mut(&mut self) -> Option<&mut Asking> {
        match self {
            Self::Starting { gates } => Some(gates),
            Self::Entering { hold, .. } => Some(&mut hold.gates),
            _ => self.asking_mut(),
        }
    }

    pub(super) const fn asking_mut(&mut self) -> Option<&mut Asking> {
        match self {
            Self::Opening { gates } | Self::Closing { gates } => Some(gates),
            Self::Holding { hold } => Some(&mut hold.gates),
            _ => None,
        }
    }

    pub(super) const fn is_holding(&self) -> bool {
        matches!(self, Self::Holding { .. })
    }

    /// Tells whether the rollout goes forward: whether checks are looked at, and a person can pause it.
    pub(super) const fn goes_forward(&self) -> bool {
        matches!(
            self,
            Self::Starting { .. }
                | Self::Opening { .. }
                | Self::Entering { .. }
                | Self::Holding { .. }
                | Self::Promoting { .. }
                | Self::Closing { .. }
        )
    }

    /// Names the place that a command can mean.
    pub(super) fn place(&self, name: impl Fn(usize) -> String) -> StageRef {
        match self {
            Self::Starting { .. } | Self::Opening { .. } => StageRef::START,
            Self::Entering { hold, .. } | Self::Holding { hold } => StageRef::new(name(hold.stage)),
            _ => StageRef::PROMOTION,
        }
    }
}
