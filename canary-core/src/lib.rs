//! Progressive delivery as a library: a rollout shifts a little traffic to a new version, judges it against the
//! old one, goes on, waits, or takes it back.
//!
//! A rollout is a **pure state machine** ([`rollout`]) that turns events into effects. Whatever touches the world
//! stands outside and is reached through a few small traits ([`ports`]). One machine serves three lives: driven
//! live by tokio ([`driver`]), run in virtual time ([`simulate`]), replayed from a journal ([`journal`]).
//!
//! # What would you like to do?
//!
//! - **Write a plan**: a YAML file (`Policy::from_yaml`, feature `yaml`) or a
//!   [builder](policy::Policy::builder).
//! - **Find what is legal and unwise in it**: [`lint::findings`].
//! - **Know how long its stages must be** for a regression to show: [`PlanTraffic`](analysis::PlanTraffic).
//! - **Unit-test a plan**, offline, in milliseconds: [`Simulation`](simulate::Simulation).
//! - **Run it**: [`Driver::builder`](driver::Driver::builder).
//! - **Shift traffic in your own way**: implement [`TrafficRouter`](ports::TrafficRouter) and check it with
//!   `canary_core::router_conformance!` (feature `test-util`).
//! - **Measure in your own way**: implement [`MetricSource`](ports::MetricSource), or give a function to
//!   [`FnSource`](source::FnSource).
//! - **Drive the machine by hand**: [`Rollout::step`](rollout::Rollout::step).
//!
//! # A plan and its unit test
//!
//! ```
//! use std::time::Duration;
//! use canary_core::policy::{Check, Policy};
//! use canary_core::simulate::{Service, Simulation};
//! use canary_core::value::Weight;
//!
//! let policy = Policy::builder("checkout")
//!     .every(Duration::from_secs(15))
//!     .stage("first", Weight::percent(5), Duration::from_secs(300))
//!     .stage("half", Weight::percent(50), Duration::from_secs(600))
//!     .stage("full", Weight::FULL, Duration::from_secs(600))
//!     .check(Check::worse_than_stable("errors", 1.25))
//!     .build()?;
//!
//! // One percent of failures never reaches half of the users.
//! let report = Simulation::of(&policy)
//!     .traffic(200.0)
//!     .stable(Service::healthy().errors(0.001))
//!     .canary(Service::healthy().errors(0.02))
//!     .seed(7)
//!     .run();
//! report.assert_rolled_back_by("errors");
//! assert!(report.highest_weight() < Weight::percent(50));
//! # Ok::<(), canary_core::policy::PolicyError>(())
//! ```
//!
//! # Features
//!
//! | feature | brings | default |
//! |---|---|---|
//! | `driver` | the tokio driver, stores, gates and observers | yes |
//! | `simulate` | the simulator | yes |
//! | `json` | the file store, journals, reports as JSON | yes |
//! | `yaml` | policies in the form that people write | |
//! | `calendar` | gates that open by the calendar; comes with `yaml` | |
//! | `http` | the gate that asks for a page | |
//! | `parallel` | many simulated rollouts on all cores | |
//! | `test-util` | mocks, fakes and conformance suites | |
//!
//! A feature adds, it never changes a format or a default. Without features the crate needs neither tokio nor a
//! random-number generator.

pub mod analysis;
#[cfg(feature = "driver")]
pub mod driver;
#[cfg(feature = "driver")]
pub mod gate;
#[cfg(feature = "json")]
pub mod journal;
pub mod lint;
#[cfg(feature = "driver")]
pub mod observe;
pub mod policy;
pub mod ports;
pub mod record;
pub mod report;
pub mod rollout;
#[cfg(feature = "simulate")]
pub mod simulate;
#[cfg(feature = "driver")]
pub mod source;
#[cfg(feature = "driver")]
pub mod store;
#[cfg(feature = "test-util")]
pub mod testing;
pub mod value;
