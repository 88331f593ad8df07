//! What is known of one rollout: a fold over its records.

use std::collections::BTreeMap;

use canary_core::record::{CheckResult, Content, Finding, Judgement, Outcome, Record, Ruling};
use canary_core::value::{RolloutId, Timestamp};

/// Says where a rollout stands, as far as records tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Entering,
    Holding,
    Promoting,
    RollingBack,
    Promoted,
    RolledBack,
}

impl Phase {
    pub(super) const ALL: [Self; 7] = [
        Self::Starting,
        Self::Entering,
        Self::Holding,
        Self::Promoting,
        Self::RollingBack,
        Self::Promoted,
        Self::RolledBack,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Entering => "entering",
            Self::Holding => "holding",
            Self::Promoting => "promoting",
            Self::RollingBack => "rolling_back",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// Holds what is known of one rollout.
#[derive(Debug)]
pub(super) struct Rollout {
    pub(super) id: RolloutId,
    /// The number of the last record: after a crash some come again.
    pub(super) last: u64,
    pub(super) policy: String,
    pub(super) version: String,
    pub(super) phase: Phase,
    pub(super) stage: Option<StageEntered>,
    pub(super) under_way: UnderWay,
    pub(super) stuck: bool,
    pub(super) stalled: bool,
    pub(super) started: Option<Timestamp>,
    pub(super) progressed: Timestamp,
    pub(super) ended: Option<Timestamp>,
}

/// Says which stage was entered last.
#[derive(Debug)]
pub(super) struct StageEntered {
    pub(super) position: usize,
    pub(super) name: String,
    pub(super) at: Timestamp,
}

/// Holds what is told only while a rollout is under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// The weight that the router accepted, 0 to 1.
    pub(super) weight: Option<f64>,
    /// The canary's share of the requests at the last look, 0 to 1.
    pub(super) share: Option<f64>,
    pub(super) held_ms: u64,
    pub(super) checks: Vec<CheckState>,
    /// Whether a gate is asked that has not opened, or a person.
    asking_gate: bool,
    asking_person: bool,
    paused: bool,
}

impl UnderWay {
    pub(super) const fn is_waiting(&self) -> bool {
        self.asking_gate || self.asking_person || self.paused
    }
}

/// Says what a check found last.
#[derive(Debug)]
pub(super) struct CheckState {
    pub(super) name: String,
    pub(super) verdict: &'static str,
    /// What its failing does; `none` where it only reports.
    pub(super) then: &'static str,
    /// The odds, and those that decide.
    pub(super) odds: Option<(f64, f64)>,
    /// The health scores that it read, each once.
    pub(super) scores: BTreeMap<String, f64>,
}

impl CheckState {
    fn of(result: &CheckResult) -> Self {
        let mut state = Self {
            name: result.check.to_string(),
            verdict: result.verdict.as_str(),
            then: if result.dry_run { "none" } else { result.then.as_str() },
            odds: None,
            scores: BTreeMap::new(),
        };
        state.read(&result.finding);
        state
    }

    fn read(&mut self, finding: &Finding) {
        match finding {
            Finding::Evidence { odds, needed, .. }
            | Finding::AsGood { odds, needed, .. }
            | Finding::Objective { odds, needed, .. } => {
                // Odds may be beyond all numbers, which the text format writes in no way that all readers share.
                self.odds.get_or_insert((odds.min(f64::MAX), *needed));
            }
            Finding::Score { metric, canary: Some(score), .. } => {
                self.scores.insert(metric.to_string(), *score);
            }
            Finding::Combined { parts, .. } => {
                parts.iter().for_each(|part| self.read(&part.finding));
            }
            _ => {}
        }
    }
}

impl Rollout {
    pub(super) fn new(id: RolloutId, now: Timestamp) -> Self {
        Self {
            id,
            last: 0,
            policy: String::new(),
            version: String::new(),
            phase: Phase::Starting,
            stage: None,
            under_way: UnderWay::default(),
            stuck: false,
            stalled: false,
            started: None,
            progressed: now,
            ended: None,
        }
    }

    pub(super) fn notice(&mut self, record: &Record) {
        self.last = record.number;
        let at = record.at;
        match &record.content {
            Content::Started { policy, version, .. } => {
                self.policy.clone_from(policy);
                self.version = version.clone().unwrap_or_default();
                self.started = Some(at);
                self.under_way.weight = Some(0.0);
            }
            Content::StageEntered { stage, name, .. } => {
                self.phase = Phase::Entering;
                self.stage = Some(StageEntered { position: *stage, name: name.clone(), at });
                self.under_way.held_ms = 0;
                self.under_way.asking_gate = false;
                self.progress(at);
            }
            Content::TrafficAccepted { weight, .. } => {
                if self.phase == Phase::Entering {
                    self.phase = Phase::Holding;
                }
                self.under_way.weight = Some(weight.fraction());
                self.progress(at);
            }
            Content::Judged(judgement) => self.judged(judgement, at),
            Content::Asked { .. } => self.under_way.asking_person = true,
            Content::Excused { .. } => {
                self.under_way.asking_person = false;
                self.progress(at);
            }
            Content::GateAsked { .. } => self.under_way.asking_gate = true,
            Content::GateOpened { .. } => {
                self.under_way.asking_gate = false;
                self.progress(at);
            }
            Content::Commanded { command, answer, .. } => self.commanded(command, answer, at),
            Content::RollbackDecided { .. } => {
                self.phase = Phase::RollingBack;
                self.under_way.asking_gate = false;
                self.under_way.asking_person = false;
                self.under_way.paused = false;
                self.progress(at);
            }
            Content::Stuck { .. } => self.stuck = true,
            Content::Stalled { .. } => self.stalled = true,
            Content::PointOfNoReturn | Content::StableReplaced { .. } => {
                self.phase = Phase::Promoting;
                self.progress(at);
            }
            Content::Restored { .. }
            | Content::CanaryReady { .. }
            | Content::StableRestored
            | Content::Retired { .. } => self.progress(at),
            Content::Ended { outcome } => self.end(outcome, at),
            _ => {}
        }
    }

    fn progress(&mut self, at: Timestamp) {
        self.progressed = self.progressed.max(at);
        self.stalled = false;
    }

    fn judged(&mut self, judgement: &Judgement, at: Timestamp) {
        if matches!(self.phase, Phase::Starting | Phase::Entering) {
            // The first that is heard of a rollout that another process began.
            self.phase = Phase::Holding;
        }
        let known = &mut self.under_way;
        let further = judgement.held_ms > known.held_ms;
        known.held_ms = judgement.held_ms;
        known.weight = Some(judgement.weight.fraction());
        // A look at nothing new says nothing newer.
        known.share = judgement.observed_share().or(known.share);
        known.checks = judgement.checks.iter().map(CheckState::of).collect();
        known.asking_person = judgement.ruling == Ruling::Ask;
        if further {
            self.progress(at);
        }
    }

    fn commanded(&mut self, command: &str, answer: &str, at: Timestamp) {
        if answer != "done" {
            return;
        }
        match command {
            "pause" => self.under_way.paused = true,
            "resume" => {
                self.under_way.paused = false;
                self.progress(at);
            }
            _ => {}
        }
    }

    fn end(&mut self, outcome: &Outcome, at: Timestamp) {
        self.phase = if outcome.is_promoted() { Phase::Promoted } else { Phase::RolledBack };
        self.under_way = UnderWay::default();
        self.stuck = false;
        self.ended = Some(at);
        self.progress(at);
    }
}
