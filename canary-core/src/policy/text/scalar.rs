//! The small words of a policy file: `15m`, `1%`, `1.25x`, `1.5x stable`.

use std::time::Duration;

use super::node::{Node, Value};
use crate::policy::{Limit, Then, Unit};
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
    let value = match unit {
        Unit::Share => share(node).map_err(|_| "a percentage such as `5%`, or `2x stable`"),
        Unit::Millis => duration(node)
            .map(|time| time.as_secs_f64() * 1000.0)
            .map_err(|_| "a duration such as `500ms`, or `1.5x stable`"),
        Unit::PerSecond => number(node).map_err(|_| "requests per second such as `100`"),
        Unit::Plain => number(node)
            .or_else(|_| share(node))
            .map_err(|_| "a number, a percentage such as `90%`, or `1.5x stable`"),
    };
    value.map(Limit::Absolute)
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
        Value::Number(value) => Ok(value.to_string()),
        _ => Err("a text"),
    }
}

pub(super) fn then(node: &Node) -> Result<Then, Expected> {
    match &node.value {
        Value::Text(text) if text == "roll_back" => Ok(Then::RollBack),
        Value::Text(text) if text == "hold" => Ok(Then::Hold),
        Value::Text(text) if text == "warn" => Ok(Then::Warn),
        _ => Err("`roll_back`, `hold` or `warn`"),
    }
}

/// Reads plain decimals only: no sign, no exponent, no `inf`.
fn decimal(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}
