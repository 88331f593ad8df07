//! Gates that are watched as checks.

use super::*;
use crate::policy::Then;
use crate::ports::Decision;
use crate::value::GateName;

fn alerts() -> GateName {
    GateName::new("alerts").unwrap()
}

fn bench(check: Check) -> Bench {
    Bench::of(vec![check])
}

fn say(bench: &mut Bench, said: Result<Decision, Failure>) {
    let now = bench.now;
    bench.judge.gate_said(&alerts(), said, now);
}

fn wait() -> Decision {
    Decision::wait(INTERVAL, "somebody looks")
}

#[test]
fn a_gates_last_word_is_its_verdict() {
    for (said, expected, ruled) in [
        (Ok(Decision::Open), Verdict::Pass, Ruling::GoOn),
        (Ok(wait()), Verdict::Inconclusive, Ruling::Hold),
        (Ok(Decision::reject("two fire")), Verdict::Fail, Ruling::RollBack),
        (Err(Failure::new(FailureKind::Timeout, "")), Verdict::Error, Ruling::Hold),
    ] {
        let mut bench = bench(Check::gate("alerts", alerts()));
        say(&mut bench, said);
        let judged = bench.unmeasured();
        assert_eq!((verdict(&judged, "alerts"), ruling(&judged)), (expected, ruled));
        assert_eq!(judged.observed, None);
        let open = expected == Verdict::Pass;
        assert_eq!(bench.judge.gates_pass(&bench.policy, bench.now), open);
        let rejects = bench.judge.gate_rejects(&bench.policy, &alerts(), bench.here(), bench.now);
        assert_eq!(rejects.is_some(), expected == Verdict::Fail);
    }
}

#[test]
fn an_old_word_or_none_lets_nothing_go_on() {
    let mut bench = bench(Check::gate("alerts", alerts()));
    assert_eq!(ruling(&bench.unmeasured()), Ruling::Wait);
    say(&mut bench, Ok(Decision::Open));
    let seen: Vec<Ruling> = (0..3).map(|_| ruling(&bench.unmeasured())).collect();
    assert_eq!(seen, [Ruling::GoOn, Ruling::GoOn, Ruling::Hold]);
    assert!(!bench.judge.gates_pass(&bench.policy, bench.now));
}

#[test]
fn a_gate_is_watched_beside_metrics() {
    let mut bench = Bench::of(vec![
        Check::gate("alerts", alerts()),
        Check::above("errors", "error_rate", 0.05),
    ]);
    say(&mut bench, Ok(Decision::Open));
    assert_eq!(ruling(&bench.failing(0)), Ruling::GoOn);
    assert!(bench.passing());
    say(&mut bench, Ok(wait()));
    assert_eq!(ruling(&bench.failing(0)), Ruling::Hold);
    assert!(!bench.passing());
}

#[test]
fn only_a_check_that_binds_and_bears_nothing_takes_the_canary_back_at_once() {
    for check in [
        Check::gate("alerts", alerts()).bearing(3),
        Check::gate("alerts", alerts()).then(Then::Hold),
        Check::gate("alerts", alerts()).dry_run(),
        Check::gate("alerts", alerts()).from_weight(Weight::FULL),
        Check::gate("alerts", alerts()).delayed(Duration::from_secs(60)),
    ] {
        let mut bench = bench(check.clone());
        say(&mut bench, Ok(Decision::reject("two fire")));
        let rejects = bench.judge.gate_rejects(&bench.policy, &alerts(), bench.here(), bench.now);
        assert_eq!(rejects, None, "{check:?}");
    }
}

#[test]
fn a_gate_bears_and_must_show_what_its_check_says() {
    let bearing = Check::gate("alerts", alerts()).then(Then::Hold).bearing(1);
    let passing = Check::gate("alerts", alerts()).passing_in_a_row(3);
    for (check, words, expected) in
        [(bearing, [false; 3], [true, false, false]), (passing, [true; 3], [false, false, true])]
    {
        let mut bench = bench(check);
        for (open, expected) in words.into_iter().zip(expected) {
            say(&mut bench, Ok(if open { Decision::Open } else { Decision::reject("no") }));
            let _ = bench.unmeasured();
            assert_eq!(bench.judge.gates_pass(&bench.policy, bench.now), expected);
        }
        bench.now = bench.now + INTERVAL + INTERVAL + INTERVAL;
        assert!(!bench.judge.gates_pass(&bench.policy, bench.now), "an old look");
    }
}
