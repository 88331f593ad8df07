//! How often a check may fail, and how often it must pass.

use proptest::prelude::*;

use super::*;
use crate::policy::Then;

fn errors() -> Check {
    Check::above("errors", "error_rate", 0.05)
}

/// Looks once for each letter: `f` fails, `p` passes. Returns the rulings: `.` go on, `w` wait, `h` hold, `a` ask,
/// `r` roll back.
fn rulings(check: Check, looks: &str) -> String {
    let mut bench = Bench::of(vec![check]);
    let look = |look: char| letter(ruling(&bench.failing(if look == 'f' { 50 } else { 0 })));
    looks.chars().map(look).collect()
}

fn letter(ruling: Ruling) -> char {
    match ruling {
        Ruling::GoOn => '.',
        Ruling::Wait => 'w',
        Ruling::Hold => 'h',
        Ruling::Ask => 'a',
        Ruling::RollBack => 'r',
    }
}

#[test]
fn failures_are_borne_as_often_as_the_check_says() {
    for (check, looks, expected) in [
        (errors(), "pfp", ".r."),
        (errors().then(Then::Hold), "pfp", ".h."),
        (errors().then(Then::Ask), "pfp", ".a."),
        (errors().then(Then::Warn), "pfp", "..."),
        // Borne: the canary does not grow on it, but that is all.
        (errors().bearing(2), "fpfpf", "h.h.r"),
        (errors().bearing_in_a_row(2), "ffpfff", "hh.hhr"),
        (errors().bearing(3).bearing_in_a_row(1), "fpfpff", "h.h.hr"),
        (errors().bearing(3).bearing_in_a_row(1), "fpfpfpf", "h.h.h.r"),
        (errors().bearing(0), "f", "r"),
        (errors().bearing(1).then(Then::Hold), "fpfp", "..h."),
        (errors().bearing(1).then(Then::Ask), "fpf", "h.a"),
        (errors().passing_in_a_row(3), "ppp", "ww."),
        (errors().passing_in_a_row(2).then(Then::Hold), "ppfpp", "w.hw."),
    ] {
        assert_eq!(rulings(check.clone(), looks), expected, "{check:?} on {looks}");
    }
}

#[test]
fn a_borne_failure_says_so() {
    let mut bench = Bench::of(vec![errors().bearing(1)]);
    let judged = bench.failing(50);
    let result = found(&judged, "errors");
    assert!(result.borne && result.verdict == Verdict::Fail && result.then == Then::Hold);
    assert!(judged.guilty.is_none());
    assert!(!found(&bench.failing(50), "errors").borne);
}

#[test]
fn passes_in_a_row_are_asked_for_anew_in_each_stage() {
    let mut bench = Bench::of(vec![errors().passing_in_a_row(2)]);
    let judged = bench.failing(0);
    assert_eq!(found(&judged, "errors").passes_left, 1);
    assert!(!bench.passing());
    let _ = bench.failing(0);
    assert!(bench.passing());
    bench.enter(1);
    assert_eq!(ruling(&bench.failing(0)), Ruling::Wait);
    assert_eq!(ruling(&bench.failing(0)), Ruling::GoOn);
}

#[test]
fn what_is_not_known_ends_a_row_of_passes_and_no_row_of_failures() {
    let check = errors().bearing_in_a_row(1).passing_in_a_row(2);
    let mut bench = Bench::of(vec![check]);
    let _ = bench.failing(0);
    let _ = bench.look(|_| Ok((counts(1, 0), Reading::NoData)));
    assert_eq!(found(&bench.failing(0), "errors").passes_left, 1);
    let _ = bench.failing(50);
    let _ = bench.look(|_| Err(FailureKind::Timeout));
    assert_eq!(ruling(&bench.failing(50)), Ruling::RollBack);
}

proptest! {
    #[test]
    fn the_first_failure_too_many_is_where_counting_says(
        looks in "[pf]{1,40}",
        failures in prop::option::of(0_u32..6),
        in_a_row in prop::option::of(0_u32..4),
    ) {
        let mut check = errors();
        check.tolerance.failures = failures;
        check.tolerance.in_a_row = in_a_row;
        let (mut total, mut row, mut expected) = (0, 0, None);
        for (i, look) in looks.chars().enumerate() {
            if look == 'p' {
                row = 0;
                continue;
            }
            total += 1;
            row += 1;
            let too_many = failures.is_some_and(|most| total > most)
                || in_a_row.is_some_and(|most| row > most)
                || (failures.is_none() && in_a_row.is_none());
            if too_many && expected.is_none() {
                expected = Some(i);
            }
        }
        prop_assert_eq!(rulings(check, &looks).find('r'), expected);
    }
}
