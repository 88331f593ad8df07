//! What is looked at before a rollout in an Istio mesh starts.

mod rule;
mod service;
mod told;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use canary_kube::{Check, Finding, Permission, port_error};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use crate::resource::VIRTUAL_SERVICE;

pub use rule::DestinationRuleCheck;
use service::{Meeting, Service};
use told::told;

/// How long a list may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks whether other VirtualServices take requests that are meant for one, whether any proxy would refuse their
/// numbers, and what Istio's own analysis says of it.
///
/// Hosts, gateways and `exportTo` are read as Istio reads them: `web` in namespace `shop` is
/// `web.shop.svc.cluster.local`, no gateway is the mesh, no `exportTo` is every namespace. In the mesh Istio heeds one
/// VirtualService for a host and ignores another one, which is an error; at a gateway it puts their routes
/// together, the older one's first, which is a warning, and an error where both have a route for all requests and
/// the other one is older. Those without hosts, which
/// others delegate to, are in nobody's way.
///
/// ```no_run
/// # async fn look(client: kube::Client) {
/// use canary_istio::VirtualServiceCheck;
/// use canary_kube::Preflight;
///
/// let check = VirtualServiceCheck::new(client.clone(), "shop", "checkout");
/// print!("{}", Preflight::new(client).check(check).run().await);
/// # }
/// ```
#[derive(Clone)]
pub struct VirtualServiceCheck {
    client: Client,
    namespace: String,
    name: String,
}

impl fmt::Debug for VirtualServiceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtualServiceCheck({}/{})", self.namespace, self.name)
    }
}

#[async_trait]
impl Check for VirtualServiceCheck {
    fn about(&self) -> String {
        format!("VirtualServices beside {}/{}", self.namespace, self.name)
    }

    async fn findings(&self) -> Vec<Finding> {
        let (all, narrowed) = match self.list().await {
            Ok(listed) => listed,
            Err(error) => return vec![Finding::error(self.about(), error.to_string())],
        };
        let mut found: Vec<_> = narrowed.into_iter().collect();
        let services: Vec<_> = all.iter().map(Service).collect();
        let whole = format!("{}/{}", self.namespace, self.name);
        let Some(own) = services.iter().find(|service| service.name() == whole) else {
            let finding = Finding::error(format!("VirtualService {whole}"), "it does not exist");
            return vec![finding.advice("create it, with all of the traffic on stable")];
        };
        found.extend(told(own));
        found.extend(in_the_way(own, &services));
        found.extend(strange(own, &services));
        found
    }
}

impl VirtualServiceCheck {
    /// Looks at the VirtualService of this name; nothing is read yet.
    #[must_use]
    pub fn new(client: Client, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { client, namespace: namespace.into(), name: name.into() }
    }

    /// Returns what it needs, for [`Permissions::and`](canary_kube::Permissions::and): without it only the VirtualServices
    /// of the same namespace are looked at, if those may be listed.
    #[must_use]
    pub fn permission() -> Permission {
        let why = "finds VirtualServices that are in each other's way";
        Permission::new("", VIRTUAL_SERVICE.group, VIRTUAL_SERVICE.plural, &["list"], why)
    }

    /// Lists the VirtualServices of all namespaces, or of its own where more is not allowed.
    async fn list(&self) -> Result<(Vec<Value>, Option<Finding>), PortError> {
        let gvk = GroupVersionKind::gvk(
            VIRTUAL_SERVICE.group,
            VIRTUAL_SERVICE.version,
            VIRTUAL_SERVICE.kind,
        );
        let kind = ApiResource::from_gvk_with_plural(&gvk, VIRTUAL_SERVICE.plural);
        match read(&Api::all_with(self.client.clone(), &kind)).await {
            Err(error) if error.kind() == FailureKind::Denied => {
                let here = Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
                let what = format!("only those of {} may be listed", self.namespace);
                let advice = "allow to list them in all namespaces (`VirtualServiceCheck::permission`), and those are found too";
                Ok((read(&here).await?, Some(Finding::note(self.about(), what).advice(advice))))
            }
            listed => Ok((listed?, None)),
        }
    }
}

async fn read(api: &Api<DynamicObject>) -> Result<Vec<Value>, PortError> {
    let listed = tokio::time::timeout(PATIENCE, api.list(&ListParams::default())).await;
    let listed = listed.map_err(|_| {
        let message = format!("the API server did not answer within {PATIENCE:?}");
        PortError::new(FailureKind::Timeout, message)
    })?;
    let objects = listed.map_err(port_error)?.items.into_iter();
    // Objects are JSON.
    Ok(objects.filter_map(|object| serde_json::to_value(object).ok()).collect())
}

/// Finds those which take requests that are meant for this one, or for those that delegate to it.
fn in_the_way(own: &Service<'_>, all: &[Service<'_>]) -> Vec<Finding> {
    if !own.is_delegate() {
        return all
            .iter()
            .filter(|other| !other.is(own))
            .filter_map(|other| meeting(own, other))
            .collect();
    }
    let roots: Vec<_> = all.iter().filter(|root| root.delegates_to(own)).collect();
    if roots.is_empty() {
        let finding = Finding::error(
            format!("VirtualService {}", own.name()),
            "it has no hosts, and no VirtualService delegates to it: it gets no requests",
        );
        return vec![
            finding.advice("give it hosts, or a VirtualService with hosts that delegates to it"),
        ];
    }
    let pairs = roots.iter().flat_map(|root| all.iter().map(move |other| (*root, other)));
    pairs
        .filter(|(root, other)| !other.is(root))
        .filter_map(|(root, other)| meeting(root, other))
        .collect()
}

fn meeting(own: &Service<'_>, other: &Service<'_>) -> Option<Finding> {
    let (about, them) = (format!("VirtualService {}", own.name()), other.name());
    Some(match own.meets(other)? {
        Meeting::InMesh(hosts) => {
            let what = format!(
                "VirtualService {them} is for {} in the mesh, too: Istio heeds one of them and ignores the other",
                hosts.join(", ")
            );
            Finding::error(about, what).advice(
                "put the routes of one into the other, or part them by `gateways` or `exportTo`",
            )
        }
        Meeting::AtGateways { hosts, gateways, taken } => {
            let (hosts, gateways) = (hosts.join(", "), gateways.join(", "));
            let what = format!(
                "VirtualService {them} is for {hosts} at {gateways}, too: Istio puts their routes together, the older one's first"
            );
            if taken {
                let what = format!("{what}, and has a route for all requests, as this one has");
                Finding::error(about, what).advice("leave one route for all requests")
            } else {
                Finding::warning(about, what)
                    .advice("see that no request of the rollout matches a route of the other")
            }
        }
        Meeting::MoreSpecific(hosts) => {
            let what = format!(
                "requests for {} go by VirtualService {them}, which is more specific",
                hosts.join(", ")
            );
            Finding::warning(about, what).advice("they take no part in the rollout")
        }
    })
}

/// Finds numbers that make a proxy refuse all of its routes, which may be this one's too.
fn strange(own: &Service<'_>, all: &[Service<'_>]) -> Vec<Finding> {
    let near = all.iter().filter(|other| other.is(own) || other.shares_a_proxy_with(own));
    let found = near.flat_map(|service| {
        service.strange_numbers().into_iter().map(|number| {
            let about = format!("VirtualService {}", service.name());
            let what =
                format!("it has {number}: proxies refuse it, and all of their routes with it");
            Finding::error(about, what).advice("write weights from 0 to 1000000, not all of them 0")
        })
    });
    found.collect()
}
