//! Whole rollouts through a real Istio control plane and a real Envoy, under a constant load.
//!
//! They need what `.ci/cluster/up` and `.ci/cluster/mesh` start:
//! `cargo test -p canary-examples --features mesh --test istio -- --ignored`
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod bed;
mod front;
mod mirror;
mod plans;
mod rollouts;
mod sync;
mod versions;
