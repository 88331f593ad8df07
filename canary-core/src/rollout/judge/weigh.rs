//! What the evidence checks have weighed so far, and what it comes to.

use serde::{Deserialize, Serialize};

use super::counted::counts;
use super::plan::EvidencePlan;
use crate::analysis::{
    CombinedState, Dispersion, Evidence, EvidenceState, NonInferiority, NonInferiorityLimits,
    NonInferiorityState, PodEvidence, RatioSequence, Refused, TailState, Tick,
};
use crate::policy::Evident;
use crate::record::{Grounds, Together, Unweighed};
use crate::value::{Buckets, BySide, Counts, Measured, PodCounts, Reading, Side, Window};

/// Of how many of stable's requests the bounds of its tail are fixed, before any of it is weighed.
const ENOUGH_FOR_A_TAIL: u64 = 1_000;

/// Remembers what one evidence check has weighed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Weighing {
    state: EvidenceState,
    requests: BySide<Counts>,
    /// The confidence sequence, which only people look at.
    #[serde(default)]
    ratio: RatioSequence,
    /// Where the source tells the canary's pods apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pods: Option<Box<PodEvidence>>,
    /// Where it tells a side's apart; only people look at it.
    #[serde(default)]
    dispersion: BySide<Dispersion>,
    #[serde(default)]
    tail: Tail,
    /// What errors and latency come to together, where both are weighed.
    #[serde(default)]
    combined: CombinedState,
}

/// Follows the tail of the latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tail {
    /// Gathers stable's requests until they are enough to fix the bounds.
    Before(Option<Buckets>),
    Weighed(TailState),
}

impl Default for Tail {
    fn default() -> Self {
        Self::Before(None)
    }
}

impl Weighing {
    /// Adds one look's requests, and those by how long they took.
    pub(super) fn add(
        &mut self,
        plan: &EvidencePlan,
        requests: Option<&Measured>,
        latency: Option<&Measured>,
    ) {
        if let Some(requests) = requests {
            self.add_requests(plan, requests);
        }
        if let Some(latency) = latency {
            self.tail.add(plan, latency);
        }
        if let Some((limits, of)) = &plan.combined {
            let parts = of.iter().map(|what| part(&self.state, &self.tail, *what));
            self.combined.add(limits, parts);
        }
    }

    fn add_requests(&mut self, plan: &EvidencePlan, measured: &Measured) {
        let tick =
            counts(&measured.sides).and_then(|sides| Tick::new(measured.covered, sides).ok());
        let Some(tick) = tick.filter(|_| plan.weighs(Evident::Errors)) else { return };
        // A window that was counted before changes nothing.
        if self.add_errors(plan, tick, &measured.pods.canary).is_err() {
            return;
        }
        let _the_same_windows = self.ratio.add(tick);
        for side in Side::BOTH {
            let pods = measured.pods.get(side).iter().map(|pod| pod.counts);
            self.dispersion.get_mut(side).add(pods);
        }
        let BySide { stable, canary } = tick.sides();
        self.requests.stable.add(stable);
        self.requests.canary.add(canary);
    }

    /// Adds a tick to the evidence; where the source tells pods apart, to that of each pod, too. One that is alone
    /// at first may be the one that is bad among others later.
    fn add_errors(
        &mut self,
        plan: &EvidencePlan,
        tick: Tick,
        pods: &[PodCounts],
    ) -> Result<Evidence, Refused> {
        if pods.is_empty() && self.pods.is_none() {
            return self.state.add(&plan.limits, tick);
        }
        let served = pods.iter().map(|PodCounts { name, counts, .. }| (name, *counts));
        self.pods.get_or_insert_default().add(&plan.limits, &mut self.state, tick, served)
    }

    /// Returns what all that is weighed comes to.
    pub(super) fn evidence(&self, plan: &EvidencePlan) -> Evidence {
        match &plan.combined {
            Some(_) => self.combined.evidence(),
            None => part(&self.state, &self.tail, plan.one),
        }
    }

    /// Returns the requests that were weighed by whether they failed, where any are.
    pub(super) fn requests(&self, plan: &EvidencePlan) -> Option<BySide<Counts>> {
        plan.weighs(Evident::Errors).then_some(self.requests)
    }

    /// Says why latency, which should be weighed, is not.
    pub(super) fn unweighed(&self, plan: &EvidencePlan) -> Option<Unweighed> {
        plan.latency.and_then(|_| self.tail.unweighed())
    }

