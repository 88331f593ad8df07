//! What is measured: policies, machines that stand right before a step, and rules that judge the same rollouts.

pub mod judging;

use std::collections::VecDeque;
use std::time::Duration;

use canary_core::policy::{Check, Policy, PolicyError, Then};
use canary_core::ports::Decision;
use canary_core::rollout::{Action, Effect, Event, Reply, Rollout};
use canary_core::simulate::{Simulation, World};
use canary_core::value::{InvalidName, Timestamp, Weight};

/// The seed of everything that is drawn.
pub const SEED: u64 = 7;

/// How much traffic there is, in requests per second.
pub const REQUESTS_PER_SECOND: f64 = 200.0;

/// How many looks a rollout of these policies takes: 30 minutes of holds, one every 15 seconds.
pub const LOOKS: u64 = 120;

/// How often a machine has looked before its step is measured: all that its checks look back is full.
const LOOKS_BEFORE: usize = 30;

/// Makes four checks that count requests, one of them weighing evidence.
#[must_use]
pub fn counting() -> Vec<Check> {
    vec![
        Check::worse_than_stable("errors", 1.25),
        Check::above("too-many-errors", "error_rate", 0.05).lasting(Duration::from_secs(120)),
        Check::above_stable("more-errors", "error_rate", 20.0).lasting(Duration::from_secs(300)),
        Check::below("idle", "request_rate", 1.0).then(Then::Hold),
    ]
}

/// Makes the same four, and two on latency.
#[must_use]
pub fn counting_and_timing() -> Vec<Check> {
    let mut checks = counting();
    checks.extend([
        Check::above_stable("slow", "latency.p95", 1.5).lasting(Duration::from_secs(300)),
        Check::above("too-slow", "latency.p99", 2_000.0).lasting(Duration::from_secs(120)),
    ]);
    checks
}

/// Makes ten checks: those six, and four more of their kinds.
#[must_use]
pub fn ten() -> Vec<Check> {
    let mut checks = counting_and_timing();
    checks.extend([
        Check::worse_than_stable("much-worse", 2.0),
        Check::below("success", "success_rate", 0.95).lasting(Duration::from_secs(60)),
        Check::above("median", "latency.p50", 500.0),
        Check::above("tail", "latency.p99.9", 5_000.0)
            .lasting(Duration::from_secs(300))
            .then(Then::Warn),
    ]);
    checks
}

/// Makes a policy of three stages of ten minutes each with these checks and the hard limit.
///
/// # Errors
/// None that these checks could give.
pub fn policy(checks: Vec<Check>) -> Result<Policy, PolicyError> {
    let ten_minutes = Duration::from_secs(600);
    let stages = Policy::builder("measured")
        .every(Duration::from_secs(15))
        .stage("first", Weight::percent(5), ten_minutes)
        .stage("half", Weight::percent(50), ten_minutes)
        .stage("full", Weight::FULL, ten_minutes);
    checks.into_iter().fold(stages, |policy, check| policy.check(check)).build()
}

/// Prepares one rollout with a canary as good as stable.
pub fn simulation(policy: &Policy) -> Simulation {
    Simulation::of(policy).traffic(REQUESTS_PER_SECOND).seed(SEED)
}

/// Follows one rollout, and stops where its next step is to be measured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Machine {
    /// The machine.
    pub rollout: Rollout,
    /// What happens next; empty where time has to pass first.
    pub queue: VecDeque<Event>,
    /// The time.
    pub now: Timestamp,
    world: World,
}

impl Machine {
    /// Runs a rollout up to a look in the middle of its first stage, whose measurements are there and not yet taken in.
    ///
    /// # Errors
    /// None: the rollout's id is a plain name.
    pub fn before_judging(policy: Policy) -> Result<Self, InvalidName> {
        // When the made-up world begins: before that nobody asks for anything.
        let now = Timestamp::from_millis(1_767_225_600_000);
        let world = simulation(&policy).world();
        let (rollout, effects) = Rollout::start("measured-1".parse()?, policy, now);
        let mut machine = Self { rollout, queue: VecDeque::new(), now, world };
        machine.carry_out(effects);
        let mut looks = 0;
        while !machine.rollout.is_settled() {
            if let Some(Event::Reply { reply: Reply::Measured(_), .. }) = machine.queue.front() {
                looks += 1;
                if looks == LOOKS_BEFORE {
                    break;
                }
            }
            machine.go_on();
        }
        Ok(machine)
    }

