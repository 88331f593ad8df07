//! Deployments as what runs the two versions.

mod autoscaler;
mod canary;
mod deployment;
mod grow;
mod parts;
mod pods;
mod promote;
mod retire;
mod server;
mod size;
mod variant;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use canary_core::policy::How;
use canary_core::ports::{Call, Capacity, PortError, Progress, Readiness, Workload};
use canary_core::value::{BySide, FailureKind, Side};
use kube::Client;

use self::deployment::Deployment;
use self::server::Server;
use crate::object::until_deadline;

pub use self::variant::Variant;

/// Runs the two versions of a target as two Deployments: a [`Workload`].
///
/// The canary is made from stable with what is [different](Variant) about it, and removed in the end; or
/// [both are there](Self::pair) and the canary is only scaled. Stable keeps its name, and is not touched before it is
/// promoted.
///
/// - **Ready** is what the canary's Deployment calls available: pods of its newest template that have been ready for its
///   `minReadySeconds`. What they lack is said with the pod's name. An image that cannot be pulled is `Invalid`: it ends
///   the rollout, where all else is waited for.
/// - **Size**: as large as the weight needs of stable's replicas, or as the plan says, one at least. Stable's size is the
///   largest that was seen in this rollout: an autoscaler takes replicas off a stable that loses its traffic. The canary
///   never shrinks before it is retired.
/// - **Promoted in place**, stable takes over what is different about the canary; what it had is kept in an annotation
///   until the canary goes. **By swap**, the canary grows to stable's size and is stable from then on.
/// - **Never both down**: no version is scaled to 0, deleted or replaced unless the other has just been seen with all of
///   its replicas available. Otherwise a replacement is a `Conflict`, and what is to go is kept and waited for. A request
///   that arrives late finds another generation and is refused.
/// - **Changed by others**: a stable that is given another image, variable or resource after it was replaced or restored is
///   a `Conflict`, a canary that is so changed `Invalid`. Replicas that are taken off stable are given back.
/// - While a rollout runs, it leaves annotations that begin with `canary-rollout/`; no other field changes but replicas
///   and, in place, what is different. A canary that was made has stable as its owner, and goes with it.
///
/// A call makes two requests where nothing is to be done, and three or four otherwise. What must be allowed is in
/// [`Permissions::deployments`](crate::Permissions::deployments).
///
/// ```
/// # use canary_kube::testing::MemoryApi;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use canary_kube::{Deployments, Variant};
///
/// # let client = MemoryApi::new().client();
/// let versions = Deployments::new(client, "shop", "web", Variant::image("registry.example/web:v2"));
/// assert_eq!(versions.to_string(), "Deployments web and web-canary in shop");
/// // Driver::builder(policy).workload(versions)
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Deployments {
    server: Server,
    names: BySide<String>,
    /// How the canary is made; `None` where it is there already.
    variant: Option<Variant>,
    deletes_old: bool,
    holds_autoscalers: bool,
}

impl fmt::Debug for Deployments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { names, deletes_old, holds_autoscalers, .. } = self;
        let mut shown = f.debug_struct("Deployments");
        shown.field("namespace", &self.server.namespace()).field("names", names);
        shown.field("deletes_old", deletes_old).field("holds_autoscalers", holds_autoscalers);
        shown.finish_non_exhaustive()
    }
}

/// Writes `Deployments web and web-canary in shop`.
impl fmt::Display for Deployments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BySide { stable, canary } = &self.names;
        write!(f, "Deployments {stable} and {canary} in {}", self.server.namespace())
    }
}

impl Deployments {
    /// Makes the canary from this Deployment, under its name with `-canary` behind it. Nothing is read yet.
    pub fn new(
        client: Client,
        namespace: impl Into<String>,
        stable: impl Into<String>,
        variant: Variant,
    ) -> Self {
        let stable = stable.into();
        let names = BySide { canary: format!("{stable}-canary"), stable };
        Self::of(client, namespace.into(), names, Some(variant))
    }

