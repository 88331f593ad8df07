//! What would come of a policy?

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use canary_core::policy::{
    Check, CheckKind, GateKind, HARD_LIMIT, Limit, Metric, MetricSpec, PROGRESS, Policy, Then,
    Unclear,
};
use canary_core::simulate::{Crash, Opening, Port, Service, SimulatedWorkload, Simulation};
use canary_core::value::{GateName, Timestamp};
use clap::Args;

use crate::many;
use crate::numbers::{gauge, instant, latency, opening, requests, share, span, time};
use crate::read;
use crate::timeline::Timeline;
use crate::unfinished::unfinished;
use crate::words::{duration, percent};

/// For how long a calendar may stay closed and the rollout still be followed.
const LONGEST_CLOSED: Duration = Duration::from_secs(366 * 86_400);

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
    /// When the new version begins to fail that share; before, it fails as the old one [default: at once]
    #[arg(long, value_name = "TIME", value_parser = time, requires = "canary_error_rate")]
    canary_errors_from: Option<Duration>,
    /// The time in which the old version answers half of its requests, in milliseconds
    #[arg(long, value_name = "MS", default_value = "50", value_parser = latency, allow_negative_numbers = true)]
    base_latency_ms: Duration,
    /// The same for the new version [default: as the old one]
    #[arg(long, visible_alias = "median", value_name = "MS", value_parser = latency, allow_negative_numbers = true)]
    canary_latency_ms: Option<Duration>,
    /// The time in which the new version answers 95 of a hundred requests [default: 2.3 times the former]
    #[arg(long, visible_alias = "p95", value_name = "MS", value_parser = latency, allow_negative_numbers = true)]
    canary_p95_ms: Option<Duration>,
    /// What the new version shows for a metric beside those: cpu=0.9 [default: cpu 0.4, memory 0.5, restarts 0]
    #[arg(long = "gauge", value_name = "NAME=NUMBER", value_parser = gauge)]
    gauges: Vec<(String, f64)>,
    /// The same for the old version
    #[arg(long = "base-gauge", value_name = "NAME=NUMBER", value_parser = gauge)]
    base_gauges: Vec<(String, f64)>,
    /// The new version takes requests, but tells the metric source nothing
    #[arg(long)]
    silent: bool,
    /// The metric source cannot be reached from a time on for so long: 20m+10m
    #[arg(long, value_name = "FROM+LENGTH", value_parser = span)]
    metrics_down: Vec<(Duration, Duration)>,
    /// The process dies at this time, and another one takes over at once
    #[arg(long, value_name = "TIME", value_parser = time)]
    crash_at: Vec<Duration>,
    /// How long the new version takes to become ready [default: the rollout only routes]
    #[arg(long, value_name = "TIME", value_parser = time)]
    ready_after: Option<Duration>,
    /// When the rollout begins, such as 2026-11-20T22:00Z: gates open by their calendars then [default: they open at once]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    start: Option<Timestamp>,
    /// How long after it is asked a gate opens: 30m, never, or reject [default: at once]
    #[arg(long = "gate", value_name = "NAME=WHEN", value_parser = opening)]
    gates: Vec<(String, Opening)>,
    /// How long after it asks people let a check pass: 30m, never, or reject [default: never]
    #[arg(long = "answer", value_name = "CHECK=WHEN", value_parser = opening)]
    answers: Vec<(String, Opening)>,
    /// Chooses the randomness: the same seed gives the same rollout
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Run so many rollouts, each with the next seed, and count what became of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "svg")]
    runs: Option<u64>,
    /// Draw the rollout into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the report, or what became of many, as JSON on standard output, and nothing else there
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit status: 0 promoted, 3 rolled back, 4 neither, 1 something is wrong with the policy or a number, 2 wrong options;
with --runs 0 whatever became of them.

With --runs the bounds of each share are Clopper and Pearson's, both together with 99% confidence. Times are since the begin, and
with --canary-errors-from the time until it was rolled back is since then: what was rolled back before was innocent.

