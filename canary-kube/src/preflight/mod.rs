//! What is looked at before a rollout starts.

mod allowed;
mod finding;
mod routing;
mod services;
mod versions;

use std::fmt;

use async_trait::async_trait;
use canary_core::ports::{TrafficRouter, Workload};
use canary_core::value::{Side, Traffic, Weight};
use futures::future::join_all;
use kube::Client;

use crate::dry_run::dry_run;
use crate::permissions::Permissions;
use crate::pods::ReadyPods;

pub use finding::{Finding, Findings, Severity};

/// Looks at something before a rollout starts, for instance whether two routes are in each other's way.
#[async_trait]
pub trait Check: fmt::Debug + Send + Sync {
    /// Says what it looks at, for the list of what is well: `VirtualServices of shop.example.com`.
    fn about(&self) -> String;

    /// Looks; nothing found means that all is well.
    ///
    /// To be correct: it changes nothing, and what keeps it from looking is a finding too.
    async fn findings(&self) -> Vec<Finding>;
}

/// Looks at everything that a rollout will need, and says all that is wrong at once.
///
/// ```no_run
/// # async fn look(client: kube::Client) {
/// use canary_core::value::{BySide, Side, Weight};
/// use canary_kube::{HTTP_ROUTE, Permissions, Preflight, ReadyPods, Rule, http_route};
///
/// let found = Preflight::new(client.clone())
///     .permissions(Permissions::new().route(&HTTP_ROUTE, "shop", "web").store("canary"))
///     .route("HTTPRoute shop/web", Weight::percent(1), |client| {
///         let backends = BySide { stable: "web-v1".into(), canary: "web-v2".into() };
///         http_route(client, "shop", "web", Rule::Only, backends)
///     })
///     .service(Side::Stable, "shop", "web-v1")
///     .service(Side::Canary, "shop", "web-v2")
///     .pods(ReadyPods::new(client, "shop").deployment(Side::Stable, "web"))
///     .run()
///     .await;
/// print!("{found}");
/// assert!(found.is_clear());
/// # }
/// ```
#[must_use]
pub struct Preflight {
    client: Client,
    checks: Vec<Box<dyn Check>>,
}

impl fmt::Debug for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight").field("checks", &self.checks).finish_non_exhaustive()
    }
}

impl Preflight {
    /// Looks at nothing yet.
    pub const fn new(client: Client) -> Self {
        Self { client, checks: Vec::new() }
    }

    /// Asks whether each of these is allowed to whoever the client acts as.
    pub fn permissions(self, permissions: Permissions) -> Self {
        let client = self.client.clone();
        self.check(allowed::Allowed { client, permissions })
    }

    /// Looks whether a route gives the canary nothing, and tries a first weight and the way back.
    ///
    /// The router is made with a client whose writes are only [tried](crate::dry_run), on the server.
    pub fn route<R: TrafficRouter>(
        self,
        about: impl Into<String>,
        first: Weight,
        router: impl FnOnce(Client) -> R,
    ) -> Self {
        self.route_through(about, [Traffic::to_canary(first)], router)
    }

    /// The same for all that a plan asks of the route, one after the other: its headers and mirrors, too.
    ///
    /// So a header that the mesh does not compare, or a mirror where there is no room for one, is found now and not at
    /// the stage that has it.
    pub fn route_through<R: TrafficRouter>(
        self,
        about: impl Into<String>,
        stages: impl IntoIterator<Item = Traffic>,
        router: impl FnOnce(Client) -> R,
    ) -> Self {
        let router = router(dry_run(&self.client));
        let stages = stages.into_iter().collect();
        self.check(routing::Routing { about: about.into(), stages, router })
    }

    /// Looks whether the canary can be made as large as a first weight needs; nothing of it runs.
    ///
    /// The workload is made with a client whose writes are only [tried](crate::dry_run), on the server.
    pub fn workload<W: Workload>(
        self,
        about: impl Into<String>,
        first: Weight,
        workload: impl FnOnce(Client) -> W,
    ) -> Self {
        let workload = workload(dry_run(&self.client));
        self.check(versions::Versions { about: about.into(), first, workload })
    }

    /// Looks whether a version's Service is there and some pod behind it is ready.
    ///
    /// Leave the canary's out where the rollout's workload makes its pods.
    pub fn service(
        self,
        side: Side,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        let client = self.client.clone();
        let (namespace, name) = (namespace.into(), name.into());
        self.check(services::Destination { client, side, namespace, name })
    }

    /// Looks whether pods are ready and none is in a crash loop.
    pub fn pods(self, pods: ReadyPods) -> Self {
        self.check(pods)
    }

    /// Looks at what nothing here knows.
    pub fn check(mut self, check: impl Check + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Looks at everything at the same time.
    pub async fn run(self) -> Findings {
        let looks =
            self.checks.iter().map(|check| async { (check.about(), check.findings().await) });
        let mut all = Findings::default();
        for (about, mut findings) in join_all(looks).await {
            if findings.is_empty() {
                all.well.push(about);
            }
            all.findings.append(&mut findings);
        }
        all.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        all
    }
}

#[async_trait]
impl Check for ReadyPods {
    fn about(&self) -> String {
        self.to_string()
    }

    async fn findings(&self) -> Vec<Finding> {
        let troubles = match self.troubles().await {
            Ok(troubles) => troubles,
            Err(error) => return vec![Finding::error(self.about(), error.to_string())],
        };
        let found = troubles.into_iter().map(|(side, trouble)| {
            let finding = Finding::error(format!("{side} pods"), trouble.what);
            match side {
                Side::Stable => finding.advice(
                    "a rollout compares with stable and goes back to it: make it healthy first",
                ),
                Side::Canary => finding.advice("`kubectl describe pod` tells more"),
            }
        });
        found.collect()
    }
}
