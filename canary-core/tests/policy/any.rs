//! Whatever is written, the answer is a policy or errors with their places.

use canary_core::lint::{self, Assumptions};
use canary_core::policy::Policy;
use canary_core::value::Weight;
use proptest::prelude::*;

const WHOLE: &str = include_str!("whole.yaml");

/// Words that mean something somewhere.
const WORDS: [&str; 22] = [
    "0%",
    "100%",
    "0.01%",
    "101%",
    "5m",
    "400d",
    "0s",
    "1.5x stable",
    ">= 99%",
    "[]",
    "{}",
    "null",
    "-1",
    "1e400",
    "true",
    "hold",
    "ask",
    "health",
    "oncall",
    "bake",
    "\"\"",
    "{ a: [b, { c: d }] }",
];

/// Replaces one word of the text.
fn with(text: &str, place: usize, word: &str) -> String {
    let boundary = |c: char| c == ' ' || c == ',' || c == '\n';
    let starts: Vec<usize> = text.match_indices(boundary).map(|(at, _)| at + 1).collect();
    let at = starts[place % starts.len()];
    let end = text[at..].find(boundary).map_or(text.len(), |length| at + length);
    format!("{}{word}{}", &text[..at], &text[end..])
}

proptest! {
    #[test]
    fn a_text_with_something_wrong_is_answered(
        changes in prop::collection::vec((any::<usize>(), prop::sample::select(&WORDS[..])), 1..4),
    ) {
        let text = changes.iter().fold(WHOLE.to_owned(), |text, (place, word)| with(&text, *place, word));
        match Policy::from_yaml(&text) {
            Ok(policy) => {
                let known = Assumptions::default().requests_per_second(100.0).base_error_rate(0.001);
                for finding in lint::findings(&policy, &known) {
                    prop_assert!(!finding.to_string().is_empty());
                }
                prop_assert_eq!(Policy::from_spec(policy.spec().clone()).unwrap(), policy);
            }
            Err(error) => {
                prop_assert!(!error.problems().is_empty());
                for problem in error.problems() {
                    let place = problem.place.as_ref().unwrap();
                    prop_assert!(place.line >= 1 && place.line <= text.lines().count() + 1, "{}", problem);
                }
            }
        }
    }

    #[test]
    fn steps_by_rule_rise_and_end_where_they_are_to_end(
        from in 1_u16..9_999, up in 1_u16..5_000, factor in 1.001_f64..20.0, increment in 1_u16..5_000, by_factor: bool,
    ) {
        let to = from.saturating_add(up).min(9_999);
        let percent = |bp: u16| format!("{}.{:02}%", bp / 100, bp % 100);
        let rule = if by_factor { format!("factor: {factor}") } else { format!("increment: {}", percent(increment)) };
        let text = format!(
            "version: 1\nname: a\nstages: [{{ from: {}, to: {}, {rule}, hold: 1m }}, {{ weight: 100%, hold: 1m }}]\n",
            percent(from), percent(to),
        );
        let policy = Policy::from_yaml(&text);
        if from == to {
            prop_assert!(policy.is_err());
            return Ok(());
        }
        let weights: Vec<Weight> = policy.unwrap().stages().iter().map(|stage| stage.weight).collect();
        prop_assert!(weights.is_sorted_by(|a, b| a < b), "{:?}", weights);
        prop_assert_eq!(weights[0].basis_points(), from);
        prop_assert_eq!(weights[weights.len() - 2].basis_points(), to);
    }
}
