//! Turns measurements into a verdict of each check, and these into a ruling.
//!
//! The judge keeps the cursors, so that no request is counted twice, and what
//! its checks must remember: the last stretch of covered time, and the evidence.

mod applies;
mod counted;
mod history;
mod threshold;

pub(super) use applies::{judged_at, measured_at};

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::analysis::{EvidenceLimits, Starts};
use crate::policy::{Check, CheckKind, Policy, Quantile, Then};
use crate::ports::Decision;
use crate::record::{CheckResult, Finding, Judgement, Ruling, Verdict};
use crate::value::{
    BySide, Failure, FailureKind, GateName, Measured, Query, Reading, Signal, Timestamp, Weight,
    Window, millis,
};
use applies::{longest_look_back, signal_applies};
use counted::{Weighing, counts, hard_limit, weigh};
use history::History;

/// How far a source may always be behind, unless the interval is long.
const LONGEST_LAG: Duration = Duration::from_secs(60);

/// Remembers what the checks need from tick to tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Judge {
    /// What is measured at each tick, the requests first.
    tracks: Vec<Track>,
    /// One for each check that weighs evidence, in the order of the checks.
    evidence: Vec<Weighing>,
    /// Since when a check that applies has had no data.
    silent_since: Option<Timestamp>,
    /// What each check last came to, the hard limit first; it stands while there is nothing newer.
    standing: Vec<Option<Ruling>>,
    /// Whether all of that lets the rollout go on.
    passing: bool,
    /// Up to when all signals that a check needs were covered.
    covered_to: Timestamp,
    /// By how much the source is behind at its best, in milliseconds.
    lag_ms: Option<u64>,
}

/// Follows one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Track {
    signal: Signal,
    cursor: Timestamp,
    history: History,
}

/// What a tick comes to, beside what people are told.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) judgement: Judgement,
    /// What was newly covered by all signals that a check needs; counts for the hold if the ruling is to go on.
    pub(super) covered: Option<Window>,
    /// Why the canary is to be taken back, if it is.
    pub(super) guilty: Option<Guilt>,
    /// What asks a person whether to go on.
    pub(super) asks: Vec<CheckResult>,
}

/// Says where the rollout stands when it is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) stage: usize,
    pub(super) weight: Weight,
    /// How much of the stage's hold is left before this look.
    pub(super) left: Duration,
}

/// Says what a stage's own requests do not show yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unmet(pub(super) Vec<String>);

#[derive(Debug)]
pub(super) enum Guilt {
    Check(CheckResult),
    Silence { for_ms: u64 },
    Errors { for_ms: u64 },
}

/// What the source said of one signal at this tick.
enum Seen<'a> {
    Fresh(&'a Measured),
    Pending,
    Failed(Failure),
}

impl Judge {
    pub(super) fn new(policy: &Policy, now: Timestamp) -> Self {
        let mut signals = vec![Signal::Requests];
        let mut weighings = 0;
        for check in policy.checks() {
            match &check.kind {
                CheckKind::Threshold { metric, .. } if !signals.contains(&metric.signal()) => {
                    signals.push(metric.signal());
                }
                CheckKind::Threshold { .. } => {}
                CheckKind::WorseThanStable { .. } => weighings += 1,
                _ => {}
            }
        }
        let track = |signal| Track { signal, cursor: now, history: History::default() };
        Self {
            tracks: signals.into_iter().map(track).collect(),
            evidence: vec![Weighing::default(); weighings],
            silent_since: None,
            standing: vec![None; policy.checks().len() + usize::from(policy.hard_limit())],
            passing: false,
            covered_to: now,
            lag_ms: None,
        }
    }

    /// Tells whether the memory fits the policy's checks.
    pub(super) fn fits(&self, policy: &Policy) -> bool {
        let fresh = Self::new(policy, Timestamp::EPOCH);
        self.evidence.len() == fresh.evidence.len()
            && self.standing.len() == fresh.standing.len()
            && self.tracks.iter().map(|t| &t.signal).eq(fresh.tracks.iter().map(|t| &t.signal))
    }

