//! Whether the evidence is against the version, or against one of its pods.
//!
//! Beside the evidence of all of the canary's requests, that without each of its pods is gathered, and that each
//! fails more than the others. Neither ever convicts; they only tell what to say: "one pod" instead of "the
//! version".
//!
//! There are sixteen places for pods that are told apart. One that is gone leaves its place to one that is new, as
//! soon as that needs it; pods without a place are weighed together, as if they were one.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bet::Bet;
use super::evidence::{Processes, RATIOS};
use super::log::mean_exp_plus;
use super::{Evidence, EvidenceLimits, EvidenceState, Refused, Tick};
use crate::value::{BySide, Counts};

/// How many pods are told apart.
const PLACES: usize = 16;

/// How often at most, in bad versions whose pods are alike and began together, one of them is named all the same.
const MISNAMED: f64 = 0.1;

/// Weighs the evidence against a canary that runs in several pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodEvidence {
    /// All of the canary's requests.
    requests: u64,
    /// The pods that have a place.
    pods: Vec<Pod>,
    /// Those that had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    together: Option<Part>,
    /// How many of those there were at most in one tick.
    #[serde(default)]
    most_together: u64,
    /// How many pods ever had a place.
    #[serde(default)]
    placed: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pod {
    name: Arc<str>,
    part: Part,
}

/// Weighs the evidence against a part of the canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    requests: u64,
    /// The evidence of all other requests.
    without: Processes,
    /// The ratio process of this part's requests against those of the others, by alternative.
    apart: [f64; RATIOS.len()],
}

/// Tells that the evidence is against one pod, or against those that are not told apart.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OnePod {
    /// The pod's name; `None` where it is among those that are weighed together.
    pub name: Option<Arc<str>>,
    /// The evidence of the canary's other pods.
    pub others: Evidence,
    /// The part of the canary's requests that it served, or they did, 0 to 1.
    pub share: f64,
}

impl PodEvidence {
    /// Adds one tick's counts to the evidence of all pods, and follows which of the canary's requests each of them
    /// served. Returns the evidence of all.
    ///
    /// Sixteen pods are told apart by name, and the others are weighed together; memory is only asked for when a pod
    /// is new. Of those that are gone, the one with the least evidence against it is forgotten first.
    ///
    /// # Errors
    /// As for [`EvidenceState::add`].
    pub fn add<'a>(
        &mut self,
        limits: &EvidenceLimits,
        all: &mut EvidenceState,
        tick: Tick,
        pods: impl IntoIterator<Item = (&'a Arc<str>, Counts)> + Clone,
    ) -> Result<Evidence, Refused> {
        let live = all.admit(tick)?;
        let so_far = all.processes();
        self.place(*so_far, || pods.clone().into_iter().map(|(name, _)| name));
        let served = |by: &dyn Fn(&str) -> bool| {
            let mut sum = (Counts::default(), 0);
            for (_, served) in pods.clone().into_iter().filter(|(name, _)| by(name)) {
                sum.0.add(served);
                sum.1 += 1;
            }
            sum
        };
        let (unplaced, count) = served(&|name| !self.has_place(name));
        for Pod { name, part } in &mut self.pods {
            part.add(limits, served(&|other| other == &**name).0, tick.sides(), live);
        }
        if count > 0 {
            self.most_together = self.most_together.max(count);
            self.together.get_or_insert_with(|| Part::new(*so_far));
        }
        if let Some(together) = &mut self.together {
            together.add(limits, unplaced, tick.sides(), live);
        }
        self.requests = self.requests.saturating_add(tick.sides().canary.total);
        Ok(so_far.add(limits, tick.sides(), live))
    }

    /// Gives pods that are new a place, in the order of their names, as long as there are any.
    fn place<'a, I: Iterator<Item = &'a Arc<str>>>(
        &mut self,
        so_far: Processes,
        pods: impl Fn() -> I,
    ) {
        // What may have been of it before was weighed together with that of others.
        let without = self.together.as_ref().map_or(so_far, |together| together.without);
        while let Some(name) = pods().filter(|name| !self.has_place(name)).min() {
            let new = Pod { name: Arc::clone(name), part: Part::new(without) };
            if self.pods.len() < PLACES {
                self.pods.push(new);
            } else if let Some(gone) =
                self.least_suspect(|pod| !pods().any(|name| *name == pod.name))
            {
                *gone = new;
            } else {
                break;
            }
            self.placed += 1;
        }
    }

    fn has_place(&self, name: &str) -> bool {
        self.pods.iter().any(|pod| *pod.name == *name)
    }

    /// Returns the one of these pods that has the least evidence against it.
    fn least_suspect(&mut self, of: impl Fn(&Pod) -> bool) -> Option<&mut Pod> {
        let these = self.pods.iter_mut().filter(|pod| of(pod));
        these.min_by(|a, b| {
            a.part.ln_apart().total_cmp(&b.part.ln_apart()).then_with(|| a.name.cmp(&b.name))
        })
    }

    /// Names the pod that the evidence of all pods is against: it convicts the canary, but not without this pod, and the pod
    /// fails more than the others. Pods that are alike fail differently by chance; so where the version is bad and
    /// its pods began together, one of them is ever named in at most one rollout of ten.
    ///
    /// Those that are weighed together count as one pod, without a name.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    pub fn one_pod(&self, all: &EvidenceState) -> Option<OnePod> {
        let placed = self.pods.iter().map(|pod| (Some(&pod.name), &pod.part));
        let parts = placed.chain(self.together.iter().map(|together| (None, together)));
        let (ln_apart, name, worst) = parts
            .map(|(name, part)| (part.ln_apart(), name, part))
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)))?;
        let others = worst.without.evidence();
        // Each of them could have been the worst.
        let parts = self.placed + u64::from(self.together.is_some());
        let needed = libm::log(parts as f64 / MISNAMED);
        let one = all.evidence().convicted && !others.convicted && ln_apart >= needed;
        let share = worst.requests as f64 / self.requests.max(1) as f64;
        one.then(|| OnePod { name: name.cloned(), others, share })
    }

    /// Returns how many pods were weighed together at most in one tick: those beyond the sixteen that are told apart.
    #[must_use]
    pub const fn most_together(&self) -> u64 {
        self.most_together
    }
}

impl Part {
    /// Begins when there is this evidence of other requests.
    const fn new(without: Processes) -> Self {
        Self { requests: 0, without, apart: [0.0; RATIOS.len()] }
    }

    /// Adds what this part served of both sides' requests.
    fn add(
        &mut self,
        limits: &EvidenceLimits,
        own: Counts,
        mut sides: BySide<Counts>,
        live: Duration,
    ) {
        self.requests = self.requests.saturating_add(own.total);
        sides.canary.take(own);
        sides.canary.bad = sides.canary.bad.min(sides.canary.total);
        self.without.add(limits, sides, live);
        if let Some(bet) = Bet::new(1.0, own, sides.canary) {
            for (i, m) in self.apart.iter_mut().enumerate() {
                *m = (*m + bet.ratio(RATIOS[i], limits.ln_ratios()[i])).max(f64::MIN);
            }
        }
    }

    /// Returns the odds, as a natural logarithm, that this part fails more than the others.
    fn ln_apart(&self) -> f64 {
        mean_exp_plus(&self.apart, f64::NEG_INFINITY)
    }
}

#[cfg(test)]
mod tests;
