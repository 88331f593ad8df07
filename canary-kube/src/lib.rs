//! What the mesh adapters of canary need from Kubernetes.
//!
//! Whoever runs rollouts takes an adapter: `canary-istio`, `canary-linkerd`. Whoever writes an adapter for
//! another kind of route object finds here the part that is hard to get right: to change two weights in an
//! object that others write too, so that nothing else changes, nobody is overwritten, and no request that
//! arrives late ever raises the canary again.
//!
//! - [`RouteWeights`] is that part, as a [`TrafficRouter`](canary_core::ports::TrafficRouter). A [`RouteKind`]
//!   tells it how the object is laid out, a [`Selector`] which two weights are meant, a [`RuleForm`] how requests
//!   are sent by their headers and copied. [`RouteSet`] moves several objects together.
//! - [`http_route`] makes one for a Gateway API `HTTPRoute`.
//! - [`ReplicaRatio`] shifts traffic without a mesh, by the sizes of two Deployments.
//! - [`Deployments`] runs the two versions as Deployments, a [`Workload`](canary_core::ports::Workload).
//! - [`Connection`], [`client()`] and [`client_from`] make a Kubernetes client which leaves retries to the rollout, and
//!   [`port_error`] sorts that client's errors by what can be done about them.
//! - [`ConfigMapStore`] keeps rollouts in the cluster; [`Leadership`] shares them among replicas, with a Lease for each
//!   of some [`Shards`].
//! - [`Preflight`] says before a start all that is wrong; [`dry_run`] makes a client whose writes are only tried;
//!   [`Permissions`] writes the Role and is what pre-flight asks about.
//! - [`ReadyPods`] is a gate, [`Events`] an observer.
//! - The feature `test-util` adds `testing`: an API server in memory, and the way to a real one.
//!
//! ```
//! use canary_core::ports::{Call, TrafficRouter};
//! use canary_core::value::{BySide, EffectId, Epoch, Timestamp, Traffic, Weight};
//! use canary_kube::testing::MemoryApi;
//! use canary_kube::{HTTP_ROUTE, Rule, http_route};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let api = MemoryApi::new();
//! api.put(&HTTP_ROUTE, "shop", "web", &serde_json::json!({ "spec": { "rules": [{ "backendRefs": [
//!     { "name": "web-v1", "port": 80, "weight": 100 },
//!     { "name": "web-v2", "port": 80, "weight": 0 },
//! ]}]}}));
//!
//! let backends = BySide { stable: "web-v1".into(), canary: "web-v2".into() };
//! let router = http_route(api.client(), "shop", "web", Rule::Only, backends);
//!
//! let made = Timestamp::EPOCH;
//! let deadline = made + Duration::from_secs(5);
//! let call = |id| Call::new("web-42".parse().unwrap(), Epoch::new(1), EffectId::new(id), 1, made, deadline);
//! let observed = router.observe(&call(1)).await?;
//! let five = Traffic::to_canary(Weight::percent(5));
//! let applied = router.apply(&call(2), &five, Some(&observed.version)).await?;
//! assert_eq!(applied.accepted, five);
//! # Ok(())
//! # }
//! ```
//!
//! # The fence
//!
//! While a rollout runs, its route carries one annotation, [`FENCE`]. Each write moves it on, and each write
//! depends on the value it knows; what exactly that guarantees is said at [`RouteWeights`]. A lock on the
//! object's `resourceVersion` would do neither job: any unrelated writer would break it, and an abort that
//! finds weight 0 already there would change nothing, so that a raise still on its way could land after it.

mod beside;
mod calls;
mod candidates;
mod change;
mod client;
mod dry_run;
mod edit;
mod error;
mod events;
mod fence;
mod form;
mod hash;
mod httproute;
mod leadership;
mod lower;
mod object;
mod permissions;
mod pods;
mod preflight;
mod ratio;
mod release;
mod route;
mod rule;
mod selector;
mod set;
mod split;
mod store;
#[cfg(feature = "test-util")]
pub mod testing;
mod watch;
mod workload;

/// Holds the page on Kubernetes, whose examples must compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/kubernetes.md")]
pub struct PageOnKubernetes;

/// Holds the page on Deployments, whose examples must compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/deployments.md")]
pub struct PageOnDeployments;

pub use client::{ClientError, Connection, client, client_from};
pub use dry_run::dry_run;
pub use error::port_error;
pub use events::{Events, EventsOn};
pub use fence::{BEFORE, FENCE};
pub use form::{Mirror, OWN_RULE, RuleForm};
pub use httproute::{HTTP_ROUTE, http_route, http_route_of};
#[cfg(feature = "driver")]
pub use leadership::FleetDuty;
pub use leadership::{Duty, Leadership, Shards};
pub use object::{Object, until_deadline};
pub use permissions::{Account, Permission, Permissions};
pub use pods::ReadyPods;
pub use preflight::{Check, Finding, Findings, Preflight, Severity};
pub use ratio::{DEPLOYMENT, ReplicaRatio};
pub use route::RouteWeights;
pub use rule::Rule;
pub use selector::{RouteKind, Selector};
pub use set::RouteSet;
pub use store::ConfigMapStore;
pub use watch::RouteWatch;
pub use workload::{Deployments, Variant};
