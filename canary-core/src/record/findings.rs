//! What checks found, in words.

use std::fmt;

use super::{CheckResult, Combination, Finding, PartResult, PartScore, Verdict};
use crate::policy::{Metric, Unit};
use crate::value::{BySide, Counts, Span};

/// Writes a side's error rate, `none` without requests.
pub(crate) fn rate(counts: Counts) -> String {
    counts.error_rate().map_or_else(|| "none".to_owned(), |rate| Unit::Share.show(rate))
}

/// Writes both sides' failures: `canary failed 1.90 % of 16200 requests, stable 0.10 %`.
pub(super) fn failures(f: &mut fmt::Formatter<'_>, requests: &BySide<Counts>) -> fmt::Result {
    let (canary, stable) = (requests.canary, requests.stable);
    write!(
        f,
        "canary failed {} of {} requests, stable {} of {}",
        rate(canary),
        canary.total,
        rate(stable),
        stable.total
    )
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.check, in_words(self.verdict, &self.finding))?;
        match self.passes_left {
            0 => {}
            1 => f.write_str(" and must pass once more")?,
            left => write!(f, " and must pass {left} times more in a row")?,
        }
        if self.borne {
            f.write_str(", no more often than it may")?;
        }
        if self.dry_run {
            f.write_str(" (only reported)")?;
        }
        match &self.finding {
            Finding::Nothing => Ok(()),
            finding => write!(f, ": {finding}"),
        }
    }
}

fn in_words(verdict: Verdict, finding: &Finding) -> &'static str {
    match verdict {
        Verdict::Pass => "passes",
        Verdict::Fail => "fails",
        Verdict::NoData => "has no data",
        Verdict::Error => "cannot be measured",
        Verdict::Inconclusive => match finding {
            Finding::Gate { .. } => "waits",
            Finding::Combined { .. } => "cannot be told yet",
            _ => "has too few requests to judge",
        },
        Verdict::Pending => "waits for newer samples",
        Verdict::NotApplicable => "does not apply",
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threshold { metric, comparison, canary, stable, limit, over_ms } => {
                threshold(f, metric, comparison.as_str(), (*canary, *stable, *limit), *over_ms)
            }
            Self::Score { metric, comparison, canary, stable, limit, over_ms, parts } => {
                threshold(f, metric, comparison.as_str(), (*canary, *stable, *limit), *over_ms)?;
                f.write_str("; of ")?;
                list(f, parts, ", ")
            }
            Self::Evidence { requests, odds, needed } => {
                failures(f, requests)?;
                write!(
                    f,
                    "; evidence {} : 1 against the canary, {needed:.0} : 1 takes it back",
                    odds_in_words(*odds)
                )
            }
            Self::Ab { metric, beyond_ms, rates, samples, needed, p_value, significance } => {
                ab(f, metric, *beyond_ms, rates, samples)?;
                match p_value {
                    Some(p) => write!(
                        f,
                        "; chance alone does that with a probability of {}, below {} is too little",
                        Unit::Share.show(*p),
                        Unit::Share.show(*significance)
                    ),
                    None => write!(f, "; it takes {needed} requests of each side"),
                }
            }
            Self::Gate { gate, why: Some(why) } => write!(f, "gate {gate}: {why}"),
            Self::Gate { gate, why: None } => write!(f, "gate {gate} is open"),
            Self::Combined { how, parts } => {
                f.write_str(match how {
                    Combination::All => "bad if all of (",
                    Combination::Any => "bad if any of (",
                    Combination::Not => "bad if not (",
                })?;
                list(f, parts, "; ")?;
                f.write_str(")")
            }
            Self::HardLimit { requests } => {
                failures(f, requests)?;
                f.write_str(" in one window; half of 20 or more is the limit")
            }
            Self::Failed(failure) => failure.fmt(f),
            Self::Nothing => f.write_str("no number"),
        }
    }
}

impl fmt::Display for PartResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(in_words(self.verdict, &self.finding))?;
        match &self.finding {
            Finding::Nothing => Ok(()),
            finding => write!(f, ": {finding}"),
        }
    }
}

/// Writes how well one part of a score is: `error_rate 2.10 % 79 %`, or that it was left out.
impl fmt::Display for PartScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.metric, shown(&self.metric, self.value))?;
        match self.score {
            Some(score) => write!(f, " ({} well)", Unit::Share.show(score)),
            None => f.write_str(" (left out)"),
        }
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, all: &[T], between: &str) -> fmt::Result {
    for (i, one) in all.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        one.fmt(f)?;
    }
    Ok(())
}

fn shown(metric: &Metric, value: Option<f64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| metric.unit().show(value))
}

fn threshold(
    f: &mut fmt::Formatter<'_>,
    metric: &Metric,
    side: &str,
    (canary, stable, limit): (Option<f64>, Option<f64>, Option<f64>),
    over_ms: u64,
) -> fmt::Result {
    write!(f, "{metric} {} (stable {})", shown(metric, canary), shown(metric, stable))?;
    if limit.is_some() {
        write!(f, ", bad {side} {}", shown(metric, limit))?;
    }
    write!(f, ", over {}", Span(over_ms))
}

fn ab(
    f: &mut fmt::Formatter<'_>,
    metric: &Metric,
    beyond_ms: Option<f64>,
    rates: &BySide<Option<f64>>,
    samples: &BySide<u64>,
) -> fmt::Result {
    let show =
        |rate: Option<f64>| rate.map_or_else(|| "none".to_owned(), |rate| Unit::Share.show(rate));
    let did = match beyond_ms {
        Some(bound) => format!("was slower than {} for", Unit::Millis.show(bound)),
        None => "failed".to_owned(),
    };
    write!(
        f,
        "{metric} over the stage: canary {did} {} of {} requests, stable {} of {}",
        show(rates.canary),
        samples.canary,
        show(rates.stable),
        samples.stable
    )
}

fn odds_in_words(odds: f64) -> String {
    match odds {
        odds if odds >= 1e6 => "more than 1000000".to_owned(),
        odds if odds >= 10.0 => format!("{odds:.0}"),
        odds => format!("{odds:.1}"),
    }
}
