//! Is each file a valid policy, and a wise one?

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use canary_core::lint::{self, Assumptions, Finding};
use canary_core::policy::{Place, Policy, PolicyError};
use clap::Args;
use serde_json::{Value, json};

use crate::numbers::{requests, share};
use crate::words::{plural, positive_duration};
use crate::{complain, parse, read_text, shown};

/// Says everything that is wrong with policies or unwise in them, each thing with its place and what to write instead
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The policies; `-` reads one from standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Requests a second, both versions together; what needs them is not looked for unless said
    #[arg(long, value_name = "N", value_parser = requests, allow_negative_numbers = true)]
    rps: Option<f64>,
    /// The share of its requests that the old version fails, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    base_error_rate: Option<f64>,
    /// How often the metric source looks at the service, such as `15s`
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    scrape: Option<Duration>,
    /// Print everything as JSON, one list for all files
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
What was read and may stay as it is stands in the policy by its name: `allow: [no-comparison]`.

Exit status: 0 every file is a valid policy and what is unwise in it is accepted, 1 one is not or cannot be read,
2 wrong options.

Examples, after `cargo run --example policy --`:
  lint examples/policies/checkout.yaml
  lint examples/policies/checkout.yaml --rps 200 --base-error-rate 0.001 --scrape 15s
  lint examples/policies/*.yaml --json
  lint - < checkout.yaml";

impl Options {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut well = true;
        let mut all = Vec::new();
        for file in &self.files {
            match self.lint(file) {
                Ok((policy, findings)) => {
                    well &= findings.iter().all(|finding| finding.accepted);
                    if self.json {
                        all.extend(findings.iter().map(|finding| found(file, finding)));
                    } else {
                        report(file, &policy, &findings)?;
                    }
                }
                Err(error) => {
                    well = false;
                    match error.downcast_ref::<PolicyError>() {
                        Some(error) if self.json => all.extend(wrong(file, error)),
                        None if self.json => all.push(unread(file, &error)),
                        _ => complain(&error),
                    }
                }
            }
        }
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&all)?)?;
        }
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn lint(&self, file: &Path) -> anyhow::Result<(Policy, Vec<Finding>)> {
        let text = read_text(file)?;
        let name = shown(file);
        let policy = parse(file, &text)?;
        let mut assumptions = Assumptions::default();
        assumptions.requests_per_second = self.rps;
        assumptions.base_error_rate = self.base_error_rate;
        assumptions.scrape_interval = self.scrape;
        let findings = lint::findings(&policy, &assumptions);
        let findings = findings.into_iter().map(|finding| finding.in_text(&name, &text)).collect();
        Ok((policy, findings))
    }
}

/// Shows what was not accepted, and one line for the file.
fn report(file: &Path, policy: &Policy, findings: &[Finding]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let (accepted, open): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.accepted);
    for finding in &open {
        writeln!(out, "{finding}\n")?;
    }
    let result = if open.is_empty() { "ok".to_owned() } else { plural(open.len(), "finding") };
    let stages = plural(policy.spec().stages.len(), "stage");
    let checks = plural(policy.checks().len(), "check");
    write!(out, "{}: {result}, {stages}, {checks}", shown(file))?;
    if !accepted.is_empty() {
        write!(out, ", {} accepted", plural(accepted.len(), "finding"))?;
    }
    writeln!(out)
}

fn found(file: &Path, finding: &Finding) -> Value {
    let level = if finding.accepted { "accepted" } else { "warning" };
    let (path, place) = (&finding.path, finding.place.as_ref());
    entry(file, (level, Some(finding.name)), (path, place), (&finding.message, &finding.help))
}

fn wrong(file: &Path, error: &PolicyError) -> Vec<Value> {
    let problems = error.problems().iter();
    let one = |p: &canary_core::policy::Problem| {
        entry(file, ("error", None), (&p.path, p.place.as_ref()), (&p.message, &p.help))
    };
    problems.map(one).collect()
}

/// Says why a file could not be looked at.
fn unread(file: &Path, error: &anyhow::Error) -> Value {
    let help = "name a file that can be read, and that holds a policy";
    entry(file, ("error", None), ("", None), (&format!("{error:#}"), help))
}

fn entry(
    file: &Path,
    (level, name): (&str, Option<&str>),
    (path, place): (&str, Option<&Place>),
    (message, help): (&str, &str),
) -> Value {
    json!({
        "file": shown(file),
        "level": level,
        "name": name,
        "path": path,
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "message": message,
        "help": help,
    })
}
