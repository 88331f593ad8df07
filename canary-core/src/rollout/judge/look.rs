//! One look: from what was measured to what follows.

use std::sync::Arc;
use std::time::Duration;

use super::memory::Lack;
use super::plan::{Need, NeededBy, Plan, delay};
use super::sight::{Said, said};
use super::tracks::State;
use super::tracks::Track;
use super::verdicts::Verdicts;
use super::{Judge, Work, counted, measured_at};
use crate::policy::{Policy, Quantile};
use crate::record::{CheckResult, Judgement, Ruling, Silent};
use crate::value::{BySide, Failure, Measured, Query, Reading, Split, Timestamp, Window, millis};

/// Says where the rollout stands when it is looked at.
#[derive(Clone, Copy, Debug)]
pub(in crate::rollout) struct Look {
    pub(in crate::rollout) stage: usize,
    pub(in crate::rollout) split: Split,
    /// How much of the stage's hold is left before this look.
    pub(in crate::rollout) left: Duration,
    /// When nobody looked: what is measured of it counts for no hold.
    pub(in crate::rollout) blind: Option<Window>,
}

impl Look {
    /// Returns for how long of a window somebody looked.
    pub(in crate::rollout) fn observed(&self, window: Window) -> Duration {
        let blind = self.blind.map_or(Duration::ZERO, |blind| {
            blind.until.min(window.until).since(blind.after.max(window.after))
        });
        window.length().saturating_sub(blind)
    }
}

/// What a look comes to, beside what people are told.
#[derive(Debug)]
pub(in crate::rollout) struct Judged {
    pub(in crate::rollout) judgement: Judgement,
    /// How much was newly covered by all signals that a check needs, and looked at; counts for the hold if the ruling
    /// is to go on.
    pub(in crate::rollout) observed: Option<Duration>,
    /// Why the canary is to be taken back, if it is.
    pub(in crate::rollout) guilty: Option<Guilt>,
    /// What asks a person whether to go on.
    pub(in crate::rollout) asks: Vec<CheckResult>,
}

/// Says why a canary is to be taken back.
#[derive(Debug)]
pub(in crate::rollout) enum Guilt {
    Check(CheckResult),
    Silence { for_ms: u64, sides: Option<Silent> },
    Errors { for_ms: u64, check: Option<CheckResult> },
}

/// Holds what was answered: the answers, and what became of each query.
pub(super) type Answered<'a> = (&'a [Result<Measured, Failure>], &'a [State]);

impl Judge {
    /// Judges one look. With nothing asked, for nothing is measured at this weight, gates alone are judged, and
    /// nothing is covered.
    pub(in crate::rollout) fn judge(
        &mut self,
        policy: &Policy,
        look: Look,
        (queries, until): (&[Query], Timestamp),
        answers: &[Result<Measured, Failure>],
        now: Timestamp,
    ) -> Judged {
        self.begin_if_entered(look.stage);
        let Work { plan, mut states, mut active, .. } = std::mem::take(&mut self.work);
        let plan = plan.unwrap_or_else(|| Arc::new(Plan::of(policy)));
        states.clear();
        for (i, track) in self.tracks.iter_mut().enumerate() {
            states.push(track.take_in(queries.get(i), until, answers.get(i)));
        }
        active.clear();
        for (check, memory) in policy.checks().iter().zip(&mut self.checks) {
            active.push(check.applies_at(look.split) && memory.begin(delay(check), now));
        }
        let covered =
            if queries.is_empty() { None } else { self.newly_covered(policy, &plan, look, until) };
        let nothing_new = covered.is_none() && measured_at(policy, look.split);
        let at_end = is_end(policy, look, covered);
        self.remember(&plan, look.split, at_end, &active, (answers, &states));
        let verdicts = self.verdicts(
            policy,
            &plan,
            (look, at_end, nothing_new),
            &active,
            (answers, &states),
            now,
        );
        self.looked = Some(now);
        let judged = self.rule(policy, &plan, look, covered, verdicts, (answers, &states));
        self.work = Work { plan: Some(plan), states, active, ..Work::default() };
        judged
    }

