//! What follows from a policy for its judge, worked out once.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::memory::Rules;
use crate::analysis::{
    CombinedLimits, EvidenceLimits, InvalidLimits, NonInferiorityLimits, Objective,
};
use crate::policy::{Check, Comparison, Evident, Limit, Metric, ScorePart};
use crate::record::Combination;
use crate::value::{Failure, FailureKind, GateName, Query, Split, Weight};

/// Says where each check finds what it looks at.
#[derive(Debug)]
pub(super) struct Plan {
    /// The hard limit's name, shared by all of its results.
    pub(super) hard_limit: Arc<str>,
    pub(super) hard_limit_rules: Rules,
    /// Which of the queries asks for latency.
    pub(super) latency: Option<usize>,
    /// What is measured at each look, the requests first.
    pub(super) queries: Vec<Query>,
    /// Of which of them each stage's own sum is kept.
    pub(super) summed: Vec<bool>,
    pub(super) checks: Vec<CheckPlan>,
    pub(super) histories: Vec<HistoryPlan>,
    /// Which signal is gathered between the looks of a check that looks less often.
    pub(super) gathered: Vec<usize>,
    pub(super) evidence: Vec<EvidencePlan>,
    pub(super) as_good: Vec<AsGoodPlan>,
    pub(super) objectives: Vec<ObjectivePlan>,
    pub(super) abs: Vec<AbPlan>,
    pub(super) ranks: Vec<RankPlan>,
    /// The last stage in which both sides have traffic.
    pub(super) last_mixed: Option<usize>,
    pub(super) gates: Vec<GateName>,
    /// What needs each of the queries.
    pub(super) needs: Vec<Vec<Need>>,
    /// What each stage must show.
    pub(super) pass: Vec<Vec<Metered>>,
}

/// Says what belongs to one check.
#[derive(Debug)]
pub(super) struct CheckPlan {
    pub(super) rules: Rules,
    pub(super) node: Node,
    pub(super) gathered: Range<usize>,
    pub(super) evidence: Range<usize>,
    pub(super) as_good: Range<usize>,
    pub(super) objectives: Range<usize>,
    pub(super) abs: Range<usize>,
    pub(super) ranks: Range<usize>,
}

/// Mirrors what a check looks at.
#[derive(Debug)]
pub(super) enum Node {
    Metered(Metered),
    Evidence(usize),
    AsGood(usize),
    Objective(usize),
    Ab(usize),
    Ranks(usize),
    Gate(usize),
    /// What cannot be judged by such limits; a valid policy has none.
    Impossible(Failure),
    Combined(Combination, Vec<Node>),
}

impl From<InvalidLimits> for Node {
    fn from(why: InvalidLimits) -> Self {
        Self::Impossible(Failure::new(
            FailureKind::Invalid,
            format!("nothing can be judged so: {why}"),
        ))
    }
}

/// Says what is read against which limit.
#[derive(Debug)]
pub(super) struct Metered {
    pub(super) metric: Metric,
    pub(super) comparison: Comparison,
    pub(super) limit: Limit,
    pub(super) for_ms: u64,
    pub(super) samples: u64,
    /// Whether it says anything only beside stable.
    pub(super) compares: bool,
    pub(super) read: Read,
}

#[derive(Debug)]
pub(super) enum Read {
    One(Place),
    Score(Vec<(ScorePart, Place)>),
}

/// Says where a reading is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) track: usize,
    pub(super) over: Over,
}

/// Says over which time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Over {
    /// This look's own window.
    Look,
    /// Since the check's last look.
    Gathered(usize),
    /// The last stretch of covered time.
    History(usize),
    /// The stage so far.
    Stage,
}

/// Says which stretch of which signal is remembered, and for which checks.
#[derive(Debug, PartialEq)]
pub(super) struct HistoryPlan {
    pub(super) track: usize,
    pub(super) look_back_ms: u64,
    pub(super) from: Weight,
    /// The one check that begins later than others, if it is for that.
    pub(super) delayed: Option<usize>,
}

/// Says what evidence weighs.
#[derive(Debug)]
pub(super) struct EvidencePlan {
    pub(super) limits: EvidenceLimits,
    /// What is weighed where it is one thing.
    pub(super) one: Evident,
    /// The limits of several things together, and which.
    pub(super) combined: Option<(CombinedLimits, Vec<Evident>)>,
    /// Which query asks for latency, if that is weighed.
    pub(super) latency: Option<usize>,
}

impl EvidencePlan {
    pub(super) fn weighs(&self, what: Evident) -> bool {
        match &self.combined {
            Some((_, of)) => of.contains(&what),
            None => self.one == what,
        }
    }
}

#[derive(Debug)]
pub(super) struct AsGoodPlan {
    pub(super) limits: NonInferiorityLimits,
    pub(super) ratio: f64,
    pub(super) false_pass: f64,
}

#[derive(Debug)]
pub(super) struct ObjectivePlan {
    pub(super) objective: Objective,
    pub(super) allowed: f64,
    pub(super) false_alarm: f64,
}

#[derive(Debug)]
pub(super) struct RankPlan {
    pub(super) track: usize,
    pub(super) metric: Metric,
    pub(super) ratio: f64,
}

#[derive(Debug)]
pub(super) struct AbPlan {
    pub(super) track: usize,
    pub(super) metric: Metric,
    /// The share of requests that are slower than the quantile, where the metric is one.
    pub(super) slower: Option<f64>,
    pub(super) significance: f64,
    pub(super) samples: u64,
}

/// Says for what a signal is needed, without which the clock stands.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) by: NeededBy,
    pub(super) from: Weight,
    /// Whether only where both sides have traffic.
    pub(super) compares: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NeededBy {
    HardLimit,
    Check(usize),
    Stage(usize),
}

impl Need {
    /// Tells whether the plan gives the signal that is needed any traffic.
    pub(super) fn applies_at(&self, stage: usize, split: Split) -> bool {
        let here = match self.by {
            NeededBy::Stage(needing) => needing == stage,
            NeededBy::HardLimit | NeededBy::Check(_) => true,
        };
        here && split.weight() >= self.from
            && (split.is_mixed() || (split.reaches_canary() && !self.compares))
    }
}

/// Returns how long a check waits before it begins.
pub(super) const fn delay(check: &Check) -> Duration {
    Duration::from_millis(check.delay_ms)
}
