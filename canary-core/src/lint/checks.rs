//! Checks beside one another, and in the time that they have.

use std::time::Duration;

use super::{Assumptions, Finding, chance, mixed, show};
use crate::analysis::{EvidenceLimits, Starts};
use crate::policy::{
    Check, CheckKind, Comparison, GateKind, Late, Limit, Metric, PassLimit, Policy, Then, Unclear,
};
use crate::value::{Span, millis};

pub(super) fn findings(policy: &Policy, assumptions: &Assumptions, found: &mut Vec<Finding>) {
    for (i, check) in policy.checks().iter().enumerate() {
        let path = format!("checks[{i}]");
        if let CheckKind::WorseThanStable { ratio, false_alarm, .. } = check.kind {
            evidence(&path, policy, check, (ratio, false_alarm), found);
        }
        only_at_gates(&path, policy, check, found);
        stands_for_ever(&path, policy, check, found);
        if let Some(scrape) = assumptions.scrape_interval {
            window(&path, check, scrape, found);
        }
        let soft = Limited::all_of(check).into_iter().filter(|_| check.then != Then::RollBack);
        for soft in soft {
            let comparison = soft.comparison.as_str();
            behind(
                &format!("{path}.{comparison}"),
                policy,
                &soft,
                &format!("check `{}`", check.name),
                found,
            );
        }
    }
    for (i, stage) in policy.stages().iter().enumerate() {
        for limit in &stage.pass.limits {
            let path = format!("stages[{i}].pass.{}", limit.metric);
            let owner = format!("what stage `{}` must pass", stage.name);
            behind(&path, policy, &Limited::of_pass(limit, stage.hold_ms), &owner, found);
        }
    }
}

/// Finds evidence that the plan does not give enough looks to convict, whatever the canary does.
fn evidence(
    path: &str,
    policy: &Policy,
    check: &Check,
    (ratio, false_alarm): (f64, f64),
    found: &mut Vec<Finding>,
) {
    let looks: Vec<_> = mixed(policy)
        .filter(|(_, stage)| check.applies_at(stage.split()))
        .map(|(_, stage)| {
            (stage.split().canary_share(), chance::looks(stage.hold(), policy.every()))
        })
        .collect();
    let starts = Starts::over(policy.mixed_time());
    // Those of a valid policy are never refused.
    let Ok(limits) = EvidenceLimits::new(ratio, false_alarm, starts) else { return };
    if !limits.can_convict(looks.iter().copied()) {
        let count: f64 = looks.iter().map(|(_, looks)| looks).sum();
        found.push(Finding::new(
            "never-fails",
            path,
            format!("check `{}` cannot fail: {count:.0} looks are too few to convict, whatever they show", check.name),
            "hold longer where both sides have traffic, or look more often",
        ));
    }
}

/// Finds checks for which the holds alone are too short: a gate that is waited for gives them time, or it does not.
fn only_at_gates(path: &str, policy: &Policy, check: &Check, found: &mut Vec<Finding>) {
    let applying = policy.stages().iter().filter(|stage| check.applies_at(stage.split()));
    let held = applying.fold(0, |sum: u64, stage| sum.saturating_add(stage.hold_ms));
    if let Some(Late { field, why, less }) = check.too_late_for(held, policy.spec().every_ms) {
        found.push(Finding::new(
            "never-fails",
            format!("{path}.{field}"),
            format!(
                "check `{}` can only fail while a gate is waited for: {why}, and the stages in which it applies hold \
                 {}",
                check.name,
                Span(held)
            ),
            format!("expected {less}, or longer holds"),
        ));
    }
}