    /// Returns what a person wants to know of a decision; not worked out at every look.
    pub(super) fn grounds(&self, plan: &EvidencePlan) -> Grounds {
        let false_alarm = plan.limits.false_alarm();
        let errors = plan.weighs(Evident::Errors);
        let mut grounds = Grounds::default();
        if errors {
            grounds.ratio = Some(self.ratio.bounds(false_alarm));
            grounds.confidence = 1.0 - false_alarm;
            grounds.dispersion = BySide::from_fn(|side| {
                Some(self.dispersion.get(side).factor()).filter(|factor| *factor > 1.0)
            });
            if let Some(pods) = &self.pods {
                let one = pods.one_pod(&self.state);
                let (pods, guilty) =
                    (pods.most_together(), one.as_ref().is_some_and(|one| one.name.is_none()));
                grounds.one_pod = one.and_then(|one| one.name).map(|name| name.to_string());
                grounds.together = (pods > 0).then_some(Together { pods, guilty });
            }
        }
        if let Some(tail) = self.tail.state() {
            grounds.bounds_ms = tail.boundaries().collect();
            grounds.slow = tail.slow();
        }
        if let Some((_, of)) = &plan.combined {
            let name = |i: usize| of.get(i).map(|what| what.as_str().to_owned());
            grounds.culprits = self.combined.culprits().filter_map(name).collect();
        }
        grounds
    }
}

fn part(errors: &EvidenceState, tail: &Tail, what: Evident) -> Evidence {
    match what {
        Evident::Errors => errors.evidence(),
        Evident::Latency => tail.evidence(),
    }
}

impl Tail {
    fn add(&mut self, plan: &EvidencePlan, measured: &Measured) {
        let (Reading::Buckets(stable), Reading::Buckets(canary)) =
            (&measured.sides.stable, &measured.sides.canary)
        else {
            return;
        };
        match self {
            Self::Before(before) => {
                // Other buckets begin anew.
                if !before.as_mut().is_some_and(|before| before.add(stable)) {
                    *before = Some(stable.clone());
                }
                self.fix(measured.covered);
            }
            Self::Weighed(state) => {
                let sides = BySide { stable, canary };
                let _counted_before = state.add(&plan.limits, measured.covered, sides);
            }
        }
    }

    /// Fixes the bounds by what is not weighed itself, once that is enough.
    fn fix(&mut self, covered: Window) {
        let Self::Before(Some(before)) = self else { return };
        if before.total() >= ENOUGH_FOR_A_TAIL
            && let Some(state) = TailState::fix(before, covered)
        {
            *self = Self::Weighed(state);
        }
    }

    fn evidence(&self) -> Evidence {
        self.state().map_or_else(|| EvidenceState::default().evidence(), TailState::evidence)
    }

    const fn state(&self) -> Option<&TailState> {
        match self {
            Self::Before(_) => None,
            Self::Weighed(state) => Some(state),
        }
    }

    /// Says why nothing is weighed, if so.
    fn unweighed(&self) -> Option<Unweighed> {
        let before = match self {
            Self::Weighed(state) => {
                return (!state.is_seen()).then_some(Unweighed::OtherBounds);
            }
            Self::Before(before) => before,
        };
        let (seen, needed) = (before.as_ref().map_or(0, Buckets::total), ENOUGH_FOR_A_TAIL);
        Some(if seen < needed { Unweighed::TooFew { seen, needed } } else { Unweighed::NoBound })
    }
}

/// Remembers the evidence that the canary is as good as stable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Acquittal {
    state: NonInferiorityState,
    requests: BySide<Counts>,
}

impl Acquittal {
    pub(super) fn add(&mut self, limits: &NonInferiorityLimits, measured: &Measured) {
        let tick =
            counts(&measured.sides).and_then(|sides| Tick::new(measured.covered, sides).ok());
        let Some(tick) = tick else { return };
        // A window that was counted before changes nothing.
        if self.state.add(limits, tick).is_ok() {
            let BySide { stable, canary } = tick.sides();
            self.requests.stable.add(stable);
            self.requests.canary.add(canary);
        }
    }

    pub(super) const fn evidence(&self) -> (NonInferiority, BySide<Counts>) {
        (self.state.evidence(), self.requests)
    }
}
