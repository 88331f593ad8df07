//! A made-up world: a route, two services, and what runs them.

use std::sync::Arc;

use super::draw::Chance;
use super::latency::{BOUNDS, Histogram};
use super::service::{Script, Service};
use super::steps::Steps;
use super::workload::{Running, SimulatedWorkload};
use super::{Load, Recording};
use crate::ports::{Applied, Call, Observed};
use crate::value::{
    BySide, EffectId, Epoch, Failure, FailureKind, Side, Timestamp, Traffic, Version, Weight,
    millis,
};

/// When simulated rollouts begin unless said: 2026-01-01T00:00:00Z.
pub(super) const BEGIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Stands in for router and metric source; what it answers depends on seed and window alone.
///
/// Its time begins at 2026-01-01T00:00:00Z, as that of every simulated rollout that does not say otherwise.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) load: Load,
    pub(super) services: BySide<Service>,
    pub(super) seed: u64,
    pub(super) begin: Timestamp,
    /// The error rate of both sides in spans of time, in milliseconds since the begin.
    pub(super) outages: Vec<(u64, u64, f64)>,
    /// How often and how late samples come, in milliseconds.
    pub(super) scrape: Option<(u64, u64)>,
    pub(super) scripts: BySide<Script>,
    /// What is shown instead of anything drawn.
    pub(super) recording: Option<Arc<Recording>>,
    /// The chance of an error as each service begins with it, for which it is drawn most often.
    pub(super) errors: BySide<(f64, Chance)>,
    /// The bounds of every histogram that is answered.
    pub(super) bounds: Arc<[f64]>,
    /// How latency is spread where that never changes.
    pub(super) latency: BySide<Option<Histogram>>,
    /// The names of the pods that are told apart.
    pub(super) pods: BySide<Vec<Arc<str>>>,
    /// Since when which traffic was in force, the newest last, in milliseconds since the begin.
    pub(super) routed: Vec<(u64, Routed)>,
    traffic: Traffic,
    last: (Epoch, EffectId, u32),
    /// How often somebody else has changed the route.
    by_hand: u64,
    running: Option<Running>,
    violations: Vec<String>,
}

/// Holds what a route gives each side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Routed {
    pub(super) weight: Weight,
    /// The share of all requests that reach each side, copies included.
    pub(super) share: BySide<f64>,
}

impl Routed {
    fn of(traffic: &Traffic) -> Self {
        Self { weight: traffic.canary, share: traffic.split().shares() }
    }
}

impl World {
    /// Makes a world with this much traffic, all of it at stable.
    #[must_use]
    pub fn new(traffic: impl Into<Load>, services: BySide<Service>, seed: u64) -> Self {
        let latency = BySide::from_fn(|side| {
            let service = services.get(side);
            service.is_evenly_fast().then(|| {
                let mut shares = Default::default();
                service.add_latency(&mut shares, 1.0, 0, 0);
                Histogram::of(&shares)
            })
        });
        let errors = BySide::from_fn(|side| {
            let rate = services.get(side).error_rate_at(0, u64::MAX);
            (rate, Chance::of(rate))
        });
        let pods = BySide::from_fn(|side| {
            let name = |i| Arc::from(format!("{side}-{i}"));
            (1..=services.get(side).told_apart()).map(name).collect()
        });
        Self {
            load: traffic.into(),
            services,
            seed,
            begin: BEGIN,
            outages: Vec::new(),
            scrape: None,
            scripts: BySide::default(),
            recording: None,
            errors,
            bounds: BOUNDS.into(),
            latency,
            pods,
            routed: vec![(0, Routed::of(&Traffic::all_stable()))],
            traffic: Traffic::all_stable(),
            last: (Epoch::new(0), EffectId::new(0), 0),
            by_hand: 0,
            running: None,
            violations: Vec::new(),
        }
    }

    pub(super) const fn beginning(mut self, at: Timestamp) -> Self {
        self.begin = at;
        self
    }

    pub(super) fn with_outages(mut self, outages: Vec<(u64, u64, f64)>) -> Self {
        self.outages = outages;
        self
    }

    pub(super) const fn with_scrapes(mut self, scrape: Option<(u64, u64)>) -> Self {
        self.scrape = scrape;
        self
    }

