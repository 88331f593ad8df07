#![doc = include_str!("../README.md")]

mod api;
mod builder;
mod count;
mod delta;
mod error;
mod fetch;
mod http;
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