    pub(super) fn queries(&self) -> Vec<Query> {
        self.tracks.iter().map(|track| Query::new(track.signal.clone(), track.cursor)).collect()
    }

    /// Counts nothing up to `from`: the weight has changed, and the mesh needs a moment to follow.
    pub(super) fn skip_to(&mut self, from: Timestamp) {
        for track in &mut self.tracks {
            track.cursor = track.cursor.max(from);
        }
        self.covered_to = self.covered_to.max(from);
        self.standing.fill(None);
        self.passing = false;
        self.silent_since = None;
        self.lag_ms = None;
    }

    /// Tells whether what was last seen was passing and does not lie too far back.
    ///
    /// Too far are two intervals, and what the source is always behind: up to four intervals or a minute.
    pub(super) fn is_passing(&self, policy: &Policy, now: Timestamp) -> bool {
        let most = policy.every().saturating_mul(4).max(LONGEST_LAG);
        let lag = Duration::from_millis(self.lag_ms.unwrap_or(0)).min(most);
        let fresh = policy.every().saturating_mul(2).saturating_add(lag);
        self.passing && now.since(self.covered_to) <= fresh
    }

    /// Begins a stage: what is counted for it alone begins anew.
    pub(super) fn enter_stage(&mut self, _stage: usize) {}

    /// Remembers a watched gate's last word.
    pub(super) fn gate_said(
        &mut self,
        _gate: &GateName,
        _said: Result<Decision, Failure>,
        _at: Timestamp,
    ) {
    }

    /// Returns the check that a gate's no fails at once.
    pub(super) fn gate_rejects(
        &self,
        _policy: &Policy,
        _gate: &GateName,
        _look: Look,
        _now: Timestamp,
    ) -> Option<CheckResult> {
        None
    }

    /// Tells whether every watched gate that binds at this weight is open.
    pub(super) fn gates_pass(&self, _policy: &Policy, _weight: Weight, _now: Timestamp) -> bool {
        true
    }

    /// Lets a check only warn for the rest of the stage; false if there is none of this name.
    pub(super) fn excuse(&mut self, _policy: &Policy, _check: &str) -> bool {
        false
    }

    /// Tells whether the stage's own requests show what they must.
    pub(super) fn passed(&self, _policy: &Policy, _stage: usize) -> Result<(), Unmet> {
        Ok(())
    }

    /// Judges one tick.
    pub(super) fn judge(
        &mut self,
        policy: &Policy,
        Look { stage, weight, left: _ }: Look,
        asked: (&[Query], Timestamp),
        answers: &[Result<Measured, Failure>],
        now: Timestamp,
    ) -> Judged {
        let seen = self.take_in(policy, asked, answers);
        let mut checks = Vec::with_capacity(policy.checks().len() + 1);
        if policy.hard_limit() {
            checks.push(hard_limit(weight, &seen[0]));
        }
        let mut weighed = 0;
        for check in policy.checks() {
            checks.push(match &check.kind {
                CheckKind::Threshold { .. } => self.threshold(check, weight, &seen),
                CheckKind::Ab { .. }
                | CheckKind::Gate { .. }
                | CheckKind::All(_)
                | CheckKind::Any(_)
                | CheckKind::Not(_) => result(check, Verdict::NotApplicable, Finding::Nothing),
                CheckKind::WorseThanStable { ratio, false_alarm } => {
                    weighed += 1;
                    let starts = Starts::over(policy.mixed_time());
                    let limits = EvidenceLimits::new(*ratio, *false_alarm, starts);
                    weigh(&mut self.evidence[weighed - 1], check, &limits, weight, &seen[0])
                }
            });
        }
        self.rule(policy, (stage, weight), (&seen, asked.1), checks, now)
    }

