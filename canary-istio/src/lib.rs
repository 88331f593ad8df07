//! Shifts traffic with Istio VirtualServices for canary rollouts.

mod builder;
mod resource;
mod router;

pub use builder::VirtualServiceRouterBuilder;
pub use resource::VIRTUAL_SERVICE;
pub use router::VirtualServiceRouter;
