//! The checks that weigh requests of both sides: the evidence and the hard limit.

use super::metered::gravity;
use super::sight::{Said, Sight};
use crate::analysis;
use crate::policy::Evident;
use crate::record::{Finding, Silent, Unweighed, Verdict};
use crate::value::{BySide, Counts, Failure, FailureKind, Reading, Signal, Split};

/// Says what the evidence so far comes to.
pub(super) fn evidence(sight: &Sight<'_>, i: usize) -> (Verdict, Finding) {
    let (Some(weighing), Some(plan)) = (sight.evidence.get(i), sight.plan.evidence.get(i)) else {
        return (Verdict::NotApplicable, Finding::Nothing);
    };
    let errors = plan.weighs(Evident::Errors).then(|| both_counts(sight.said(0)).map(drop));
    let latency = plan.latency.map(|track| both_buckets(sight.said(track)));
    let evidence = weighing.evidence(plan);
    // What convicts by one signal need not wait for the other.
    let is_new = [&errors, &latency].into_iter().any(|said| matches!(said, Some(Ok(()))));
    if !(evidence.convicted && is_new) {
        let missing = [errors, latency].into_iter().flatten().filter_map(Result::err);
        let missing = missing.map(<(Verdict, Finding)>::from);
        if let Some(missing) = missing.max_by_key(|(verdict, _)| gravity(*verdict)) {
            return missing;
        }
    }
    let unweighed = weighing.unweighed(plan);
    let verdict = match unweighed {
        _ if evidence.convicted => Verdict::Fail,
        Some(Unweighed::TooFew { .. }) => Verdict::Pending,
        // What else is weighed is judged by itself.
        Some(_) if !plan.weighs(Evident::Errors) => Verdict::NotApplicable,
        _ => Verdict::Pass,
    };
    // Working the bounds out takes longer than all the rest of a look.
    let decides = evidence.convicted || sight.at_end;
    let finding = Finding::Evidence {
        requests: weighing.requests(plan),
        unweighed,
        odds: evidence.odds(),
        needed: 1.0 / plan.limits.false_alarm(),
        grounds: decides.then(|| Box::new(weighing.grounds(plan))),
    };
    (verdict, finding)
}

/// Says whether the canary was shown to be as good as stable, when that is asked: at the end of the last stage in
/// which both sides have traffic.
pub(super) fn as_good(sight: &Sight<'_>, i: usize) -> (Verdict, Finding) {
    let (Some(acquittal), Some(plan)) = (sight.as_good.get(i), sight.plan.as_good.get(i)) else {
        return (Verdict::NotApplicable, Finding::Nothing);
    };
    let (evidence, requests) = acquittal.evidence();
    let finding = Finding::AsGood {
        requests,
        ratio: plan.ratio,
        odds: libm::exp(evidence.ln_ratio.min(evidence.ln_tick).min(700.0)),
        needed: 1.0 / plan.false_pass,
    };
    match both_counts(sight.said(0)) {
        Err(missing) => missing.into(),
        Ok(_) if !sight.at_last_end => (sight.not_asked(), finding),
        Ok(_) if evidence.shown => (Verdict::Pass, finding),
        Ok(_) => (Verdict::Inconclusive, finding),
    }
}

/// Says whether the stage's own requests of the canary are evidence that it misses an objective.
pub(super) fn objective(sight: &Sight<'_>, i: usize) -> (Verdict, Finding) {
    let (Some(requests), Some(plan)) = (sight.objectives.get(i), sight.plan.objectives.get(i))
    else {
        return (Verdict::NotApplicable, Finding::Nothing);
    };
    if let Err(missing) = canary_counts(sight.said(0)) {
        return missing.into();
    }
    let ln_odds = plan.objective.ln_evidence(*requests);
    let finding = Finding::Objective {
        requests: *requests,
        allowed: plan.allowed,
        odds: libm::exp(ln_odds.min(700.0)),
        needed: 1.0 / plan.false_alarm,
    };
    let missed = ln_odds >= -libm::log(plan.false_alarm);
    (if missed { Verdict::Fail } else { Verdict::Pass }, finding)
}

/// Judges the built-in hard limit on this look's window.
pub(super) fn hard_limit(split: Split, said: Said<'_>) -> (Verdict, Finding) {
    if !split.is_mixed() {
        return (Verdict::NotApplicable, Finding::Nothing);
    }
    let requests = match both_counts(said) {
        Ok(requests) => requests,
        Err(missing) => return missing.into(),
    };
    let verdict = match analysis::hard_limit(requests.stable, requests.canary) {
        Some(true) => Verdict::Fail,
        None if requests.stable.total == 0 => Verdict::NotApplicable,
        // Too few to judge are not against the canary.
        Some(false) | None => Verdict::Pass,
    };
    (verdict, Finding::HardLimit { requests })
}

/// Says why there is nothing to judge.
enum Missing {
    Pending,
    NoData(Signal, Silent),
    Error(Failure),
}

impl From<Missing> for (Verdict, Finding) {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Pending => (Verdict::Pending, Finding::Nothing),
            Missing::NoData(signal, sides) => (Verdict::NoData, Finding::Silent { signal, sides }),
            Missing::Error(failure) => (Verdict::Error, Finding::Failed(failure)),
        }
    }
}

fn sides(said: Said<'_>) -> Result<&BySide<Reading>, Missing> {
    match said {
        Said::Fresh(measured) => Ok(&measured.sides),
        Said::Pending => Err(Missing::Pending),
        Said::Failed(failure) => Err(Missing::Error(failure.clone())),
    }
}

/// Says why readings have not the form that is needed: a side is silent, or the source is wrong.
fn unfit(signal: Signal, sides: &BySide<Reading>, form: &str) -> Missing {
    match Silent::of(sides) {
        Some(silent) => Missing::NoData(signal, silent),
        None => Missing::Error(Failure::new(
            FailureKind::Invalid,
            format!("the source answered `{signal}` with something other than {form}"),
        )),
    }
}

fn both_counts(said: Said<'_>) -> Result<BySide<Counts>, Missing> {
    let sides = sides(said)?;
    counts(sides).ok_or_else(|| unfit(Signal::Requests, sides, "counts"))
}

fn both_buckets(said: Said<'_>) -> Result<(), Missing> {
    let sides = sides(said)?;
    match (&sides.stable, &sides.canary) {
        (Reading::Buckets(_), Reading::Buckets(_)) => Ok(()),
        _ => Err(unfit(Signal::Latency, sides, "buckets")),
    }
}

/// Asks for counts of the canary alone.
fn canary_counts(said: Said<'_>) -> Result<(), Missing> {
    let sides = sides(said)?;
    match &sides.canary {
        Reading::Counts(_) => Ok(()),
        _ => Err(unfit(Signal::Requests, sides, "counts")),
    }
}

/// Returns both sides' counts where both have any.
pub(super) const fn counts(sides: &BySide<Reading>) -> Option<BySide<Counts>> {
    match (&sides.stable, &sides.canary) {
        (Reading::Counts(stable), Reading::Counts(canary)) => {
            Some(BySide { stable: *stable, canary: *canary })
        }
        _ => None,
    }
}
