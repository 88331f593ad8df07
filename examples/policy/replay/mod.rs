//! Would a policy have caught what happened?

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use canary_core::policy::Policy;
use canary_core::record::Outcome;
use canary_core::simulate::{Recording, Simulation, Trace};
use canary_core::value::{Counts, Side, Timestamp};
use clap::{Args, ValueEnum};

use crate::numbers::{instant, samples, variable};
use crate::read;
use crate::timeline::Timeline;
use crate::words::{duration, percent, rounded};

#[cfg(feature = "mesh")]
mod prometheus;

/// Runs a policy over what Prometheus recorded in the past: would it have caught that?
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The policy; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replay what `--record` has kept in this file, and ask nobody
    #[arg(long, value_name = "FILE", conflicts_with = "prometheus")]
    recording: Option<PathBuf>,
    /// Read the past from the Prometheus at this address, such as http://prometheus:9090
    #[arg(long, value_name = "URL", required_unless_present = "recording", requires_all = ["from", "to"])]
    prometheus: Option<String>,
    /// When the rollout begins, such as 2026-11-20T14:00Z
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "prometheus")]
    from: Option<Timestamp>,
    /// Where the replay ends, decided or not
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "prometheus")]
    to: Option<Timestamp>,
    /// Who counted the requests: the mesh, or the services under the usual names
    #[arg(long, value_name = "MESH", default_value = "http")]
    mesh: Mesh,
    /// What the queries name: namespace, stable and canary (the Deployments), with `http` label, stable and canary
    /// [default: variant, stable and canary], rollout, and what the policy's own queries name
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable, requires = "prometheus")]
    variables: Vec<(String, String)>,
    /// Keep what was read in this file, for `--recording`
    #[arg(long, value_name = "FILE", conflicts_with = "recording")]
    record: Option<PathBuf>,
    /// How many samples one answer of Prometheus may have; a quarter of an hour is fetched at once
    #[arg(long, value_name = "NUMBER", default_value_t = 500_000, value_parser = samples, requires = "prometheus")]
    samples: usize,
    /// Print the report as JSON on standard output, and nothing else there
    #[arg(long)]
    json: bool,
}

/// Says who counted the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mesh {
    Istio,
    Linkerd,
    Http,
}

const AFTER_HELP: &str = "\
Both sides are counted as they were: the canary got its requests at the weights of that time, and the policy's weights
change none of it. Gates open at once, for it is the checks that are tried.

Exit status: 0 promoted, 3 taken back, 4 neither before the replay ends, 1 something is wrong with the policy, the recording
or the server, 2 wrong options.

Examples, after `cargo run --features mesh --example policy --`:
  replay checkout.yaml --prometheus http://prometheus:9090 --from 2026-11-20T14:00Z --to 2026-11-20T16:30Z \\
      --mesh istio --var namespace=shop --var stable=checkout --var canary=checkout-canary --record incident.jsonl
  replay stricter.yaml --recording incident.jsonl";

impl Options {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let policy = read(&self.file)?;
        let recording = match &self.recording {
            Some(file) => open(file)?,
            None => self.fetch(&policy)?,
        };
        let lacks: Vec<_> =
            recording.lacks(&policy).iter().map(|signal| format!("`{signal}`")).collect();
        if !lacks.is_empty() {
            bail!(
                "the recording holds no {} as the policy asks for it; record it again with this policy",
                lacks.join(", ")
            );
        }
        if policy.gates().next().is_some() {
            eprintln!("note: gates open at once, for it is the checks that are tried");
        }
        let trace = Simulation::of(&policy).recorded(recording.clone()).run_traced();
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", trace.report().to_json())?;
        } else {
            writeln!(out, "{}\n", introduction(&policy, &recording))?;
            let mut timeline = Timeline::new(&mut out);
            trace.records().iter().for_each(|record| timeline.tell(record));
            timeline.end()?;
            writeln!(out, "\n{}", verdict(&trace, &recording))?;
        }
        Ok(match &trace.report().outcome {
            Some(outcome) if outcome.is_promoted() => ExitCode::SUCCESS,
            Some(_) => ExitCode::from(3),
            None => ExitCode::from(4),
        })
    }

    #[cfg(feature = "mesh")]
    fn fetch(&self, policy: &Policy) -> anyhow::Result<Recording> {
        prometheus::fetch(self, policy)
    }

    #[cfg(not(feature = "mesh"))]
    fn fetch(&self, _: &Policy) -> anyhow::Result<Recording> {
        bail!(
            "this program was built without Prometheus: run `cargo run --features mesh --example policy -- replay ..`"
        )
    }
}

fn open(file: &Path) -> anyhow::Result<Recording> {
    let name = file.display();
    let opened = File::open(file).with_context(|| format!("cannot read {name}"))?;
    Recording::read(BufReader::new(opened)).with_context(|| name.to_string())
}

fn introduction(policy: &Policy, recording: &Recording) -> String {
    let span = recording.span();
    let [stable, canary] = Side::BOTH.map(|side| recording.requests(side, span.after));
    let share = canary.total as f64 / (canary.total + stable.total).max(1) as f64;
    format!(
        "{} over what was recorded from {} to {}:\n\
         the canary served {} requests, {} of all, and failed {} of them; stable failed {} of {}\n\
         (each at the weight of that time, which the policy's weights do not change)",
        policy.name(),
        span.after,
        span.until,
        canary.total,
        percent(rounded(share)),
        failed(canary),
        failed(stable),
        stable.total,
    )
}

/// Says how it would have ended, when, and what that would have spared.
fn verdict(trace: &Trace, recording: &Recording) -> String {
    let report = trace.report();
    let when = |at: Timestamp| {
        format!("at {} UTC, {} after the begin", time(at), duration(at.since(report.started)))
    };
    match (&report.outcome, report.rollback_decided.or(report.ended)) {
        (Some(Outcome::RolledBack { reason }), Some(at)) => {
            let all = recording.requests(Side::Canary, recording.span().after).bad;
            let later = recording.requests(Side::Canary, at).bad;
            let spared = format!("{later} of the {all} requests that the canary failed came later");
            format!("Would have been taken back {}: {reason}.\n{spared}.", when(at))
        }
        (Some(_), Some(at)) => format!("Would have been promoted {}.", when(at)),
        _ => {
            let end = recording.span().until;
            let stands = trace.status().map(|status| format!(": {status}")).unwrap_or_default();
            format!("Not decided before the recording ends {}{stands}.", when(end))
        }
    }
}

/// Writes the time of day: `14:23:05`.
fn time(at: Timestamp) -> String {
    let at = i64::try_from(at.as_millis()).ok().map(jiff::Timestamp::from_millisecond);
    at.and_then(Result::ok).map_or_else(String::new, |at| at.strftime("%H:%M:%S").to_string())
}

fn failed(counts: Counts) -> String {
    percent(rounded(counts.error_rate().unwrap_or(0.0)))
}
