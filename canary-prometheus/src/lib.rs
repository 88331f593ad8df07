//! Measures canary rollouts with Prometheus.
