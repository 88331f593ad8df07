//! A made-up world: a route, two services, and what a metric source sees of them.

use super::Service;
use super::draw::Draw;
use super::service::SPREAD;
use crate::ports::{Applied, Call, Observed};
use crate::value::{
    Buckets, BySide, Counts, EffectId, Epoch, Failure, FailureKind, Measured, Query, Reading, Side,
    Signal, Timestamp, Traffic, Version, Weight, Window,
};

/// The bounds of the made-up latency histogram, in milliseconds.
const BOUNDS: [f64; 18] = [
    5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 750.0, 1_000.0, 1_500.0,
    2_000.0, 3_000.0, 5_000.0, 10_000.0,
];

/// Stands in for router and metric source; what it answers depends on seed and window alone.
#[derive(Clone, Debug)]
pub struct World {
    requests_per_second: f64,
    services: BySide<Service>,
    seed: u64,
    /// Since when which weight was in force, the newest last.
    weights: Vec<(Timestamp, Weight)>,
    last: (Epoch, EffectId, u32),
}

impl World {
    /// Makes a world with this much traffic, all of it at stable.
    #[must_use]
    pub const fn new(requests_per_second: f64, services: BySide<Service>, seed: u64) -> Self {
        let last = (Epoch::new(0), EffectId::new(0), 0);
        Self { requests_per_second, services, seed, weights: Vec::new(), last }
    }

    /// Returns the weight in force at a time.
    #[must_use]
    pub fn weight_at(&self, at: Timestamp) -> Weight {
        let before = |(since, _): &&(Timestamp, Weight)| *since <= at;
        self.weights.iter().rev().find(before).map_or(Weight::ZERO, |(_, weight)| *weight)
    }

    /// Configures the route, as a router does.
    ///
    /// # Errors
    /// `Conflict` for a call that is older than one that was accepted, and for a raise that is based on an old
    /// version or on none.
    pub fn apply(
        &mut self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, Failure> {
        let conflict = |message| Err(Failure::new(FailureKind::Conflict, message));
        if call.order() < self.last {
            return conflict("a later call was accepted already");
        }
        if at.is_some_and(|at| *at != self.version()) {
            return conflict("the route is no longer what the raise was based on");
        }
        let weight = self.weights.last().map_or(Weight::ZERO, |(_, weight)| *weight);
        if at.is_none() && traffic.canary > weight {
            return conflict("a raise needs the version that it is based on");
        }
        self.last = call.order();
        if weight != traffic.canary {
            self.weights.push((call.made, traffic.canary));
        }
        Ok(Applied::effective(traffic.clone(), self.version()))
    }

    /// Reads the route, as a router does.
    #[must_use]
    pub fn observe(&self, at: Timestamp) -> Observed {
        Observed::new(Traffic::to_canary(self.weight_at(at)), self.version())
    }

    fn version(&self) -> Version {
        let (epoch, id, attempt) = self.last;
        Version::new(format!("{epoch}.{id}.{attempt}"))
    }

    /// Answers queries, as a metric source does.
    #[must_use]
    pub fn measure(&self, queries: &[Query], until: Timestamp) -> Vec<Result<Measured, Failure>> {
        queries.iter().map(|query| self.answer(query, until)).collect()
    }

    fn answer(&self, query: &Query, until: Timestamp) -> Result<Measured, Failure> {
        let window = Window::new(query.after, until);
        if window.is_empty() {
            return Ok(Measured::pending(query.after));
        }
        let read = |side| self.read(&query.signal, side, window);
        Ok(Measured::new(window, read(Side::Stable)?, read(Side::Canary)?))
    }

    fn read(&self, signal: &Signal, side: Side, window: Window) -> Result<Reading, Failure> {
        let service = self.services.get(side);
        if service.silent {
            return Ok(Reading::NoData);
        }
        let total = self.draw(side, 0, window).poisson(self.expected(side, window));
        match signal {
            Signal::Requests => {
                let bad = self.draw(side, 1, window).binomial(total, service.error_rate);
                Counts::new(total, bad).map(Reading::Counts).map_err(invalid)
            }
            Signal::Latency => {
                let counts = spread_out(&mut self.draw(side, 2, window), total, service.median_ms);
                Buckets::new(BOUNDS.to_vec(), counts).map(Reading::Buckets).map_err(invalid)
            }
            Signal::Custom(name) => Err(Failure::new(
                FailureKind::Unsupported,
                format!("the made-up world knows no `{name}`"),
            )),
        }
    }

    /// Opens the stream for one side's draw in a window: a window that is asked for again shows the same.
    fn draw(&self, side: Side, what: u64, window: Window) -> Draw {
        let stream = what * 2 + u64::from(side == Side::Canary);
        Draw::keyed([self.seed, window.after.as_millis(), window.until.as_millis(), stream])
    }

    /// Returns the mean number of a side's requests in a window, over the weights that were in force in it.
    fn expected(&self, side: Side, window: Window) -> f64 {
        let mut requests = 0.0;
        let mut until = window.until;
        let starts = self.weights.iter().rev().copied().chain([(Timestamp::EPOCH, Weight::ZERO)]);
        for (since, weight) in starts {
            let from = since.max(window.after);
            if from < until {
                let share = match side {
                    Side::Canary => weight.fraction(),
                    Side::Stable => 1.0 - weight.fraction(),
                };
                requests += self.requests_per_second * share * until.since(from).as_secs_f64();
                until = from;
            }
        }
        requests
    }
}

fn invalid(error: crate::value::InvalidReading) -> Failure {
    Failure::new(FailureKind::Internal, error.to_string())
}

/// Spreads requests over the buckets of a log-normal latency.
fn spread_out(draw: &mut Draw, total: u64, median_ms: f64) -> Vec<u64> {
    let below = |bound: f64| {
        let z = (libm::log(bound) - libm::log(median_ms.max(1e-3))) / SPREAD;
        0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
    };
    let (mut left, mut mass_left, mut reached) = (total, 1.0, 0.0);
    let mut counts = Vec::with_capacity(BOUNDS.len() + 1);
    for bound in BOUNDS {
        let reach = below(bound);
        let share =
            if mass_left > 0.0 { ((reach - reached) / mass_left).clamp(0.0, 1.0) } else { 1.0 };
        let count = draw.binomial(left, share);
        counts.push(count);
        left -= count;
        mass_left = 1.0 - reach;
        reached = reach;
    }
    counts.push(left);
    counts
}