    /// Goes on to where time has to pass before anything happens.
    #[must_use]
    pub fn idle(mut self) -> Self {
        while !self.queue.is_empty() {
            self.go_on();
        }
        self
    }

    /// Goes on to when the next look is due.
    #[must_use]
    pub fn when_due(self) -> Self {
        let idle = self.idle();
        Self { now: idle.rollout.deadline().unwrap_or(idle.now), ..idle }
    }

    fn go_on(&mut self) {
        let event = self.queue.pop_front().unwrap_or_else(|| {
            self.now = self.rollout.deadline().unwrap_or(self.now);
            Event::Tick
        });
        let effects = self.rollout.step(event, self.now);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let event = match effect {
                Effect::Persist { rev } => Event::Persisted { rev, result: Ok(()) },
                Effect::Run { call, action } => {
                    let reply = match &action {
                        Action::Route { traffic, at } => {
                            Reply::Applied(self.world.apply(&call, traffic, at.as_ref()))
                        }
                        Action::Observe => Reply::Observed(Ok(self.world.observe(self.now))),
                        Action::Measure { queries, until } => {
                            Reply::Measured(self.world.measure(queries, *until))
                        }
                        Action::AskGate { .. } => Reply::Decided(Ok(Decision::Open)),
                        Action::Release => Reply::Released(Ok(())),
                        Action::Prepare { .. }
                        | Action::Promote { .. }
                        | Action::Restore { .. }
                        | Action::Retire { .. } => unreachable!("the rollout only routes"),
                    };
                    Event::Reply { id: call.id, attempt: call.attempt, reply }
                }
                Effect::Notify(_) | Effect::Cancel(_) | Effect::Answer { .. } => continue,
            };
            self.queue.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use canary_core::record::{Content, Ruling};
    use canary_core::rollout::Phase;

    use super::*;

    fn standing(checks: Vec<Check>) -> Machine {
        Machine::before_judging(policy(checks).unwrap()).unwrap()
    }

    #[test]
    fn the_measured_steps_are_what_they_are_called() {
        for (checks, judged) in [(counting(), 5), (ten(), 11)] {
            let mut machine = standing(checks);
            let event = machine.queue.pop_front().unwrap();
            assert!(matches!(event, Event::Reply { reply: Reply::Measured(_), .. }), "{event:?}");
            let _ = machine.rollout.step(event, machine.now);
            let last = machine.rollout.report().last.clone().unwrap();
            assert_eq!((last.ruling, last.checks.len()), (Ruling::GoOn, judged));
            assert!(matches!(
                machine.rollout.phase(),
                Phase::Holding { hold } if hold.stage == 0 && hold.gates.since.is_none()
            ));
        }

        let mut idle = standing(counting()).idle();
        let before = idle.rollout.clone();
        assert_eq!(idle.rollout.step(Event::Tick, idle.now), []);
        assert_eq!(idle.rollout, before);

        let mut due = standing(counting()).when_due();
        let effects = due.rollout.step(Event::Tick, due.now);
        assert!(
            matches!(effects[..], [Effect::Run { action: Action::Measure { .. }, .. }]),
            "{effects:?}"
        );
    }

    #[test]
    fn the_measured_rollouts_look_as_often_as_they_are_said_to_and_are_promoted() {
        for checks in [counting(), counting_and_timing()] {
            let mut looks = 0;
            let report = simulation(&policy(checks).unwrap()).run_observed(|record| {
                looks += u64::from(matches!(record.content, Content::Judged(_)))
            });
            report.assert_promoted();
            assert_eq!(looks, LOOKS);
        }
    }
}