/// Finds checks that may wait for ever for what lets them pass, where nothing ends that: evidence which a service that
/// hardly fails never gives, and a gate that may never open, for a gate that is watched has no `timeout`.
fn stands_for_ever(path: &str, policy: &Policy, check: &Check, found: &mut Vec<Finding>) {
    if !check.is_binding() || policy.spec().progress.is_some() {
        return;
    }
    let within = "say how long it may: `progress: { within: 2h, then: ask }`";
    if matches!(check.kind, CheckKind::AsGoodAsStable { unclear: Unclear::Hold, .. }) {
        found.push(Finding::new(
            "no-progress",
            format!("{path}.unclear"),
            format!(
                "check `{}` holds until there is enough evidence, and a service that never fails gives none: the \
                 rollout may stand for ever",
                check.name
            ),
            format!("{within}, or what then: `unclear: go_on` or `unclear: ask`"),
        ));
    }
    check.kind.visit_at(path, &mut |path, kind| {
        let CheckKind::Gate { gate } = kind else { return };
        // The others say yes or no, or open by themselves.
        if policy.gate(gate).kind == GateKind::Supplied {
            found.push(Finding::new(
                "no-progress",
                format!("{path}.gate"),
                format!(
                    "check `{}` holds for as long as the gate `{gate}` says to wait, and a `timeout` does not end \
                     that: the rollout may stand for ever",
                    check.name
                ),
                within,
            ));
        }
    });
}

fn window(path: &str, check: &Check, scrape: Duration, found: &mut Vec<Finding>) {
    check.kind.visit(&mut |kind| {
        let CheckKind::Threshold { for_ms, .. } = kind else { return };
        if *for_ms > 0 && *for_ms < millis(scrape).saturating_mul(2) {
            found.push(Finding::new(
                "short-window",
                format!("{path}.for"),
                format!(
                    "check `{}` looks at {}, and the source is scraped every {}",
                    check.name,
                    Span(*for_ms),
                    Span(millis(scrape))
                ),
                "expected at least two scrapes, or no `for`",
            ));
        }
    });
}

/// Holds a limit on a metric, wherever it stands.
struct Limited<'a> {
    metric: &'a Metric,
    comparison: Comparison,
    limit: Limit,
    over_ms: u64,
    every_ms: u64,
    samples: u64,
}

impl<'a> Limited<'a> {
    /// Returns the limits of which each alone makes a check fail.
    fn all_of(check: &'a Check) -> Vec<Self> {
        let mut limits = Vec::new();
        check.kind.visit_alone(&mut |kind| {
            if let CheckKind::Threshold { metric, comparison, limit, for_ms, samples } = kind {
                limits.push(Self {
                    metric,
                    comparison: *comparison,
                    limit: *limit,
                    over_ms: *for_ms,
                    every_ms: check.every_ms.unwrap_or(0),
                    samples: *samples,
                });
            }
        });
        limits
    }

    const fn of_pass(limit: &'a PassLimit, over_ms: u64) -> Self {
        Self {
            metric: &limit.metric,
            comparison: limit.comparison,
            limit: Limit::Absolute(limit.limit),
            over_ms,
            every_ms: 0,
            samples: 0,
        }
    }

    /// Tells whether whatever crosses this limit has crossed the other before: that one is looked at as often, and
    /// needs no more requests.
    fn lies_behind(&self, other: &Self) -> bool {
        let same = self.metric == other.metric && self.comparison == other.comparison;
        let further = match (self.limit, other.limit) {
            (Limit::Absolute(this), Limit::Absolute(other))
            | (Limit::TimesStable(this), Limit::TimesStable(other)) => match self.comparison {
                Comparison::Above => this >= other,
                Comparison::Below => this <= other,
            },
            _ => false,
        };
        same && further
            && self.over_ms >= other.over_ms
            && self.every_ms >= other.every_ms
            && self.samples >= other.samples
    }
}

/// Finds a limit that nothing reaches: the canary is taken back before.
fn behind(path: &str, policy: &Policy, soft: &Limited<'_>, owner: &str, found: &mut Vec<Finding>) {
    let always = |check: &&Check| {
        check.is_binding()
            && check.then == Then::RollBack
            && check.from == crate::value::Weight::ZERO
            && check.delay_ms == 0
            && check.tolerance == crate::policy::Tolerance::default()
    };
    let first = policy
        .checks()
        .iter()
        .filter(always)
        .find(|check| Limited::all_of(check).iter().any(|hard| soft.lies_behind(hard)));
    if let Some(check) = first {
        found.push(Finding::new(
            "looser-limit",
            path,
            format!(
                "{owner}: `{}` {} {} is never reached, check `{}` takes the canary back before",
                soft.metric,
                soft.comparison.as_str(),
                show(soft.metric, soft.limit),
                check.name
            ),
            "make this limit stricter than the one that rolls back, or remove it",
        ));
    }
}
