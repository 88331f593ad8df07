//! Why does a rollout not end?

use std::time::Duration;

use canary_core::record::{Judgement, Verdict};
use canary_core::rollout::{Status, Waiting};

use crate::words::duration;

/// Says where a rollout stands that was followed for so long, what keeps it there, and what would help.
pub(crate) fn unfinished(status: &Status, after: Duration) -> String {
    let mut text = format!("not finished after {}; {status}", duration(after));
    match &status.waiting {
        Waiting::Gate(gate) => {
            text += &format!("; `--gate {gate}=30m` opens it after half an hour")
        }
        Waiting::Question(check) => text += &format!("; `--answer {check}=30m` lets it go on"),
        Waiting::Hold(_) | Waiting::Verdict => {
            let last = status.last.as_deref();
            for why in last.map(keeps).unwrap_or_default() {
                text += &format!("\n  {why}");
            }
        }
        _ => {}
    }
    text
}

/// Returns what each check says that does not pass.
fn keeps(judgement: &Judgement) -> Vec<String> {
    let passes = |verdict| matches!(verdict, Verdict::Pass | Verdict::NotApplicable);
    let checks = judgement.checks.iter().filter(|check| !passes(check.verdict));
    checks.map(ToString::to_string).collect()
}
