//! Whole rollouts on a real API server where everything else goes wrong.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod busy;
mod front;
mod object;
mod process;
mod replicas;
mod server;
mod shop;
mod storm;
