//! Shifts traffic with Istio VirtualServices for canary rollouts.
//!
//! [`VirtualServiceRouter`] shifts the traffic between two destinations in one route: stable's and the canary's.
//! Both are in the route already, known by their subsets or by their hosts:
//!
//! ```yaml
//! apiVersion: networking.istio.io/v1
//! kind: VirtualService
//! metadata: { namespace: shop, name: checkout }
//! spec:
//!   hosts: [checkout]
//!   http:
//!     - name: primary
//!       route:
//!         - { destination: { host: checkout, subset: stable }, weight: 100 }
//!         - { destination: { host: checkout, subset: canary }, weight: 0 }
//! ```
//!
//! ```no_run
//! use canary_istio::VirtualServiceRouter;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = canary_istio::client().await?;
//! let router = VirtualServiceRouter::new(client, "shop", "checkout")
//!     .route("primary")
//!     .subsets("stable", "canary");
//! # Ok(())
//! # }
//! ```
//!
//! That router goes to a rollout's driver. By hand, and without a cluster:
//!
//! ```
//! use canary_core::ports::{Call, TrafficRouter};
//! use canary_core::value::{EffectId, Epoch, Timestamp, Traffic, Weight};
//! use canary_istio::{VIRTUAL_SERVICE, VirtualServiceRouter};
//! use canary_kube::testing::MemoryApi;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let api = MemoryApi::new();
//! api.put(&VIRTUAL_SERVICE, "shop", "checkout", &serde_json::json!({ "spec": { "http": [{ "route": [
//!     { "destination": { "host": "v1" }, "weight": 100 },
//!     { "destination": { "host": "v2" }, "weight": 0 },
//! ]}]}}));
//! let router = VirtualServiceRouter::new(api.client(), "shop", "checkout").hosts("v1", "v2");
//!
//! let made = Timestamp::EPOCH;
//! let deadline = made + Duration::from_secs(5);
//! let call = |id| Call::new("checkout-42".parse().unwrap(), Epoch::new(1), EffectId::new(id), 1, made, deadline);
//! let observed = router.observe(&call(1)).await?;
//! let little = Traffic::to_canary(Weight::from_basis_points(5)?);
//! router.apply(&call(2), &little, Some(&observed.version)).await?;
//!
//! let route = &api.get(&VIRTUAL_SERVICE, "shop", "checkout").unwrap()["spec"]["http"][0]["route"];
//! assert_eq!((&route[0]["weight"], &route[1]["weight"]), (&9995.into(), &5.into()));
//! # Ok(())
//! # }
//! ```
//!
//! # What is written
//! - The two weights, out of 100 or, below a whole percent, out of 10 000.
//! - Where the plan sends requests by their headers, a route of the rollout's own in front: a copy of the managed
//!   one for requests with the headers, which sends to the canary alone. Its name begins with
//!   [`OWN_RULE`](canary_kube::OWN_RULE). With [`header_route`](VirtualServiceRouterBuilder::header_route) the
//!   user's own route does that, and nothing is written.
//! - Where the plan copies requests, `mirror` and `mirrorPercentage` of the managed route.
//! - While a rollout runs, the annotations [`FENCE`](canary_kube::FENCE) and, where weights were written in
//!   another way that means the same, [`BEFORE`](canary_kube::BEFORE).
//!
//! All of that is gone in the end. Everything else stays as it is, known to this crate or not. What this guarantees
//! against late requests and other writers is said at [`RouteWeights`](canary_kube::RouteWeights).
//!
//! TLS and TCP routes have weights alone. Several routes, and several objects, move together with
//! [`and`](VirtualServiceRouter::and). [`Subsets`] looks after the subsets that a DestinationRule defines.
//!
//! # What is refused
//! A route that is missing or could be one of several, or that only names a delegate; a destination that is missing,
//! a third one that has a share of the traffic, weights that make no sense, a mirror where the user has one. An abort
//! is only refused where there is nothing to write to: it lowers whatever the weights are.
//!
//! # When traffic follows
//! The API server's answer says that the weights are accepted, not that requests follow them: a VirtualService
//! has no status that would tell. Istio takes about a tenth of a second, and seconds while much else changes.
//! A [`SyncProbe`] asks Istio's control plane, so that the records tell.

mod builder;
mod host;
mod http;
mod preflight;
mod resource;
mod router;
mod subsets;
mod sync;

pub use builder::VirtualServiceRouterBuilder;
pub use canary_kube::{ClientError, client, client_from};
pub use preflight::{DestinationRuleCheck, VirtualServiceCheck};
pub use resource::{DESTINATION_RULE, VIRTUAL_SERVICE};
pub use router::VirtualServiceRouter;
pub use subsets::{SubsetReport, Subsets};
pub use sync::{SyncProbe, Watched};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/istio.md")]
struct Page;
