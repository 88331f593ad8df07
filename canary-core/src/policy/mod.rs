//! What a rollout shall do: stages, checks, gates.
//!
//! A [`Policy`] is always valid. It is made from its stable form, a
//! [`PolicySpec`], by a [builder](Policy::builder), or (feature `yaml`) from
//! the text that people write.
//!
//! ```
//! use std::time::Duration;
//! use canary_core::policy::{Check, Policy, Then};
//! use canary_core::value::Weight;
//!
//! let policy = Policy::builder("checkout")
//!     .every(Duration::from_secs(15))
//!     .stage("first", Weight::percent(5), Duration::from_secs(300))
//!     .stage("half", Weight::percent(50), Duration::from_secs(600))
//!     .stage("full", Weight::FULL, Duration::from_secs(600))
//!     .check(Check::worse_than_stable("errors", 1.25))
//!     .check(Check::above("too-many-errors", "error_rate", 0.05).lasting(Duration::from_secs(120)))
//!     .check(Check::above_stable("slow", "latency.p95", 1.5).then(Then::Hold))
//!     .build()?;
//! assert_eq!(policy.stages().len(), 3);
//! # Ok::<(), canary_core::policy::PolicyError>(())
//! ```

mod builder;
#[cfg(feature = "calendar")]
mod calendar;
mod check;
mod gate;
mod kind;
mod metric;
mod nearest;
mod problem;
mod promotion;
mod spec;
mod stage;
#[cfg(feature = "yaml")]
mod text;
mod validate;

pub use builder::PolicyBuilder;
#[cfg(feature = "calendar")]
pub use calendar::{CalendarError, OpeningHours};
pub(crate) use check::Late;
pub use check::{Check, Tolerance};
pub use gate::{AlertFilter, Ask, Calendar, GateKind, GateSpec, HttpProbe, Moment, Otherwise};
pub use kind::{CheckKind, Comparison, Evident, Limit, Then, Unclear, Weighed};
pub use metric::{Metric, MetricQuery, MetricSpec, Quantile, ScorePart, Unit, UnknownMetric};
pub(crate) use nearest::{nearest, slips_of};
pub(crate) use problem::shown;
pub use problem::{Place, PolicyError, Problem};
pub use promotion::{How, Promotion, WorkloadSpec};
pub use spec::{Drift, Patience, PolicySpec};
pub use stage::{Pass, PassLimit, Scale, Stage};

use std::sync::Arc;
use std::time::Duration;

use crate::value::{GateName, Traffic};

/// The name under which the built-in hard limit stands in records and reports.
pub const HARD_LIMIT: &str = "hard-limit";

/// The name of the stage in which the old version is kept at 100 %.
pub const BAKE: &str = "bake";

/// The question that a rollout asks which stands still.
pub const PROGRESS: &str = "progress";

/// How deep checks may lie in checks: `all`, `any` and `not` of one another.
pub const MAX_DEPTH: usize = 8;

/// Plans a rollout; always valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    spec: Arc<PolicySpec>,
    plan: Plan,
}

impl Policy {
    /// Begins a policy in code.
    pub fn builder(name: impl Into<String>) -> PolicyBuilder {
        PolicyBuilder::new(name)
    }

    /// Checks the stable form and takes it as a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with everything that is wrong with it.
    pub fn from_spec(spec: impl Into<Arc<PolicySpec>>) -> Result<Self, PolicyError> {
        let spec = spec.into();
        let problems = validate::problems(&spec);
        if problems.is_empty() {
            let plan = Plan::of(&spec);
            Ok(Self { spec, plan })
        } else {
            Err(PolicyError::new(problems))
        }
    }

    /// Reads a policy in the form that people write, as YAML or JSON.
    ///
    /// # Errors
    /// [`PolicyError`]: a syntax error alone, otherwise everything that is wrong, each with its
    /// place in the text, what was expected, and what to write instead.
    #[cfg(feature = "yaml")]
    pub fn from_yaml(text: &str) -> Result<Self, PolicyError> {
        Self::from_yaml_named("policy.yaml", text)
    }

