//! Checks rendered queries before the first one is sent.

use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, parse};

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
