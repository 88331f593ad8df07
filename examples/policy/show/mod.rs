//! What does a policy plan?

mod checks;
mod gates;
mod stages;

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use canary_core::policy::{Drift, How, Policy, Stage, Then, WorkloadSpec};
use canary_core::value::{Audience, GateName, Member};
use clap::Args;

use crate::read;
use crate::words::{duration, plural};

/// Shows in words what a policy plans: stages, checks, gates, and how long it takes
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The policy; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the stable form instead, as JSON with every default filled in; every job here reads that as well
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit status: 0 shown, 1 no valid policy, 2 wrong options.

Examples, after `cargo run --example policy --`:
  show examples/policies/checkout.yaml
  show examples/policies/checkout.yaml --json
  show - < checkout.yaml";

impl Options {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let policy = read(&self.file)?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(policy.spec())?)?;
        } else {
            write!(out, "{}", Plan(&policy))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Shows a policy to people.
struct Plan<'a>(&'a Policy);

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.0;
        writeln!(f, "{}\n", policy.name())?;
        reached(f, policy)?;
        stages::show(f, policy)?;
        checks::show(f, policy)?;
        gates::show(f, policy)?;
        promotion(f, policy)?;
        end(f, policy)
    }
}

/// Says who reaches the canary beside its share.
fn reached(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let spec = policy.spec();
    if !spec.header.is_empty() {
        let header: Vec<_> =
            spec.header.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        writeln!(f, "Requests with {} reach the canary in every stage.\n", header.join(" and "))?;
    }
    let Some(Audience { by, always, .. }) = &spec.audience else {
        return Ok(());
    };
    writeln!(f, "The same {by} always gets the same side.")?;
    let member = |member: &Member| match member {
        Member::List(name) => format!("those on the list {name}"),
        Member::EmailDomain(domain) => format!("those at {domain}"),
        Member::Segment(name) => format!("those of the segment {name}"),
        other => format!("{other:?}"),
    };
    let always: Vec<_> = always.iter().map(member).collect();
    if !always.is_empty() {
        writeln!(f, "Above 0% these always get the canary: {}.", always.join(", "))?;
    }
    writeln!(f)
}

fn promotion(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let promotion = &policy.spec().promotion;
    let how = match promotion.how {
        How::Swap => "the canary is the stable version from then on",
        _ => "stable takes the new version, and the canary goes",
    };
    write!(f, "\nPromoted, where the versions are run as well: {how}")?;
    if !promotion.gates.is_empty() {
        write!(f, "; asked before: {}", list(&promotion.gates))?;
    }
    if !promotion.after.is_empty() {
        write!(f, "; asked after, before the old one goes: {}", list(&promotion.after))?;
    }
    writeln!(f, ".")?;
    workload(f, policy.spec().workload)
}

/// Says how long the versions may take to become ready, and how long what is not needed any more is kept.
fn workload(f: &mut fmt::Formatter<'_>, workload: WorkloadSpec) -> fmt::Result {
    let show = |ms: u64| duration(Duration::from_millis(ms));
    write!(f, "A version may take {} to become ready", show(workload.ready_within_ms))?;
    if workload.ready_for_ms > 0 {
        write!(f, ", and must have been so for {}", show(workload.ready_for_ms))?;
    }
    for (ms, what) in [
        (workload.keep_after_success_ms, "the old one is kept for {} after a promotion"),
        (workload.keep_after_abort_ms, "the canary is kept for {} after a roll-back"),
    ] {
        if ms > 0 {
            write!(f, "; {}", what.replace("{}", &show(ms)))?;
        }
    }
    writeln!(f, ".")
}

fn end(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let spec = policy.spec();
    let drift = match spec.drift {
        Drift::Pause => "the rollout pauses",
        Drift::Accept => "it is left so",
        _ => "it is put back",
    };
    writeln!(f, "Where somebody else changes the route, {drift}.")?;
    if let Some(progress) = spec.progress {
        let then = match progress.then {
            Then::Ask => "somebody is asked",
            Then::RollBack => "the canary is taken back",
            _ => "it is told",
        };
        writeln!(f, "Where it stands still for {}, {then}.", duration(progress.after()))?;
    }
    let within = duration(policy.rollback_within());
    writeln!(f, "A roll-back that takes longer than {within} is called stuck, and still tried.")?;
    let keep = usize::try_from(spec.keep).unwrap_or(usize::MAX);
    writeln!(f, "Of each target {} that ended are remembered.", plural(keep, "rollout"))?;
    if spec.fast_return > 0 {
        let versions = spec.fast_return;
        writeln!(
            f,
            "One of the last {versions} versions promoted goes straight to the last stage."
        )?;
    }
    let and_gates = if policy.gates().next().is_some() { ", and what the gates take" } else { "" };
    writeln!(f, "If all goes well the rollout takes {}{and_gates}.", duration(total(policy)))
}

/// Returns how long the rollout takes if every look passes: holds, and the settling before them.
fn total(policy: &Policy) -> Duration {
    let stage = |stage: &Stage| stage.hold().saturating_add(policy.settle());
    let bake = policy.stages().len() > policy.spec().stages.len();
    let stages = policy.stages().iter().map(stage);
    let total = stages.fold(Duration::ZERO, Duration::saturating_add);
    // The bake changes no weight.
    if bake { total.saturating_sub(policy.settle()) } else { total }
}

fn list(gates: &[GateName]) -> String {
    gates.iter().map(GateName::as_str).collect::<Vec<_>>().join(", ")
}
