#![doc = include_str!("../README.md")]

mod api;
mod builder;
mod delta;
mod error;
#[cfg(feature = "promql")]
mod promql;
mod read;
mod source;
mod template;

pub use builder::{LatencyUnit, PrometheusBuilder};
pub use error::{BuildError, QueryProblem};
pub use source::Prometheus;
