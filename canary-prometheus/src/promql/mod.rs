//! What must be known of a rendered query.

#[cfg(feature = "promql")]
mod parsed;
#[cfg(not(feature = "promql"))]
mod unparsed;

#[cfg(feature = "promql")]
pub(crate) use parsed::*;
#[cfg(not(feature = "promql"))]
pub(crate) use unparsed::*;
