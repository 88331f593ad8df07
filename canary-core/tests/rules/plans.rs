//! Random plans, and what the world that they are carried out in is like.

use std::time::Duration;

use canary_core::policy::{
    Check, Drift, GateSpec, How, Otherwise, Patience, Policy, PolicySpec, Stage, Then, WorkloadSpec,
};
use canary_core::value::{GateName, Split, Weight};
use proptest::prelude::*;

/// A policy in its form, and what is rolled out with it.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) spec: PolicySpec,
    pub(crate) workload: bool,
    /// From this weight on the canary fails its requests.
    pub(crate) bad_from: Option<Weight>,
    /// This gate says no.
    pub(crate) closed: Option<GateName>,
}

/// Writes the policy as JSON: short, and can be read back.
impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spec = serde_json::to_string(&self.spec).unwrap();
        let Self { workload, bad_from, closed, .. } = self;
        write!(f, "{spec} workload: {workload}, bad from: {bad_from:?}, closed: {closed:?}")
    }
}

impl Plan {
    pub(crate) fn policy(&self) -> Policy {
        Policy::from_spec(self.spec.clone()).unwrap()
    }

    /// Tells whether metrics count where the traffic is split so, as far as the plan says so itself.
    pub(crate) fn is_measured_at(&self, split: Split) -> bool {
        let metric = |check: &Check| check.is_binding() && &*check.name != "switch";
        (self.spec.hard_limit && split.is_mixed())
            || (split.reaches_canary() && self.spec.checks.iter().any(metric))
    }

    /// Tells whether stable itself takes the new version.
    pub(crate) fn in_place(&self) -> bool {
        self.workload && self.spec.promotion.how == How::InPlace
    }
}

pub(crate) fn gate(name: &str) -> GateName {
    name.parse().unwrap()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn stages() -> impl Strategy<Value = Vec<Stage>> {
    let weights = prop_oneof![
        Just(vec![100]),
        Just(vec![0, 100]),
        Just(vec![10, 100]),
        Just(vec![10, 50, 100]),
        Just(vec![0, 30, 100]),
    ];
    (weights, proptest::collection::vec(0_u64..3, 3)).prop_map(|(weights, holds)| {
        let stages: Vec<Stage> = weights
            .iter()
            .zip(holds)
            .map(|(w, hold)| Stage::new(format!("at-{w}"), Weight::percent(*w), seconds(hold * 10)))
            .collect();
        stages
    })
}

fn check() -> impl Strategy<Value = Option<Check>> {
    prop_oneof![
        1 => Just(None),
        2 => Just(Some(Then::RollBack)),
        1 => Just(Some(Then::Hold)),
        1 => Just(Some(Then::Warn)),
    ]
    .prop_map(|then| then.map(|then| Check::above("errors", "error_rate", 0.05).then(then)))
}

/// Bits that say which gates stand in the plan.
fn with_gates(spec: &mut PolicySpec, bits: u8, otherwise: Otherwise, timeout: Option<u64>) {
    let on = |bit: u8| bits & (1 << bit) != 0;
    let last = spec.stages.len() - 1;
    if on(0) {
        spec.start.push(gate("begin"));
    }
    if on(1) {
        spec.stages[0].enter.push(gate("calm"));
    }
    if on(2) {
        let mut oncall = GateSpec::approval().otherwise(otherwise);
        oncall.timeout_ms = timeout.map(|s| s * 1_000);
        spec.stages[0].gates.push(gate("oncall"));
        spec.gates.insert(gate("oncall"), oncall);
    }
    if on(3) {
        let mut smoke = GateSpec::default().otherwise(otherwise);
        smoke.timeout_ms = timeout.map(|s| s * 1_000);
        spec.stages[last].gates.push(gate("smoke"));
        spec.gates.insert(gate("smoke"), smoke);
    }
    if on(4) && last > 0 {
        spec.stages[last].enter.push(gate("hours"));
    }
    if on(5) {
        spec.promotion.gates.push(gate("ship"));
    }
    if on(6) {
        spec.promotion.after.push(gate("after"));
    }
    if on(7) {
        spec.checks.push(Check::gate("switch", gate("kill-switch")));
    }
}

prop_compose! {
    /// Returns a plan of any sort that is valid.
    pub(crate) fn plans()(
        stages in stages(),
        check in check(),
        gates in any::<u8>(),
        no_gates in any::<bool>(),
        otherwise in prop_oneof![Just(Otherwise::RollBack), Just(Otherwise::Open)],
        timeout in proptest::option::of(5_u64..60),
        workload in any::<bool>(),
        how in prop_oneof![Just(How::InPlace), Just(How::Swap)],
        drift in prop_oneof![Just(Drift::PutBack), Just(Drift::Pause), Just(Drift::Accept)],
        progress in proptest::option::weighted(
            0.2,
            prop_oneof![Just(Then::RollBack), Just(Then::Ask), Just(Then::Hold)],
        ),
        silence in prop_oneof![Just(Then::RollBack), Just(Then::Hold)],
        (hard_limit, header, mirror, keep_old, settle) in any::<(bool, bool, bool, bool, bool)>(),
        (ready_for, keep) in (0_u64..3, 0_u64..3),
        bad in proptest::option::weighted(0.3, prop_oneof![Just(10_u8), Just(50), Just(100)]),
        closed in proptest::option::weighted(0.2, prop_oneof![
            Just("begin"), Just("smoke"), Just("ship"), Just("after"), Just("kill-switch"),
        ]),
    ) -> Plan {
        let mut spec = PolicySpec::new("shop");
        spec.every_ms = 10_000;
        spec.settle_ms = if settle { 3_000 } else { 0 };
        spec.stages = stages;
        if spec.stages[0].weight == Weight::ZERO && (mirror || !header) {
            spec.stages[0].mirror = Weight::percent(20);
        }
        spec.checks.extend(check);
        spec.hard_limit = hard_limit && spec.stages.iter().any(|s| s.split().is_mixed());
        spec.drift = drift;
        spec.no_data = Patience::new(seconds(30), silence);
        spec.progress = progress.map(|then| Patience::new(seconds(120), then));
        spec.promotion.how = how;
        spec.promotion.keep_old_ms = if keep_old { 20_000 } else { 0 };
        spec.workload = WorkloadSpec::default()
            .ready_within(seconds(60))
            .ready_for(seconds(ready_for))
            .keep(seconds(keep * 10), seconds(keep * 10));
        if header {
            spec.header.insert("x-canary".to_owned(), "true".to_owned());
        }
        with_gates(&mut spec, if no_gates { 0 } else { gates }, otherwise, timeout);
        Plan {
            spec,
            workload,
            bad_from: bad.map(Weight::percent),
            closed: closed.map(gate),
        }
    }
}

/// Runs so many cases, or as many as `PROPTEST_CASES` says.
pub(crate) fn cases(few: u32) -> ProptestConfig {
    let many = std::env::var_os("PROPTEST_CASES").is_some();
    let mut config = ProptestConfig::default();
    config.failure_persistence = None;
    config.max_shrink_iters = 500;
    config.cases = if many { config.cases } else { few };
    config
}
