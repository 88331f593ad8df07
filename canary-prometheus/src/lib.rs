#![doc = include_str!("../README.md")]

mod alert;
mod api;
mod builder;
mod count;
mod dashboard;
mod delta;
mod error;
#[cfg(feature = "export")]
pub mod export;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod increase;
mod limits;
mod names;
mod past;
pub mod preset;
mod promql;
mod read;
mod remarks;
pub mod rules;
mod source;
mod template;
mod tick;
mod tracks;
mod union;

pub use alert::{AlertGate, AlertGateBuilder};
pub use builder::{LatencyUnit, PrometheusBuilder};
pub use dashboard::dashboard;
pub use error::{BuildError, QueryProblem};
pub use http::Endpoint;
pub use limits::Limits;
pub use source::Prometheus;

/// Compiles what docs/prometheus.md shows.
#[cfg(doctest)]
#[doc = include_str!("../../docs/prometheus.md")]
mod guide {}
