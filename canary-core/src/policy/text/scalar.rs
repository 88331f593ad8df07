//! The small words of a policy file: `15m`, `1%`, `1.25x`, `1.5x stable`.

use std::time::Duration;

use super::node::{Node, Value};
use crate::policy::{
    Comparison, Drift, Evident, How, Limit, Metric, Otherwise, Scale, Then, Unclear, Unit,
};
use crate::value::Weight;

/// What could not be read: what was found there is added by the caller.
pub(super) type Expected = &'static str;

pub(super) fn duration(node: &Node) -> Result<Duration, Expected> {
    let expected = "a duration such as `30s`, `15m` or `1h30m`";
    let Value::Text(text) = &node.value else {
        return Err(expected);
    };
    // `friendly` reads a bare number and signs too; a policy does not.
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(expected);
    }
    if text.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(
            "a duration such as `30s`, `15m` or `1h30m`, with small letters: `5m` is minutes",
        );
    }
    let span: jiff::Span = text.parse().map_err(|_| expected)?;
    let signed =
        span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| expected)?;
    Duration::try_from(signed).map_err(|_| expected)
}

/// Reads `5%` as a fraction.
pub(super) fn share(node: &Node) -> Result<f64, Expected> {
    let expected = "a percentage such as `5%` or `0.1%`";
    let Value::Text(text) = &node.value else {
        return Err(expected);
    };
    let number = text.strip_suffix('%').ok_or(expected)?.trim_end();
    let percent = decimal(number).ok_or(expected)?;
    Ok(percent / 100.0)
}

pub(super) fn weight(node: &Node) -> Result<Weight, Expected> {
    let expected = "a percentage from 0% to 100% in steps of 0.01%, such as `5%`";
    let basis_points = share(node).map_err(|_| expected)? * 10_000.0;
    let whole = basis_points.round();
    if (basis_points - whole).abs() > 1e-6 || !(0.0..=10_000.0).contains(&whole) {
        return Err(expected);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and at most 10 000"
    )]
    Weight::from_basis_points(whole as u16).map_err(|_| expected)
}

/// Reads `1.25x`.
pub(super) fn times(node: &Node) -> Result<f64, Expected> {
    let expected = "a multiple such as `1.25x`";
    let Value::Text(text) = &node.value else {
        return Err(expected);
    };
    text.strip_suffix('x').and_then(decimal).ok_or(expected)
}

/// Reads a limit: in the metric's own unit, or `1.5x stable`.
pub(super) fn limit(node: &Node, unit: Unit) -> Result<Limit, Expected> {
    if let Value::Text(text) = &node.value
        && let Some(multiple) = text.strip_suffix("stable")
    {
        let expected = "a multiple of stable such as `1.5x stable`";
        let number = multiple.trim_end().strip_suffix('x').and_then(decimal);
        return number.map(Limit::TimesStable).ok_or(expected);
    }
    let value = in_unit(node, unit).ok_or(match unit {
        Unit::Share => "a percentage such as `5%`, or `2x stable`",
        Unit::Millis => "a duration such as `500ms`, or `1.5x stable`",
        Unit::PerSecond => "requests per second such as `100`",
        Unit::Plain if duration(node).is_ok() => {
            "a number, or `1.5x stable`: only `latency.p95` and its like have limits in time"
        }
        Unit::Plain => "a number, a percentage such as `90%`, or `1.5x stable`",
    });
    value.map(Limit::Absolute)
}

/// Reads what must hold: `>= 99%`, `<= 2s`; what is returned is on which side of the number it is bad.
pub(super) fn bound(node: &Node, unit: Unit) -> Result<(Comparison, f64), Expected> {
    let expected = match unit {
        Unit::Share => "a bound such as `\">= 99%\"` or `\"<= 1%\"`",
        Unit::Millis => "a bound such as `\"<= 2s\"`",
        Unit::PerSecond => "a bound such as `\">= 100\"`",
        Unit::Plain => "a bound such as `\">= 99%\"` or `\"<= 0.9\"`",
    };
    let Value::Text(text) = &node.value else {
        return Err(expected);
    };
    let (bad, rest) = match (text.strip_prefix(">="), text.strip_prefix("<=")) {
        (Some(rest), _) => (Comparison::Below, rest.trim_start()),
        (_, Some(rest)) => (Comparison::Above, rest.trim_start()),
        _ => return Err(expected),
    };
    let value = decimal(rest).map_or_else(|| Value::Text(rest.to_owned()), Value::Number);
    in_unit(&Node { value, at: node.at }, unit).map(|value| (bad, value)).ok_or(expected)
}

/// Reads a number in a metric's own unit.
fn in_unit(node: &Node, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Share => share(node).ok(),
        Unit::Millis => duration(node).ok().map(|time| time.as_secs_f64() * 1000.0),
        Unit::PerSecond => number(node).ok(),
        Unit::Plain => number(node).or_else(|_| share(node)).ok(),
    }
}

