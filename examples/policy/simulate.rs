//! What would come of a policy?

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use canary_core::policy::{CheckKind, Metric, Policy, Then};
use canary_core::report::Report;
use canary_core::simulate::{Opening, Service, Simulation};
use canary_core::value::GateName;
use clap::Args;

use crate::read;
use crate::timeline::{Timeline, clock};
use crate::words::{duration, percent, read_duration};

/// Runs a policy in virtual time, against a made-up service
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The policy; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Requests a second, both versions together
    #[arg(long, value_name = "N", default_value = "200", value_parser = requests, allow_negative_numbers = true)]
    rps: f64,
    /// The share of its requests that the old version fails, 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0.001", value_parser = share, allow_negative_numbers = true)]
    base_error_rate: f64,
    /// The share that the new version fails [default: as the old one]
    #[arg(long, value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    canary_error_rate: Option<f64>,
    /// The time in which the old version answers half of its requests, in milliseconds
    #[arg(long, value_name = "MS", default_value = "50", value_parser = latency, allow_negative_numbers = true)]
    base_latency_ms: Duration,
    /// The same for the new version [default: as the old one]
    #[arg(long, value_name = "MS", value_parser = latency, allow_negative_numbers = true)]
    canary_latency_ms: Option<Duration>,
    /// How long after it is asked a gate opens: 30m, or never [default: at once]
    #[arg(long = "gate", value_name = "NAME=WHEN", value_parser = gate)]
    gates: Vec<(GateName, Opening)>,
    /// Chooses the randomness: the same seed gives the same rollout
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print the report as JSON on standard output, and nothing else there
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit status: 0 promoted, 3 rolled back, 4 neither, 1 something is wrong with the policy or a number, 2 wrong options.

Examples, after `cargo run --example policy --`:
  simulate checkout.yaml                                       a new version as good as the old one
  simulate checkout.yaml --rps 50 --canary-error-rate 0.02     one that fails one request in fifty
  simulate checkout.yaml --canary-latency-ms 120 --seed 7      one that is slow
  simulate checkout.yaml --gate oncall=30m                     a person who takes half an hour to approve
  simulate checkout.yaml --json | jq .outcome";

impl Options {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let policy = read(&self.file)?;
        let limit = self.limit(&policy);
        let simulation = self.simulation(&policy)?.limit(limit);
        for note in notes(&policy) {
            eprintln!("note: {note}");
        }
        let mut out = io::stdout().lock();
        let report = if self.json {
            let report = simulation.run();
            writeln!(out, "{}", report.to_json())?;
            report
        } else {
            writeln!(out, "{}\n", self.introduction(&policy))?;
            let mut timeline = Timeline::new(&mut out);
            let report = simulation.run_observed(|record| timeline.tell(record));
            timeline.end()?;
            writeln!(out, "\n{}", conclusion(&report, limit))?;
            report
        };
        Ok(match &report.outcome {
            Some(outcome) if outcome.is_promoted() => ExitCode::SUCCESS,
            Some(_) => ExitCode::from(3),
            None => ExitCode::from(4),
        })
    }

    fn simulation(&self, policy: &Policy) -> anyhow::Result<Simulation> {
        let mut simulation = Simulation::of(policy)
            .traffic(self.rps)
            .stable(Service::healthy().errors(self.base_error_rate).median(self.base_latency_ms))
            .canary(Service::healthy().errors(self.canary_errors()).median(self.canary_latency()))
            .seed(self.seed);
        for (name, opening) in &self.gates {
            if !policy.gates().any(|gate| gate == name) {
                let known: Vec<_> = policy.gates().map(GateName::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                bail!(
                    "no stage of the policy `{}` asks a gate `{name}`; expected one of: {known}",
                    policy.name()
                );
            }
            simulation = simulation.gate(name.as_str(), opening.clone());
        }
        Ok(simulation)
    }

    fn canary_errors(&self) -> f64 {
        self.canary_error_rate.unwrap_or(self.base_error_rate)
    }

    fn canary_latency(&self) -> Duration {
        self.canary_latency_ms.unwrap_or(self.base_latency_ms)
    }

    /// Returns the virtual time after which a rollout that has not ended never will: four times its
    /// holds, an hour more, and what its gates may take.
    fn limit(&self, policy: &Policy) -> Duration {
        let gates = policy
            .stages()
            .iter()
            .flat_map(|stage| &stage.gates)
            .map(|gate| self.wait_for(policy, gate));
        let holds = policy.stages().iter().map(|stage| stage.hold().saturating_mul(4));
        holds.chain(gates).fold(Duration::from_secs(3600), Duration::saturating_add)
    }

    /// Returns how long a gate is waited for where it opens, or its time passes, at all.
    fn wait_for(&self, policy: &Policy, name: &GateName) -> Duration {
        let timeout = policy.gate(name).timeout_ms.map(Duration::from_millis);
        let opens = match self.gates.iter().rev().find(|(gate, _)| gate == name) {
            None => Some(Duration::ZERO),
            Some((_, Opening::After(wait))) => Some(*wait),
            Some(_) => None,
        };
        [timeout, opens].into_iter().flatten().min().unwrap_or_default()
    }

    fn introduction(&self, policy: &Policy) -> String {
        format!(
            "{} in virtual time, {} requests a second, seed {}:\n\
             stable fails {} and has a median of {}, the canary fails {} and has a median of {}",
            policy.name(),
            self.rps,
            self.seed,
            percent(self.base_error_rate),
            duration(self.base_latency_ms),
            percent(self.canary_errors()),
            duration(self.canary_latency()),
        )
    }
}

