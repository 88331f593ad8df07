//! The examples `deploy` and `resume` as their users run them: processes against a real API server, a real Istio
//! control plane with a real Envoy, and a real Prometheus, under a constant load.
//!
//! They need what `.ci/cluster/up` and `.ci/cluster/mesh` start, and the prometheus binary:
//! `cargo test -p canary-examples --features mesh --test deploy -- --ignored`, after
//! `cargo build -p canary-examples --features mesh --example deploy --example resume`
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../istio/bed.rs"]
mod bed;
mod deliveries;
mod ended;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../istio/front.rs"]
mod front;
mod platform;
mod programs;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../../../canary-prometheus/tests/support/mod.rs"]
mod support;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../istio/versions.rs"]
mod versions;
