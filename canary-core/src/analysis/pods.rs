//! Whether the evidence is against the version, or against one of its pods.
//!
//! Beside the evidence of all of the canary's requests, that without each of its pods is gathered. What is left
//! without the worst one never convicts; it only tells what to say: "one pod" instead of "the version".

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Evidence, EvidenceLimits, EvidenceState, Tick};
use crate::value::Counts;

/// How many pods are followed. Of more than these, one has too little traffic to be the reason.
const MOST: usize = 16;

/// The part of the canary's requests that others than the one pod must have served: with less, what they show
/// says little.
const OTHERS: f64 = 1.0 / 3.0;

/// Weighs the evidence against a canary that runs in several pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodEvidence {
    all: EvidenceState,
    /// All of the canary's requests.
    requests: u64,
    /// The first pods that were seen.
    pods: Vec<Pod>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pod {
    name: Arc<str>,
    requests: u64,
    without: EvidenceState,
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
    /// Adds one tick's counts, and which of the canary's requests each of its pods served, and returns the
    /// evidence of all. `live` is the time since the first tick that was added, as for [`EvidenceState::add`].
    ///
    /// The first sixteen pods are followed by name; memory is only asked for when one is new.
    pub fn add<'a>(
        &mut self,
        limits: &EvidenceLimits,
        tick: Tick,
        live: Duration,
        pods: impl IntoIterator<Item = (&'a Arc<str>, Counts)> + Clone,
    ) -> Evidence {
        for (name, _) in pods.clone() {
            if self.pods.len() < MOST && self.pods.iter().all(|pod| pod.name != *name) {
                // Until now there was nothing of it to leave out.
                self.pods.push(Pod { name: Arc::clone(name), requests: 0, without: self.all });
            }
        }
        for pod in &mut self.pods {
            let mut others = tick;
            for (_, served) in pods.clone().into_iter().filter(|(name, _)| pod.name == **name) {
                pod.requests = pod.requests.saturating_add(served.total);
                others.canary.take(served);
                others.canary.bad = others.canary.bad.min(others.canary.total);
            }
            pod.without.add(limits, others, live);
        }
        self.requests = self.requests.saturating_add(tick.canary.total);
        self.all.add(limits, tick, live)
    }

    /// Returns the evidence of all pods so far.
    #[must_use]
    pub const fn evidence(&self) -> Evidence {
        self.all.evidence()
    }

    /// Names the pod that the evidence is against, where it convicts the canary, but not without this pod.
    ///
    /// Evidence that has only just convicted would not without any of the pods. So what is left must be less than
    /// half of what an equally bad version would leave, in proportion to the requests; and the others must have
    /// served a third of the requests at least. The order of the pods is nothing to it.
    #[must_use]
    pub fn one_pod(&self) -> Option<OnePod> {
        let all = self.all.evidence();
        let left = |pod: &Pod| pod.without.evidence().ln_ratio;
        let worst = self
            .pods
            .iter()
            .min_by(|a, b| left(a).total_cmp(&left(b)).then_with(|| a.name.cmp(&b.name)))?;
        let others = worst.without.evidence();
        let share = self.share(worst);
        let one = all.convicted
            && !others.convicted
            && 1.0 - share >= OTHERS
            && others.ln_ratio <= 0.5 * (1.0 - share) * all.ln_ratio;
        one.then(|| OnePod { name: Arc::clone(&worst.name), others, share })
    }

    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    fn share(&self, pod: &Pod) -> f64 {
        pod.requests as f64 / self.requests.max(1) as f64
    }
}

#[cfg(test)]
mod tests;
