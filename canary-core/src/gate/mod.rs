//! Gates that come with the library, and how gates are put together.
//!
//! Whatever a policy says of a gate's kind is made into one of these when a rollout starts. In code they stand beside
//! gates of one's own, which [`DriverBuilder::gate`](crate::driver::DriverBuilder::gate) supplies by name:
//!
//! ```
//! use std::time::Duration;
//! use canary_core::gate::{AllOf, FnGate, Not};
//! use canary_core::ports::Decision;
//!
//! let small = FnGate::new(|context| match context.weight.basis_points() {
//!     ..=1000 => Decision::Open,
//!     _ => Decision::wait(Duration::from_secs(60), "the first tenth is enough for today"),
//! });
//! let incident = FnGate::new(|_| Decision::wait(Duration::from_secs(60), "no incident"));
//! let gate = AllOf::new(small).and(Not::new(incident));
//! # drop(gate);
//! ```

mod all_of;
mod any_of;
mod function;
#[cfg(feature = "http")]
mod http;
mod not;
#[cfg(feature = "calendar")]
mod window;

pub use all_of::AllOf;
pub use any_of::AnyOf;
pub use function::FnGate;
#[cfg(feature = "http")]
pub use http::HttpGate;
pub use not::Not;
#[cfg(feature = "calendar")]
pub use window::WindowGate;

use std::sync::Arc;

use crate::policy::GateKind;
use crate::ports::Gate;

/// Makes a gate that a policy describes.
///
/// # Errors
/// Why the policy alone does not make it, and what to do.
pub(crate) fn of(kind: &GateKind) -> Result<Arc<dyn Gate>, String> {
    match kind {
        GateKind::Supplied => Err("say in the policy what it asks, such as `approval: {}`, or supply it (`.gate(name, ..)`)".to_owned()),
        GateKind::Approval => Err("people give an approval".to_owned()),
        #[cfg(feature = "http")]
        GateKind::Http(probe) => {
            let gate = HttpGate::get(probe.url.as_str()).expect_status(probe.expect);
            gate.check().map_err(|error| error.to_string())?;
            Ok(Arc::new(gate))
        }
        #[cfg(not(feature = "http"))]
        GateKind::Http(_) => Err(
            "it asks for a page: build canary-core with the feature `http`, or supply it (`.gate(name, ..)`)"
                .to_owned(),
        ),
        #[cfg(feature = "calendar")]
        GateKind::Window(calendar) => match WindowGate::new(calendar) {
            Ok(gate) => Ok(Arc::new(gate)),
            Err(error) => Err(error.to_string()),
        },
        #[cfg(not(feature = "calendar"))]
        GateKind::Window(_) => Err(
            "it opens by the calendar: build canary-core with the feature `calendar`, or supply it (`.gate(name, ..)`)"
                .to_owned(),
        ),
        GateKind::Alerts(_) => Err(
            "it looks at alerts: supply the gate of your metrics adapter (`.gate(name, ..)`)"
                .to_owned(),
        ),
    }
}
