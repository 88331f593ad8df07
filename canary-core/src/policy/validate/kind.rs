//! What a check looks at.

use super::DAY_MS;
use super::found::Found;
use super::metrics::{absolute, is_score};
use crate::policy::{
    Check, CheckKind, Comparison, Limit, MAX_DEPTH, Metric, PolicySpec, Then, Unclear, Unit,
    Weighed,
};
use crate::value::Signal;

/// Looks at the whole of a check's kind.
pub(super) fn whole(path: &str, check: &Check, spec: &PolicySpec, found: &mut Found) {
    let reader = Reader { name: &check.name, spec };
    reader.kind(path, &check.kind, 1, found);
    what_follows(path, check, found);
    if check.then == Then::Hold && lasts(&check.kind) {
        found.add(
            format!("{path}.then"),
            format!("check `{}` would hold for good: evidence does not fade", check.name),
            "expected `roll_back`, `ask` or `warn`; to hold while things are bad, use a limit such as `above: 5%`",
        );
    }
}

/// Refuses what must not follow from a check of its kind.
fn what_follows(path: &str, check: &Check, found: &mut Found) {
    let name = &check.name;
    let mut refuse = |message: String, help: &str| found.add(format!("{path}.then"), message, help);
    check.kind.visit(&mut |kind| match (kind, check.then) {
        (CheckKind::Objective { .. }, Then::RollBack) => refuse(
            format!("check `{name}` would take back an innocent canary in an outage of both sides"),
            "expected `hold`, `ask` or `warn`; the hard limit and `worse_than_stable` take a bad one back",
        ),
        (CheckKind::MannWhitney { metric: Metric::Custom(_), .. }, Then::RollBack) => refuse(
            format!("check `{name}` would take the canary back for numbers of which each is like the one before"),
            "expected `ask` or `warn`: that is no evidence",
        ),
        (CheckKind::AsGoodAsStable { unclear: Unclear::Hold | Unclear::Ask, .. }, Then::Warn) => refuse(
            format!("check `{name}` would let a canary through of which it is not clear that it is well"),
            "expected `unclear: go_on`, or no `then`",
        ),
        _ => {}
    });
}

/// Tells whether something that failed once can never pass again.
fn lasts(kind: &CheckKind) -> bool {
    match kind {
        CheckKind::WorseThanStable { .. }
        | CheckKind::Ab { .. }
        | CheckKind::MannWhitney { .. } => true,
        CheckKind::Any(parts) => parts.iter().any(lasts),
        CheckKind::All(parts) => !parts.is_empty() && parts.iter().all(lasts),
        CheckKind::Threshold { .. }
        | CheckKind::AsGoodAsStable { .. }
        | CheckKind::Objective { .. }
        | CheckKind::Gate { .. }
        | CheckKind::Not(_) => false,
    }
}

struct Reader<'a> {
    name: &'a str,
    spec: &'a PolicySpec,
}

