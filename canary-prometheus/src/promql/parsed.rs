//! Checks rendered queries before the first one is sent.

use promql_parser::label::Matcher;
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, VectorSelector, parse};

use crate::api::answer::Labels;
use crate::error::QueryProblem;

/// Checks that a text selects series and nothing else, so that a range may be put behind it.
pub(crate) fn check_selector(text: &str) -> Result<(), QueryProblem> {
    let refuse =
        |why: &str| refuse("a series selector such as `requests_total{app=\"x\"}`", text, why);
    // The range is what will stand behind it; a comment at the end would swallow it.
    let range = std::time::Duration::from_millis(123_457);
    match parse(&format!("{text}[123457ms]")).map_err(|why| refuse(&why))? {
        Expr::MatrixSelector(selector) if selector.range != range => {
            Err(refuse("it has a range of its own"))
        }
        Expr::MatrixSelector(selector)
            if selector.vs.offset.is_some() || selector.vs.at.is_some() =>
        {
            Err(refuse("it has an `offset` or `@` of its own"))
        }
        Expr::MatrixSelector(_) => Ok(()),
        _ => Err(refuse("it is an expression, or ends in a comment")),
    }
}

/// Checks that a text is an expression that gives numbers of one instant.
pub(crate) fn check_value(text: &str) -> Result<(), QueryProblem> {
    let refuse = |why: &str| refuse("an expression that gives one number", text, why);
    match parse(text).map_err(|why| refuse(&why))?.value_type() {
        ValueType::Vector | ValueType::Scalar => Ok(()),
        ValueType::Matrix => Err(refuse("it gives a range of samples")),
        ValueType::String => Err(refuse("it gives a string")),
    }
}

/// Tells whether a query gives a scalar, as against series; nothing where it gives neither.
pub(crate) fn is_scalar(text: &str) -> Option<bool> {
    match parse(text).ok()?.value_type() {
        ValueType::Scalar => Some(true),
        ValueType::Vector => Some(false),
        ValueType::Matrix | ValueType::String => None,
    }
}

/// Says what a series must have beside what another selector demands.
#[derive(Debug, PartialEq)]
pub(crate) struct Further(Vec<Matcher>);

impl Further {
    /// Compares two selectors; nothing where the second may select what the first does not.
    pub(crate) fn of(whole: &str, part: &str) -> Option<Self> {
        let mut further = plain_matchers(part)?;
        for matcher in plain_matchers(whole)? {
            let same = further.iter().position(|other| *other == matcher)?;
            further.swap_remove(same);
        }
        Some(Self(further))
    }

    pub(crate) fn has(&self, labels: &Labels) -> bool {
        // A label that is missing is as good as empty.
        let value = |matcher: &Matcher| labels.get(&matcher.name).unwrap_or_default();
        self.0.iter().all(|matcher| matcher.is_match(value(matcher)))
    }
}

/// Returns all that a selector demands, the name too; nothing where it has alternatives.
fn plain_matchers(selector: &str) -> Option<Vec<Matcher>> {
    let Ok(Expr::VectorSelector(VectorSelector { name, matchers, .. })) = parse(selector) else {
        return None;
    };
    let name = name.map(Matcher::new_metric_name_matcher).transpose().ok()?;
    let plain = matchers.or_matchers.is_empty();
    plain.then(|| matchers.matchers.into_iter().chain(name).collect())
}

fn refuse(expected: &'static str, query: &str, why: &str) -> QueryProblem {
    QueryProblem::Promql { expected, query: query.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_selects_series_and_does_nothing_else() {
        for text in [r#"a{b="c"}"#, "a", r#"{__name__="a", b=~"c|d"}"#, r#"a{b="x # y"}"#] {
            assert_eq!(check_selector(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "a{",
            "sum(a)",
            "rate(a[5m])",
            "a[5m]",
            "a[5m] #",
            "a offset 5m",
            "a @ 7",
            "a # x",
            "1",
            "a or b",
        ] {
            assert!(check_selector(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_selector_with_more_conditions_is_a_part_of_one_with_fewer() {
        let labels = |json: &str| serde_json::from_str::<Labels>(json).unwrap();
        let part = Further::of(r#"a{b="c"}"#, r#"a{code=~"5..", b="c"}"#).unwrap();
        let part = |labels: &Labels| part.has(labels);
        assert!(part(&labels(r#"{"__name__": "a", "b": "c", "code": "503"}"#)));
        assert!(!part(&labels(r#"{"__name__": "a", "b": "c", "code": "5030"}"#)));
        assert!(!part(&labels(r#"{"__name__": "a", "b": "c"}"#)));
        let without = Further::of("a", r#"a{code!~"2.."}"#).unwrap();
        assert!(without.has(&labels("{}")));
        for (whole, part) in [
            (r#"a{b="c"}"#, r#"a{b="d", code="5"}"#),
            (r#"a{b="c"}"#, r#"a{code="5"}"#),
            ("a", r#"errors{code="5"}"#),
            (r#"a{b="c"}"#, r#"a{b=~"c"}"#),
            (r#"a{b="c"}"#, r#"a{b="c" or d="e"}"#),
        ] {
            assert!(Further::of(whole, part).is_none(), "{whole} {part}");
        }
    }

    #[test]
    fn a_value_is_of_one_instant() {
        for text in
            ["a", "sum(rate(a[5m])) / sum(rate(b[5m]))", "scalar(a)", "a offset 5m", "1 + 1"]
        {
            assert_eq!(check_value(text), Ok(()), "{text}");
        }
        for text in ["", "a[5m]", "\"text\"", "sum(rate(a))", "a{b=~\"(\"}", "nofunction(a)"] {
            assert!(check_value(text).is_err(), "{text}");
        }
    }
}
