//! How it is delivered: the options as a policy.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use canary_core::policy::{Check, GateSpec, Patience, Policy, PolicyError, Then};
use canary_core::value::Weight;
use clap::Args;
use jiff::fmt::friendly::{Spacing, SpanPrinter};

/// How long somebody may take to say whether to promote.
const TO_ANSWER: Duration = Duration::from_secs(3600);

/// How long pods may take to be ready.
const TO_BE_READY: Duration = Duration::from_secs(300);

/// How long a rollout may stand still.
const TO_GO_ON: Duration = Duration::from_secs(1800);

/// Says how the canary's share grows, and what takes it back.
#[derive(Debug, Args)]
#[expect(clippy::exhaustive_structs, reason = "whoever delivers says all of it")]
pub struct Plan {
    /// Take the canary back above this error rate, in percent
    #[arg(long, value_name = "PERCENT", default_value = "5", allow_hyphen_values = true, value_parser = percent)]
    pub error_threshold: f64,
    /// Warn above this 95th percentile of latency, in milliseconds; take back where the 99th is above twice that
    #[arg(long, value_name = "MS", default_value = "500", allow_hyphen_values = true, value_parser = above_zero)]
    pub latency_p95: f64,
    /// The canary's share of the traffic step by step, in percent
    #[arg(long, value_name = "PERCENT,..", default_value = "5,25,50,100", allow_hyphen_values = true, value_delimiter = ',', value_parser = weight)]
    pub traffic_steps: Vec<Weight>,
    /// How long each step lasts: minutes, or with a unit (`90s`, `1h`)
    #[arg(long, value_name = "MINUTES", default_value = "5", allow_hyphen_values = true, value_parser = minutes)]
    pub step_duration: Duration,
    /// Promote without asking once the last step is over
    #[arg(long)]
    pub auto_promote: bool,
    /// Deliver by this policy instead; a gate in it that names nobody asks for ready pods, one of alerts asks Prometheus
    /// for those with the labels `namespace` and `service`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["error_threshold", "latency_p95", "traffic_steps", "step_duration", "auto_promote"])]
    pub policy: Option<PathBuf>,
}

impl Plan {
    /// Reads the policy file, or makes a policy of the options.
    ///
    /// # Errors
    /// Where the file cannot be read; [`PolicyError`] with everything that is wrong in it.
    pub fn policy(&self, service: &str) -> anyhow::Result<Policy> {
        let Some(file) = &self.policy else { return Ok(self.of_options(service)?) };
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Policy::from_yaml_named(&file.to_string_lossy(), &text)?)
    }

    /// Says what takes the canary back, a line each.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        if let Some(file) = &self.policy {
            return vec![format!("as {} says", file.display())];
        }
        let (errors, p95) = (self.error_threshold, self.latency_p95);
        vec![
            format!(
                "taken back above {errors}% errors or {} ms at p99, when a pod crashes,",
                2.0 * p95
            ),
            format!("or when it comes no further for {}", in_words(TO_GO_ON)),
            format!("a warning above {p95} ms at p95, or 80% of CPU or memory"),
        ]
    }

    fn of_options(&self, service: &str) -> Result<Policy, PolicyError> {
        let (step, allowed) = (self.step_duration, self.error_threshold / 100.0);
        let second = Duration::from_secs(1);
        let warning =
            |name: &str, metric, limit| Check::above(name, metric, limit).then(Then::Warn);
        let mut plan = Policy::builder(service)
            .every((step / 10).clamp(second, 15 * second))
            .settle((step / 10).min(5 * second))
            // Silence is called that before it is called no progress.
            .no_data(Patience::new(step.clamp(60 * second, TO_GO_ON / 2), Then::RollBack))
            .progress(Patience::new(TO_GO_ON, Then::RollBack))
            .check(Check::above("errors", "error_rate", allowed))
            .check(Check::above("slowest", "latency.p99", 2.0 * self.latency_p95))
            .check(warning("slow", "latency.p95", self.latency_p95))
            .check(warning("cpu", "cpu", 0.8))
            .check(warning("memory", "memory", 0.8))
            .watched_gate("no-crash-loop", GateSpec::default(), Then::RollBack);
        for &weight in &self.traffic_steps {
            let ready = GateSpec::default().timeout(TO_BE_READY);
            plan = plan.stage(weight.to_string(), weight, step).gate("pods-ready", ready);
        }
        if !self.auto_promote {
            plan = plan.promotion_gate("promotion", GateSpec::approval().timeout(TO_ANSWER));
        }
        plan.build()
    }
}

