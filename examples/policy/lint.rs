//! Is each file a valid policy?

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::words::plural;
use crate::{complain, read, shown};

/// Says everything that is wrong with policies, each thing with its place and what to write instead
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The policies; `-` reads one from standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
Exit status: 0 every file is a valid policy, 1 one is not or cannot be read, 2 wrong options.

Examples, after `cargo run --example policy --`:
  lint examples/policies/checkout.yaml
  lint examples/policies/*.yaml
  lint - < checkout.yaml";

impl Options {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut code = ExitCode::SUCCESS;
        let mut out = io::stdout().lock();
        for file in &self.files {
            match read(file) {
                Ok(policy) => {
                    let stages = plural(policy.stages().len(), "stage");
                    let checks = plural(policy.checks().len(), "check");
                    writeln!(out, "{}: ok, {stages}, {checks}", shown(file))?;
                }
                Err(error) => {
                    complain(&error);
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }
}