pub(super) fn metric(node: &Node) -> Result<Metric, Expected> {
    let expected = "error_rate, success_rate, request_rate, latency.p50 to latency.p99.9, \
                    or a name that the metric source knows";
    text(node).ok().and_then(|text| text.parse().ok()).ok_or(expected)
}

pub(super) fn evident(node: &Node) -> Result<Evident, Expected> {
    match text(node)?.as_str() {
        "errors" => Ok(Evident::Errors),
        "latency" => Ok(Evident::Latency),
        _ => Err("`errors`, `latency`, or both with weights such as `{ errors: 2, latency: 1 }`"),
    }
}

pub(super) fn unclear(node: &Node) -> Result<Unclear, Expected> {
    match text(node)?.as_str() {
        "go_on" => Ok(Unclear::GoOn),
        "hold" => Ok(Unclear::Hold),
        "ask" => Ok(Unclear::Ask),
        _ => Err("one of go_on, hold, ask"),
    }
}

pub(super) fn number(node: &Node) -> Result<f64, Expected> {
    match node.value {
        Value::Number(value) if value.is_finite() => Ok(value),
        _ => Err("a number"),
    }
}

pub(super) fn count(node: &Node) -> Result<u64, Expected> {
    let expected = "a whole number, zero or more";
    let value = number(node).map_err(|_| expected)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, not negative and below 2^53"
    )]
    if value >= 0.0 && value.fract() == 0.0 && value <= 9_007_199_254_740_992.0 {
        Ok(value as u64)
    } else {
        Err(expected)
    }
}

pub(super) fn switch(node: &Node) -> Result<bool, Expected> {
    match &node.value {
        Value::Bool(value) => Ok(*value),
        Value::Text(text) if text == "on" => Ok(true),
        Value::Text(text) if text == "off" => Ok(false),
        _ => Err("`on` or `off`"),
    }
}

pub(super) fn text(node: &Node) -> Result<String, Expected> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        // What was written is not known any more: `1.10` and `0755` are numbers that look otherwise.
        Value::Number(_) => Err("a text: write a number in quotes"),
        _ => Err("a text"),
    }
}

pub(super) fn small_count(node: &Node) -> Result<u32, Expected> {
    count(node)
        .and_then(|value| u32::try_from(value).map_err(|_| "a whole number below four billion"))
}

/// Reads one of a few words.
fn word<T: Copy>(node: &Node, words: &[(&str, T)], expected: Expected) -> Result<T, Expected> {
    let Value::Text(text) = &node.value else {
        return Err(expected);
    };
    words.iter().find(|(word, _)| word == text).map(|(_, value)| *value).ok_or(expected)
}

pub(super) fn then(node: &Node) -> Result<Then, Expected> {
    action(node, "`roll_back`, `ask`, `hold` or `warn`")
}

/// Reads what is done where something is lacking; why that is never `warn` is said by validation.
pub(super) fn then_of_lack(node: &Node) -> Result<Then, Expected> {
    action(node, "`roll_back`, `ask` or `hold`")
}

fn action(node: &Node, expected: Expected) -> Result<Then, Expected> {
    let words = [Then::Warn, Then::Hold, Then::Ask, Then::RollBack].map(|t| (t.as_str(), t));
    word(node, &words, expected)
}

pub(super) fn severity(node: &Node) -> Result<Then, Expected> {
    let words = [("critical", Then::RollBack), ("warning", Then::Warn)];
    word(node, &words, "`critical` (it rolls back) or `warning` (it warns)")
}

pub(super) fn otherwise(node: &Node) -> Result<Otherwise, Expected> {
    let words = [("roll_back", Otherwise::RollBack), ("open", Otherwise::Open)];
    word(node, &words, "`roll_back` or `open`")
}

pub(super) fn how(node: &Node) -> Result<How, Expected> {
    let words = [("in_place", How::InPlace), ("swap", How::Swap)];
    word(node, &words, "`in_place` or `swap`")
}

pub(super) fn drift(node: &Node) -> Result<Drift, Expected> {
    let words = [("put_back", Drift::PutBack), ("pause", Drift::Pause), ("accept", Drift::Accept)];
    word(node, &words, "`put_back`, `pause` or `accept`")
}

pub(super) fn stage_end(node: &Node) -> Result<(), Expected> {
    word(node, &[("stage_end", ())], "`stage_end`, which is also what is meant without it")
}

/// Reads `2` as replicas and `50%` as a share of stable's.
pub(super) fn scale(node: &Node) -> Result<Scale, Expected> {
    let expected = "replicas such as `2`, or a share of stable's such as `50%`";
    match node.value {
        Value::Number(_) => small_count(node).map(Scale::Replicas),
        _ => weight(node).map(Scale::Share),
    }
    .map_err(|_| expected)
}

/// Reads plain decimals only: no sign, no exponent, no `inf`.
fn decimal(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}
