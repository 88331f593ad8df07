//! From what a rollout says to what is shown.

use std::time::Duration;

use canary_core::policy::Policy;
use canary_core::record::{CheckResult, Content, Finding, Judgement, Record, Ruling, Verdict};
use canary_core::rollout::{CheckEvidence, Status, Waiting};
use canary_core::value::{BySide, Side, Timestamp};

use super::view::{CheckView, SideView, StageView, Tone, View, clock, seconds};
use crate::counters::{Counters, Tally};
use crate::split::Split;

/// Over how long requests a second, errors and latency are shown.
const LATELY: Duration = Duration::from_secs(2);

/// Puts together what is shown: what the rollout says of itself, and what the proxy sees meanwhile.
#[must_use]
pub fn view(status: &Status, policy: &Policy, split: &Split, counters: &Counters) -> View {
    let standing = split.standing();
    let canary = standing.canary_share();
    let lately = counters.latest(LATELY);
    View {
        rollout: status.rollout.to_string(),
        stage: stage(status),
        weight: standing.weight,
        sides: BySide {
            stable: side(&lately.stable, canary.map(|share| 1.0 - share)),
            canary: side(&lately.canary, canary),
        },
        verdict: verdict(status),
        checks: checks(status),
        next: next(status, policy),
    }
}

/// Puts together what a rollout says of itself: the numbers are those of its last look.
#[must_use]
pub fn judged(status: &Status, policy: &Policy) -> View {
    let last = last_look(status);
    let share = last.and_then(Judgement::observed_share);
    let of = |which: Side| SideView {
        share: share.map(|share| if which == Side::Canary { share } else { 1.0 - share }),
        ..last.map_or_else(SideView::default, |last| looked(last, which))
    };
    View {
        rollout: status.rollout.to_string(),
        stage: stage(status),
        weight: status.weight,
        sides: BySide::from_fn(of),
        verdict: verdict(status),
        checks: checks(status),
        next: next(status, policy),
    }
}

/// Says how a version did in the window of a look.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
fn looked(last: &Judgement, which: Side) -> SideView {
    let counts = last.requests.map(|requests| *requests.get(which)).unwrap_or_default();
    let time = last.window.until.since(last.window.after).as_secs_f64();
    SideView {
        per_second: if time > 0.0 { counts.total as f64 / time } else { 0.0 },
        error_rate: counts.error_rate(),
        p95: *last.p95.get(which),
        share: None,
    }
}

/// Tells the story of a rollout: its records in lines, without those that say nothing new.
#[derive(Clone, Debug, Default)]
pub struct Story {
    began: Option<Timestamp>,
    ruling: Option<Ruling>,
}

impl Story {
    /// Puts the next record into a line, with the time since the first; `None` for a tick that ruled like the
    /// one before, and for what the next record says as well.
    pub fn tell(&mut self, record: &Record) -> Option<String> {
        let began = *self.began.get_or_insert(record.at);
        match &record.content {
            Content::Judged(judgement) => {
                let before = self.ruling.replace(judgement.ruling);
                if judgement.ruling != Ruling::Hold || before == Some(Ruling::Hold) {
                    return None;
                }
            }
            Content::Ended { .. } => return None,
            _ => {}
        }
        let since = record.at.since(began);
        let since = if since < Duration::from_secs(100) {
            format!("{:5.1} s", since.as_secs_f64())
        } else {
            format!("{:>7}", clock(since))
        };
        Some(format!("{since}  {}", record.content))
    }
}

fn stage(status: &Status) -> Option<StageView> {
    Some(StageView {
        number: status.stage? + 1,
        of: status.stages,
        name: status.stage_name.clone(),
        held: Duration::from_millis(status.held_ms),
        hold: Duration::from_millis(status.hold_ms),
    })
}

/// Returns the last judgement if it is about the stage that the rollout is in.
fn last_look(status: &Status) -> Option<&Judgement> {
    let last = status.last.as_deref();
    last.filter(|last| status.stage.is_none_or(|stage| stage == last.stage))
}

fn verdict(status: &Status) -> (Tone, String) {
    if let Some(outcome) = &status.outcome {
        return if outcome.is_promoted() {
            (Tone::Good, "PROMOTED".to_owned())
        } else {
            (Tone::Bad, "ROLLED BACK".to_owned())
        };
    }
    if status.stuck {
        return (Tone::Bad, "STUCK".to_owned());
    }
    match status.phase.as_str() {
        "rolling_back" => return (Tone::Bad, "TAKING BACK".to_owned()),
        "promoting" => return (Tone::Good, "PROMOTING".to_owned()),
        _ => {}
    }
    let (tone, text) = match last_look(status).map(|last| last.ruling) {
        Some(Ruling::GoOn) => (Tone::Good, "OK"),
        Some(Ruling::Hold) => (Tone::Notice, "HOLD"),
        Some(Ruling::RollBack) => (Tone::Bad, "ROLL BACK"),
        Some(Ruling::Wait) => (Tone::Quiet, "waits for samples"),
        _ => (Tone::Quiet, "not judged yet"),
    };
    (tone, text.to_owned())
}

