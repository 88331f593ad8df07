//! What a look adds to all that looks back on more than one.

use super::look::Answered;
use super::plan::{CheckPlan, Plan, RankPlan};
use super::sight::{Said, said};
use super::tally::{Tally, View};
use super::{Judge, ab};
use crate::record::Verdict;
use crate::value::{BySide, Measured, Reading, Split, millis};

impl Judge {
    /// Adds what is new to all that looks back on more than one look.
    pub(super) fn remember(
        &mut self,
        plan: &Plan,
        split: Split,
        at_end: bool,
        active: &[bool],
        (answers, states): Answered<'_>,
    ) {
        let fresh = |track| match said(answers, states, track) {
            Said::Fresh(measured) => Some(measured),
            Said::Pending | Said::Failed(_) => None,
        };
        let is_active = |check: usize| active.get(check).is_some_and(|active| *active);
        for (i, (track, summed)) in self.tracks.iter_mut().zip(&plan.summed).enumerate() {
            if let (true, Some(measured)) = (*summed, fresh(i)) {
                track.sum_up(measured);
            }
        }
        for (history, plan) in self.histories.iter_mut().zip(&plan.histories) {
            if split.weight() >= plan.from
                && plan.delayed.is_none_or(is_active)
                && let Some(measured) = fresh(plan.track)
            {
                let ms = millis(measured.covered.length());
                history.push(&measured.sides, ms, plan.look_back_ms);
            }
        }
        for (i, check) in plan.checks.iter().enumerate().filter(|(i, _)| is_active(*i)) {
            self.gather(plan, i, check, &fresh);
            if let Some(Reading::Counts(served)) = fresh(0).map(|measured| &measured.sides.canary) {
                self.objectives[check.objectives.clone()]
                    .iter_mut()
                    .for_each(|sum| sum.add(*served));
            }
            if split.is_mixed() {
                self.weigh(plan, check, &fresh);
                self.rank(plan, check, &fresh);
                if at_end {
                    self.compare(plan, check, (answers, states));
                }
            }
        }
    }

    /// Adds up what a check has not looked at yet, for one that looks less often.
    fn gather<'a>(
        &mut self,
        plan: &Plan,
        i: usize,
        check: &CheckPlan,
        fresh: &impl Fn(usize) -> Option<&'a Measured>,
    ) {
        let Some(memory) = self.checks.get_mut(i) else { return };
        let anew = std::mem::take(&mut memory.gathers_anew);
        for at in check.gathered.clone() {
            if anew {
                self.gathered[at] = Tally::default();
            }
            if let Some(measured) = fresh(plan.gathered[at]) {
                self.gathered[at].add(&measured.sides, millis(measured.covered.length()));
            }
        }
    }

    fn weigh<'a>(
        &mut self,
        plan: &Plan,
        check: &CheckPlan,
        fresh: &impl Fn(usize) -> Option<&'a Measured>,
    ) {
        let requests = fresh(0);
        for at in check.evidence.clone() {
            let plan = &plan.evidence[at];
            self.evidence[at].add(plan, requests, plan.latency.and_then(fresh));
        }
        for at in check.as_good.clone() {
            if let Some(measured) = requests {
                self.as_good[at].add(&plan.as_good[at].limits, measured);
            }
        }
    }

    fn rank<'a>(
        &mut self,
        plan: &Plan,
        check: &CheckPlan,
        fresh: &impl Fn(usize) -> Option<&'a Measured>,
    ) {
        for at in check.ranks.clone() {
            let RankPlan { track, metric, .. } = &plan.ranks[at];
            if let Some(measured) = fresh(*track) {
                let view = View::of(measured);
                self.ranks[at].add(BySide::from_fn(|side| view.read(metric, side)));
            }
        }
    }

    /// Compares both sides at the end of the stage, until there is enough to come to something: once.
    fn compare(&mut self, plan: &Plan, check: &CheckPlan, (answers, states): Answered<'_>) {
        for at in check.abs.clone() {
            let plan = &plan.abs[at];
            let settled = matches!(&self.abs[at], Some((Verdict::Pass | Verdict::Fail, _)));
            if let (false, Some(track)) = (settled, self.tracks.get(plan.track)) {
                let said = said(answers, states, plan.track);
                self.abs[at] = Some(ab::judge(plan, &track.stage, said));
            }
        }
        for at in check.ranks.clone() {
            let plan = &plan.ranks[at];
            self.ranks[at].compare(plan, said(answers, states, plan.track));
        }
    }
}
