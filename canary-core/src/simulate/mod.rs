//! A policy in virtual time, against a made-up service or what was recorded of a real one: offline, in microseconds, the
//! same for the same seed.
//!
//! ```
//! use std::time::Duration;
//! use canary_core::policy::{Check, Policy};
//! use canary_core::simulate::{Service, Simulation};
//! use canary_core::value::Weight;
//!
//! let policy = Policy::builder("checkout")
//!     .stage("first", Weight::percent(5), Duration::from_secs(600))
//!     .stage("half", Weight::percent(50), Duration::from_secs(600))
//!     .stage("full", Weight::FULL, Duration::from_secs(60))
//!     .check(Check::worse_than_stable("errors", 1.25))
//!     .build()?;
//! let bad = Simulation::of(&policy)
//!     .traffic(200.0)
//!     .stable(Service::healthy().errors(0.001))
//!     .canary(Service::healthy().errors(0.05))
//!     .seed(7)
//!     .run();
//! bad.assert_rolled_back_by("errors");
//! assert!(bad.highest_weight() < Weight::percent(50));
//!
//! Simulation::of(&policy).traffic(200.0).seed(7).run().assert_promoted();
//! # Ok::<(), canary_core::policy::PolicyError>(())
//! ```

mod calls;
mod draw;
mod fault;
mod latency;
mod load;
mod many;
mod measure;
mod opening;
mod plan;
mod pods;
mod process;
mod recording;
mod run;
mod service;
mod share;
mod steps;
mod trace;
mod workload;
mod world;

pub use fault::{Crash, Fault, Nonsense, Port, after_effect, at};
pub use load::Load;
pub use many::Many;
pub use opening::Opening;
pub use plan::Simulation;
#[cfg(feature = "json")]
pub use recording::RecordingError;
pub use recording::{Recording, WrongWindow};
pub use service::Service;
pub use share::Share;
pub use trace::Trace;
pub use workload::SimulatedWorkload;
pub use world::World;
