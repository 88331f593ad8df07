//! Fetches the samples of both sides that a window needs.

use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::{BySide, Side, Signal, Window};
use futures::future::try_join;

use crate::api::answer::Data;
use crate::delta;
use crate::error::{in_context, invalid};
use crate::read::{self, Found, Seen};
use crate::source::{Counted, Of, Pace};
use crate::template::Template;
use crate::tick::Tick;

/// How many usual intervals before the window are fetched at first.
const INTERVALS: u32 = 4;

/// Fetches the series behind one signal.
#[derive(Clone, Copy)]
pub(crate) struct Fetch<'a> {
    pub(crate) tick: &'a Tick<'a>,
    pub(crate) ask: &'a Counted,
    pub(crate) signal: &'a Signal,
    pub(crate) window: Window,
}

/// Holds the series of one side.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) main: Found,
    /// The bad ones among the requests.
    pub(crate) bad: Found,
    /// What the server remarked.
    pub(crate) remarks: Vec<String>,
}

impl Fetch<'_> {
    /// Fetches what is needed so that each step that ends in the window has its begin.
    ///
    /// Usually that is one sample before the window, so little more is fetched at first. If a series
    /// has no sample there, it may be new, or silent for long: then all is fetched that could say so.
    pub(crate) async fn both(&self, pace: &Pace) -> Result<BySide<Fetched>, PortError> {
        let all = delta::reach(self.window);
        let little = pace.interval().map(|interval| self.window.length() + interval * INTERVALS);
        if let Some(little) = little.filter(|little| *little < all) {
            let fetched = self.sides(little).await?;
            let begins = |side| fetched.get(side).begins_by(self.window);
            if Side::BOTH.into_iter().all(begins) {
                return Ok(fetched);
            }
        }
        self.sides(all).await
    }

    async fn sides(&self, reach: Duration) -> Result<BySide<Fetched>, PortError> {
        let (stable, canary) =
            try_join(self.side(Side::Stable, reach), self.side(Side::Canary, reach)).await?;
        Ok(BySide { stable, canary })
    }

    async fn side(&self, side: Side, reach: Duration) -> Result<Fetched, PortError> {
        let after = self.window.after;
        let counters = |data| read::counters(data, after);
        match &self.ask.of {
            Of::Requests { total, bad } => {
                let total = self.render(side, total)?;
                let name = |part| format!("requests ({part}) of {side}");
                let (total_name, bad_name) = (name("total"), name("bad"));
                let main = self.series(&total_name, &total, reach, counters);
                // Usually the bad requests are known already: they are some of the series.
                if let Some(further) = &self.ask.bad {
                    let (main, remarks) = main.await?;
                    let bad = main.series.iter().filter(|seen| further.has(&seen.labels)).cloned();
                    let bad = Found { series: bad.collect(), ..Found::default() };
                    return Ok(Fetched { main, bad, remarks });
                }
                let bad = self.render(side, bad)?;
                let bad = self.series(&bad_name, &bad, reach, counters);
                let ((main, mut remarks), (bad, further)) = try_join(main, bad).await?;
                remarks.extend(further);
                Ok(Fetched { main, bad, remarks })
            }
            Of::Latency { buckets, unit } => {
                let buckets = self.render(side, buckets)?;
                let read = |data| read::histograms(data, *unit, after);
                let name = format!("latency of {side}");
                let (main, remarks) = self.series(&name, &buckets, reach, read).await?;
                Ok(Fetched { main, bad: Found::default(), remarks })
            }
        }
    }

    fn render(&self, side: Side, template: &Template) -> Result<String, PortError> {
        self.tick.render(self.signal, template, side, self.window)
    }

    async fn series(
        &self,
        name: &str,
        selector: &str,
        reach: Duration,
        read: impl FnOnce(Data) -> Result<Found, String>,
    ) -> Result<(Found, Vec<String>), PortError> {
        let found = self
            .tick
            .samples(selector, reach)
            .await
            .and_then(|answer| Ok((read(answer.data).map_err(invalid)?, answer.notes)));
        found.map_err(|error| in_context(name, error))
    }
}

impl Fetched {
    /// Tells whether there are series, and every one has a sample before the window.
    fn begins_by(&self, window: Window) -> bool {
        let begins = |seen: &Seen| seen.samples.oldest().is_none_or(|at| at <= window.after);
        !self.main.series.is_empty() && self.main.series.iter().chain(&self.bad.series).all(begins)
    }
}
