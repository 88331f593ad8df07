//! What checks found, in words.

use std::fmt;

use super::{CheckResult, Finding, PartResult, PartScore, Silent, Verdict, weighed};
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
        let found = match &self.finding {
            Finding::Nothing => String::new(),
            finding => finding.to_string(),
        };
        if found.is_empty() { Ok(()) } else { write!(f, ": {found}") }
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
            Finding::AsGood { .. } => "is not shown yet",
            Finding::Ranks { .. } => "has too few looks to judge",
            _ => "has too few requests to judge",
        },
        Verdict::Pending => match finding {
            Finding::Evidence { .. } => "cannot be told yet",
            _ => "waits for newer samples",
        },
        Verdict::NotApplicable => match finding {
            Finding::AsGood { .. } => "is not asked yet",
            _ => "does not apply",
        },
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tell(f, false)
    }
}

impl Finding {
    /// Writes it for a check, or for one that fails where this passes.
    pub(super) fn tell(&self, f: &mut fmt::Formatter<'_>, negated: bool) -> fmt::Result {
        match self {
            Self::Threshold { metric, comparison, canary, stable, limit, over_ms } => {
                let bad = Bad { side: comparison.as_str(), limit: *limit, negated };
                threshold(f, metric, (*canary, *stable), bad, *over_ms)
            }
            Self::Score { metric, comparison, canary, stable, limit, over_ms, parts } => {
                let bad = Bad { side: comparison.as_str(), limit: *limit, negated };
                threshold(f, metric, (*canary, *stable), bad, *over_ms)?;
                f.write_str("; of ")?;
                list(f, parts, ", ")
            }
            Self::Evidence { .. }
            | Self::AsGood { .. }
            | Self::Objective { .. }
            | Self::Ranks { .. } => weighed::tell(self, f),
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
            Self::Gate { gate, why: None } if negated => {
                write!(f, "gate {gate} is open, which it should not be")
            }
            Self::Gate { gate, why: None } => write!(f, "gate {gate} is open"),
            Self::Combined { how, parts } => super::combined::tell(f, *how, parts, negated),
            Self::HardLimit { requests } => {
                failures(f, requests)?;
                f.write_str(" in one window; half of 20 or more is the limit")
            }
            Self::Silent { signal, sides } => {
                let (whom, though) = match sides {
                    Silent::Canary => ("the canary", ", though it does of stable"),
                    Silent::Stable => ("stable", ", though it does of the canary"),
                    Silent::Both => ("either side", ""),
                };
                write!(f, "the source shows no {signal} of {whom}{though}")
            }
            Self::Failed(failure) => fmt::Display::fmt(failure, f),
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

/// Writes how well one part of a score is: `error_rate 2.10 % (79.0 % well)`, or that it was left out.
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

pub(super) fn shown(metric: &Metric, value: Option<f64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| metric.unit().show(value))
}

/// Says where a number is bad.
struct Bad {
    side: &'static str,
    limit: Option<f64>,
    /// Whether it is bad on the other side instead.
    negated: bool,
}

fn threshold(
    f: &mut fmt::Formatter<'_>,
    metric: &Metric,
    (canary, stable): (Option<f64>, Option<f64>),
    Bad { side, limit, negated }: Bad,
    over_ms: u64,
) -> fmt::Result {
    write!(f, "{metric} {} (stable {})", shown(metric, canary), shown(metric, stable))?;
    if limit.is_some() {
        let bad = if negated { "bad unless" } else { "bad" };
        write!(f, ", {bad} {side} {}", shown(metric, limit))?;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{Comparison, Then};

    fn result(verdict: Verdict, finding: Finding) -> CheckResult {
        CheckResult::new(Arc::from("it"), verdict, Then::RollBack, finding)
    }

    fn gate(why: Option<&str>) -> Finding {
        Finding::Gate { gate: "alerts".parse().unwrap(), why: why.map(str::to_owned) }
    }

    #[test]
    fn findings_are_sentences() {
        let ab = |p_value| Finding::Ab {
            metric: "latency.p99".parse().unwrap(),
            beyond_ms: Some(500.0),
            rates: BySide { stable: Some(0.01), canary: Some(0.013) },
            samples: BySide { stable: 10_000, canary: 12_000 },
            needed: 20_000,
            p_value,
            significance: 0.05,
        };
        let score = Finding::Score {
            metric: "health".parse().unwrap(),
            comparison: Comparison::Below,
            canary: Some(0.79),
            stable: None,
            limit: Some(0.9),
            over_ms: 15_000,
            parts: vec![
                PartScore::new(Metric::ErrorRate, Some(0.021), Some(0.79)),
                PartScore::new("latency.p95".parse().unwrap(), Some(84.0), None),
            ],
        };
        for (seen, expected) in [
            (
                result(Verdict::Fail, ab(Some(0.023))),
                "it fails: latency.p99 over the stage: canary was slower than 500 ms for 1.30 % of 12000 requests, \
                 stable 1.00 % of 10000; chance alone does that with a probability of 2.30 %, below 5.00 % is too \
                 little",
            ),
            (
                result(Verdict::Inconclusive, ab(None)),
                "it has too few requests to judge: latency.p99 over the stage: canary was slower than 500 ms for \
                 1.30 % of 12000 requests, stable 1.00 % of 10000; it takes 20000 requests of each side",
            ),
            (
                result(Verdict::Fail, score),
                "it fails: health 0.79 (stable unknown), bad below 0.90, over 15 s; of error_rate 2.10 % (79.0 % \
                 well), latency.p95 84.0 ms (left out)",
            ),
            (result(Verdict::Pass, gate(None)), "it passes: gate alerts is open"),
            (result(Verdict::Fail, gate(Some("two fire"))), "it fails: gate alerts: two fire"),
            (result(Verdict::Inconclusive, gate(Some("soon"))), "it waits: gate alerts: soon"),
            (
                CheckResult { dry_run: true, ..result(Verdict::Fail, Finding::Nothing) },
                "it fails (only reported)",
            ),
            (
                CheckResult { borne: true, ..result(Verdict::Fail, Finding::Nothing) },
                "it fails, no more often than it may",
            ),
            (
                CheckResult { passes_left: 2, ..result(Verdict::Pass, Finding::Nothing) },
                "it passes and must pass 2 times more in a row",
            ),
        ] {
            assert_eq!(seen.to_string(), expected);
        }
    }
}
