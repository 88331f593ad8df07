//! A gate that opens by the calendar.

use async_trait::async_trait;

use crate::policy::{Calendar, CalendarError, OpeningHours};
use crate::ports::{Call, Decision, Gate, GateContext, PortError};
use crate::value::FailureKind;

/// Is open in the minutes that a calendar means, or, for a freeze, in all others.
///
/// It tells when it opens. The time is that of the driver's clock.
///
/// ```
/// use canary_core::gate::WindowGate;
/// use canary_core::policy::Calendar;
///
/// let office_hours = WindowGate::new(&Calendar::open("* 9-16 * * MON-THU", "Europe/Berlin"))?;
/// # drop(office_hours);
/// # Ok::<(), canary_core::policy::CalendarError>(())
/// ```
#[derive(Clone, Debug)]
pub struct WindowGate {
    hours: OpeningHours,
}

impl WindowGate {
    /// Reads a calendar.
    ///
    /// # Errors
    /// [`CalendarError`] where it means no times.
    pub fn new(calendar: &Calendar) -> Result<Self, CalendarError> {
        calendar.parse().map(|hours| Self { hours })
    }
}

#[async_trait]
impl Gate for WindowGate {
    async fn decide(&self, call: &Call, _: &GateContext) -> Result<Decision, PortError> {
        Decision::by_calendar(&self.hours, call.made).map_err(|error| {
            PortError::new(FailureKind::Invalid, "the calendar does not say").with_source(error)
        })
    }
}
