//! What the evidence sees over all stages of a policy together.

use std::time::Duration;

use super::gains::Gains;
use super::{SeenIn, StageTraffic, smallest};
use crate::analysis::{EvidenceLimits, Starts};
use crate::policy::{Check, CheckKind, Evident, Policy};
use crate::value::BySide;

/// The longest hold that is looked for: a year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Says what a check on evidence about errors sees over a whole rollout: evidence runs on from stage to stage.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanTraffic {
    limits: EvidenceLimits,
    /// The time in stages with a mixed weight, also where the check does not apply.
    mixed: Duration,
    stages: Vec<PlannedStage>,
}

/// Says what happens in one stage.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlannedStage {
    /// Its position in the policy, from 0.
    pub stage: usize,
    /// What is seen in it.
    pub traffic: StageTraffic,
    /// How long it holds.
    pub hold: Duration,
}

impl PlanTraffic {
    /// Plans for a policy's check, given the requests of both sides together per second and the share of stable's that
    /// fail. `None` unless it weighs errors as evidence (`worse_than_stable`), by limits that can be: those of a valid
    /// policy can.
    #[must_use]
    pub fn of(policy: &Policy, check: &Check, per_second: f64, base: f64) -> Option<Self> {
        let CheckKind::WorseThanStable { ratio, false_alarm, of } = &check.kind else {
            return None;
        };
        let all: f64 = of.iter().map(|part| part.weight).sum();
        let errors = of.iter().find(|part| part.what == Evident::Errors);
        let part = match errors {
            Some(errors) => errors.weight / all,
            None if of.is_empty() => 1.0,
            None => return None,
        };
        let (mixed, stages) = (policy.mixed_time(), policy.stages().iter().enumerate());
        let stages = stages
            .map(|(i, stage)| (i, stage, stage.split()))
            .filter(|(_, _, split)| split.is_mixed() && check.applies_at(*split))
            .map(|(i, stage, split)| {
                let BySide { stable, canary } = split.shares();
                let answered = per_second * (stable + canary);
                let share = split.canary_share();
                let traffic = StageTraffic::new(share, base, answered, policy.every());
                PlannedStage { stage: i, traffic, hold: stage.hold() }
            });
        Some(Self {
            // Beside other things that are weighed errors must come to more by themselves.
            limits: EvidenceLimits::new(*ratio, part * false_alarm, Starts::over(mixed)).ok()?,
            mixed,
            stages: stages.collect(),
        })
    }

    /// Returns what convicts.
    #[must_use]
    pub fn limits(&self) -> EvidenceLimits {
        self.limits.starting(Starts::over(self.mixed))
    }

    /// Returns how many times stable's error rate is still well.
    #[must_use]
    pub const fn ratio(&self) -> f64 {
        self.limits.ratio()
    }

    /// Returns the stages in which the check applies, in their order.
    #[must_use]
    pub fn stages(&self) -> &[PlannedStage] {
        &self.stages
    }

    /// Returns how long they hold together.
    #[must_use]
    pub fn hold(&self) -> Duration {
        self.stages.iter().fold(Duration::ZERO, |sum, stage| sum.saturating_add(stage.hold))
    }

    /// Tells whether a canary is convicted that fails `times` as often as stable from the first of the stages on.
    #[must_use]
    pub fn sees(&self, times: f64, seen: SeenIn) -> bool {
        let limits = self.limits();
        let mut gains = Gains::default();
        for PlannedStage { traffic, hold, .. } in &self.stages {
            let looks = hold.as_secs_f64() / traffic.every.as_secs_f64();
            gains.add(&Gains::of_a_look(traffic, &limits, times), looks);
        }
        gains.reached(&limits) >= seen.of_the_mean_time() && self.can_convict()
    }

    /// Returns the stage that has to hold the least longer for the whole to see this, with the hold that it takes; `None`
    /// where none is enough.
    #[must_use]
    pub fn least_change(&self, times: f64, seen: SeenIn) -> Option<PlannedStage> {
        let changed = |(i, stage): (usize, &PlannedStage)| {
            let hold = self.hold_needed(i, times, seen)?;
            Some((hold.saturating_sub(stage.hold), PlannedStage { hold, ..*stage }))
        };
        let changes = self.stages.iter().enumerate().filter_map(changed);
        changes.min_by_key(|(longer, _)| *longer).map(|(_, stage)| stage)
    }

    /// Tells whether there are enough looks to convict, whatever they show.
    #[must_use]
    pub fn can_convict(&self) -> bool {
        let looks = self.stages.iter().map(|stage| {
            let looks = stage.hold.as_secs_f64() / stage.traffic.every.as_secs_f64();
            (stage.traffic.share, looks.floor().max(1.0))
        });
        self.limits().can_convict(looks)
    }

    /// Returns the smallest regression that is seen, as a multiple of stable's error rate; `None` where not even a
    /// canary that fails every request is.
    #[must_use]
    pub fn detects(&self, seen: SeenIn) -> Option<f64> {
        let base = self.stages.first()?.traffic.base;
        smallest(self.ratio(), base, |times| self.sees(times, seen))
    }

    /// Returns how long one of the stages (its position among [`stages`](Self::stages)) must hold, to the look, and the
    /// others as they do, so that the whole sees this; `None` where even a year is too short.
    #[must_use]
    pub fn hold_needed(&self, position: usize, times: f64, seen: SeenIn) -> Option<Duration> {
        let every = self.stages.get(position)?.traffic.every;
        let after = |looks: u32| {
            let mut plan = self.clone();
            let stage = &mut plan.stages[position];
            let others = plan.mixed.saturating_sub(stage.hold);
            stage.hold = every.saturating_mul(looks);
            plan.mixed = others.saturating_add(stage.hold);
            plan.sees(times, seen)
        };
        let mut enough = u32::try_from(LONGEST.as_millis() / every.as_millis()).ok()?;
        if !after(enough) {
            return None;
        }
        let mut short = 0;
        while enough > short {
            let middle = short + (enough - short) / 2;
            if after(middle) { enough = middle } else { short = middle + 1 }
        }
        Some(every.saturating_mul(enough))
    }
}

#[cfg(test)]
mod tests;
