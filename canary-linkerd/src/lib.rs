//! Shifts traffic with Linkerd and Gateway API HTTPRoutes for canary rollouts.

mod builder;
mod router;

pub use builder::HttpRouteRouterBuilder;
pub use router::HttpRouteRouter;
