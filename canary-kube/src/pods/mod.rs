//! Whether pods are ready, as a gate.

mod look;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::ports::{Call, Decision, Gate, GateContext, PortError};
use canary_core::value::{RolloutId, Side};
use futures::future::try_join_all;
use kube::Client;

use self::look::{Pods, Seen};
use crate::calls::PATIENCE;
use crate::object::until_deadline;

pub(crate) use look::Trouble;

/// How soon pods that are not ready are looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// Opens while all pods of both versions are ready and none of them restarts: a [`Gate`] for any moment, and for a check
/// all along.
///
/// - Pods that are not ready, or fewer than their Deployment asks for, are waited for; so are images that cannot be
///   pulled and containers that cannot be created. Pods that have ended, as evicted ones, do not count.
/// - Where a container of the canary crashes in a loop, or has restarted since this gate first looked at its pod in this
///   rollout, it rejects. As a check that is a failure, and the policy says what follows.
/// - The same of stable is waited for: it is no reason to give stable more requests.
///
/// What it says names the pod and the container. It needs `get` on Deployments and `list` on pods
/// ([`Permissions::readiness`](crate::Permissions::readiness)), two calls for each Deployment and one for each selector.
///
/// ```
/// # use canary_kube::testing::MemoryApi;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use canary_core::value::Side;
/// use canary_kube::ReadyPods;
///
/// # let client = MemoryApi::new().client();
/// let gate = ReadyPods::new(client, "shop")
///     .deployment(Side::Stable, "web")
///     .deployment(Side::Canary, "web-canary");
/// // Driver::builder(policy).gate("pods", gate)
/// # }
/// ```
pub struct ReadyPods {
    client: Client,
    namespace: String,
    watched: Vec<(Side, Pods)>,
    /// How often each container had restarted when it was first seen, for the rollout that asked last.
    first: Mutex<Option<(RolloutId, Restarts)>>,
}

/// Counts restarts by pod uid and container.
type Restarts = BTreeMap<(String, String), i32>;

impl fmt::Debug for ReadyPods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, watched, .. } = self;
        let mut shown = f.debug_struct("ReadyPods");
        shown.field("namespace", namespace).field("watched", watched).finish_non_exhaustive()
    }
}

/// Writes `pods of web, web-canary in shop`.
impl fmt::Display for ReadyPods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.watched.iter().map(|(_, pods)| match pods {
            Pods::Deployment(name) | Pods::Selector(name) => name.as_str(),
        });
        write!(f, "pods of {} in {}", named.collect::<Vec<_>>().join(", "), self.namespace)
    }
}

impl ReadyPods {
    /// Looks at pods in this namespace; which ones is said next.
    #[must_use]
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        let namespace = namespace.into();
        Self { client, namespace, watched: Vec::new(), first: Mutex::default() }
    }

    /// Looks at a Deployment's pods, which must be as many as it asks for and of its newest template.
    #[must_use]
    pub fn deployment(mut self, side: Side, name: impl Into<String>) -> Self {
        self.watched.push((side, Pods::Deployment(name.into())));
        self
    }

    /// Looks at the pods that a label selector finds, `app=web,version=v2`; there must be one at least.
    #[must_use]
    pub fn selector(mut self, side: Side, labels: impl Into<String>) -> Self {
        self.watched.push((side, Pods::Selector(labels.into())));
        self
    }

    /// Says all that is wrong now.
    pub(crate) async fn troubles(&self) -> Result<Vec<(Side, Trouble)>, PortError> {
        let seen = self.seen().await?;
        let troubles = |(side, seen): (Side, Seen)| {
            seen.troubles.into_iter().map(move |trouble| (side, trouble))
        };
        Ok(seen.into_iter().flat_map(troubles).collect())
    }

    async fn seen(&self) -> Result<Vec<(Side, Seen)>, PortError> {
        let looks = self.watched.iter().map(|(side, pods)| async move {
            let seen = look::look(&self.client, &self.namespace, pods, PATIENCE).await?;
            Ok((*side, seen))
        });
        try_join_all(looks).await
    }

    /// Says all that is wrong now, and what has restarted since the first look of a rollout.
    async fn look(&self, rollout: &RolloutId) -> Result<Vec<(Side, Trouble)>, PortError> {
        let seen = self.seen().await?;
        let mut kept = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.take().filter(|(of, _)| of == rollout).map(|(_, first)| first);
        let before = before.unwrap_or_default();
        // Of this look only: pods that are gone are forgotten.
        let mut first = Restarts::new();
        let mut troubles = Vec::new();
        for (side, Seen { troubles: found, restarts, ended }) in seen {
            troubles.extend(found.into_iter().map(|trouble| (side, trouble)));
            for (key, (pod, count)) in restarts {
                let since = before.get(&key).map_or(0, |first| count - first);
                if since > 0 {
                    let ended = ended.get(&key).map_or("", String::as_str);
                    troubles.push((side, Trouble::restarts(&pod, &key.1, since, ended)));
                }
                first.insert(key, count - since);
            }
        }
        *kept = Some((rollout.clone(), first));
        Ok(troubles)
    }
}

#[async_trait]
impl Gate for ReadyPods {
    async fn decide(&self, call: &Call, _: &GateContext) -> Result<Decision, PortError> {
        let troubles = until_deadline(call, self.look(&call.rollout)).await?;
        if troubles.is_empty() {
            return Ok(Decision::Open);
        }
        let crashes = |(side, trouble): &(Side, Trouble)| *side == Side::Canary && trouble.crashes;
        let rejected: Vec<_> = troubles.iter().filter(|trouble| crashes(trouble)).collect();
        if rejected.is_empty() {
            return Ok(Decision::wait(AGAIN, say(troubles.iter())));
        }
        Ok(Decision::reject(say(rejected)))
    }
}

/// Says what is wrong in one line, as much of it as people read.
fn say<'a>(troubles: impl IntoIterator<Item = &'a (Side, Trouble)>) -> String {
    const MOST: usize = 3;
    let mut troubles: Vec<_> =
        troubles.into_iter().map(|(side, trouble)| format!("{side}: {}", trouble.what)).collect();
    let more = troubles.len().saturating_sub(MOST);
    troubles.truncate(MOST);
    let said = troubles.join("; ");
    if more == 0 { said } else { format!("{said}; and {more} more") }
}