    /// Takes two Deployments that are there: the canary is scaled up and down, and nothing is made or deleted.
    ///
    /// In place, stable takes the images of the canary's containers.
    pub fn pair(client: Client, namespace: impl Into<String>, names: BySide<String>) -> Self {
        Self::of(client, namespace.into(), names, None)
    }

    fn of(
        client: Client,
        namespace: String,
        names: BySide<String>,
        variant: Option<Variant>,
    ) -> Self {
        let server = Server::new(client, namespace);
        Self { server, names, variant, deletes_old: false, holds_autoscalers: false }
    }

    /// Calls the canary so.
    pub fn canary(mut self, name: impl Into<String>) -> Self {
        self.names.canary = name.into();
        self
    }

    /// Deletes what was stable before a swap, in place of keeping it with no replicas.
    pub const fn delete_old(mut self) -> Self {
        self.deletes_old = true;
        self
    }

    /// Keeps HorizontalPodAutoscalers from making stable smaller while the rollout runs.
    ///
    /// They go on making it larger. Without this they are followed, and a canary that is taken back late finds a stable as
    /// small as the little traffic it had: it grows again as fast as its autoscaler lets it.
    pub const fn hold_autoscalers(mut self) -> Self {
        self.holds_autoscalers = true;
        self
    }

    /// Returns the labels of each version's pods, and where the canary is made those that it will have.
    ///
    /// # Errors
    /// `NotFound` without stable, or without a canary that is not made, and where the API server cannot be asked.
    pub async fn pod_labels(
        &self,
        call: &Call,
    ) -> Result<BySide<BTreeMap<String, String>>, PortError> {
        let Sides { stable, canary } = until_deadline(call, self.look()).await?;
        let stable = stable.labels();
        let canary = match (&self.variant, canary) {
            (Some(variant), _) => variant.labels_over(stable.clone()),
            (None, Some(canary)) => canary.labels(),
            (None, None) => return Err(self.missing(Side::Canary)),
        };
        Ok(BySide { stable, canary })
    }

    /// Reads both sides as they are now.
    async fn look(&self) -> Result<Sides, PortError> {
        let BySide { stable, canary } = &self.names;
        let (stable, canary) = futures::future::try_join(
            self.server.deployment(stable),
            self.server.deployment(canary),
        )
        .await?;
        let stable = stable.ok_or_else(|| self.missing(Side::Stable))?;
        Ok(Sides { stable, canary })
    }

    /// Says that a Deployment is not there.
    fn missing(&self, side: Side) -> PortError {
        let place = format!("Deployment {}/{}", self.server.namespace(), self.names.get(side));
        PortError::new(FailureKind::NotFound, format!("{place} is not there"))
    }
}

/// Both versions, as they were just seen.
#[derive(Debug)]
struct Sides {
    stable: Deployment,
    canary: Option<Deployment>,
}

#[async_trait]
impl Workload for Deployments {
    async fn prepare(&self, call: &Call, wanted: &Capacity) -> Result<Readiness, PortError> {
        until_deadline(call, self.grow(call, wanted)).await
    }

    async fn promote(&self, call: &Call, how: How) -> Result<Progress, PortError> {
        match how {
            How::InPlace => until_deadline(call, self.replace(call)).await,
            How::Swap => until_deadline(call, self.take_over(call)).await,
            _ => Err(PortError::new(FailureKind::Unsupported, "this promotion is not known here")),
        }
    }

    async fn restore(&self, call: &Call, how: How) -> Result<Progress, PortError> {
        match how {
            How::InPlace => until_deadline(call, self.put_back(call)).await,
            How::Swap => until_deadline(call, self.hand_back(call)).await,
            _ => Err(PortError::new(FailureKind::Unsupported, "this promotion is not known here")),
        }
    }

    async fn retire(&self, call: &Call, side: Side) -> Result<Progress, PortError> {
        match side {
            Side::Stable => until_deadline(call, self.retire_stable(call)).await,
            Side::Canary => until_deadline(call, self.retire_canary()).await,
        }
    }
}
