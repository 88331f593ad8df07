//! The driver under a paused clock: in the simulator's world, against faulty ports, in fleets.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod commands;
mod deaths;
mod faults;
mod fleet;
mod gone;
mod holders;
mod observers;
mod over;
mod phases;
mod send;
mod silence;
mod simulated;
mod sources;
mod stalls;
mod start;
mod stores;
mod supersede;
mod support;
mod twins;
