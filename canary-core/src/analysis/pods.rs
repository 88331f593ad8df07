//! Whether the evidence is against the version, or against one of its pods.
//!
//! Beside the evidence of all of the canary's requests, that without each of its pods is gathered, and that each
//! fails more than the others. Neither ever convicts; they only tell what to say: "one pod" instead of "the
//! version".

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bet::Bet;
use super::evidence::{Processes, RATIOS};
use super::log::mean_exp_plus;
use super::{Evidence, EvidenceLimits, EvidenceState, Refused, Tick};
use crate::value::Counts;

/// How many pods are followed. Of more than these, one has too little traffic to be the reason.
const MOST: usize = 16;

/// How often at most, in bad versions whose pods are alike and began together, one of them is named all the same.
const MISNAMED: f64 = 0.1;

/// Weighs the evidence against a canary that runs in several pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodEvidence {
    /// All of the canary's requests.
    requests: u64,
    /// The first pods that were seen.
    pods: Vec<Pod>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pod {
    name: Arc<str>,
    requests: u64,
    /// The evidence of the other pods.
    without: Processes,
    /// The ratio process of this pod's requests against those of the others, by alternative.
    apart: [f64; RATIOS.len()],
}

/// Tells that the evidence is against one pod.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OnePod {
    /// The pod's name.
    pub name: Arc<str>,
    /// The evidence of the canary's other pods.
    pub others: Evidence,
    /// The part of the canary's requests that the pod served, 0 to 1.
    pub share: f64,
}

impl PodEvidence {
    /// Adds one tick's counts to the evidence of all pods, and follows which of the canary's requests each of them
    /// served. Returns the evidence of all.
    ///
    /// The first sixteen pods are followed by name; memory is only asked for when one is new.
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
        for (name, _) in pods.clone() {
            if self.pods.len() < MOST && self.pods.iter().all(|pod| pod.name != *name) {
                // Until now there was nothing of it to leave out.
                let without = *all.processes();
                let (name, apart) = (Arc::clone(name), [0.0; RATIOS.len()]);
                self.pods.push(Pod { name, requests: 0, without, apart });
            }
        }
        for pod in &mut self.pods {
            let (mut own, mut others) = (Counts::default(), tick.sides());
            for (_, served) in pods.clone().into_iter().filter(|(name, _)| pod.name == **name) {
                own.add(served);
            }
            others.canary.take(own);
            others.canary.bad = others.canary.bad.min(others.canary.total);
            pod.requests = pod.requests.saturating_add(own.total);
            pod.without.add(limits, others, live);
            pod.set_apart(limits, own, others.canary);
        }
        self.requests = self.requests.saturating_add(tick.sides().canary.total);
        Ok(all.processes().add(limits, tick.sides(), live))
    }

    /// Names the pod that the evidence of all pods is against: it convicts the canary, but not without this pod, and the pod
    /// fails more than the others. Pods that are alike fail differently by chance; so where the version is bad and
    /// its pods began together, one of them is ever named in at most one rollout of ten.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    pub fn one_pod(&self, all: &EvidenceState) -> Option<OnePod> {
        let apart = |pod: &Pod| mean_exp_plus(&pod.apart, f64::NEG_INFINITY);
        let (ln_apart, worst) = self
            .pods
            .iter()
            .map(|pod| (apart(pod), pod))
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.name.cmp(&a.1.name)))?;
        let others = worst.without.evidence();
        // Each of the pods could have been the worst.
        let needed = libm::log(self.pods.len() as f64 / MISNAMED);
        let one = all.evidence().convicted && !others.convicted && ln_apart >= needed;
        let share = worst.requests as f64 / self.requests.max(1) as f64;
        one.then(|| OnePod { name: Arc::clone(&worst.name), others, share })
    }
}

impl Pod {
    fn set_apart(&mut self, limits: &EvidenceLimits, own: Counts, others: Counts) {
        if let Some(bet) = Bet::new(1.0, own, others) {
            for (i, m) in self.apart.iter_mut().enumerate() {
                *m = (*m + bet.ratio(RATIOS[i], limits.ln_ratios()[i])).max(f64::MIN);
            }
        }
    }
}

#[cfg(test)]
mod tests;
