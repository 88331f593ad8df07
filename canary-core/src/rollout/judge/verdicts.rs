//! What each check comes to at one look, and what follows from all of them.

use std::sync::Arc;

use super::look::{Answered, Look};
use super::memory::{Consequence, Lack, Memory};
use super::plan::{CheckPlan, Plan};
use super::sight::Sight;
use super::{Judge, counted};
use crate::policy::{Check, Policy};
use crate::record::{CheckResult, Finding, Ruling, Verdict};
use crate::value::Timestamp;

/// Collects what the checks come to.
pub(super) struct Verdicts {
    pub(super) checks: Vec<CheckResult>,
    pub(super) worst: Ruling,
    pub(super) failed: Option<usize>,
    /// What was borne for too long, and by which check.
    pub(super) lack: Option<(Lack, usize)>,
    pub(super) asks: Vec<CheckResult>,
}

impl Judge {
    /// Lets each check say what it sees, and follows what that leads to.
    pub(super) fn verdicts(
        &mut self,
        policy: &Policy,
        plan: &Plan,
        (look, at_end, nothing_new): (Look, bool, bool),
        active: &[bool],
        (answers, states): Answered<'_>,
        now: Timestamp,
    ) -> Verdicts {
        // What follows from a verdict is remembered here, and changes nothing that another check sees.
        let mut hard_limit = std::mem::take(&mut self.hard_limit);
        let mut checks = std::mem::take(&mut self.checks);
        let sight = Sight {
            at_end,
            at_last_end: at_end && plan.last_mixed == Some(look.stage),
            nothing_new,
            answers,
            states,
            ..self.sight(policy, plan, look.split, now)
        };
        let mut verdicts = Verdicts::with_room_for(policy.checks().len() + 1);
        if policy.hard_limit() {
            let (verdict, finding) = counted::hard_limit(look.split, sight.said(0));
            let consequence = hard_limit.take(&plan.hard_limit_rules, verdict, now);
            verdicts.push((&plan.hard_limit, false), (verdict, finding), &consequence);
        }
        let planned = policy.checks().iter().zip(&plan.checks);
        for ((check, plan), (memory, active)) in planned.zip(checks.iter_mut().zip(active)) {
            let (found, consequence) = sight.look_at(check, plan, memory, *active);
            verdicts.push((&check.name, check.dry_run), found, &consequence);
        }
        self.hard_limit = hard_limit;
        self.checks = checks;
        verdicts
    }
}

impl Sight<'_> {
    /// Lets one check say what it sees, and follows what that leads to.
    fn look_at(
        &self,
        check: &Check,
        CheckPlan { rules, node, .. }: &CheckPlan,
        memory: &mut Memory,
        is_active: bool,
    ) -> ((Verdict, Finding), Consequence) {
        if !is_active {
            let consequence = memory.take(rules, Verdict::NotApplicable, self.now);
            return ((Verdict::NotApplicable, Finding::Nothing), consequence);
        }
        if let Some(found) = memory.stands(check, self.now).cloned() {
            let consequence = memory.meanwhile(rules, found.0);
            return (found, consequence);
        }
        let found = self.judge(node, false);
        memory.look(check, (found.0, &found.1), self.now);
        let consequence = memory.take(rules, found.0, self.now);
        (found, consequence)
    }
}

impl Verdicts {
    fn with_room_for(checks: usize) -> Self {
        Self {
            checks: Vec::with_capacity(checks),
            worst: Ruling::GoOn,
            failed: None,
            lack: None,
            asks: Vec::new(),
        }
    }

    #[inline]
    fn push(
        &mut self,
        (check, dry_run): (&Arc<str>, bool),
        (verdict, finding): (Verdict, Finding),
        consequence: &Consequence,
    ) {
        let Consequence { ruling, then, borne, passes_left, lack } = *consequence;
        self.worst = self.worst.max(ruling);
        if ruling == Ruling::RollBack && verdict == Verdict::Fail {
            self.failed = self.failed.or(Some(self.checks.len()));
        }
        self.lack = self.lack.or(lack.map(|lack| (lack, self.checks.len())));
        let check = Arc::clone(check);
        self.checks.push(CheckResult {
            check,
            verdict,
            then,
            dry_run,
            borne,
            passes_left,
            finding,
        });
        if ruling == Ruling::Ask {
            self.asks.extend(self.checks.last().cloned());
        }
    }
}