    /// Reads a policy as [`from_yaml`](Self::from_yaml) does, with the file's name for its errors.
    ///
    /// # Errors
    /// As for [`from_yaml`](Self::from_yaml).
    #[cfg(feature = "yaml")]
    pub fn from_yaml_named(file: &str, text: &str) -> Result<Self, PolicyError> {
        text::read(file, text)
    }

    /// Returns the stable form.
    #[must_use]
    pub fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    /// Returns the stable form for somebody who keeps it.
    #[must_use]
    pub fn shared_spec(&self) -> Arc<PolicySpec> {
        Arc::clone(&self.spec)
    }

    /// Returns the policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Returns the time between two looks at the metrics.
    #[must_use]
    pub fn every(&self) -> Duration {
        Duration::from_millis(self.spec.every_ms)
    }

    /// Returns the time after a change of weight that is left out of what is measured.
    #[must_use]
    pub fn settle(&self) -> Duration {
        Duration::from_millis(self.spec.settle_ms)
    }

    /// Returns how far behind the metric source may be and its last word still be fresh.
    #[must_use]
    pub fn lag(&self) -> Duration {
        Duration::from_millis(self.spec.lag_ms)
    }

    /// Returns the stages, at least one, with rising weights up to 100 %, and the bake last where there is one.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.plan.stages
    }

    /// Returns the position of the stage that first has all of the traffic: what lies after it is the bake.
    #[must_use]
    pub fn full_stage(&self) -> usize {
        self.spec.stages.len().saturating_sub(1)
    }

    /// Returns the traffic of a stage.
    ///
    /// # Panics
    /// If there is no stage at this position.
    #[must_use]
    pub fn traffic(&self, stage: usize) -> Traffic {
        let Stage { weight, mirror, .. } = self.stages()[stage];
        let mut traffic = Traffic::to_canary(weight).with_mirror(mirror);
        traffic.header.clone_from(&self.spec.header);
        traffic.audience.clone_from(&self.spec.audience);
        traffic
    }

    /// Returns what is asked before the first stage, in this order; the gates of the start come first.
    #[must_use]
    pub fn asks_before_first(&self) -> &[Ask] {
        &self.plan.before_first
    }

    /// Returns what is asked between this stage and what follows it, in this order.
    #[must_use]
    pub fn asks_after(&self, stage: usize) -> &[Ask] {
        self.plan.after.get(stage).map_or(&[], Vec::as_slice)
    }

    /// Returns what is asked once the new version is the stable one.
    #[must_use]
    pub fn asks_after_promotion(&self) -> &[Ask] {
        &self.plan.after_promotion
    }

    /// Returns the checks.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.spec.checks
    }

    /// Tells whether anything is judged by what is measured: without the hard limit, a check that reads a metric,
    /// and what a stage must show nothing needs to be measured.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let shows = |stage: &Stage| !stage.pass.is_empty();
        let reads = |check: &Check| !check.kind.only_gates();
        self.hard_limit() || self.checks().iter().any(reads) || self.stages().iter().any(shows)
    }

    /// Tells whether half of twenty or more requests failing, while stable is well, takes the canary back at once.
    #[must_use]
    pub fn hard_limit(&self) -> bool {
        self.spec.hard_limit
    }

    /// Returns what silence of the metric source means.
    #[must_use]
    pub fn no_data(&self) -> Patience {
        self.spec.no_data
    }

    /// Returns what errors of the metric source mean.
    #[must_use]
    pub fn errors(&self) -> Patience {
        self.spec.errors
    }

    /// Returns how a gate is asked; one that is only named is supplied in code and waited for.
    #[must_use]
    pub fn gate(&self, name: &GateName) -> GateSpec {
        self.spec.gates.get(name).cloned().unwrap_or_default()
    }

    /// Returns every gate that is asked anywhere, each once, in the order of the plan, those of checks last.
    pub fn gates(&self) -> impl Iterator<Item = &GateName> {
        let planned = self.planned().map(|ask| &ask.gate);
        let mut all: Vec<&GateName> = Vec::new();
        for gate in planned.chain(self.watched_gates()) {
            if !all.contains(&gate) {
                all.push(gate);
            }
        }
        all.into_iter()
    }

    /// Tells whether the rollout stands until this gate opens, somewhere in the plan.
    #[must_use]
    pub fn waits_for(&self, gate: &GateName) -> bool {
        self.planned().any(|ask| ask.gate == *gate)
    }

    fn planned(&self) -> impl Iterator<Item = &Ask> {
        std::iter::once(&self.plan.before_first)
            .chain(&self.plan.after)
            .chain(std::iter::once(&self.plan.after_promotion))
            .flatten()
    }

    /// Returns the gates that are watched all along as checks, each once, in the order of the checks.
    pub fn watched_gates(&self) -> impl Iterator<Item = &GateName> {
        let mut all: Vec<&GateName> = Vec::new();
        for check in self.checks() {
            check.kind.visit(&mut |kind| match kind {
                CheckKind::Gate { gate } if !all.contains(&gate) => all.push(gate),
                _ => {}
            });
        }
        all.into_iter()
    }

    /// Returns how long a roll-back may take before it is called stuck.
    #[must_use]
    pub fn rollback_within(&self) -> Duration {
        Duration::from_millis(self.spec.rollback_within_ms)
    }

    /// Returns how often the route is looked at, so that what others do to it is noticed: as often as the metrics are, but
    /// no more than every ten seconds and no less than every minute.
    #[cfg(any(feature = "driver", feature = "simulate"))]
    pub(crate) fn route_looks(&self) -> Duration {
        self.every().clamp(Duration::from_secs(10), Duration::from_secs(60))
    }

    /// Returns the time in which both versions have something to answer, if all goes well.
    #[must_use]
    pub fn mixed_time(&self) -> Duration {
        let mixed = |stage: &&Stage| stage.split().is_mixed();
        self.spec
            .stages
            .iter()
            .filter(mixed)
            .map(Stage::hold)
            .fold(Duration::ZERO, Duration::saturating_add)
    }
}

