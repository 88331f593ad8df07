//! Records in words.

use std::fmt;

use super::findings::failures;
use super::{Content, Judgement, Outcome, Reason, Record, Ruling, Silent, Verdict};
use crate::policy::{Drift, How, Moment};
use crate::value::{Side, Span};

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{} {}", self.at, self.number, self.content)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { rollout, policy, stages, version } => {
                let s = if *stages == 1 { "" } else { "s" };
                write!(f, "{rollout} began under policy {policy} with {stages} stage{s}")?;
                version.iter().try_for_each(|version| write!(f, ", to {version}"))
            }
            Self::FastReturn { version } => {
                write!(f, "{version} was promoted not long ago: only the last stage is needed")
            }
            Self::CanaryReady { weight } => write!(f, "the canary is ready for {weight}"),
            Self::CanaryNotReady { why } => write!(f, "the canary is not ready: {why}"),
            Self::Restored { down_ms, .. } => {
                write!(f, "taken over by a new holder after {} without one", Span(*down_ms))
            }
            Self::StageEntered { stage, name, weight } => {
                write!(f, "stage {} ({name}): {weight} asked for", stage + 1)
            }
            Self::TrafficAccepted { weight, effective } => {
                write!(f, "{weight} accepted")?;
                f.write_str(match effective {
                    Some(true) => " and in effect",
                    Some(false) => ", but not in effect: not every proxy has taken it",
                    None => "",
                })
            }
            Self::Drifted { expected, found, then } => {
                write!(f, "the route stood at {found} instead of {expected}")?;
                f.write_str(match then {
                    Drift::PutBack => "; it is put back",
                    Drift::Pause => "; the rollout is paused",
                    Drift::Accept => "; it is left so",
                })
            }
            Self::Asked { check } => write!(f, "a person is asked whether to go on: {check}"),
            Self::Excused { check, by } => write!(f, "{by} lets it go on in spite of {check}"),
            Self::Judged(judgement) => judgement.fmt(f),
            Self::GateAsked { gate, moment, stage } => {
                write!(f, "gate {gate} asked ")?;
                match moment {
                    Moment::Start => f.write_str("before the start"),
                    Moment::Entering => write!(f, "before stage {stage} is entered"),
                    Moment::Leaving => write!(f, "before stage {stage} is left"),
                    Moment::Promotion => f.write_str("before the promotion"),
                    Moment::Promoted => f.write_str("after the promotion"),
                    Moment::Watch => f.write_str("as a check"),
                }
            }
            Self::GateOpened { gate, by: Some(actor) } => {
                write!(f, "gate {gate} opened by {actor}")
            }
            Self::GateOpened { gate, by: None } => write!(f, "gate {gate} opened"),
            Self::Commanded { actor, command, answer, .. } => {
                write!(f, "{actor}: {command}: {answer}")
            }
            Self::CallFailed { action, attempt, failure } => {
                write!(f, "could not {action} (try {attempt}): {failure}")
            }
            Self::RollbackDecided { reason } => write!(f, "taking the canary back: {reason}"),
            Self::Stuck { for_ms } => {
                write!(
                    f,
                    "STUCK: the canary still has traffic after {}; still trying",
                    Span(*for_ms)
                )
            }
            Self::Stalled { for_ms, why, .. } => {
                write!(f, "the rollout has stood still for {}", Span(*for_ms))?;
                if why.is_empty() { Ok(()) } else { write!(f, ": {why}") }
            }
            Self::PointOfNoReturn => {
                f.write_str("point of no return: stable takes the new version")
            }
            Self::StableReplaced { how: How::InPlace } => f.write_str("stable has the new version"),
            Self::StableReplaced { how: How::Swap } => f.write_str("the canary is the stable one"),
            Self::StableRestored => f.write_str("the old version is the stable one again"),
            Self::Retired { side: Side::Stable } => f.write_str("the old version is gone"),
            Self::Retired { side: Side::Canary } => f.write_str("the canary is gone"),
            Self::Ended { outcome } => outcome.fmt(f),
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ruling {
            Ruling::GoOn => f.write_str("go on")?,
            Ruling::Wait => f.write_str("wait")?,
            Ruling::Hold => f.write_str("hold")?,
            Ruling::Ask => f.write_str("ask")?,
            Ruling::RollBack => f.write_str("roll back")?,
        }
        if let Some(requests) = &self.requests {
            f.write_str(": ")?;
            failures(f, requests)?;
        }
        for check in self.checks.iter().filter(|c| {
            !matches!(c.verdict, Verdict::Pass | Verdict::NotApplicable) || c.passes_left > 0
        }) {
            write!(f, "; {check}")?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promoted => f.write_str("promoted"),
            Self::RolledBack { reason } => write!(f, "rolled back: {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(result) => result.fmt(f),
            Self::Silence { for_ms, sides } => {
                let (showed, though) = match sides {
                    Some(Silent::Canary) => {
                        ("showed nothing of the canary", ", though it did of stable")
                    }
                    Some(Silent::Stable) => {
                        ("showed nothing of stable", ", though it did of the canary")
                    }
                    Some(Silent::Both) | None => ("was silent", ""),
                };
                write!(f, "the metric source {showed} for {}{though}", Span(*for_ms))
            }
            Self::SourceFailed { for_ms, check } => {
                if let Some(check) = check {
                    write!(f, "{check}; ")?;
                }
                write!(f, "what a check looks at answered with errors for {}", Span(*for_ms))
            }
            Self::NotReady { why, after_ms } => {
                write!(f, "the canary was not ready within {}: {why}", Span(*after_ms))
            }
            Self::WorkloadFailed { failure } => write!(f, "the versions cannot be run: {failure}"),
            Self::NoProgress { for_ms } => {
                write!(f, "the rollout stood still for {}", Span(*for_ms))
            }
            Self::Rejected { actor, gate, reason } => {
                write!(f, "{actor} said no to {gate}: {reason}")
            }
            Self::Aborted { actor, reason } => write!(f, "aborted by {actor}: {reason}"),
            Self::RouterFailed { failure } => {
                write!(f, "the router would not take more traffic: {failure}")
            }
            Self::TakenBack { expected, found } => {
                write!(f, "somebody else has set the route from {expected} to {found}")
            }
            Self::GateRejected { gate, why } => write!(f, "gate {gate} said no: {why}"),
            Self::GateTimedOut { gate, after_ms } => {
                write!(f, "gate {gate} did not open within {}", Span(*after_ms))
            }
        }
    }
}