fn next(status: &Status, policy: &Policy) -> String {
    let following = status.stage.and_then(|stage| policy.stages().get(stage + 1));
    let following =
        following.map_or_else(|| "promotion".to_owned(), |stage| stage.weight.to_string());
    match &status.waiting {
        Waiting::Router => "waits for the router".to_owned(),
        Waiting::Hold(left) => {
            format!("{following} in {}", seconds(Duration::from_millis(*left)))
        }
        Waiting::Verdict => format!("{following} as soon as the checks pass"),
        Waiting::Gate(gate) => format!("{following} when gate {gate} opens"),
        Waiting::Resume => "paused".to_owned(),
        Waiting::Nothing => "it is over".to_owned(),
        other => other.to_string(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
fn side(tally: &Tally, share: Option<f64>) -> SideView {
    SideView {
        per_second: tally.counts.total as f64 / LATELY.as_secs_f64(),
        error_rate: tally.counts.error_rate(),
        p95: tally.latency.quantile(0.95),
        share,
    }
}

fn checks(status: &Status) -> Vec<CheckView> {
    let results = last_look(status).into_iter().flat_map(|last| &last.checks);
    results.map(|result| check(result, &status.evidence)).collect()
}

fn check(result: &CheckResult, evidence: &[CheckEvidence]) -> CheckView {
    let tone = match result.verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Fail => Tone::Bad,
        Verdict::NoData | Verdict::Error => Tone::Notice,
        _ => Tone::Quiet,
    };
    let numbers = match &result.finding {
        Finding::Nothing => String::new(),
        Finding::Evidence { .. } => evidence
            .iter()
            .find(|one| one.check == result.check)
            .map_or_else(|| format!(": {}", result.finding), |one| format!(": {one}")),
        Finding::HardLimit { requests } => {
            let canary = requests.canary;
            format!(": {} of the latest {} failed, half is too many", canary.bad, canary.total)
        }
        finding => format!(": {finding}"),
    };
    CheckView {
        name: result.check.to_string(),
        tone,
        found: format!("{}{numbers}", result.verdict.as_str().replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use canary_core::record::{Outcome, Reason};
    use canary_core::simulate::{Service, Simulation};
    use serde_json::{from_value, json};

    use super::*;

    const POLICY: &str = include_str!("../../policies/quickstart.yaml");

    fn policy() -> Policy {
        Policy::from_yaml(POLICY).unwrap()
    }

    fn status(stage: usize, waiting: &serde_json::Value) -> Status {
        let status = json!({
            "rollout": "quickstart", "phase": "holding", "stage": stage, "stage_name": "quarter", "stages": 4,
            "weight_bp": 2500, "held_ms": 2100, "hold_ms": 4000, "paused": false, "stuck": false, "waiting": waiting,
        });
        from_value(status).unwrap()
    }

    #[test]
    fn it_is_said_what_a_rollout_waits_for() {
        for (stage, waiting, said) in [
            (1, json!("router"), "waits for the router"),
            (1, json!({ "hold_ms": 1900 }), "50% in 1.9 s"),
            (3, json!({ "hold_ms": 1900 }), "promotion in 1.9 s"),
            (1, json!("verdict"), "50% as soon as the checks pass"),
            (3, json!({ "gate": "oncall" }), "promotion when gate oncall opens"),
            (1, json!("resume"), "paused"),
        ] {
            assert_eq!(next(&status(stage, &waiting), &policy()), said);
        }
    }

    #[test]
    fn the_end_outweighs_the_last_tick() {
        let mut status = status(1, &json!("nothing"));
        assert_eq!(verdict(&status).1, "not judged yet");
        status.outcome = Some(Outcome::Promoted);
        assert_eq!(verdict(&status), (Tone::Good, "PROMOTED".to_owned()));
        let reason = Reason::Silence { for_ms: 1, sides: None };
        status.outcome = Some(Outcome::RolledBack { reason });
        assert_eq!(verdict(&status), (Tone::Bad, "ROLLED BACK".to_owned()));
    }

    #[test]
    fn evidence_is_shown_with_its_ratio() {
        let trace = Simulation::of(&policy())
            .traffic(300.0)
            .stable(Service::healthy().errors(0.02))
            .canary(Service::healthy().errors(0.03))
            .limit(Duration::from_secs(8))
            .run_traced();
        let status = trace.status().unwrap();
        let shown = checks(status).into_iter().find(|check| check.name == "errors").unwrap();
        let ratio = status.evidence[0].grounds.ratio.unwrap();
        assert!(ratio.lower < 1.5 && ratio.upper.unwrap() > 1.5, "{ratio:?}");
        assert!(shown.found.starts_with(&format!("pass: ratio {ratio}, evidence ")), "{shown:?}");
        assert!(shown.found.ends_with(" : 1, takes 100 : 1"), "{shown:?}");
        assert_eq!(shown.tone, Tone::Good);
    }

    #[test]
    fn a_story_says_everything_once() {
        let report = Simulation::of(&policy())
            .traffic(300.0)
            .stable(Service::healthy())
            .canary(Service::healthy().errors(0.2))
            .run();
        let mut story = Story::default();
        let tell = |record| story.tell(record);
        let told: Vec<_> = report.timeline.iter().filter_map(tell).collect();
        let about = |what: &str| told.iter().filter(|line| line.contains(what)).count();
        assert_eq!(about("too-many-errors"), 1, "{told:#?}");
        assert_eq!(about("5% accepted"), 1, "{told:#?}");
        assert!(told.iter().all(|line| line.contains(" s  ")), "{told:#?}");
    }

    #[test]
    fn a_rollout_that_holds_says_so_once() {
        let report = Simulation::of(&policy()).canary(Service::healthy().errors(1.0)).run();
        let judged = |record: &Record| match &record.content {
            Content::Judged(judgement) => Some((record.clone(), judgement.clone())),
            _ => None,
        };
        let (mut record, mut judgement) = report.timeline.iter().find_map(judged).unwrap();
        let mut story = Story::default();
        let mut told = |ruling| {
            Arc::make_mut(&mut judgement).ruling = ruling;
            record.content = Content::Judged(judgement.clone());
            story.tell(&record).is_some()
        };
        let rulings = [Ruling::GoOn, Ruling::Hold, Ruling::Hold, Ruling::GoOn, Ruling::Hold];
        assert_eq!(rulings.map(&mut told), [false, true, false, false, true]);
    }
}
