//! How long must a stage be?

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use canary_core::analysis::{PlanTraffic, PlannedStage, SeenIn, rounded_up};
use canary_core::policy::{Check, Policy};
use canary_core::value::millis;
use clap::Args;
use serde_json::{Value, json};

use crate::numbers::{failing, requests, times};
use crate::read;
use crate::table::table;
use crate::words::{duration, percent};

/// Reckons which regressions a policy's evidence sees in its stages, and how long they must hold to see one
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The policy; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Requests a second, both versions together
    #[arg(long, value_name = "N", value_parser = requests, allow_negative_numbers = true)]
    rps: f64,
    /// The share of its requests that the old version fails, above 0 and below 1
    #[arg(long, value_name = "SHARE", value_parser = failing, allow_negative_numbers = true)]
    base_error_rate: f64,
    /// The smallest regression that matters: how many times as often as the old version the new one fails
    #[arg(long, value_name = "N", default_value = "3", value_parser = times, allow_negative_numbers = true)]
    times: f64,
    /// Print it all as JSON
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Each stage is reckoned by itself, as if the rollout began with it; evidence runs on from stage to stage, so that all of them
together see more. An estimate, near what simulations show: `simulate --runs` counts.

Exit status: 0 shown, 1 no valid policy or none with evidence about errors, 2 wrong options.

Examples, after `cargo run --example policy --`:
  plan checkout.yaml --rps 200 --base-error-rate 0.001
  plan checkout.yaml --rps 200 --base-error-rate 0.001 --times 2
  plan checkout.yaml --rps 200 --base-error-rate 0.001 --json | jq '.checks[].change'";