Examples, after `cargo run --example policy --`:
  simulate checkout.yaml                                       a new version as good as the old one
  simulate checkout.yaml --rps 50 --canary-error-rate 0.02     one that fails one request in fifty
  simulate checkout.yaml --canary-latency-ms 120 --seed 7      one that is slow
  simulate checkout.yaml --gate oncall=30m                     a person who takes half an hour to approve
  simulate payment.yaml --start 2026-11-20T22:00Z              a Friday night, with office hours and freezes
  simulate checkout.yaml --canary-error-rate 0.03 --canary-errors-from 40m --svg rollout.svg
  simulate checkout.yaml --metrics-down 20m+10m --crash-at 1h  what else goes wrong
  simulate checkout.yaml --runs 2000                           how often is an innocent version taken back?
  simulate checkout.yaml --runs 2000 --canary-error-rate 0.01  how soon is a bad one seen?
  simulate checkout.yaml --json | jq .outcome";

impl Options {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let policy = read(&self.file)?;
        let simulation = self.simulation(&policy)?.limit(self.limit(&policy));
        self.agree(&policy)?;
        if let Some(file) = &self.svg {
            // Where nothing can be written nothing needs to be worked out.
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
            opened.with_context(|| format!("cannot write {}", file.display()))?;
        }
        for note in self.notes(&policy) {
            eprintln!("note: {note}");
        }
        let mut out = io::stdout().lock();
        if let Some(runs) = self.runs {
            let (many, innocent) = (many::run(&simulation, runs)?, self.innocent());
            if self.json {
                let json = many::in_json(&many, innocent);
                writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
            } else {
                let counted = many::in_words(&many, innocent);
                write!(out, "{}\n\n{counted}", self.introduction(&policy))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let trace = simulation.run_traced();
        let report = trace.report();
        if self.json {
            writeln!(out, "{}", report.to_json())?;
        } else {
            writeln!(out, "{}\n", self.introduction(&policy))?;
            let mut timeline = Timeline::new(&mut out);
            trace.records().iter().for_each(|record| timeline.tell(record));
            timeline.end()?;
            writeln!(out, "\n{}.", report.sentence())?;
        }
        if let Some(status) = trace.status().filter(|status| status.outcome.is_none()) {
            eprintln!("note: {}", unfinished(status, self.limit(&policy)));
        }
        if let Some(file) = &self.svg {
            let written = std::fs::write(file, report.to_svg());
            written.with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(match &report.outcome {
            Some(outcome) if outcome.is_promoted() => ExitCode::SUCCESS,
            Some(_) => ExitCode::from(3),
            None => ExitCode::from(4),
        })
    }

    fn simulation(&self, policy: &Policy) -> anyhow::Result<Simulation> {
        let mut simulation = Simulation::of(policy)
            .traffic(self.rps)
            .stable(self.stable())
            .canary(self.canary())
            .seed(self.seed);
        for (from, length) in &self.metrics_down {
            simulation = simulation.fault(*from, Port::Metrics.down_for(*length));
        }
        for at in &self.crash_at {
            simulation = simulation.crash(Crash::at(*at));
        }
        if let Some(after) = self.ready_after {
            simulation = simulation.workload(SimulatedWorkload::ready_after(after));
        }
        if let Some(start) = self.start {
            simulation = simulation.starting(start);
        }
        for (name, opening) in &self.gates {
            let gates = policy.gates().map(GateName::as_str);
            known("asks no gate", policy, name, gates)?;
            simulation = simulation.gate(name, opening.clone());
        }
        for (name, opening) in &self.answers {
            let checks = policy.checks().iter().map(|check| &*check.name);
            known("has no check", policy, name, checks.chain(own_questions(policy, |_| true)))?;
            simulation = simulation.answer(name, opening.clone());
        }
        Ok(simulation)
    }

    /// Refuses numbers that contradict each other, or that nothing reads.
    fn agree(&self, policy: &Policy) -> anyhow::Result<()> {
        if let Some(p95) = self.canary_p95_ms.filter(|p95| *p95 < self.canary_latency()) {
            bail!(
                "the new version cannot answer 95 of a hundred requests in {}, and half of them in {}: expected \
                 --canary-p95-ms to be above --canary-latency-ms",
                duration(p95),
                duration(self.canary_latency())
            );
        }
        for (name, _) in &self.answers {
            let asking = policy.checks().iter().filter(|check| asks(policy, check));
            let asking = asking.map(|check| &*check.name);
            let own = own_questions(policy, |then| then == Then::Ask);
            known("never asks by the check", policy, name, asking.chain(own))?;
        }
        let read = metrics_read(policy);
        for (name, _) in self.gauges.iter().chain(&self.base_gauges) {
            known("reads no metric", policy, name, read.iter().map(String::as_str))?;
        }
        Ok(())
    }

    fn stable(&self) -> Service {
        let service = Service::healthy().errors(self.base_error_rate).median(self.base_latency_ms);
        let gauges = self.base_gauges.iter();
        gauges.fold(service, |service, (name, value)| service.gauge(name, *value))
    }

    fn canary(&self) -> Service {
        let service = Service::healthy().median(self.canary_latency());
        let service = match self.canary_errors_from {
            Some(from) => {
                service.errors(self.base_error_rate).errors_from(from, self.canary_errors())
            }
            None => service.errors(self.canary_errors()),
        };
        let service = match self.canary_p95_ms {
            Some(p95) => service.p95(p95),
            None => service,
        };
        let gauges = self.gauges.iter();
        let service = gauges.fold(service, |service, (name, value)| service.gauge(name, *value));
        if self.silent { service.silent() } else { service }
    }

    fn canary_errors(&self) -> f64 {
        self.canary_error_rate.unwrap_or(self.base_error_rate)
    }

    /// Tells whether the new version is as good as the old one, in all that can be said of it here.
    fn innocent(&self) -> bool {
        let slower = self.canary_p95_ms.is_some() || self.canary_latency() > self.base_latency_ms;
        let worse = self.canary_errors() > self.base_error_rate || slower;
        !worse && !self.silent && self.gauges.is_empty()
    }

    fn canary_latency(&self) -> Duration {
        self.canary_latency_ms.unwrap_or(self.base_latency_ms)
    }

    /// Returns the virtual time after which a rollout that has not ended never will: four times its
    /// holds, an hour more, and what its gates may take.
    fn limit(&self, policy: &Policy) -> Duration {
        let gates = policy.gates().map(|gate| self.wait_for(policy, gate));
        let holds = policy.stages().iter().map(|stage| stage.hold().saturating_mul(4));
        holds.chain(gates).fold(Duration::from_secs(3600), Duration::saturating_add)
    }

    /// Returns how long a gate is waited for where it opens, or its time passes, at all.
    fn wait_for(&self, policy: &Policy, name: &GateName) -> Duration {
        let timeout = policy.gate(name).timeout_ms.map(Duration::from_millis);
        let by_calendar = || matches!(policy.gate(name).kind, GateKind::Window(_));
        let opens = match self.gates.iter().rev().find(|(gate, _)| gate == name.as_str()) {
            None if self.start.is_some() && by_calendar() => Some(LONGEST_CLOSED),
            None => Some(Duration::ZERO),
            Some((_, Opening::After(wait))) => Some(*wait),
            Some(_) => None,
        };
        [timeout, opens].into_iter().flatten().min().unwrap_or_default()
    }

    /// Says what the made-up services cannot show.
    fn notes(&self, policy: &Policy) -> Vec<String> {
        let mut notes = Vec::new();
        for check in policy.checks() {
            check.kind.visit(&mut |kind| {
                let CheckKind::Threshold { metric: Metric::Custom(metric), limit, .. } = kind else {
                    return;
                };
                let compares = matches!(limit, Limit::TimesStable(_));
                let sides = [
                    ("canary", "--gauge", &self.gauges, true),
                    ("stable", "--base-gauge", &self.base_gauges, compares),
                ];
                for (side, option, gauges, needed) in sides {
                    if needed && !shows(policy, metric, gauges) {
                        let waits = ", and the rollout waits for it in vain";
                        let then = if check.is_binding() { waits } else { "" };
                        notes.push(format!(
                            "the made-up {side} has no `{metric}`: check `{}` cannot be judged{then}; \
                             `{option} {metric}=NUMBER` gives it one",
                            check.name
                        ));
                    }
                }
            });
        }
        notes
    }

    fn introduction(&self, policy: &Policy) -> String {
        format!(
            "{} in virtual time, {} requests a second, seed {}:\n\
             stable fails {} and has a median of {}, the canary fails {} and has a median of {}{}",
            policy.name(),
            self.rps,
            self.seed,
            percent(self.base_error_rate),
            duration(self.base_latency_ms),
            percent(self.canary_errors()),
            duration(self.canary_latency()),
            if self.silent { ", and tells the metric source nothing" } else { "" },
        )
    }
}

/// Tells whether a check may ask a person: because it fails, or because nothing can be said.
fn asks(policy: &Policy, check: &Check) -> bool {
    let lacks =
        [check.no_data.unwrap_or(policy.no_data()), check.errors.unwrap_or(policy.errors())];
    let unclear = matches!(check.kind, CheckKind::AsGoodAsStable { unclear: Unclear::Ask, .. });
    check.then == Then::Ask || unclear || lacks.iter().any(|patience| patience.then == Then::Ask)
}

/// Returns what may ask a person beside the policy's checks, where what it then does is so.
fn own_questions(policy: &Policy, does: impl Fn(Then) -> bool) -> impl Iterator<Item = &str> {
    let lacks = does(policy.no_data().then) || does(policy.errors().then);
    let limit: Option<&str> = (policy.hard_limit() && lacks).then_some(HARD_LIMIT);
    let progress = policy.spec().progress.filter(|progress| does(progress.then));
    limit.into_iter().chain(progress.map(|_| PROGRESS))
}

/// Returns the policy's metrics beside those that are built in.
fn metrics_read(policy: &Policy) -> BTreeSet<String> {
    let mut all = Vec::new();
    for check in policy.checks() {
        check.kind.visit(&mut |kind| {
            if let CheckKind::Threshold { metric, .. } | CheckKind::MannWhitney { metric, .. } =
                kind
            {
                all.push(metric.clone());
            }
        });
    }
    let limits = policy.stages().iter().flat_map(|stage| &stage.pass.limits);
    all.extend(limits.map(|limit| limit.metric.clone()));
    for metric in policy.spec().metrics.values() {
        if let MetricSpec::Score(parts) = metric {
            all.extend(parts.iter().map(|part| part.metric.clone()));
        }
    }
    let custom = all.into_iter().filter(|metric| matches!(metric, Metric::Custom(_)));
    custom.map(|metric| metric.to_string()).collect()
}

fn shows(policy: &Policy, metric: &str, gauges: &[(String, f64)]) -> bool {
    let scored = matches!(policy.spec().metrics.get(metric), Some(MetricSpec::Score(_)));
    scored
        || ["cpu", "memory", "restarts"].contains(&metric)
        || gauges.iter().any(|(name, _)| name == metric)
}

/// Refuses a name that the policy does not know.
fn known<'a>(
    lacks: &str,
    policy: &Policy,
    name: &str,
    names: impl Iterator<Item = &'a str>,
) -> anyhow::Result<()> {
    let names: Vec<_> = names.collect();
    if !names.contains(&name) {
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        bail!("the policy `{}` {lacks} `{name}`; expected one of: {known}", policy.name());
    }
    Ok(())
}
