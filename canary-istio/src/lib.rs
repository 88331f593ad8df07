//! Shifts traffic with Istio VirtualServices for canary rollouts.