impl Options {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let policy = read(&self.file)?;
        let plan = |check| PlanTraffic::of(&policy, check, self.rps, self.base_error_rate);
        let checks = policy.checks().iter();
        let plans: Vec<_> = checks.filter_map(|check| Some((check, plan(check)?))).collect();
        if plans.is_empty() {
            bail!(
                "the policy `{}` has no evidence about errors to plan for; expected a check such as \
                 `{{ name: errors, worse_than_stable: 1.25x }}`",
                policy.name()
            );
        }
        let mut out = io::stdout().lock();
        if self.json {
            let checks: Vec<_> =
                plans.iter().map(|(check, plan)| self.in_json(&policy, check, plan)).collect();
            let all = json!({
                "policy": policy.name(),
                "requests_per_second": self.rps,
                "base_error_rate": self.base_error_rate,
                "times": self.times,
                "checks": checks,
            });
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let failing = percent(self.base_error_rate);
        writeln!(
            out,
            "{} at {} requests a second, of which stable fails {failing}",
            policy.name(),
            self.rps
        )?;
        for (check, plan) in &plans {
            writeln!(out, "\ncheck `{}`: worse than {} times stable\n", check.name, plan.ratio())?;
            writeln!(out, "{}\n{}", self.table(&policy, plan), self.change(&policy, plan))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn table(&self, policy: &Policy, plan: &PlanTraffic) -> String {
        let needs = [SeenIn::Half, SeenIn::FourOfFive].map(|seen| {
            let rollouts = if seen == SeenIn::Half { "half" } else { "4 of 5" };
            format!("hold for {}x\nin {rollouts}", self.times)
        });
        let head = [
            "stage",
            "weight",
            "hold",
            "requests of\nthe canary",
            "seen in\nhalf",
            "seen in\n4 of 5",
            &needs[0],
            &needs[1],
        ];
        let row = |stage: &PlannedStage| {
            let Seen { requests, half, mostly } = Seen::alone(plan, stage);
            let needed = stage.traffic.needed(&plan.limits(), self.times);
            let hold = |seen| match needed {
                Some(needed) => duration(rounded_up(needed.hold_for(seen))),
                None => "-".to_owned(),
            };
            let planned = &policy.stages()[stage.stage];
            [
                planned.name.clone(),
                planned.weight.to_string(),
                duration(stage.hold),
                format!("{requests:.0}"),
                multiple(half),
                multiple(mostly),
                hold(SeenIn::Half),
                hold(SeenIn::FourOfFive),
            ]
        };
        let Seen { requests, half, mostly } = Seen::together(plan);
        let together = [
            "all".to_owned(),
            String::new(),
            duration(plan.hold()),
            format!("{requests:.0}"),
            multiple(half),
            multiple(mostly),
            String::new(),
            String::new(),
        ];
        table(head, &[0], plan.stages().iter().map(row).chain([together]))
    }

    /// Says what has to change for the regression that matters to be seen.
    fn change(&self, policy: &Policy, plan: &PlanTraffic) -> String {
        let bad = format!("A canary that fails {} times as often as stable", self.times);
        if self.times <= plan.ratio() {
            return format!("{bad} is no regression to this check: `worse_than_stable` bears it.");
        }
        if plan.sees(self.times, SeenIn::FourOfFive) {
            return format!(
                "{bad} is convicted in at least four rollouts of five: nothing has to change."
            );
        }
        let change = match plan.least_change(self.times, SeenIn::FourOfFive) {
            Some(PlannedStage { stage, hold, .. }) => {
                let planned = &policy.stages()[stage];
                format!(
                    "let stage `{}` hold {} instead of {}",
                    planned.name,
                    duration(rounded_up(hold)),
                    duration(planned.hold())
                )
            }
            None => "add a limit in numbers: no hold is enough".to_owned(),
        };
        format!("{bad} is not convicted in four rollouts of five; for that, {change}.")
    }

    fn in_json(&self, policy: &Policy, check: &Check, plan: &PlanTraffic) -> Value {
        let stage = |planned: &PlannedStage| {
            let needed = planned.traffic.needed(&plan.limits(), self.times);
            let hold = |seen| needed.map(|needed| millis(needed.hold_for(seen)));
            let stage = &policy.stages()[planned.stage];
            let mut json = Seen::alone(plan, planned).in_json();
            json["stage"] = planned.stage.into();
            json["name"] = stage.name.as_str().into();
            json["weight_bp"] = json!(stage.weight);
            json["hold_ms"] = stage.hold_ms.into();
            json["needs_ms"] =
                json!({ "half": hold(SeenIn::Half), "four_of_five": hold(SeenIn::FourOfFive) });
            json
        };
        let sees = plan.sees(self.times, SeenIn::FourOfFive);
        let change = plan.least_change(self.times, SeenIn::FourOfFive).filter(|_| !sees);
        let mut together = Seen::together(plan).in_json();
        together["hold_ms"] = millis(plan.hold()).into();
        together["sees"] = sees.into();
        json!({
            "check": check.name,
            "ratio": plan.ratio(),
            "stages": plan.stages().iter().map(stage).collect::<Vec<_>>(),
            "together": together,
            "change": change.map(|planned| json!({
                "stage": planned.stage,
                "name": policy.stages()[planned.stage].name,
                "hold_ms": millis(rounded_up(planned.hold)),
            })),
        })
    }
}

/// Tells how many requests the canary gets, and the smallest regression that they show.
struct Seen {
    requests: f64,
    half: Option<f64>,
    mostly: Option<f64>,
}

impl Seen {
    /// Looks at a stage as if the rollout began with it and saw nothing else.
    fn alone(plan: &PlanTraffic, stage: &PlannedStage) -> Self {
        let detects = |seen| stage.traffic.detects(&plan.limits(), stage.hold, seen);
        Self {
            requests: canary_requests(stage),
            half: detects(SeenIn::Half),
            mostly: detects(SeenIn::FourOfFive),
        }
    }

    fn together(plan: &PlanTraffic) -> Self {
        Self {
            requests: plan.stages().iter().map(canary_requests).sum(),
            half: plan.detects(SeenIn::Half),
            mostly: plan.detects(SeenIn::FourOfFive),
        }
    }

    fn in_json(&self) -> Value {
        json!({
            "canary_requests": self.requests.round(),
            "detects": { "half": self.half, "four_of_five": self.mostly },
        })
    }
}

fn canary_requests(stage: &PlannedStage) -> f64 {
    stage.traffic.per_second * stage.traffic.share * stage.hold.as_secs_f64()
}

/// Writes `6.42x`, with three digits and never less than it is.
fn multiple(times: Option<f64>) -> String {
    match times {
        None => "-".to_owned(),
        Some(times) if times < 10.0 => format!("{:.2}x", (times * 100.0).ceil() / 100.0),
        Some(times) if times < 100.0 => format!("{:.1}x", (times * 10.0).ceil() / 10.0),
        Some(times) => format!("{:.0}x", times.ceil()),
    }
}
