//! What did Prometheus see then?

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use canary_core::policy::Policy;
use canary_core::ports::MetricSource as _;
use canary_core::rollout::queries;
use canary_core::simulate::{Recording, WrongWindow};
use canary_core::value::{Query, RolloutId, Side, Signal, Timestamp, Window, millis};
use canary_prometheus::preset::{http, istio, linkerd, pods};
use canary_prometheus::{Limits, Prometheus};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Mesh, Options};

/// How often the past is looked at, at least: what is recorded so finely serves policies that look at another pace too.
const STEP: Duration = Duration::from_secs(5);

/// Reads the past, and keeps it where that is wanted.
pub(super) fn fetch(options: &Options, policy: &Policy) -> anyhow::Result<Recording> {
    let Some(file) = &options.record else { return look_back(options, policy) };
    let failed = || format!("cannot write {}", file.display());
    // Where nothing can be written nothing needs to be read.
    try_out(file).with_context(failed)?;
    let recording = look_back(options, policy)?;
    let keep = || {
        let mut out = BufWriter::new(File::create(file)?);
        recording.write(&mut out)?;
        out.flush()
    };
    keep().with_context(failed)?;
    Ok(recording)
}

/// Tries whether a file can be written, and leaves everything as it was: reading the past may fail, or be broken off.
fn try_out(file: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(_) => fs::remove_file(file),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            OpenOptions::new().append(true).open(file).map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Reads the past, and shows on a terminal how far it is.
fn look_back(options: &Options, policy: &Policy) -> anyhow::Result<Recording> {
    let span = span(options)?;
    let source = source(options)?;
    let rollout = match value(options, "rollout") {
        Some(name) => name.parse().with_context(|| format!("`{name}` names no rollout"))?,
        None => RolloutId::new("replay")?,
    };
    let mut asked = queries(policy);
    for query in &asked {
        source.check(query).with_context(|| format!("`{}` cannot be asked", query.signal))?;
    }
    // Whoever tries another policy on the recording may want to look at more.
    let more = usual(options.mesh).filter(|more| asked.iter().all(|query| query.signal != *more));
    asked.extend(more.collect::<Vec<_>>().into_iter().map(|more| Query::new(more, span.after)));
    let mut recording = Recording::new(span, asked.clone());
    let mut wrong = None::<WrongWindow>;
    let progress = progress(span)?;
    let step = STEP.min(policy.every());
    let back = source.look_back(&rollout, &asked, span, step, |query, measured| {
        progress.set_position(millis(measured.covered.until.since(span.after)) / 1000);
        wrong = wrong.take().or(recording.push(&query.signal, measured).err());
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let read = runtime.block_on(back);
    progress.finish_and_clear();
    read?;
    match wrong {
        Some(wrong) => Err(wrong).context("what the server answers does not fit together"),
        None => Ok(recording),
    }
}

fn span(options: &Options) -> anyhow::Result<Window> {
    let (from, to) = (options.from.unwrap_or(Timestamp::EPOCH), options.to.unwrap_or_default());
    if to <= from {
        bail!("--to {to} does not lie after --from {from}");
    }
    Ok(Window::new(from, to))
}

/// Returns what can be told of every service, beside its requests.
fn usual(mesh: Mesh) -> impl Iterator<Item = Signal> {
    let pods = if mesh == Mesh::Http { &[][..] } else { &["cpu", "memory", "restarts", "ready"] };
    let pods = pods.iter().map(|name| Signal::Custom((*name).into()));
    std::iter::once(Signal::Latency).chain(pods)
}

fn progress(span: Window) -> anyhow::Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("read {pos} of {len} seconds of the past, {eta} to go")?;
    // Where standard error is no terminal nothing is drawn.
    Ok(ProgressBar::new(millis(span.length()) / 1000).with_style(style))
}

fn source(options: &Options) -> anyhow::Result<Prometheus> {
    let server = options.prometheus.as_deref().unwrap_or_default();
    let mut builder = Prometheus::builder(server).limits(limits(options.samples));
    for (name, value) in options.variables.iter().filter(|(name, _)| name != "rollout") {
        builder = builder.variable(name, value);
    }
    for side in Side::BOTH {
        if let Some(name) = value(options, side.as_str()) {
            builder = builder.variant(side, name);
        }
    }
    let needed = |name: &str| {
        let mesh = format!("{:?}", options.mesh).to_lowercase();
        value(options, name).with_context(|| format!("--mesh {mesh} needs --var {name}=.."))
    };
    let deployments =
        || Ok::<_, anyhow::Error>((needed("namespace")?, needed("stable")?, needed("canary")?));
    let or = |name: &str, usual| value(options, name).unwrap_or(usual);
    builder = match options.mesh {
        Mesh::Istio => {
            let (namespace, stable, canary) = deployments()?;
            builder
                .preset(istio::by_workload(namespace, stable, canary))
                .preset(pods::by_deployment(namespace, stable, canary))
        }
        Mesh::Linkerd => {
            let (namespace, stable, canary) = deployments()?;
            builder
                .preset(linkerd::by_deployment(namespace, stable, canary))
                .preset(pods::by_deployment(namespace, stable, canary))
        }
        Mesh::Http => builder.preset(http::by_label(
            or("label", "variant"),
            or("stable", "stable"),
            or("canary", "canary"),
        )),
    };
    Ok(builder.build()?)
}

/// Lets answers have so many samples, and as many series and bytes as go with them; and lets the server take its time, for
/// nobody waits for a decision.
fn limits(samples: usize) -> Limits {
    let usual = Limits::default();
    let in_proportion = |limit: usize| (limit.saturating_mul(samples) / usual.samples).max(limit);
    let (series, bytes) = (in_proportion(usual.series), in_proportion(usual.bytes));
    usual.samples(samples).series(series).bytes(bytes).time(Duration::from_secs(60))
}

/// Returns what a variable was set to last.
fn value<'a>(options: &'a Options, name: &str) -> Option<&'a str> {
    options.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| &**value)
}
