//! Policies on the command line: is a file valid, what does it plan, is that long enough, what would come of it, and what
//! would have come of it last week?
//!
//! ```sh
//! cargo run --example policy -- lint examples/policies/*.yaml
//! cargo run --example policy -- show examples/policies/checkout.yaml
//! cargo run --example policy -- plan examples/policies/checkout.yaml --rps 200 --base-error-rate 0.001
//! cargo run --example policy -- simulate examples/policies/checkout.yaml --canary-error-rate 0.05
//! cargo run --features mesh --example policy -- replay examples/policies/checkout.yaml --prometheus http://prometheus:9090 \
//!   --from 2026-11-20T14:00Z --to 2026-11-20T16:30Z
//! ```

#[path = "policy/lint.rs"]
mod lint;
#[path = "policy/many.rs"]
mod many;
#[path = "policy/numbers.rs"]
mod numbers;
#[path = "policy/plan.rs"]
mod plan;
#[path = "policy/replay/mod.rs"]
mod replay;
#[path = "policy/show/mod.rs"]
mod show;
#[path = "policy/simulate.rs"]
mod simulate;
#[path = "policy/table.rs"]
mod table;
#[path = "policy/timeline.rs"]
mod timeline;
#[path = "policy/unfinished.rs"]
mod unfinished;
#[path = "policy/words.rs"]
mod words;

use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use canary_core::policy::{Policy, PolicyError, PolicySpec};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use serde_json::Value;

/// Checks, explains, plans, simulates and replays the policies of canary rollouts.
#[derive(Debug, Parser)]
#[command(name = "policy", after_help = AFTER_HELP)]
struct Options {
    #[command(subcommand)]
    job: Job,
}

const AFTER_HELP: &str = "\
FILE is a policy as YAML or JSON, also as `show --json` prints it; `-` stands for standard input.

Examples, after `cargo run --example policy --`:
  lint examples/policies/*.yaml
  show examples/policies/checkout.yaml
  plan examples/policies/checkout.yaml --rps 200 --base-error-rate 0.001
  simulate examples/policies/checkout.yaml --canary-error-rate 0.05
  replay examples/policies/checkout.yaml --recording incident.jsonl

`policy help JOB` tells more about each.";

#[derive(Debug, Subcommand)]
enum Job {
    Lint(lint::Options),
    Plan(plan::Options),
    Replay(replay::Options),
    Show(show::Options),
    Simulate(Box<simulate::Options>),
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return misused(&error),
    };
    let done = match &options.job {
        Job::Lint(options) => options.run(),
        Job::Plan(options) => options.run(),
        Job::Replay(options) => options.run(),
        Job::Show(options) => options.run(),
        Job::Simulate(options) => options.run(),
    };
    done.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// Prints the help that was asked for, or what is wrong with the options.
fn misused(error: &clap::Error) -> ExitCode {
    // Where even that cannot be written, nobody can be told.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp => ExitCode::SUCCESS,
        ErrorKind::ValueValidation => ExitCode::FAILURE,
        _ => ExitCode::from(2),
    }
}

/// Says what went wrong.
fn complain(error: &anyhow::Error) {
    let reader_is_gone = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(reader_is_gone) {
        return;
    }
    if error.is::<PolicyError>() {
        // It calls each of its problems an error itself.
        eprintln!("{error}");
    } else {
        eprintln!("error: {error:#}");
    }
}

/// Reads a policy from a file, or from standard input where the file is `-`.
fn read(file: &Path) -> anyhow::Result<Policy> {
    parse(file, &read_text(file)?)
}

/// Reads a policy in the form that people write, or in the stable one that `show --json` prints.
fn parse(file: &Path, text: &str) -> anyhow::Result<Policy> {
    let is_stable = |json: &Value| json.get("every_ms").is_some();
    match serde_json::from_str::<Value>(text).ok().filter(is_stable) {
        Some(json) => {
            let spec: PolicySpec = serde_json::from_value(json)
                .with_context(|| format!("{} is no policy in the stable form", shown(file)))?;
            Ok(Policy::from_spec(spec)?)
        }
        None => Ok(Policy::from_yaml_named(&shown(file), text)?),
    }
}

fn read_text(file: &Path) -> anyhow::Result<String> {
    let name = shown(file);
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.with_context(|| format!("cannot read {name}"))
}

/// Returns a file's name as people shall read it.
fn shown(file: &Path) -> String {
    match file.to_string_lossy() {
        name if name == "-" => "<stdin>".to_owned(),
        name => name.into_owned(),
    }
}
