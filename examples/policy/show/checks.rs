//! What is looked at all along.

use std::fmt;
use std::time::Duration;

use canary_core::policy::{
    Check, CheckKind, Evident, Limit, MetricSpec, Patience, Policy, ScorePart, Then, Unclear, Unit,
    Weighed,
};
use canary_core::value::Weight;

use crate::words::{duration, limit, percent};

pub(super) fn show(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    write!(f, "\nEvery {}", duration(policy.every()))?;
    if !policy.settle().is_zero() {
        write!(f, ", leaving out {} after each change of weight", duration(policy.settle()))?;
    }
    if policy.is_judged() {
        write!(f, "; what is up to {} old is fresh", duration(policy.lag()))?;
    }
    writeln!(f, ":")?;
    for check in policy.checks() {
        let looks_at = looks_at(&check.kind);
        writeln!(f, "- {}: {looks_at}{}\n  → {}", check.name, details(check), follows(check))?;
        if let Some(patience) = check.no_data {
            writeln!(f, "  → without data: {}", lack(patience))?;
        }
        if let Some(patience) = check.errors {
            writeln!(f, "  → with errors of its source: {}", lack(patience))?;
        }
    }
    if policy.hard_limit() {
        let limit = "half or more of at least 20 requests failed in one look, while stable is well";
        writeln!(f, "- hard limit: {limit}\n  → {}", then(Then::RollBack))?;
    }
    if !policy.is_judged() {
        return writeln!(f, "- nothing is checked: holds and gates alone decide");
    }
    writeln!(f, "- no data where a check needs them\n  → {}", lack(policy.no_data()))?;
    writeln!(f, "- errors of the metric source\n  → {}", lack(policy.errors()))?;
    metrics(f, policy)
}

/// Says what is looked at, and what is bad.
fn looks_at(kind: &CheckKind) -> String {
    match kind {
        CheckKind::Threshold { metric, comparison, limit, for_ms, samples } => {
            let at = shown(metric.unit(), *limit);
            let mut text = format!("{metric} {} {at}", comparison.as_str());
            if *for_ms > 0 {
                text += &format!(" over {}", duration(Duration::from_millis(*for_ms)));
            }
            if *samples > 0 {
                text += &format!(", judged once the canary had {samples} requests in that time");
            }
            text
        }
        CheckKind::WorseThanStable { ratio, false_alarm, of } => format!(
            "evidence that requests {} more than {ratio} times as often as on stable; convicts at most {} of \
             innocent canaries",
            bad(of),
            percent(*false_alarm)
        ),
        CheckKind::AsGoodAsStable { ratio, false_pass, unclear } => format!(
            "before all of the traffic, evidence that requests fail less than {ratio} times as often as on stable; \
             lets at most {} of those through that do not, and without evidence {}",
            percent(*false_pass),
            match unclear {
                Unclear::GoOn => "it goes on",
                Unclear::Ask => "a person is asked",
                _ => "it stands",
            }
        ),
        CheckKind::Objective { allowed, false_alarm } => format!(
            "evidence that more than {} of the canary's requests of a stage fail; wrong in at most {} of the stages in \
             which no more do",
            percent(*allowed),
            percent(*false_alarm)
        ),
        CheckKind::MannWhitney { metric, ratio } => format!(
            "at the end of each stage, whether the canary's {metric} is clearly above stable's by rank, and at least \
             {ratio} times on average"
        ),
        CheckKind::Ab { metric, significance, samples } => format!(
            "at the end of each stage, whether the canary's {metric} is worse than stable's at {} significance, by \
             {samples} requests of each",
            percent(*significance)
        ),
        CheckKind::Gate { gate } => format!("the gate {gate} says no"),
        CheckKind::All(parts) => joined(parts, " and "),
        CheckKind::Any(parts) => joined(parts, " or "),
        CheckKind::Not(part) => format!("not ({})", looks_at(part)),
        other => format!("{other:?}"),
    }
}

/// Says what is bad about a request.
fn bad(of: &[Weighed]) -> &'static str {
    match of {
        [] => "fail",
        [Weighed { what: Evident::Errors, .. }] => "fail",
        [Weighed { what: Evident::Latency, .. }] => "are slow",
        _ => "fail or are slow",
    }
}

fn shown(unit: Unit, at: Limit) -> String {
    match at {
        Limit::Absolute(value) => limit(unit, value),
        Limit::TimesStable(times) => format!("{times} times stable's"),
        other => format!("{other:?}"),
    }
}

fn joined(parts: &[CheckKind], word: &str) -> String {
    parts.iter().map(|part| format!("({})", looks_at(part))).collect::<Vec<_>>().join(word)
}

/// Says when a check is looked at, and how often it may fail.
fn details(check: &Check) -> String {
    let mut text = String::new();
    if check.from != Weight::ZERO {
        text += &format!("; from {} on", check.from);
    }
    if check.delay_ms > 0 {
        text += &format!("; begins after {}", duration(Duration::from_millis(check.delay_ms)));
    }
    if let Some(every) = check.every_ms {
        text += &format!("; every {}", duration(Duration::from_millis(every)));
    }
    let tolerance = check.tolerance;
    if let Some(failures) = tolerance.failures {
        text += &format!("; {failures} failures in all are borne");
    }
    if let Some(failures) = tolerance.in_a_row {
        text += &format!("; {failures} failures in a row are borne");
    }
    if tolerance.successes > 1 {
        text += &format!("; passes after {} passes in a row", tolerance.successes);
    }
    text
}

const fn follows(check: &Check) -> &'static str {
    match check.kind {
        _ if check.dry_run => "it is only told what would follow",
        // It never fails: without the evidence it says itself what is done.
        CheckKind::AsGoodAsStable { .. } => "with the evidence it goes on",
        _ => then(check.then),
    }
}

const fn then(then: Then) -> &'static str {
    match then {
        Then::Warn => "it is noted, and the rollout goes on",
        Then::Hold => "weight and clock stand until the check passes again",
        Then::Ask => "weight and clock stand until a person says how to go on",
        _ => "the canary is taken back",
    }
}

fn lack(patience: Patience) -> String {
    let stands = "weight and clock stand until there are some";
    let after = duration(patience.after());
    match patience.then {
        Then::RollBack => format!("{stands}; after {after} the canary is taken back"),
        Then::Ask => format!("{stands}; after {after} somebody is asked"),
        _ => stands.to_owned(),
    }
}

/// Says what the policy's own metrics are.
fn metrics(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let own = &policy.spec().metrics;
    if !own.is_empty() {
        writeln!(f, "\nMetrics of its own:")?;
    }
    for (name, metric) in own {
        match metric {
            MetricSpec::Query(query) => {
                let source =
                    query.source.as_deref().map_or_else(String::new, |s| format!(" of {s}"));
                writeln!(
                    f,
                    "- {name}: asked{source} as {}",
                    query.query.as_deref().unwrap_or(name)
                )?;
            }
            MetricSpec::Score(parts) => {
                let parts: Vec<_> = parts.iter().map(part).collect();
                writeln!(f, "- {name}: the mean of {}", parts.join(", "))?;
            }
            other => writeln!(f, "- {name}: {other:?}")?,
        }
    }
    Ok(())
}

fn part(part: &ScorePart) -> String {
    let unit = part.metric.unit();
    let (good, bad) = (shown(unit, part.good), shown(unit, part.bad));
    format!("{} (counts {}, good at {good}, bad at {bad})", part.metric, part.weight)
}
