//! What became of a rollout: a fold over its records.
//!
//! The same for a live, a simulated and a replayed rollout. A report is
//! bounded: counts are summed by stage, and of the records only those that are
//! not mere ticks are kept, up to [`TIMELINE`].

mod assert;
mod chart;
mod markdown;
mod series;

pub use series::{Point, Series};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{CheckResult, Content, Judgement, Outcome, Record, Ruling, Verdict};
use crate::value::{BySide, Counts, RolloutId, Timestamp, Weight, Window};

/// How many records of a rollout its report keeps; of a longer one the middle is left out, looks first.
pub const TIMELINE: usize = 500;

/// How many entries into stages a report keeps; of more, the earliest but the first are left out.
pub const STAGES: usize = 64;

/// Sums up a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of this form: 1.
    pub version: u32,
    /// The rollout.
    pub rollout: Option<RolloutId>,
    /// The policy's name.
    pub policy: String,
    /// When it began.
    #[serde(rename = "started_ms")]
    pub started: Timestamp,
    /// When it ended, if it has.
    #[serde(rename = "ended_ms")]
    pub ended: Option<Timestamp>,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
    /// When it was decided to take the canary back, if it was.
    #[serde(rename = "rollback_decided_ms")]
    pub rollback_decided: Option<Timestamp>,
    /// When the router accepted that the canary gets nothing any more, if it was taken back.
    #[serde(rename = "zero_accepted_ms")]
    pub zero_accepted: Option<Timestamp>,
    /// The highest weight that the router accepted.
    #[serde(rename = "highest_weight_bp")]
    pub highest_weight: Weight,
    /// The weight above zero that the router accepted last, not counting what it accepted once it was decided to
    /// take the canary back.
    #[serde(rename = "last_weight_bp")]
    pub last_weight: Weight,
    /// What happened in each stage that was entered.
    pub stages: Vec<StageReport>,
    /// The last tick.
    pub last: Option<Arc<Judgement>>,
    /// What was counted over time.
    #[serde(default)]
    pub series: Series,
    /// What happened, without the ticks that only went on.
    pub timeline: Vec<Record>,
    /// How many records of the timeline were left out.
    pub left_out: u64,
}

/// Sums up one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageReport {
    /// Its position in the plan, from 0.
    pub stage: usize,
    /// Its name.
    pub name: String,
    /// Its weight.
    #[serde(rename = "weight_bp")]
    pub weight: Weight,
    /// When it was entered.
    #[serde(rename = "entered_ms")]
    pub entered: Timestamp,
    /// When the next one was, or the rollout ended.
    #[serde(rename = "left_ms")]
    pub left: Option<Timestamp>,
    /// Requests in all of its windows.
    pub requests: BySide<Counts>,
    /// The highest 95th percentile of latency of any window, in milliseconds.
    #[serde(rename = "highest_p95_ms")]
    pub highest_p95: BySide<Option<f64>>,
    /// How many ticks were judged.
    pub ticks: u64,
    /// How many of them let the clock stand.
    pub held_back: u64,
    /// The last result of each check that was ever other than a pass.
    pub warnings: Vec<CheckResult>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            version: 1,
            rollout: None,
            policy: String::new(),
            started: Timestamp::EPOCH,
            ended: None,
            outcome: None,
            rollback_decided: None,
            zero_accepted: None,
            highest_weight: Weight::ZERO,
            last_weight: Weight::ZERO,
            stages: Vec::new(),
            last: None,
            series: Series::default(),
            timeline: Vec::new(),
            left_out: 0,
        }
    }
}

