//! All of, any of, not.

use proptest::prelude::*;

use super::*;
use crate::policy::CheckKind;
use crate::record::{Combination, Finding};
use crate::rollout::judge::sight::combined;

use Verdict::{Error, Fail, Inconclusive, NoData, NotApplicable, Pass, Pending};

#[test]
fn what_is_not_known_counts_only_where_it_matters() {
    use Combination::{All, Any, Not};
    for (how, parts, expected) in [
        (All, vec![Fail, Fail], Fail),
        (All, vec![Fail, Pass], Pass),
        (All, vec![Fail, NoData], NoData),
        (All, vec![Pass, Error], Pass),
        (All, vec![Fail, NotApplicable], Fail),
        (All, vec![NotApplicable], NotApplicable),
        (Any, vec![Pass, Pass], Pass),
        (Any, vec![Pass, Fail], Fail),
        (Any, vec![Pass, Pending], Pending),
        (Any, vec![Fail, NoData], Fail),
        (Any, vec![Pass, NotApplicable], Pass),
        (Any, vec![Inconclusive, Error, NoData, Pending], Error),
        (Any, vec![Inconclusive, NoData, Pending], NoData),
        (Any, vec![Pending, Inconclusive], Inconclusive),
        (Not, vec![Pass], Fail),
        (Not, vec![Fail], Pass),
        (Not, vec![NoData], NoData),
        (Not, vec![NotApplicable], NotApplicable),
    ] {
        assert_eq!(combined(how, parts.iter().copied()), expected, "{how:?} of {parts:?}");
    }
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop::sample::select(vec![Pass, Fail, NoData, Error, Inconclusive, Pending, NotApplicable])
}

proptest! {
    /// Whatever the unknown parts turn out to be decides nothing where the whole is known, and something where not.
    #[test]
    fn a_verdict_is_known_just_where_no_unknown_part_could_change_it(
        parts in prop::collection::vec(any_verdict(), 1..7), all in any::<bool>(),
    ) {
        let how = if all { Combination::All } else { Combination::Any };
        let unknown: Vec<usize> =
            (0..parts.len()).filter(|i| !matches!(parts[*i], Pass | Fail | NotApplicable)).collect();
        let mut possible = Vec::new();
        for world in 0..1_u32 << unknown.len() {
            let mut known = parts.clone();
            for (bit, i) in unknown.iter().enumerate() {
                known[*i] = if world >> bit & 1 == 1 { Fail } else { Pass };
            }
            possible.push(combined(how, known.into_iter()));
        }
        let seen = combined(how, parts.iter().copied());
        if possible.iter().all(|one| *one == possible[0]) {
            prop_assert_eq!(seen, possible[0]);
        } else {
            prop_assert!(unknown.iter().any(|i| parts[*i] == seen), "{:?} of {:?}", seen, parts);
        }
    }

    #[test]
    fn not_all_is_any_not(parts in prop::collection::vec(any_verdict(), 1..7)) {
        let not = |verdict| combined(Combination::Not, std::iter::once(verdict));
        prop_assert_eq!(
            not(combined(Combination::All, parts.iter().copied())),
            combined(Combination::Any, parts.iter().copied().map(not))
        );
    }
}

fn kind(metric: &str, limit: f64, over: Duration) -> CheckKind {
    Check::above("part", metric, limit).lasting(over).kind
}

#[test]
fn the_parts_are_judged_and_shown() {
    let parts =
        vec![kind("error_rate", 0.05, Duration::ZERO), kind("request_rate", 5.0, Duration::ZERO)];
    let mut bench = Bench::of(vec![Check::new("both", CheckKind::All(parts))]);
    // Ten requests a second.
    let judged = bench.failing(50);
    assert_eq!(ruling(&judged), Ruling::RollBack);
    let Finding::Combined { how: Combination::All, parts } = &found(&judged, "both").finding else {
        panic!("{judged:?}");
    };
    assert_eq!(parts.iter().map(|part| part.verdict).collect::<Vec<_>>(), [Fail, Fail]);
    assert_eq!(ruling(&bench.failing(0)), Ruling::GoOn);
}

#[test]
fn what_would_have_to_last_is_not_known_under_a_not_until_it_could_have() {
    let lasting = kind("error_rate", 0.05, Duration::from_secs(30));
    let quiet = Check::new("quiet", CheckKind::Not(Box::new(lasting)));
    let mut bench = Bench::of(vec![quiet]);
    let seen: Vec<Verdict> = (0..4).map(|_| verdict(&bench.failing(50), "quiet")).collect();
    assert_eq!(seen, [Inconclusive, Inconclusive, Pass, Pass]);
    assert_eq!(verdict(&bench.failing(0), "quiet"), Pass, "two thirds of 50 % are above 5 %");
    let _ = bench.failing(0);
    assert_eq!(verdict(&bench.failing(0), "quiet"), Fail);
}

#[test]
fn parts_that_compare_are_left_out_where_stable_has_no_traffic() {
    let compares = Check::above_stable("part", "error_rate", 1.5).kind;
    let any = CheckKind::Any(vec![compares, kind("error_rate", 0.05, Duration::ZERO)]);
    let mut bench = Bench::of(vec![Check::new("any", any)]);
    bench.enter(1);
    let look =
        |bench: &mut Bench, bad| bench.look(move |_| Ok((Reading::NoData, counts(100, bad))));
    assert_eq!(verdict(&look(&mut bench, 0), "any"), Pass);
    assert_eq!(verdict(&look(&mut bench, 9), "any"), Fail);
}