/// Says what came of it; where nothing did, what the rollout waits for.
fn conclusion(report: &Report, limit: Duration) -> String {
    let mut text = format!("{}.", report.sentence());
    if report.outcome.is_none()
        && let Some(last) = report.timeline.last()
    {
        let at = clock(last.at.since(report.started));
        text += &format!(
            "\nStopped after {}; the last news, at {at}: {}",
            duration(limit),
            last.content
        );
    }
    text
}

/// Says what the made-up service cannot show.
fn notes(policy: &Policy) -> impl Iterator<Item = String> {
    policy.checks().iter().filter_map(|check| match &check.kind {
        CheckKind::Threshold { metric: Metric::Custom(metric), .. } => {
            let then = if check.then == Then::Warn {
                ""
            } else {
                ", and the rollout waits for it in vain"
            };
            let name = &check.name;
            Some(format!(
                "the made-up service has no `{metric}`: check `{name}` cannot be judged{then}"
            ))
        }
        _ => None,
    })
}

pub(crate) fn requests(text: &str) -> Result<f64, &'static str> {
    number(text, |rps| rps > 0.0 && rps <= 1e6)
        .ok_or("expected requests a second, more than 0 and at most 1000000")
}

pub(crate) fn share(text: &str) -> Result<f64, &'static str> {
    number(text, |rate| (0.0..=1.0).contains(&rate))
        .ok_or("expected a share from 0 to 1, such as 0.05 for 5%")
}

fn latency(text: &str) -> Result<Duration, &'static str> {
    number(text, |ms| (0.001..=3.6e6).contains(&ms))
        .map(|ms| Duration::from_secs_f64(ms / 1000.0))
        .ok_or("expected milliseconds from 0.001 to 3600000")
}

fn number(text: &str, fits: impl FnOnce(f64) -> bool) -> Option<f64> {
    text.parse().ok().filter(|number| fits(*number))
}

fn gate(text: &str) -> Result<(GateName, Opening), String> {
    let expected = "expected NAME=never or NAME=TIME, such as oncall=30m";
    let (name, when) = text.split_once('=').ok_or(expected)?;
    let opening = match when {
        "never" => Opening::Never,
        when => Opening::After(read_duration(when).ok_or(expected)?),
    };
    Ok((GateName::new(name).map_err(|error| error.to_string())?, opening))
}
