//! A gate that opens by the calendar.

use std::time::Duration;

use async_trait::async_trait;

use crate::policy::{Calendar, CalendarError, OpeningHours};
use crate::ports::{Call, Decision, Gate, GateContext, PortError};
use crate::value::FailureKind;

/// How soon it looks again where nobody knows when it opens.
const AGAIN: Duration = Duration::from_secs(3600);

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
        let now = call.made;
        let unknown = |error: CalendarError| {
            PortError::new(FailureKind::Invalid, "the calendar does not say").with_source(error)
        };
        if self.hours.is_open(now).map_err(unknown)? {
            return Ok(Decision::Open);
        }
        Ok(match self.hours.next_change(now).map_err(unknown)? {
            Some(opens) => Decision::wait(opens.since(now), format!("it opens at {opens}")),
            None => Decision::wait(AGAIN, "it opens in a month at the earliest"),
        })
    }
}
