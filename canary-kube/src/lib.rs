//! What the mesh adapters of canary need from Kubernetes.

mod change;
mod client;
mod error;
mod fence;
mod httproute;
mod object;
mod route;
mod selector;
mod split;
#[cfg(feature = "test-util")]
pub mod testing;

pub use client::{ClientError, client, client_from};
pub use error::port_error;
pub use fence::FENCE;
pub use httproute::{HTTP_ROUTE, http_route};
pub use route::RouteWeights;
pub use selector::{RouteKind, Rule, Selector};
