//! What is to be simulated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::fault::{Crash, CrashTime, Fault, Kind};
use super::run::Run;
use super::service::Script;
use super::steps::Steps;
use super::world::BEGIN;
use super::{Load, Opening, Recording, Service, SimulatedWorkload, Trace, World};
#[cfg(feature = "calendar")]
use crate::policy::{GateKind, OpeningHours};
use crate::policy::{HARD_LIMIT, PROGRESS, Policy};
use crate::record::Record;
use crate::report::Report;
use crate::rollout::CommandKind;
use crate::value::{BySide, GateName, IntoDuration, Side, StageRef, Timestamp, millis};

/// Simulates one rollout of a policy, or many.
#[derive(Clone, Debug)]
#[must_use]
pub struct Simulation {
    pub(super) policy: Arc<Policy>,
    load: Load,
    pub(super) services: BySide<Service>,
    outages: Vec<(u64, u64, f64)>,
    scrape: Option<(u64, u64)>,
    pub(super) scripts: BySide<Script>,
    pub(super) recording: Option<Arc<Recording>>,
    pub(super) workload: Option<SimulatedWorkload>,
    pub(super) seed: u64,
    pub(super) begin: Timestamp,
    /// The gates that the calendar opens, once it is said when the rollout begins.
    #[cfg(feature = "calendar")]
    hours: BTreeMap<GateName, OpeningHours>,
    pub(super) gates: BTreeMap<String, Opening>,
    /// What people say to checks that ask.
    pub(super) answers: BTreeMap<String, Opening>,
    pub(super) commands: Vec<(Duration, Option<StageRef>, CommandKind)>,
    pub(super) faults: Vec<(Duration, Fault)>,
    pub(super) crashes: Vec<Crash>,
    pub(super) limit: Duration,
}

impl Simulation {
    /// Begins with 100 requests per second, two healthy services, seed 0, gates that open when they are asked, and
    /// people who leave checks that ask without an answer.
    pub fn of(policy: &Policy) -> Self {
        let holds = policy
            .stages()
            .iter()
            .map(|stage| stage.hold())
            .fold(Duration::ZERO, Duration::saturating_add);
        Self {
            policy: Arc::new(policy.clone()),
            load: Load::constant(100.0),
            services: BySide { stable: Service::healthy(), canary: Service::healthy() },
            outages: Vec::new(),
            scrape: None,
            scripts: BySide::default(),
            recording: None,
            workload: None,
            seed: 0,
            begin: BEGIN,
            #[cfg(feature = "calendar")]
            hours: BTreeMap::new(),
            gates: BTreeMap::new(),
            answers: BTreeMap::new(),
            commands: Vec::new(),
            faults: Vec::new(),
            crashes: Vec::new(),
            limit: holds.saturating_mul(4).saturating_add(Duration::from_secs(3600)),
        }
    }

    /// Sets the traffic of both sides together: a number of requests per second, or a [`Load`] over time.
    pub fn traffic(mut self, traffic: impl Into<Load>) -> Self {
        self.load = traffic.into();
        self
    }

    /// Says how the old version behaves.
    pub fn stable(mut self, service: Service) -> Self {
        self.services.stable = service;
        self
    }

    /// Says how the new version behaves.
    pub fn canary(mut self, service: Service) -> Self {
        self.services.canary = service;
        self
    }

