//! Deployments as what runs the two versions, with a real Deployment controller.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

#[path = "../common/mod.rs"]
mod common;
mod failures;
mod late;
mod meanwhile;
mod offline;
mod promises;
mod ratio;
mod rollouts;
mod stories;
mod support;
