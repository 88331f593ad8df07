//! The rules that are compared.
//!
//! All see disjoint ticks with exact counts, without delay. Each answers after every tick whether it takes the
//! canary back.

mod ours;
mod sequential;
mod shifts;
mod thresholds;

use canary_core::value::Counts;

use super::{Requests, Stream, TICKS_A_MINUTE};
pub(super) use ours::Ours;
use sequential::{Guarded, ZTest};
use shifts::{Kayenta, PipeCd};
use thresholds::{Argo, Flagger};

/// Decides after every tick.
pub trait Judge {
    /// Takes in the next tick, and tells whether the canary is taken back now.
    fn look(&mut self, tick: Requests) -> bool;
}

/// Names a rule, and makes a judge of it for each rollout.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Contender {
    /// What it is called.
    pub name: &'static str,
    /// Makes a judge.
    pub make: fn(&Stream) -> Box<dyn Judge>,
}

impl Contender {
    /// Enters a rule under a name.
    #[must_use]
    pub const fn new(name: &'static str, make: fn(&Stream) -> Box<dyn Judge>) -> Self {
        Self { name, make }
    }
}

/// Lists the rules, ours first.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    vec![
        Contender::new("evidence", |_| Box::new(Ours::new())),
        Contender::new("flagger 99%", |_| Box::new(Flagger::new(0.99))),
        Contender::new("flagger 99.8%", |_| Box::new(Flagger::new(0.998))),
        Contender::new("argo 99%", |_| Box::new(Argo::new(0.99))),
        Contender::new("argo 99.8%", |_| Box::new(Argo::new(0.998))),
        Contender::new("kayenta", |_| Box::new(Kayenta::new(10, None))),
        Contender::new("kayenta every 5 min", |_| Box::new(Kayenta::new(5, None))),
        Contender::new("kayenta, last 10 min", |_| Box::new(Kayenta::new(5, Some(10)))),
        Contender::new("pipecd", |_| Box::new(PipeCd::default())),
        Contender::new("guarded rollout", |stream| Box::new(Guarded::new(stream.rps))),
        Contender::new("z test", |_| Box::new(ZTest::default())),
    ]
}

/// Adds ticks up to minutes.
#[derive(Debug, Default)]
struct Minutes {
    ticks: usize,
    sum: Requests,
}

impl Minutes {
    /// Returns a minute's requests once it is over.
    fn add(&mut self, tick: Requests) -> Option<Requests> {
        add(&mut self.sum, tick);
        self.ticks += 1;
        self.ticks.is_multiple_of(TICKS_A_MINUTE).then(|| std::mem::take(&mut self.sum))
    }
}

/// Adds both sides' requests.
pub(super) const fn add(sum: &mut Requests, tick: Requests) {
    sum.stable.add(tick.stable);
    sum.canary.add(tick.canary);
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
const fn both(counts: Counts) -> (f64, f64) {
    (counts.total as f64, counts.bad as f64)
}
