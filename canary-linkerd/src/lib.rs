//! Shifts traffic with Linkerd and Gateway API HTTPRoutes for canary rollouts.