/// Holds what follows from the form: the whole way in one list.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    stages: Vec<Stage>,
    before_first: Vec<Ask>,
    after: Vec<Vec<Ask>>,
    after_promotion: Vec<Ask>,
}

impl Plan {
    fn of(spec: &PolicySpec) -> Self {
        let mut stages = spec.stages.clone();
        if spec.promotion.keep_old_ms > 0 {
            let keep_old = Duration::from_millis(spec.promotion.keep_old_ms);
            stages.push(Stage::new(BAKE, crate::value::Weight::FULL, keep_old));
        }
        let asks = |gates: &[GateName], moment: Moment, stage: Option<usize>| -> Vec<Ask> {
            gates.iter().map(|gate| Ask { gate: gate.clone(), moment, stage }).collect()
        };
        let entering = |i: usize| {
            stages.get(i).map_or_else(Vec::new, |s| asks(&s.enter, Moment::Entering, Some(i)))
        };
        let last = stages.len().saturating_sub(1);
        let after = stages.iter().enumerate().map(|(i, stage)| {
            let mut after = asks(&stage.gates, Moment::Leaving, Some(i));
            after.extend(entering(i + 1));
            if i == last {
                after.extend(asks(&spec.promotion.gates, Moment::Promotion, None));
            }
            after
        });
        let mut before_first = asks(&spec.start, Moment::Start, None);
        before_first.extend(entering(0));
        Self {
            after: after.collect(),
            before_first,
            after_promotion: asks(&spec.promotion.after, Moment::Promoted, None),
            stages,
        }
    }
}