impl Reader<'_> {
    fn kind(&self, path: &str, kind: &CheckKind, depth: usize, found: &mut Found) {
        let name = self.name;
        if depth > MAX_DEPTH {
            found.add(
                path,
                format!("check `{name}` lies more than {MAX_DEPTH} deep in itself"),
                "write some of its parts as checks of their own",
            );
            return;
        }
        match kind {
            CheckKind::Threshold { metric, comparison, limit, for_ms, samples } => {
                self.metric(path, metric, found);
                self.limit(
                    &format!("{path}.{}", comparison.as_str()),
                    (metric, *comparison, *limit),
                    found,
                );
                self.details(path, metric, (*for_ms, *samples), found);
            }
            CheckKind::WorseThanStable { ratio, false_alarm, of } => {
                self.evidence(path, *ratio, *false_alarm, found);
                self.weighed(path, of, found);
            }
            CheckKind::AsGoodAsStable { ratio, false_pass, .. } => {
                self.as_good(path, (*ratio, *false_pass), depth, found);
            }
            CheckKind::Objective { allowed, false_alarm } => {
                self.objective(path, *allowed, *false_alarm, found);
            }
            CheckKind::MannWhitney { metric, ratio } => {
                self.metric(path, metric, found);
                self.mann_whitney(path, metric, *ratio, depth, found);
            }
            CheckKind::Ab { metric, significance, samples } => {
                self.metric(path, metric, found);
                self.ab(path, metric, (*significance, *samples), depth, found);
            }
            CheckKind::Gate { .. } => {}
            CheckKind::All(parts) | CheckKind::Any(parts) => {
                let list = if matches!(kind, CheckKind::All(_)) { "all" } else { "any" };
                if parts.is_empty() {
                    found.add(
                        path,
                        format!("check `{name}`: an empty `{list}` looks at nothing"),
                        "write at least one part, such as `{ metric: error_rate, above: 5% }`",
                    );
                }
                for (j, part) in parts.iter().enumerate() {
                    self.kind(&format!("{path}.{list}[{j}]"), part, depth + 1, found);
                }
            }
            CheckKind::Not(part) => {
                let path = format!("{path}.not");
                if lasts(part) {
                    found.add(
                        &path,
                        format!(
                            "check `{name}` would fail until there is evidence against the canary"
                        ),
                        "evidence is no part of a `not`: use a limit such as `above: 5%`",
                    );
                }
                self.kind(&path, part, depth + 1, found);
            }
        }
    }

    fn metric(&self, path: &str, metric: &Metric, found: &mut Found) {
        if let Err(unknown) = metric.to_string().parse::<Metric>() {
            found.add(
                format!("{path}.metric"),
                format!("check `{}`: {unknown}", self.name),
                "see the list of metrics",
            );
        }
    }

    fn limit(
        &self,
        path: &str,
        (metric, comparison, limit): (&Metric, Comparison, Limit),
        found: &mut Found,
    ) {
        let owner = format!("check `{}`", self.name);
        match limit {
            Limit::Absolute(value) => {
                let known = absolute((path, &owner), metric, value, self.spec, found);
                if known && self.is_out_of_reach(metric, comparison, value) {
                    found.add(
                        path,
                        format!(
                            "{owner} can never fail: `{metric}` is never {} {}",
                            comparison.as_str(),
                            metric.unit().show(value)
                        ),
                        "expected a limit that can be crossed, such as `above: 5%`",
                    );
                }
            }
            Limit::TimesStable(times) if !(times.is_finite() && times > 0.0 && times <= 1000.0) => {
                found.add(
                    path,
                    format!("{owner}: {times} times stable is no limit"),
                    "expected more than 0 and at most 1000, such as `1.5x stable`",
                );
            }
            Limit::TimesStable(_) => {}
        }
    }

    fn is_out_of_reach(&self, metric: &Metric, comparison: Comparison, limit: f64) -> bool {
        let share = metric.unit() == Unit::Share || is_score(metric, self.spec);
        match comparison {
            Comparison::Above => share && limit >= 1.0,
            Comparison::Below => (share || metric.unit() == Unit::PerSecond) && limit <= 0.0,
        }
    }

    fn details(
        &self,
        path: &str,
        metric: &Metric,
        (for_ms, samples): (u64, u64),
        found: &mut Found,
    ) {
        let name = self.name;
        if for_ms > DAY_MS {
            found.add(
                format!("{path}.for"),
                format!("check `{name}` looks back more than a day"),
                "expected at most 1d, such as `for: 2m`",
            );
        }
        let counted = metric.signal() == Signal::Requests || metric.unit() == Unit::Millis;
        if samples > 0 && !counted {
            found.add(
                format!("{path}.samples"),
                format!("check `{name}`: `{metric}` has no requests to count"),
                "`samples` goes with error_rate, success_rate, request_rate and latency",
            );
        }
    }

    fn evidence(&self, path: &str, ratio: f64, false_alarm: f64, found: &mut Found) {
        let name = self.name;
        if !(ratio.is_finite() && (1.0..=100.0).contains(&ratio)) {
            found.add(
                format!("{path}.worse_than_stable"),
                format!("check `{name}`: a ratio of {ratio} cannot be judged"),
                "expected 1 to 100 times, such as `1.25x`",
            );
        }
        self.probability(
            &format!("{path}.false_alarm"),
            "false-alarm probability",
            false_alarm,
            found,
        );
    }

    fn ab(
        &self,
        path: &str,
        metric: &Metric,
        (significance, samples): (f64, u64),
        depth: usize,
        found: &mut Found,
    ) {
        let name = self.name;
        if !matches!(metric, Metric::ErrorRate | Metric::SuccessRate | Metric::Latency(_)) {
            found.add(
                format!("{path}.metric"),
                format!("check `{name}`: the two sides' `{metric}` cannot be compared by its significance"),
                "expected error_rate, success_rate, or a quantile of latency; or a limit such as `above: 1.5x stable`",
            );
        }
        self.probability(&format!("{path}.significance"), "significance", significance, found);
        if samples == 0 {
            found.add(
                format!("{path}.samples"),
                format!("check `{name}` would compare sides without a single request"),
                "expected how many requests each side must have had, such as `10000`",
            );
        }
        self.alone(path, depth, found);
    }

    fn weighed(&self, path: &str, of: &[Weighed], found: &mut Found) {
        let name = self.name;
        for (i, Weighed { what, weight }) in of.iter().enumerate() {
            if !(weight.is_finite() && (1e-6..=1e6).contains(weight)) {
                found.add(
                    format!("{path}.of.{}", what.as_str()),
                    format!("check `{name}`: a weight of {weight} weighs nothing"),
                    "expected more than 0, such as `{ errors: 2, latency: 1 }`",
                );
            }
            if of[..i].iter().any(|other| other.what == *what) {
                found.add(
                    format!("{path}.of"),
                    format!("check `{name}` weighs {} twice", what.as_str()),
                    "write it once",
                );
            }
        }
    }

    fn as_good(
        &self,
        path: &str,
        (ratio, false_pass): (f64, f64),
        depth: usize,
        found: &mut Found,
    ) {
        if !(ratio.is_finite() && ratio > 1.0 && ratio <= 100.0) {
            found.add(
                format!("{path}.as_good_as_stable"),
                format!("check `{}`: nobody can show a ratio below {ratio}", self.name),
                "expected more than 1 and at most 100 times, such as `2x`",
            );
        }
        let path_of = format!("{path}.false_pass");
        self.probability(&path_of, "probability of a false pass", false_pass, found);
        self.alone(path, depth, found);
    }

    fn objective(&self, path: &str, allowed: f64, false_alarm: f64, found: &mut Found) {
        if !(allowed.is_finite() && (1e-9..=0.5).contains(&allowed)) {
            found.add(
                format!("{path}.objective"),
                format!(
                    "check `{}`: an objective of {} cannot be judged",
                    self.name,
                    Unit::Share.show(1.0 - allowed)
                ),
                "expected at least 50% and less than 100%, such as `99.9%`",
            );
        }
        let path = format!("{path}.false_alarm");
        self.probability(&path, "false-alarm probability", false_alarm, found);
    }

    fn mann_whitney(
        &self,
        path: &str,
        metric: &Metric,
        ratio: f64,
        depth: usize,
        found: &mut Found,
    ) {
        let name = self.name;
        if matches!(metric, Metric::SuccessRate | Metric::RequestRate)
            || is_score(metric, self.spec)
        {
            found.add(
                format!("{path}.metric"),
                format!("check `{name}`: more of `{metric}` is not worse"),
                "expected a metric of which more is worse, such as error_rate or latency.p95",
            );
        }
        if !(ratio.is_finite() && (1.0..=100.0).contains(&ratio)) {
            found.add(
                format!("{path}.mann_whitney"),
                format!("check `{name}`: a mean {ratio} times stable's is no limit"),
                "expected 1 to 100 times, such as `1.1x`",
            );
        }
        self.alone(path, depth, found);
    }

    /// Refuses to be a part of another check what is judged once, at the end of a stage.
    fn alone(&self, path: &str, depth: usize, found: &mut Found) {
        if depth > 1 {
            let name = self.name;
            found.add(
                path,
                format!("check `{name}`: what is asked at the end of a stage is no part of another check"),
                "write it as a check of its own",
            );
        }
    }

    fn probability(&self, path: &str, what: &str, value: f64, found: &mut Found) {
        if !(value.is_finite() && (1e-9..=0.5).contains(&value)) {
            found.add(
                path,
                format!("check `{}`: a {what} of {value} makes no sense", self.name),
                "expected more than 0% and at most 50%, such as `1%`",
            );
        }
    }
}
