//! What does a policy plan?

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use canary_core::policy::{
    Check, CheckKind, GateKind, GateSpec, Limit, Otherwise, Policy, Stage, Then,
};
use canary_core::value::GateName;
use clap::Args;

use crate::read;
use crate::words::{duration, limit, percent};

/// Shows in words what a policy plans: stages, checks, gates, and how long it takes
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The policy; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the stable form instead, as JSON with every default filled in
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
        stages(f, policy)?;
        checks(f, policy)?;
        gates(f, policy)?;
        let within = duration(policy.rollback_within());
        writeln!(
            f,
            "\nA roll-back that takes longer than {within} is called stuck, and still tried."
        )?;
        let and_gates =
            if policy.gates().next().is_some() { ", and what the gates take" } else { "" };
        writeln!(f, "If all goes well the rollout takes {}{and_gates}.", duration(total(policy)))
    }
}

fn stages(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let names = policy.stages().iter().map(|stage| stage.name.as_str());
    let width = widest(names.chain(["stage"]));
    let last = if policy.gates().next().is_some() { "gates before it is left" } else { "" };
    let mut row = |name: &str, weight: &str, hold: &str, gates: &str| {
        let row = format!("{name:<width$}  {weight:>6}  {hold:>8}  {gates}");
        writeln!(f, "{}", row.trim_end())
    };
    row("stage", "weight", "hold", last)?;
    for stage in policy.stages() {
        let gates: Vec<_> = stage.gates.iter().map(GateName::as_str).collect();
        row(&stage.name, &stage.weight.to_string(), &duration(stage.hold()), &gates.join(", "))?;
    }
    Ok(())
}

fn checks(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    write!(f, "\nEvery {}", duration(policy.every()))?;
    if !policy.settle().is_zero() {
        write!(f, ", leaving out {} after each change of weight", duration(policy.settle()))?;
    }
    writeln!(f, ":")?;
    for check in policy.checks() {
        writeln!(f, "- {}: {}\n  → {}", check.name, looks_at(check), follows(check.then))?;
    }
    if policy.hard_limit() {
        let limit = "half or more of at least 20 requests failed in one look, while stable is well";
        writeln!(f, "- hard limit: {limit}\n  → {}", follows(Then::RollBack))?;
    }
    if policy.checks().is_empty() && !policy.hard_limit() {
        return writeln!(f, "- nothing is checked: holds and gates alone decide");
    }
    writeln!(f, "- no data where a check needs them\n  → {}", silence(policy))
}

/// Says what a check looks at, and what is bad.
fn looks_at(check: &Check) -> String {
    match &check.kind {
        CheckKind::Threshold { metric, comparison, limit: at, for_ms, samples } => {
            let at = match at {
                Limit::Absolute(value) => limit(metric.unit(), *value),
                Limit::TimesStable(times) => format!("{times} times stable's"),
                other => format!("{other:?}"),
            };
            let mut text = format!("{metric} {} {at}", comparison.as_str());
            if *for_ms > 0 {
                text += &format!(" over {}", duration(Duration::from_millis(*for_ms)));
            }
            if *samples > 0 {
                text += &format!(", judged once the canary had {samples} requests in that time");
            }
            text
        }
        CheckKind::WorseThanStable { ratio, false_alarm } => format!(
            "evidence that requests fail more than {ratio} times as often as on stable; convicts at most {} of \
             innocent canaries",
            percent(*false_alarm)
        ),
        other => format!("{other:?}"),
    }
}

const fn follows(then: Then) -> &'static str {
    match then {
        Then::Warn => "it is noted, and the rollout goes on",
        Then::Hold => "weight and clock stand until the check passes again",
        _ => "the canary is taken back",
    }
}

fn silence(policy: &Policy) -> String {
    let stands = "weight and clock stand until there are some";
    match policy.no_data().then {
        Then::RollBack => format!(
            "{stands}; after {} the canary is taken back",
            duration(policy.no_data().after())
        ),
        _ => stands.to_owned(),
    }
}

fn gates(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let mut names = policy.gates().peekable();
    if names.peek().is_some() {
        writeln!(f, "\nGates:")?;
    }
    for name in names {
        writeln!(f, "- {name}: {}", opens(policy.gate(name)))?;
    }
    Ok(())
}

/// Says how a gate opens, and what is done if it does not.
fn opens(gate: GateSpec) -> String {
    let who = match gate.kind {
        GateKind::Approval => "a person approves it",
        _ => "the program that runs the rollout decides",
    };
    let Some(timeout) = gate.timeout_ms.map(Duration::from_millis) else {
        return format!("{who}; it is waited for as long as it takes");
    };
    let otherwise = match gate.otherwise {
        Otherwise::Open => "the rollout goes on without it",
        _ => "the canary is taken back",
    };
    format!("{who}; after {} without an answer {otherwise}", duration(timeout))
}

/// Returns how long the rollout takes if every look passes: holds, and the settling before them.
fn total(policy: &Policy) -> Duration {
    let stage = |stage: &Stage| stage.hold().saturating_add(policy.settle());
    policy.stages().iter().map(stage).fold(Duration::ZERO, Duration::saturating_add)
}

fn widest<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or_default()
}