    /// Lets both sides fail this share of their requests in a span of time since the begin: something that they share
    /// is down.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn outage(
        mut self,
        from: impl IntoDuration,
        until: impl IntoDuration,
        errors: f64,
    ) -> Self {
        let span = (millis(from.into_duration()), millis(until.into_duration()));
        self.outages.push((span.0, span.1, errors.clamp(0.0, 1.0)));
        self
    }

    /// Lets the metric source take a sample this often, each known this long after it was taken: what it covers ends
    /// at samples, late. Unless said, it knows everything at once.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn scrape(mut self, every: impl IntoDuration, lag: impl IntoDuration) -> Self {
        self.scrape = Some((millis(every.into_duration()).max(1), millis(lag.into_duration())));
        self
    }

    /// Shows exactly these numbers of one side, each from its time since the begin on, and draws nothing there.
    ///
    /// `requests` is a rate per second, `error_rate` the share of bad ones, and anything else a gauge; NaN is what a
    /// source says that divides by zero.
    pub fn script(
        mut self,
        metric: &str,
        side: Side,
        points: impl IntoIterator<Item = (Duration, f64)>,
    ) -> Self {
        let script = match side {
            Side::Stable => &mut self.scripts.stable,
            Side::Canary => &mut self.scripts.canary,
        };
        script.retain(|(known, _)| **known != *metric);
        script.push((metric.into(), Steps::new(points)));
        self
    }

    /// Shows both sides as they were recorded, and draws nothing: the rollout begins where the recording does, and stops
    /// where it ends.
    ///
    /// What was recorded stays as it was, whatever weight the policy gives the canary: its requests came to it at the
    /// weights of that time. Of what is said of traffic and services nothing is used then, and no sample comes late.
    pub fn recorded(mut self, recording: impl Into<Arc<Recording>>) -> Self {
        let recording = recording.into();
        self.begin = recording.span().after;
        self.limit = recording.span().length();
        self.recording = Some(recording);
        self
    }

    /// Runs the versions too; without this a rollout only routes.
    pub fn workload(mut self, workload: SimulatedWorkload) -> Self {
        self.workload = Some(workload);
        self
    }

    /// Chooses the randomness: the same seed gives the same rollout.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Begins at this time, and lets the calendar decide about the gates that it opens: without it, a rollout begins at
    /// 2026-01-01T00:00:00Z and they open at once. What [`gate`](Self::gate) says of one goes before.
    ///
    /// A rollout that waits for a Monday may need a higher [`limit`](Self::limit).
    #[cfg(feature = "calendar")]
    pub fn starting(mut self, at: Timestamp) -> Self {
        let hours = |gate: &GateName| match self.policy.gate(gate).kind {
            // The calendars of a valid policy can be read.
            GateKind::Window(calendar) => calendar.parse().ok().map(|hours| (gate.clone(), hours)),
            _ => None,
        };
        self.hours = self.policy.gates().filter_map(hours).collect();
        self.begin = at;
        self
    }

    /// Says what a gate answers.
    pub fn gate(mut self, name: &str, opening: Opening) -> Self {
        self.gates.insert(name.to_owned(), opening);
        self
    }

    /// Says what people answer a check that asks: one of the policy's by its name, `hard-limit`, or `progress`.
    pub fn answer(mut self, check: &str, opening: Opening) -> Self {
        self.answers.insert(check.to_owned(), opening);
        self
    }

    /// Gives a command this long after the begin.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn command(self, after: impl IntoDuration, command: CommandKind) -> Self {
        self.order(after.into_duration(), None, command)
    }

    /// Gives a command that means this stage.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn command_in(
        self,
        stage: impl Into<String>,
        after: impl IntoDuration,
        command: CommandKind,
    ) -> Self {
        self.order(after.into_duration(), Some(StageRef::new(stage)), command)
    }

    fn order(mut self, after: Duration, stage: Option<StageRef>, command: CommandKind) -> Self {
        self.commands.push((after, stage, command));
        self.commands.sort_by_key(|(after, ..)| *after);
        self
    }

    /// Lets something go wrong from this time since the begin on.
    ///
    /// ```
    /// # use canary_core::policy::Policy;
    /// # use canary_core::simulate::{Port, Simulation, at};
    /// # use canary_core::value::Weight;
    /// # let policy = Policy::builder("shop")
    /// #     .stage("half", Weight::percent(50), at("30m"))
    /// #     .stage("full", Weight::FULL, at("1m"))
    /// #     .build()?;
    /// let report = Simulation::of(&policy).fault(at("20m"), Port::Metrics.down_for("10m")).run();
    /// assert_eq!(report.weight_at("29m"), report.weight_at("20m"));
    /// # Ok::<(), canary_core::policy::PolicyError>(())
    /// ```
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn fault(mut self, at: impl IntoDuration, fault: Fault) -> Self {
        self.faults.push((at.into_duration(), fault));
        self
    }

    /// Lets the process die, and another one take over.
    pub fn crash(mut self, crash: Crash) -> Self {
        self.crashes.push(crash);
        self
    }

    /// Lets the process die right after its nth effect, from 1, and a new one take over at once.
    pub fn crash_after(self, effect: usize) -> Self {
        self.crash(super::after_effect(effect))
    }

    /// Stops after this much virtual time; four times all holds and an hour unless said.
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the rollout and returns its report.
    ///
    /// # Panics
    /// If a gate, a check or a stage was named that the policy does not have, or it asks what was not recorded: the test
    /// would not test what it says.
    #[must_use]
    #[track_caller]
    pub fn run(&self) -> Report {
        self.run_observed(|_| {})
    }

    /// Runs the rollout, shows each record that observers are told, and returns its report.
    ///
    /// # Panics
    /// As for [`run`](Self::run).
    #[track_caller]
    pub fn run_observed(&self, observe: impl FnMut(&Record)) -> Report {
        self.refuse_unknown_names();
        Run::new(self, observe).finish().0
    }

    /// Runs the rollout and returns all that can be known of it.
    ///
    /// # Panics
    /// As for [`run`](Self::run).
    #[must_use]
    #[track_caller]
    pub fn run_traced(&self) -> Trace {
        self.refuse_unknown_names();
        let mut records = Vec::new();
        let (report, world, status) =
            Run::new(self, |record: &Record| records.push(record.clone())).finish_standing();
        Trace::new(report, records, world, status)
    }

    /// Makes the world that the rollout runs in.
    #[must_use]
    pub fn world(&self) -> World {
        World::new(self.load.clone(), self.services.clone(), self.seed)
            .beginning(self.begin)
            .with_outages(self.outages.clone())
            .with_scrapes(self.scrape)
            .with_scripts(self.scripts.clone())
            .with_recording(self.recording.clone())
            .with_workload(self.workload.clone())
    }

    #[track_caller]
    pub(super) fn refuse_unknown_names(&self) {
        let policy = self.policy.name();
        if let Some(recording) = &self.recording {
            let lacks = recording.lacks(&self.policy);
            assert!(
                lacks.is_empty(),
                "the recording lacks what the policy `{policy}` asks: {lacks:?}"
            );
        }
        for gate in self.gates.keys() {
            let known = self.policy.gates().any(|name| name.as_str() == gate);
            assert!(known, "the policy `{policy}` asks no gate `{gate}`");
        }
        for check in self.answers.keys() {
            let known = self.policy.checks().iter().any(|known| *known.name == **check)
                || (check == HARD_LIMIT && self.policy.hard_limit())
                || (check == PROGRESS && self.policy.spec().progress.is_some());
            assert!(known, "the policy `{policy}` has no check `{check}`");
        }
        for stage in self.commands.iter().filter_map(|(_, stage, _)| stage.as_ref()) {
            let known = self.policy.stages().iter().any(|known| known.name == stage.as_str())
                || [StageRef::START, StageRef::PROMOTION].contains(stage);
            assert!(known, "the policy `{policy}` has no stage `{stage}`");
        }
    }

    /// Tells whether anything may read what is saved; a snapshot is the dearest thing in a simulated rollout.
    pub(super) fn needs_store(&self) -> bool {
        let replaced =
            |(_, fault): &(Duration, Fault)| matches!(fault.0, Kind::Frozen { replaced: true, .. });
        !self.crashes.is_empty() || self.faults.iter().any(replaced)
    }

    /// Tells whether the process dies right after this effect.
    pub(super) fn crash_at_effect(&self, effect: usize) -> Option<Crash> {
        self.crashes.iter().copied().find(|crash| crash.when == CrashTime::Effect(effect))
    }

    /// Returns by which hours a gate opens, where the calendar decides.
    #[cfg(feature = "calendar")]
    pub(super) fn hours(&self, gate: &GateName) -> Option<&OpeningHours> {
        self.hours.get(gate).filter(|_| !self.gates.contains_key(gate.as_str()))
    }

    pub(super) fn opening(&self, gate: &GateName) -> &Opening {
        self.gates.get(gate.as_str()).unwrap_or(&Opening::AtOnce)
    }
}