/// Reads minutes, or a time with a unit.
///
/// # Errors
/// Where the text is neither, or no time at all.
pub fn minutes(text: &str) -> Result<Duration, String> {
    let read = || match text.parse::<f64>() {
        Ok(minutes) => Duration::try_from_secs_f64(minutes * 60.0).ok(),
        // Or a sign or `ago` would be read as well.
        Err(_) if !text.starts_with(|c: char| c.is_ascii_digit()) => None,
        Err(_) => Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok(),
    };
    let least = Duration::from_secs(1);
    let time = read().filter(|time| *time >= least);
    time.ok_or_else(|| "expected a second or more: minutes such as 5 or 0.5, or 90s, 1h".to_owned())
}

/// Writes a time: `5m`, `1m30s`.
#[must_use]
pub fn in_words(time: Duration) -> String {
    const PRINTER: SpanPrinter = SpanPrinter::new().spacing(Spacing::None);
    PRINTER.unsigned_duration_to_string(&time)
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    let number = number.filter(|number| *number > 0.0 && *number < 100.0);
    number.ok_or_else(|| "expected a percentage between 0 and 100".to_owned())
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("ms").unwrap_or(text).parse::<f64>().ok();
    let number = number.filter(|number| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "expected milliseconds".to_owned())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is rounded and between 0 and 10,000"
)]
fn weight(text: &str) -> Result<Weight, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    let points = number.map(|percent| percent * 100.0).filter(|points| {
        (1.0..=10_000.0).contains(points) && (points - points.round()).abs() < 1e-6
    });
    let points = points.ok_or("expected a percentage from 0.01 to 100, with two digits at most")?;
    Weight::from_basis_points(points.round() as u16).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use canary_core::lint::{self, Assumptions};
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Options {
        #[command(flatten)]
        plan: Plan,
    }

    fn plan(words: &[&str]) -> Result<Plan, clap::Error> {
        let words = [&["deploy"], words].concat();
        Options::try_parse_from(words).map(|options| options.plan)
    }

    #[test]
    fn the_defaults_are_orions_plan() {
        let policy = plan(&["--auto-promote"]).unwrap().policy("orion").unwrap();
        let file = include_str!("../../policies/orion.yaml");
        let [mut ours, mut theirs] =
            [policy, Policy::from_yaml(file).unwrap()].map(|policy| policy.spec().clone());
        // What has no more errors than may be succeeds often enough.
        theirs.checks.retain(|check| &*check.name != "success");
        for check in &mut theirs.checks {
            if &*check.name == "crashing" {
                check.name = "no-crash-loop".into();
            }
        }
        theirs.allow.clear();
        for spec in [&mut ours, &mut theirs] {
            spec.checks.sort_by(|a, b| a.name.cmp(&b.name));
        }
        assert_eq!(ours, theirs);
    }

    #[test]
    fn whatever_the_steps_nothing_keeps_it_for_ever() {
        let known = Assumptions::default();
        for step in ["1s", "5m", "24h"] {
            let options = ["--step-duration", step];
            let policy = plan(&options).unwrap().policy("auth").unwrap();
            let found = lint::findings(&policy, &known);
            let for_ever = |name| ["no-progress", "gate-without-timeout"].contains(&name);
            let found: Vec<_> = found.iter().filter(|finding| for_ever(finding.name)).collect();
            assert!(found.is_empty(), "{found:?}");
            let progress = policy.spec().progress.unwrap();
            assert!(policy.no_data().after() < progress.after(), "silence is not told as that");
        }
    }

    #[test]
    fn times_are_minutes_or_have_a_unit() {
        for (text, seconds) in [("5", 300), ("0.5", 30), ("30s", 30), ("1h", 3600), ("1m30s", 90)] {
            assert_eq!(minutes(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in ["0", "-5", "-5m", "5m ago", "soon", "inf", "0.001", ""] {
            assert!(minutes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for words in [
            "--error-threshold=0",
            "--error-threshold=101",
            "--latency-p95=0",
            "--latency-p95=-1",
            "--latency-p95=inf",
            "--traffic-steps=-5,25",
            "--traffic-steps=5,200",
            "--traffic-steps=0.001",
        ] {
            assert!(plan(&[words]).is_err(), "{words}");
        }
        let falling = plan(&["--traffic-steps", "50,25,100"]).unwrap();
        assert!(falling.policy("auth").is_err());
    }

    #[test]
    fn nobody_is_asked_where_it_promotes_by_itself() {
        let asks = |words: &[&str]| {
            let policy = plan(words).unwrap().policy("auth").unwrap();
            policy.gates().any(|gate| gate.as_str() == "promotion")
        };
        assert!(asks(&[]));
        assert!(!asks(&["--auto-promote"]));
    }
}
