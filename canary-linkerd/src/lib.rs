//! Shifts traffic with Linkerd for canary rollouts.
//!
//! Linkerd reads the Gateway API's `HTTPRoute`. [`HttpRouteRouter`] changes the weights of two backends in one
//! of its rules: stable's and the canary's. Both are in the rule already, known by the names of their services:
//!
//! ```yaml
//! apiVersion: gateway.networking.k8s.io/v1
//! kind: HTTPRoute
//! metadata: { namespace: shop, name: web }
//! spec:
//!   parentRefs: [{ group: core, kind: Service, name: web, port: 80 }]
//!   rules:
//!     - backendRefs:
//!         - { name: web-stable, port: 80, weight: 100 }
//!         - { name: web-canary, port: 80, weight: 0 }
//! ```
//!
//! ```no_run
//! use canary_linkerd::HttpRouteRouter;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = canary_linkerd::client().await?;
//! let router = HttpRouteRouter::new(client, "shop", "web").backends("web-stable", "web-canary");
//! # Ok(())
//! # }
//! ```
//!
//! That router goes to a rollout's driver. By hand, and without a cluster:
//!
//! ```
//! use canary_core::ports::{Call, TrafficRouter};
//! use canary_core::value::{EffectId, Epoch, Timestamp, Traffic, Weight};
//! use canary_kube::HTTP_ROUTE;
//! use canary_kube::testing::MemoryApi;
//! use canary_linkerd::HttpRouteRouter;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let api = MemoryApi::new();
//! api.put(&HTTP_ROUTE, "shop", "web", &serde_json::json!({ "spec": { "rules": [{ "backendRefs": [
//!     { "name": "web-stable", "port": 80, "weight": 100 },
//!     { "name": "web-canary", "port": 80, "weight": 0 },
//! ]}]}}));
//! let router = HttpRouteRouter::new(api.client(), "shop", "web").backends("web-stable", "web-canary");
//!
//! let made = Timestamp::EPOCH;
//! let deadline = made + Duration::from_secs(5);
//! let call = |id| Call::new("web-42".parse().unwrap(), Epoch::new(1), EffectId::new(id), 1, made, deadline);
//! let observed = router.observe(&call(1)).await?;
//! let little = Traffic::to_canary(Weight::from_basis_points(5)?);
//! router.apply(&call(2), &little, Some(&observed.version)).await?;
//!
//! let backends = &api.get(&HTTP_ROUTE, "shop", "web").unwrap()["spec"]["rules"][0]["backendRefs"];
//! assert_eq!((&backends[0]["weight"], &backends[1]["weight"]), (&9995.into(), &5.into()));
//! # Ok(())
//! # }
//! ```
//!
//! # What is written
//! The two weights, out of 100 or, below a whole percent, out of 10 000; and while a rollout runs, the
//! annotation [`FENCE`](canary_kube::FENCE). Everything else stays as it is, known to this crate or not.
//! What this guarantees against late requests and other writers is said at [`RouteWeights`](canary_kube::RouteWeights).
//!
//! Where the plan sends requests by their headers, a rule of the rollout's own, whose name begins with
//! [`OWN_RULE`](canary_kube::OWN_RULE): the managed one's matches with the headers beside, its filters and timeouts,
//! and the canary alone as its backend. It takes rules that have names, which the Gateway API's standard channel has
//! since 1.4; on an older server, and with Linkerd's own `policy.linkerd.io` kind, the API server refuses it and
//! nothing is written. Linkerd has no mirroring: a plan that asks for copies is refused before it starts.
//!
//! # What is refused
//! A rule that is missing or could be one of several, a backend that is missing, a third one that has a share of
//! the traffic, weights that make no sense. An abort is only refused where there is nothing to write to: it
//! lowers whatever the weights are.
//!
//! # When traffic follows
//! The API server's answer says that the weights are accepted, not that requests follow them. Where Linkerd's policy
//! controller writes in the route's status that it does not take it, or cannot find a backend, a raise fails with what it
//! says.

mod builder;
mod router;

pub use builder::HttpRouteRouterBuilder;
pub use canary_kube::{ClientError, client, client_from};
pub use router::HttpRouteRouter;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