    /// Moves the cursors and remembers the readings.
    fn take_in<'a>(
        &mut self,
        policy: &Policy,
        (queries, until): (&[Query], Timestamp),
        answers: &'a [Result<Measured, Failure>],
    ) -> Vec<Seen<'a>> {
        let missing =
            || Failure::new(FailureKind::Invalid, "the source left this query unanswered");
        self.tracks
            .iter_mut()
            .enumerate()
            .map(|(i, track)| match answers.get(i) {
                None => Seen::Failed(missing()),
                Some(Err(failure)) => Seen::Failed(failure.clone()),
                Some(Ok(measured)) if measured.covered.is_empty() => Seen::Pending,
                Some(Ok(measured)) => {
                    let asked_after = queries.get(i).map_or(track.cursor, |query| query.after);
                    let after = track.cursor.max(asked_after);
                    if measured.covered.after < after || measured.covered.until > until {
                        return Seen::Failed(overlap(measured.covered, Window::new(after, until)));
                    }
                    for side in [&measured.sides.stable, &measured.sides.canary] {
                        if let Err(error) = side.check() {
                            return Seen::Failed(Failure::new(
                                FailureKind::Invalid,
                                error.to_string(),
                            ));
                        }
                    }
                    track.cursor = measured.covered.until;
                    let keep = longest_look_back(policy, &track.signal);
                    track.history.push(measured.covered, &measured.sides, keep);
                    Seen::Fresh(measured)
                }
            })
            .collect()
    }

    fn threshold(&self, check: &Check, weight: Weight, seen: &[Seen<'_>]) -> CheckResult {
        let CheckKind::Threshold { metric, .. } = &check.kind else {
            return result(check, Verdict::NotApplicable, Finding::Nothing);
        };
        if !check.kind.applies_at(weight) {
            return result(check, Verdict::NotApplicable, Finding::Nothing);
        }
        let signal = metric.signal();
        let found = self.tracks.iter().zip(seen).find(|(track, _)| track.signal == signal);
        let (verdict, finding) = match found {
            Some((track, Seen::Fresh(measured))) => {
                threshold::judge(&check.kind, measured, &track.history)
            }
            Some((_, Seen::Failed(failure))) => (Verdict::Error, Finding::Failed(failure.clone())),
            Some((_, Seen::Pending)) | None => (Verdict::Pending, Finding::Nothing),
        };
        result(check, verdict, finding)
    }

    fn rule(
        &mut self,
        policy: &Policy,
        (stage, weight): (usize, Weight),
        (seen, until): (&[Seen<'_>], Timestamp),
        checks: Vec<CheckResult>,
        now: Timestamp,
    ) -> Judged {
        let guilt = self.guilt(policy, &checks, now);
        let covered = self.newly_covered(policy, weight, until);
        let mut ruling = self.stand(&checks);
        self.passing = ruling == Ruling::GoOn;
        if guilt.is_some() {
            ruling = Ruling::RollBack;
        } else if self.passing && covered.is_none() && measured_at(policy, weight) {
            ruling = Ruling::Wait;
        }
        let judgement = Judgement {
            stage,
            weight,
            window: match &seen[0] {
                Seen::Fresh(measured) => measured.covered,
                _ => Window::new(self.tracks[0].cursor, self.tracks[0].cursor),
            },
            requests: counts(&seen[0]),
            p95: self.p95(seen),
            checks,
            ruling,
            held_ms: 0,
            notes: notes(&self.tracks, seen),
        };
        Judged { judgement, covered, guilty: guilt, asks: Vec::new() }
    }

    /// Says why the canary is to be taken back: by a failed check, or because the source was silent too long.
    fn guilt(&mut self, policy: &Policy, checks: &[CheckResult], now: Timestamp) -> Option<Guilt> {
        let failed = |c: &&CheckResult| c.verdict == Verdict::Fail && c.then == Then::RollBack;
        let silent = |c: &CheckResult| c.verdict == Verdict::NoData && c.then != Then::Warn;
        let unknown = |c: &CheckResult| matches!(c.verdict, Verdict::Pending | Verdict::Error);
        if checks.iter().any(silent) {
            self.silent_since.get_or_insert(now);
        } else if !checks.iter().any(unknown) {
            // Only data ends silence: an error, or nothing newer, says nothing.
            self.silent_since = None;
        }
        if let Some(check) = checks.iter().find(failed) {
            return Some(Guilt::Check(check.clone()));
        }
        let silence = now.since(self.silent_since?);
        let no_data = policy.no_data();
        (no_data.then == Then::RollBack && silence >= no_data.after())
            .then(|| Guilt::Silence { for_ms: millis(silence) })
    }

    /// Lets each check that has nothing newer stand by what it came to last, and returns the worst.
    fn stand(&mut self, checks: &[CheckResult]) -> Ruling {
        let mut worst = Ruling::GoOn;
        for (standing, check) in self.standing.iter_mut().zip(checks) {
            let ruling = match ruling_of(check) {
                Ruling::Wait => standing.unwrap_or(Ruling::Wait),
                newer => *standing.insert(newer),
            };
            worst = worst.max(ruling);
        }
        worst
    }

    /// Returns what all signals that a check needs have covered since the last time.
    fn newly_covered(
        &mut self,
        policy: &Policy,
        weight: Weight,
        until: Timestamp,
    ) -> Option<Window> {
        let needed = |track: &&Track| signal_applies(policy, &track.signal, weight);
        let covered_to = self.tracks.iter().filter(needed).map(|track| track.cursor).min()?;
        let window = Window::new(self.covered_to, covered_to);
        if window.is_empty() {
            return None;
        }
        self.covered_to = covered_to;
        let lag = millis(until.since(covered_to));
        self.lag_ms = Some(self.lag_ms.map_or(lag, |least| least.min(lag)));
        Some(window)
    }

    fn p95(&self, seen: &[Seen<'_>]) -> BySide<Option<f64>> {
        let latency = self.tracks.iter().zip(seen).find_map(|(track, seen)| match seen {
            Seen::Fresh(measured) if track.signal == Signal::Latency => Some(measured),
            _ => None,
        });
        BySide::from_fn(|side| match latency.map(|measured| measured.sides.get(side)) {
            Some(Reading::Buckets(buckets)) => buckets.quantile(Quantile::P95.fraction()),
            _ => None,
        })
    }
}

fn result(check: &Check, verdict: Verdict, finding: Finding) -> CheckResult {
    CheckResult::new(Arc::clone(&check.name), verdict, check.then, finding)
}

fn overlap(seen: Window, asked: Window) -> Failure {
    Failure::new(
        FailureKind::Invalid,
        format!(
            "the source covered {} to {} where {} to {} was asked: counting it would count requests twice",
            seen.after, seen.until, asked.after, asked.until
        ),
    )
}

fn ruling_of(check: &CheckResult) -> Ruling {
    match (check.verdict, check.then) {
        (Verdict::Pass | Verdict::NotApplicable, _) | (_, Then::Warn) => Ruling::GoOn,
        (Verdict::Pending, _) => Ruling::Wait,
        (Verdict::Fail, Then::RollBack) => Ruling::RollBack,
        (Verdict::Fail, Then::Ask) => Ruling::Ask,
        (Verdict::Fail | Verdict::NoData | Verdict::Error | Verdict::Inconclusive, _) => {
            Ruling::Hold
        }
    }
}

fn notes(tracks: &[Track], seen: &[Seen<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    for (track, seen) in tracks.iter().zip(seen) {
        match seen {
            Seen::Fresh(measured) => notes.extend(measured.notes.iter().cloned()),
            Seen::Failed(failure) if track.signal == Signal::Requests => {
                notes.push(format!("{}: {failure}", track.signal));
            }
            Seen::Failed(_) | Seen::Pending => {}
        }
    }
    notes
}