    pub(super) fn with_scripts(mut self, scripts: BySide<Script>) -> Self {
        self.scripts = scripts;
        self
    }

    pub(super) fn with_recording(mut self, recording: Option<Arc<Recording>>) -> Self {
        self.recording = recording;
        self
    }

    pub(super) fn with_workload(mut self, workload: Option<SimulatedWorkload>) -> Self {
        self.running = workload.map(Running::new);
        self
    }

    /// Returns the weight in force at a time.
    #[must_use]
    pub fn weight_at(&self, at: Timestamp) -> Weight {
        let at = millis(at.since(self.begin));
        let before = self.routed.iter().rev().find(|(since, _)| *since <= at);
        before.map_or(Weight::ZERO, |(_, routed)| routed.weight)
    }

    /// Configures the route at the time at which the call was made, as a router does.
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
        self.apply_at(call, traffic, at, call.made)
    }

    /// Configures the route when the request arrives.
    pub(super) fn apply_at(
        &mut self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
        now: Timestamp,
    ) -> Result<Applied, Failure> {
        let conflict = |message| Err(Failure::new(FailureKind::Conflict, message));
        if call.order() < self.last {
            return Err(Failure::late(self.last.0, "a later call was accepted already"));
        }
        if at.is_some_and(|at| *at != self.version()) {
            return conflict("the route is no longer what the raise was based on");
        }
        if at.is_none() && !traffic.is_within(&self.traffic) {
            return conflict("a raise needs the version that it is based on");
        }
        self.last = call.order();
        self.route(traffic, now);
        Ok(Applied::effective(traffic.clone(), self.version()))
    }

    /// Lets somebody who keeps no order write the route.
    pub(super) fn route_by_hand(&mut self, traffic: &Traffic, now: Timestamp) {
        self.by_hand += 1;
        self.route(traffic, now);
    }

    fn route(&mut self, traffic: &Traffic, now: Timestamp) {
        if *traffic != self.traffic {
            self.traffic = traffic.clone();
            self.routed.push((millis(now.since(self.begin)), Routed::of(traffic)));
        }
        self.look_for_objections(now);
    }

    /// Reads the route, as a router does.
    #[must_use]
    pub fn observe(&self, _at: Timestamp) -> Observed {
        Observed::new(self.traffic.clone(), self.version())
    }

    pub(super) fn version(&self) -> Version {
        let (epoch, id, attempt) = self.last;
        Version::new(match self.by_hand {
            0 => format!("{epoch}.{id}.{attempt}"),
            by_hand => format!("{epoch}.{id}.{attempt}+{by_hand}"),
        })
    }

    /// Returns the canary's weight now.
    pub(super) const fn weight(&self) -> Weight {
        self.traffic.canary
    }

    pub(super) const fn running(&mut self) -> Option<&mut Running> {
        self.running.as_mut()
    }

    /// Notes what must never be, if it is so now.
    pub(super) fn look_for_objections(&mut self, now: Timestamp) {
        let weight = self.weight();
        let objection = self.running.as_ref().and_then(|running| running.objection(weight, now));
        if let Some(objection) = objection {
            self.note_violation(objection, now);
        }
    }

    /// Notes something that must never happen.
    pub(super) fn note_violation(&mut self, what: impl std::fmt::Display, now: Timestamp) {
        self.violations.push(format!("{now} {what}"));
    }

    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(super) fn weights(&self) -> Vec<(Timestamp, Weight)> {
        let at = |ms: u64| self.begin + std::time::Duration::from_millis(ms);
        self.routed.iter().map(|(since, routed)| (at(*since), routed.weight)).collect()
    }

    /// Returns when the side's present traffic began, in milliseconds since the begin; stable's is as old as it likes.
    pub(super) fn traffic_since(&self, side: Side, at: u64) -> u64 {
        if side == Side::Stable {
            return 0;
        }
        let mut since = u64::MAX;
        for (from, routed) in self.routed.iter().rev().skip_while(|(from, _)| *from > at) {
            if routed.share.canary <= 0.0 {
                break;
            }
            since = *from;
        }
        since
    }

    pub(super) fn script(&self, side: Side, name: &str) -> Option<&Steps> {
        self.scripts.get(side).iter().find(|(known, _)| **known == *name).map(|(_, steps)| steps)
    }
}