impl Report {
    /// Folds records into a report.
    #[must_use]
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut report = Self::default();
        for record in records {
            report.fold(record);
        }
        report
    }

    /// Adds the next record.
    pub fn fold(&mut self, record: &Record) {
        match &record.content {
            Content::Started { rollout, policy, .. } => {
                self.rollout = Some(rollout.clone());
                self.policy.clone_from(policy);
                self.started = record.at;
            }
            Content::StageEntered { stage, name, weight } => {
                self.enter(record.at, *stage, name, *weight);
            }
            Content::TrafficAccepted { weight, .. } => self.accept(record.at, *weight),
            Content::RollbackDecided { .. } => {
                self.rollback_decided.get_or_insert(record.at);
            }
            Content::Judged(judgement) => {
                self.judge(record.at, judgement);
                if judgement.ruling == Ruling::GoOn && judgement.notes.is_empty() {
                    return;
                }
            }
            Content::Ended { outcome } => {
                self.ended = Some(record.at);
                self.outcome = Some(outcome.clone());
                self.leave(record.at);
            }
            _ => {}
        }
        self.keep(record);
    }

    /// Takes in that a look's record was made one with a look after it.
    pub(crate) fn fold_merged(
        &mut self,
        record: &Record,
        judgement: &Arc<Judgement>,
        now: Timestamp,
    ) {
        self.judge(now, judgement);
        if let Some(kept) = self.timeline.iter_mut().rfind(|kept| kept.number == record.number) {
            kept.clone_from(record);
        }
    }

    /// Takes in what was said before and has no record of its own.
    pub(crate) fn fold_again(&mut self, now: Timestamp, content: &Content) {
        if let Content::TrafficAccepted { weight, .. } = content {
            self.accept(now, *weight);
        }
    }

    fn keep(&mut self, record: &Record) {
        if self.timeline.len() == TIMELINE {
            // Looks are many alike; what was done is rare.
            let look = |record: &Record| matches!(record.content, Content::Judged(_));
            let looks = self.timeline[TIMELINE / 2..].iter().position(look);
            self.timeline.remove(TIMELINE / 2 + looks.unwrap_or_default());
            self.left_out += 1;
        }
        self.timeline.push(record.clone());
    }

    fn accept(&mut self, at: Timestamp, weight: Weight) {
        self.highest_weight = self.highest_weight.max(weight);
        match (self.rollback_decided, weight) {
            (Some(_), Weight::ZERO) => {
                self.zero_accepted.get_or_insert(at);
            }
            (None, Weight::ZERO) | (Some(_), _) => {}
            (None, weight) => self.last_weight = weight,
        }
    }

    fn leave(&mut self, at: Timestamp) {
        if let Some(stage) = self.stages.last_mut() {
            stage.left.get_or_insert(at);
        }
    }

    fn enter(&mut self, at: Timestamp, stage: usize, name: &str, weight: Weight) {
        self.leave(at);
        if self.stages.len() == STAGES {
            self.stages.remove(1);
        }
        self.stages.push(StageReport {
            stage,
            name: name.to_owned(),
            weight,
            entered: at,
            left: None,
            requests: BySide::default(),
            highest_p95: BySide::default(),
            ticks: 0,
            held_back: 0,
            warnings: Vec::new(),
        });
    }

    fn judge(&mut self, at: Timestamp, judgement: &Arc<Judgement>) {
        self.series.add(judgement);
        if matches!(judgement.ruling, Ruling::Hold | Ruling::Ask) {
            self.series.stand(Window::new(judgement.window.after.min(at), at));
        }
        // One that was entered again counts anew.
        let entered = self.stages.iter_mut().rev().find(|stage| stage.stage == judgement.stage);
        if let Some(stage) = entered {
            stage.judge(judgement);
        }
        self.last = Some(Arc::clone(judgement));
    }

    /// Returns how many requests of users failed on the canary in all windows that were measured: not those of stages in
    /// which it got copies alone.
    #[must_use]
    pub fn canary_errors_served(&self) -> u64 {
        let served = self.stages.iter().filter(|stage| stage.weight != Weight::ZERO);
        served.map(|stage| stage.requests.canary.bad).sum()
    }

    /// Returns both sides' requests in all windows that were measured, copies included.
    #[must_use]
    pub fn requests(&self) -> BySide<Counts> {
        let mut sum = BySide::<Counts>::default();
        for stage in &self.stages {
            sum.stable.add(stage.requests.stable);
            sum.canary.add(stage.requests.canary);
        }
        sum
    }

    /// Returns the highest weight that the router accepted.
    #[must_use]
    pub const fn highest_weight(&self) -> Weight {
        self.highest_weight
    }

    /// Writes the report as pretty JSON.
    ///
    /// # Panics
    /// Never: a report holds nothing that JSON cannot.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self)
            .unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
    }
}

impl StageReport {
    fn judge(&mut self, judgement: &Judgement) {
        self.ticks = self.ticks.saturating_add(1);
        self.held_back += u64::from(judgement.ruling == Ruling::Hold);
        if let Some(requests) = &judgement.requests {
            self.requests.stable.add(requests.stable);
            self.requests.canary.add(requests.canary);
        }
        let highest = |old: Option<f64>, new: Option<f64>| match (old, new) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        self.highest_p95.stable = highest(self.highest_p95.stable, judgement.p95.stable);
        self.highest_p95.canary = highest(self.highest_p95.canary, judgement.p95.canary);
        for result in &judgement.checks {
            if matches!(result.verdict, Verdict::Pass | Verdict::NotApplicable) {
                continue;
            }
            match self.warnings.iter_mut().find(|w| w.check == result.check) {
                Some(warning) => warning.clone_from(result),
                None => self.warnings.push(result.clone()),
            }
        }
    }
}
