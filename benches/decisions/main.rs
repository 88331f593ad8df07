//! Which rule takes bad canaries back sooner, and which takes back innocent ones.

mod picture;
mod table;

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use canary_benches::judging::{compare, contenders, streams};
use clap::Parser;

/// Compares rules that take canaries back, on the same made-up rollouts.
#[derive(Debug, Parser)]
#[command(name = "decisions")]
struct Arguments {
    /// How many rollouts of each stream
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The seed of everything that is drawn
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Print one object a line instead of tables
    #[arg(long)]
    json: bool,
    /// Draw errors served against false roll-backs into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Cargo adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let (streams, contenders) = (streams(), contenders());
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let runs = usize::try_from(arguments.runs)?;
    let rows = compare(&streams, &contenders, (runs, arguments.seed), threads, &show_progress);
    finish_progress();
    if let Some(file) = &arguments.svg {
        picture::draw(&rows, file)?;
    }
    let mut out = std::io::stdout().lock();
    if arguments.json {
        for row in &rows {
            serde_json::to_writer(&mut out, row)?;
            writeln!(out)?;
        }
    } else {
        table::write(&mut out, &rows)?;
    }
    Ok(())
}

fn show_progress(share: f64) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{:3.0} %", 100.0 * share);
    }
}

fn finish_progress() {
    if std::io::stderr().is_terminal() {
        eprint!("\r     \r");
    }
}
