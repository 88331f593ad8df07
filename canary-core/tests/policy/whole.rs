//! Everything that the language can say reaches the form.

use std::time::Duration;

use canary_core::policy::{
    AlertFilter, Calendar, Check, CheckKind, Comparison, Drift, GateKind, GateSpec, How, HttpProbe,
    Limit, Metric, MetricSpec, Otherwise, Patience, Policy, PolicySpec, Scale, Stage, Then,
    WorkloadSpec,
};
use canary_core::value::{Audience, Member, Weight};

const WHOLE: &str = include_str!("whole.yaml");

fn whole() -> PolicySpec {
    Policy::from_yaml(WHOLE).unwrap().spec().clone()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn check(name: &str) -> Check {
    whole().checks.into_iter().find(|check| &*check.name == name).unwrap()
}

fn stage(name: &str) -> Stage {
    whole().stages.into_iter().find(|stage| stage.name == name).unwrap()
}

#[test]
fn the_head_says_who_is_reached_and_how_often_is_looked() {
    let spec = whole();
    assert_eq!((spec.every_ms, spec.settle_ms, spec.lag_ms), (15_000, 5_000, 30_000));
    assert_eq!(spec.header["x-canary"], "true");
    let audience = Audience::by("user")
        .always(Member::List("beta".to_owned()))
        .always(Member::EmailDomain("example.com".to_owned()))
        .always(Member::Segment("early".to_owned()));
    assert_eq!(spec.audience, Some(audience));
    assert_eq!((spec.keep, spec.fast_return, spec.drift), (20, 3, Drift::Pause));
    assert_eq!(spec.allow, ["no-hard-limit", "gate-without-timeout"]);
    assert!(!spec.hard_limit);
    assert_eq!(spec.rollback_within_ms, 120_000);
    let workload = WorkloadSpec::default()
        .ready_within(minutes(10))
        .ready_for(Duration::from_secs(30))
        .keep(minutes(60), minutes(120));
    assert_eq!(spec.workload, workload);
}

#[test]
fn metrics_are_questions_or_scores() {
    let spec = whole();
    let MetricSpec::Query(pool) = &spec.metrics["pool"] else { panic!("{spec:?}") };
    assert_eq!(pool.source.as_deref(), Some("prom"));
    assert!(pool.query.as_deref().unwrap().starts_with("db_pool_in_use_ratio{"));
    let MetricSpec::Score(parts) = &spec.metrics["health"] else { panic!("{spec:?}") };
    let parts: Vec<_> =
        parts.iter().map(|p| (p.metric.to_string(), p.weight, p.good, p.bad)).collect();
    let absolute = Limit::Absolute;
    assert_eq!(
        parts,
        [
            ("error_rate".to_owned(), 50.0, absolute(0.0), absolute(1.0)),
            ("latency.p95".to_owned(), 30.0, absolute(200.0), Limit::TimesStable(3.0)),
            ("saturation".to_owned(), 20.0, absolute(0.8), absolute(1.0)),
        ]
    );
}

#[test]
fn stages_by_rule_end_exactly_where_they_are_to_end() {
    let policy = Policy::from_yaml(WHOLE).unwrap();
    let seen: Vec<_> =
        policy.stages().iter().map(|s| (s.name.as_str(), s.weight.to_string())).collect();
    let expected = [
        ("qa", "0%"),
        ("shadow", "0%"),
        ("1%", "1%"),
        ("3%", "3%"),
        ("9%", "9%"),
        ("10%", "10%"),
        ("tenth", "12%"),
        ("20%", "20%"),
        ("40%", "40%"),
        ("50%", "50%"),
        ("half", "60%"),
        ("full", "100%"),
        ("bake", "100%"),
    ];
    assert_eq!(seen, expected.map(|(name, weight)| (name, weight.to_owned())));
    assert!(
        policy.stages()[7..10]
            .iter()
            .all(|s| s.scale == Some(Scale::Share(Weight::percent(50))) && s.hold() == minutes(10))
    );
    assert_eq!(policy.traffic(1).mirror, Weight::percent(10));
    assert_eq!(stage("shadow").scale, Some(Scale::Replicas(2)));
    assert_eq!(policy.stages()[12].hold(), minutes(24 * 60));
}

#[test]
fn a_stage_is_left_when_its_own_requests_show_what_they_must() {
    let pass = stage("tenth").pass;
    assert_eq!(pass.samples, 5000);
    let seen: Vec<_> =
        pass.limits.iter().map(|l| (l.metric.to_string(), l.comparison, l.limit)).collect();
    assert_eq!(
        seen,
        [
            ("health".to_owned(), Comparison::Below, 0.99),
            ("latency.p99".to_owned(), Comparison::Above, 2000.0)
        ]
    );
}

#[test]
fn checks_say_what_they_look_at_and_what_follows() {
    assert_eq!(
        check("errors"),
        Check::new(
            "errors",
            CheckKind::WorseThanStable { ratio: 1.25, false_alarm: 0.005, of: Vec::new() }
        )
    );
    let errors = Check::above("too-many-errors", "error_rate", 0.05);
    assert_eq!(check("too-many-errors"), errors.lasting(minutes(2)).with_samples(100));
    let slow = Check::above_stable("slow", "latency.p95", 1.5).lasting(minutes(5)).then(Then::Ask);
    let slow = slow
        .no_data(Patience::new(minutes(2), Then::RollBack))
        .errors(Patience::new(minutes(60), Then::Ask));
    assert_eq!(check("slow"), slow);
    let pool = Check::above("pool", "pool", 0.9).then(Then::Hold);
    let pool = pool.from_weight(Weight::percent(10)).delayed(minutes(2)).every(minutes(1));
    assert_eq!(check("pool"), pool.bearing(5).bearing_in_a_row(2).passing_in_a_row(3));
    let cpu = Check::above("cpu", "cpu", 0.8).then(Then::Warn).dry_run();
    assert_eq!(check("cpu"), cpu);
    let gate = "no-critical-alert".parse().unwrap();
    assert_eq!(check("alerts"), Check::gate("alerts", gate));
    let p99: Metric = "latency.p99".parse().unwrap();
    assert_eq!(
        check("ab"),
        Check::new("ab", CheckKind::Ab { metric: p99, significance: 0.05, samples: 10_000 })
            .then(Then::Ask)
    );
}

#[test]
fn checks_are_put_together() {
    let part = |check: Check| check.kind;
    let disk = part(Check::above("", "disk", 0.9));
    let idle = part(Check::below("", "request_rate", 100.0));
    let fails = part(Check::below("", "success_rate", 0.995).lasting(minutes(1)));
    let all = CheckKind::All(vec![idle, CheckKind::Not(Box::new(fails))]);
    assert_eq!(check("worn-out"), Check::new("worn-out", CheckKind::Any(vec![disk, all])));
}

#[test]
fn gates_are_asked_where_they_are_named() {
    let spec = whole();
    let named = |names: &[&str]| names.iter().map(|n| n.parse().unwrap()).collect::<Vec<_>>();
    assert_eq!(spec.start, named(&["smoke"]));
    assert_eq!(stage("tenth").gates, named(&["oncall"]));
    assert_eq!(stage("half").enter, named(&["office-hours"]));
    assert_eq!(spec.promotion.gates, named(&["oncall", "not-in-december"]));
    assert_eq!((spec.promotion.how, spec.promotion.after), (How::Swap, named(&["smoke"])));
    let gate = |name: &str| spec.gates[&name.parse().unwrap()].clone();
    let mut probe = HttpProbe::get("https://shop/healthz");
    probe.expect = 204;
    let smoke = GateSpec::of(GateKind::Http(probe));
    assert_eq!(gate("smoke"), smoke.timeout(minutes(1)).otherwise(Otherwise::Open));
    assert_eq!(gate("oncall"), GateSpec::approval().timeout(minutes(240)));
    let mut alerts = AlertFilter::default();
    alerts.severity = Some("critical".to_owned());
    assert_eq!(gate("no-critical-alert").kind, GateKind::Alerts(alerts));
    let office = Calendar::open("* 9-16 * * MON-THU", "Europe/Berlin");
    assert_eq!(gate("office-hours").kind, GateKind::Window(office));
    let december = Calendar::freeze("* * * 12 *", "UTC");
    assert_eq!(gate("not-in-december").kind, GateKind::Window(december));
}

#[test]
fn what_goes_wrong_has_its_answer() {
    let spec = whole();
    assert_eq!(spec.no_data, Patience::new(minutes(6), Then::RollBack));
    assert_eq!(spec.errors, Patience::new(minutes(7), Then::Ask));
    assert_eq!(spec.progress, Some(Patience::new(minutes(120), Then::Ask)));
}

#[test]
fn the_form_survives_being_stored() {
    let stored = serde_json::to_string(&whole()).unwrap();
    let read: PolicySpec = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, whole());
    assert_eq!(Policy::from_spec(read).unwrap(), Policy::from_yaml(WHOLE).unwrap());
}

#[test]
fn how_long_the_old_version_is_kept_stands_in_either_place() {
    let in_promotion = WHOLE
        .replace(", keep_old: 24h }", " }")
        .replace("{ how: swap,", "{ how: swap, keep_old: 24h,");
    assert_ne!(in_promotion, WHOLE);
    assert_eq!(*Policy::from_yaml(&in_promotion).unwrap().spec(), whole());
}
