#![doc = include_str!("../README.md")]

mod api;
mod builder;
mod count;
mod delta;
mod error;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod increase;
mod limits;
pub mod preset;
mod promql;
mod read;
mod remarks;
mod source;
mod template;
mod tick;
mod tracks;
mod union;

pub use builder::{LatencyUnit, PrometheusBuilder};
pub use error::{BuildError, QueryProblem};
pub use http::Endpoint;
pub use limits::Limits;
pub use source::Prometheus;

/// Compiles what docs/prometheus.md shows.
#[cfg(doctest)]
#[doc = include_str!("../../docs/prometheus.md")]
mod guide {}
