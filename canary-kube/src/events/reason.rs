//! Which reason an Event has.

use canary_core::record::{Content, Outcome, Ruling};
use canary_core::value::RolloutId;

/// Names why there is an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) name: &'static str,
    pub(super) warns: bool,
}

macro_rules! reasons {
    ($($constant:ident = $name:literal, $warns:literal;)*) => {
        $(const $constant: Reason = Reason { name: $name, warns: $warns };)*
        pub(super) const ALL: &[(&str, bool)] = &[$(($name, $warns)),*];
    };
}

// Alerts and scripts name these: none may change.
reasons! {
    STARTED = "RolloutStarted", false;
    FAST_RETURN = "RolloutFastReturn", false;
    RESUMED = "RolloutResumed", false;
    CANARY_READY = "CanaryReady", false;
    CANARY_NOT_READY = "CanaryNotReady", true;
    STAGE_ENTERED = "StageEntered", false;
    WEIGHT_CHANGED = "WeightChanged", false;
    DRIFTED = "RouteDrifted", true;
    WENT_ON = "RolloutWentOn", false;
    HELD = "RolloutHeld", true;
    ASKED = "RolloutAsks", true;
    EXCUSED = "CheckExcused", false;
    GATE_ASKED = "GateAsked", false;
    GATE_OPENED = "GateOpened", false;
    COMMANDED = "RolloutCommanded", false;
    CALL_FAILED = "CallFailed", true;
    ROLLING_BACK = "RolloutRollingBack", true;
    STUCK = "RolloutStuck", true;
    STALLED = "RolloutStalled", true;
    NO_RETURN = "PointOfNoReturn", false;
    REPLACED = "StableReplaced", false;
    RESTORED = "StableRestored", true;
    RETIRED = "VersionRetired", false;
    PROMOTED = "RolloutPromoted", false;
    ROLLED_BACK = "RolloutRolledBack", true;
}

/// Chooses reasons, and knows what was told of a rollout's judgements.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    /// Of the rollout that was heard of last, whether it went on.
    last: Option<(RolloutId, bool)>,
}

impl Reasons {
    /// Returns the reason of a record's Event, `None` where it has none.
    pub(super) fn of(&mut self, rollout: &RolloutId, content: &Content) -> Option<Reason> {
        let reason = match content {
            Content::Judged(judgement) => return self.of_ruling(rollout, judgement.ruling),
            Content::Started { .. } => STARTED,
            Content::FastReturn { .. } => FAST_RETURN,
            Content::Restored { .. } => RESUMED,
            Content::CanaryReady { .. } => CANARY_READY,
            Content::CanaryNotReady { .. } => CANARY_NOT_READY,
            Content::StageEntered { .. } => STAGE_ENTERED,
            Content::TrafficAccepted { .. } => WEIGHT_CHANGED,
            Content::Drifted { .. } => DRIFTED,
            Content::Asked { .. } => ASKED,
            Content::Excused { .. } => EXCUSED,
            Content::GateAsked { .. } => GATE_ASKED,
            Content::GateOpened { .. } => GATE_OPENED,
            Content::Commanded { .. } => COMMANDED,
            Content::CallFailed { .. } => CALL_FAILED,
            Content::RollbackDecided { .. } => ROLLING_BACK,
            Content::Stuck { .. } => STUCK,
            Content::Stalled { .. } => STALLED,
            Content::PointOfNoReturn => NO_RETURN,
            Content::StableReplaced { .. } => REPLACED,
            Content::StableRestored => RESTORED,
            Content::Retired { .. } => RETIRED,
            Content::Ended { outcome: Outcome::Promoted } => PROMOTED,
            Content::Ended { outcome: Outcome::RolledBack { .. } } => ROLLED_BACK,
            // A kind of record that is newer than this.
            _ => return None,
        };
        Some(reason)
    }

    /// Tells of a hold when it begins and when it ends; questions and ways back have records of their own.
    fn of_ruling(&mut self, rollout: &RolloutId, ruling: Ruling) -> Option<Reason> {
        let goes_on = match ruling {
            Ruling::GoOn => true,
            Ruling::Hold => false,
            _ => return None,
        };
        let went_on = self.last.as_ref().is_none_or(|(of, on)| of != rollout || *on);
        self.last = Some((rollout.clone(), goes_on));
        match (went_on, goes_on) {
            (true, false) => Some(HELD),
            (false, true) => Some(WENT_ON),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_told_when_it_begins_and_when_it_ends() {
        let (a, b): (RolloutId, RolloutId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut reasons = Reasons::default();
        let rulings = [
            (&a, Ruling::GoOn, None),
            (&a, Ruling::Hold, Some(HELD)),
            (&a, Ruling::Wait, None),
            (&a, Ruling::Hold, None),
            (&a, Ruling::GoOn, Some(WENT_ON)),
            (&a, Ruling::Hold, Some(HELD)),
            (&b, Ruling::GoOn, None),
        ];
        for (rollout, ruling, expected) in rulings {
            assert_eq!(reasons.of_ruling(rollout, ruling), expected, "{rollout} {ruling:?}");
        }
    }

    #[test]
    fn reasons_are_what_the_api_server_takes_and_each_is_there_once() {
        for (place, (name, _)) in ALL.iter().enumerate() {
            assert!(name.len() <= 128 && name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
            assert!(ALL[..place].iter().all(|(other, _)| other != name), "{name} twice");
        }
    }
}
