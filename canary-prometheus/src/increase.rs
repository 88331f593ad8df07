//! Counts with `increase()`, where raw samples cannot be had.

use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::{Counts, Measured, Reading, Side, Signal, Window, millis};
use futures::future::try_join;

use crate::error::in_context;
use crate::template::Template;
use crate::tick::{Tick, read_number};

/// How many scrapes a window holds at least: with fewer, most of an increase is extrapolated.
const SCRAPES: u32 = 4;

const WARNING: &str =
    "counted with increase(), which extrapolates: the evidence is weaker than it says";

/// Holds the selectors of requests, and how often they are scraped.
#[derive(Clone, Debug)]
pub(crate) struct Increase {
    pub(crate) total: Template,
    pub(crate) bad: Template,
    pub(crate) scrape: Duration,
}

impl Increase {
    /// Answers a query for counts of requests.
    pub(crate) async fn measure(
        &self,
        tick: &Tick<'_>,
        window: Window,
    ) -> Result<Measured, PortError> {
        if window.length() < self.scrape * SCRAPES {
            return Ok(Measured::pending(window.after));
        }
        let (stable, canary) =
            try_join(self.side(tick, Side::Stable, window), self.side(tick, Side::Canary, window))
                .await?;
        Ok(Measured::new(window, stable, canary).note(WARNING))
    }

    async fn side(
        &self,
        tick: &Tick<'_>,
        side: Side,
        window: Window,
    ) -> Result<Reading, PortError> {
        let (total, bad) =
            try_join(rise(tick, &self.total, side, window), rise(tick, &self.bad, side, window))
                .await?;
        Ok(match (total, bad) {
            (Reading::Value(total), bad) => {
                let bad = if let Reading::Value(bad) = bad { bad } else { 0.0 };
                Reading::Counts(rounded(total, bad))
            }
            (missing, _) => missing,
        })
    }
}

async fn rise(
    tick: &Tick<'_>,
    selector: &Template,
    side: Side,
    window: Window,
) -> Result<Reading, PortError> {
    let signal = Signal::Requests;
    let selector = tick.render(&signal, selector, side, window)?;
    let promql = format!("sum(increase({selector}[{}ms]))", millis(window.length()));
    let read = tick.fetch(&promql).await.and_then(read_number);
    read.map(|(reading, _)| reading)
        .map_err(|error| in_context(&format!("{signal} of {side}"), error))
}

/// Rounds to whole requests; each sum was extrapolated by itself, so the bad ones may be more than all.
fn rounded(total: f64, bad: f64) -> Counts {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
    let whole = |value: f64| value.round().max(0.0) as u64;
    let total = whole(total);
    Counts::new(total, whole(bad).min(total)).unwrap_or_default()
}
