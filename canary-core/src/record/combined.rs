//! What a check found that is put together from others, in words.

use std::fmt;

use super::{Combination, Finding, PartResult, Verdict};

/// Writes those parts that make the whole what it is: what fails of `any`, what passes of `all`, otherwise what cannot
/// be told, otherwise everything.
pub(super) fn tell(
    f: &mut fmt::Formatter<'_>,
    how: Combination,
    parts: &[PartResult],
    negated: bool,
) -> fmt::Result {
    let known = |verdict| matches!(verdict, Verdict::Pass | Verdict::Fail);
    let having = |is: &dyn Fn(Verdict) -> bool| -> Vec<&PartResult> {
        parts.iter().filter(|part| is(part.verdict)).collect()
    };
    let decisive = match how {
        Combination::Any => having(&|verdict| verdict == Verdict::Fail),
        Combination::All => having(&|verdict| verdict == Verdict::Pass),
        Combination::Not => Vec::new(),
    };
    let unknown = having(&|verdict| !known(verdict) && verdict != Verdict::NotApplicable);
    let rest = having(&known);
    let told = [decisive, unknown, rest].into_iter().find(|told| !told.is_empty());
    // Of what has found nothing the verdict on the whole says all there is to say.
    let told = told.unwrap_or_default().into_iter().filter(|part| part.finding != Finding::Nothing);
    let negated = negated != (how == Combination::Not);
    for (i, part) in told.enumerate() {
        if i > 0 {
            f.write_str("; and ")?;
        }
        match &part.finding {
            Finding::Silent { .. } | Finding::Failed(_) => part.finding.tell(f, negated)?,
            finding if known(part.verdict) => finding.tell(f, negated)?,
            _ => write!(f, "{part}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{Comparison, Metric, Then};
    use crate::record::CheckResult;

    fn result(verdict: Verdict, finding: Finding) -> CheckResult {
        CheckResult::new(Arc::from("it"), verdict, Then::RollBack, finding)
    }

    fn rate(canary: f64) -> Finding {
        Finding::Threshold {
            metric: Metric::ErrorRate,
            comparison: Comparison::Above,
            canary: Some(canary),
            stable: Some(0.001),
            limit: Some(0.05),
            over_ms: 120_000,
        }
    }

    #[test]
    fn of_a_check_that_is_put_together_what_decides_is_told() {
        let combine = |how, parts: Vec<(Verdict, Finding)>| {
            let part = |(verdict, finding)| PartResult::new(verdict, finding);
            Finding::Combined { how, parts: parts.into_iter().map(part).collect() }
        };
        let (bad, well) = ((Verdict::Fail, rate(0.06)), (Verdict::Pass, rate(0.01)));
        let open = (Verdict::Pass, Finding::Gate { gate: "alerts".parse().unwrap(), why: None });
        let unknown = (Verdict::NoData, Finding::Nothing);
        let aside = (Verdict::NotApplicable, Finding::Nothing);
        let not = |part| combine(Combination::Not, vec![part]);
        let six = "error_rate 6.00 % (stable 0.10 %), bad above 5.00 %, over 2 min";
        let one = "error_rate 1.00 % (stable 0.10 %), bad above 5.00 %, over 2 min";
        for (verdict, finding, expected) in [
            (
                Verdict::Fail,
                combine(Combination::Any, vec![well.clone(), bad.clone(), unknown.clone(), aside]),
                format!("it fails: {six}"),
            ),
            (
                Verdict::Fail,
                combine(Combination::All, vec![bad.clone(), bad.clone()]),
                format!("it fails: {six}; and {six}"),
            ),
            (
                Verdict::Pass,
                combine(Combination::All, vec![bad.clone(), well.clone(), unknown.clone()]),
                format!("it passes: {one}"),
            ),
            (
                Verdict::NoData,
                combine(Combination::All, vec![bad.clone(), unknown]),
                "it has no data".to_owned(),
            ),
            (Verdict::Fail, not(well), format!("it fails: {}", one.replace("bad", "bad unless"))),
            (Verdict::Fail, not((Verdict::Pass, not(bad))), format!("it fails: {six}")),
            (
                Verdict::Fail,
                not(open),
                "it fails: gate alerts is open, which it should not be".to_owned(),
            ),
        ] {
            assert_eq!(result(verdict, finding).to_string(), expected);
        }
    }
}