    /// Returns what all signals that something needs have covered since the last time, without gaps.
    fn newly_covered(
        &mut self,
        policy: &Policy,
        plan: &Plan,
        look: Look,
        until: Timestamp,
    ) -> Option<Window> {
        let excused = |by: NeededBy| match by {
            NeededBy::HardLimit => self.hard_limit.excused,
            NeededBy::Check(i) => self.checks.get(i).is_some_and(|memory| memory.excused),
            NeededBy::Stage(_) => false,
        };
        let applies = |n: &Need| n.applies_at(look.stage, look.split) && !excused(n.by);
        let is_needed = |needs: &[Need]| needs.iter().any(applies);
        let needed = self.tracks.iter().zip(&plan.needs).filter(|(_, needs)| is_needed(needs));
        let covered = needed.map(|(track, _)| (track.since(), track.cursor()));
        let (since, covered_to) = match covered.reduce(|a, b| (a.0.max(b.0), a.1.min(b.1))) {
            Some(by_all) => by_all,
            // A person has excused all that needs anything.
            None if measured_at(policy, look.split) => (self.covered_to, until),
            None => return None,
        };
        let window = Window::new(self.covered_to.max(since), covered_to);
        if window.is_empty() {
            return None;
        }
        self.covered_to = covered_to;
        let lag = millis(until.since(covered_to));
        self.lag_ms = Some(self.lag_ms.map_or(lag, |least| least.min(lag)));
        Some(window)
    }

    fn rule(
        &mut self,
        policy: &Policy,
        plan: &Plan,
        look: Look,
        covered: Option<Window>,
        verdicts: Verdicts,
        (answers, states): Answered<'_>,
    ) -> Judged {
        let Verdicts { checks, worst, failed, lack, asks } = verdicts;
        self.passing = worst == Ruling::GoOn;
        let guilty = match (failed.and_then(|i| checks.get(i)), lack) {
            (Some(check), _) => Some(Guilt::Check(check.clone())),
            (None, Some((Lack::Silence { for_ms }, i))) => {
                let sides = checks.get(i).and_then(|check| check.finding.silent());
                Some(Guilt::Silence { for_ms, sides })
            }
            (None, Some((Lack::Errors { for_ms }, i))) => {
                Some(Guilt::Errors { for_ms, check: checks.get(i).cloned() })
            }
            (None, None) => None,
        };
        let waits = self.passing && covered.is_none() && measured_at(policy, look.split);
        let requests = said(answers, states, 0);
        let judgement = Judgement {
            stage: look.stage,
            weight: look.split.weight(),
            window: match requests {
                Said::Fresh(measured) => measured.covered,
                Said::Pending | Said::Failed(_) => {
                    let cursor = self.tracks.first().map_or(self.covered_to, Track::cursor);
                    Window::new(cursor, cursor)
                }
            },
            requests: match requests {
                Said::Fresh(measured) => counted::counts(&measured.sides),
                Said::Pending | Said::Failed(_) => None,
            },
            p95: p95(plan, (answers, states)),
            checks,
            ruling: if waits { Ruling::Wait } else { worst },
            held_ms: 0,
            notes: self.notes((answers, states)),
        };
        let observed = covered.map(|window| look.observed(window));
        Judged { judgement, observed, guilty, asks }
    }

    /// Collects what the source remarks, each once: several signals may have the same to say.
    fn notes(&self, (answers, states): Answered<'_>) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        for (i, track) in self.tracks.iter().enumerate() {
            let said = match (said(answers, states, i), answers.get(i)) {
                (Said::Fresh(measured), _) => measured.notes.clone(),
                // Why there is nothing newer yet.
                (Said::Pending, Some(Ok(measured))) => measured.notes.clone(),
                (Said::Failed(failure), _) if i == 0 => {
                    vec![format!("{}: {failure}", track.query.signal)]
                }
                (Said::Failed(_) | Said::Pending, _) => Vec::new(),
            };
            for note in said {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes
    }
}

fn p95(plan: &Plan, (answers, states): Answered<'_>) -> BySide<Option<f64>> {
    let Some(Said::Fresh(measured)) = plan.latency.map(|track| said(answers, states, track)) else {
        return BySide::default();
    };
    BySide::from_fn(|side| match measured.sides.get(side) {
        Reading::Buckets(buckets) => buckets.quantile(Quantile::P95.fraction()),
        _ => None,
    })
}

/// Tells whether the stage's hold is used up with this look, or, where its clock runs by itself, before the next.
fn is_end(policy: &Policy, look: Look, covered: Option<Window>) -> bool {
    let passes = match covered {
        Some(window) => look.observed(window),
        None if measured_at(policy, look.split) => Duration::ZERO,
        None => policy.every(),
    };
    look.left <= passes
}
