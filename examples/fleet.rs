//! A thousand rollouts in one process: simulated services, virtual time, one bounded metric source.
//!
//! ```sh
//! cargo run --release --example fleet
//! cargo run --release --example fleet -- --rollouts 5000 --queries 16 --json
//! ```
//!
//! The time is tokio's paused clock, which jumps to whatever is due next: the driver does exactly what it does live.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use canary_core::driver::{Clock, Driver, Fleet};
use canary_core::policy::{Check, Policy};
use canary_core::simulate::{Service, Simulation};
use canary_core::testing::WorldPorts;
use canary_core::value::{Timestamp, Weight};
use clap::Parser;

/// When simulated worlds begin.
const BEGIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Rolls out many simulated services at once, some of them bad, and counts how they end.
#[derive(Debug, Parser)]
#[command(name = "fleet")]
struct Options {
    /// How many services are rolled out.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rollouts: u32,
    /// Every how manyth new version is bad: one request in five fails.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    bad_every: u32,
    /// How many queries may be under way at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    queries: u32,
    /// Print the counts as JSON.
    #[arg(long)]
    json: bool,
}

/// Counts how the rollouts of a fleet stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    under_way: u32,
    promoted: u32,
    rolled_back: u32,
}

impl Counts {
    fn of(fleet: &Fleet) -> Self {
        fleet.statuses().iter().fold(Self::default(), |mut counts, (_, status)| {
            match &status.outcome {
                None => counts.under_way += 1,
                Some(outcome) if outcome.is_promoted() => counts.promoted += 1,
                Some(_) => counts.rolled_back += 1,
            }
            counts
        })
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let clock = runtime.block_on(async { Clock::starting_at(BEGIN) });
    let counts = runtime.block_on(run(&options, clock))?;
    let took = clock_time(&runtime, clock);
    let expected = options.rollouts / options.bad_every;
    if options.json {
        let json = serde_json::json!({
            "promoted": counts.promoted,
            "rolled_back": counts.rolled_back,
            "bad": expected,
            "minutes": took.as_secs() / 60,
        });
        println!("{json}");
    } else {
        println!(
            "{} promoted, {} rolled back ({expected} were bad), in {} min of virtual time",
            counts.promoted,
            counts.rolled_back,
            took.as_secs() / 60
        );
    }
    Ok(if counts.rolled_back < expected { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn clock_time(runtime: &tokio::runtime::Runtime, clock: Clock) -> Duration {
    runtime.block_on(async { clock.now().since(BEGIN) })
}

/// Rolls all services out and waits for the last.
async fn run(options: &Options, clock: Clock) -> anyhow::Result<Counts> {
    let policy = Arc::new(policy()?);
    let fleet = Fleet::new(options.queries);
    for number in 1..=options.rollouts {
        let bad = number.is_multiple_of(options.bad_every);
        let world = Simulation::of(&policy)
            .traffic(200.0)
            .canary(Service::healthy().errors(if bad { 0.2 } else { 0.001 }))
            .seed(u64::from(number))
            .world();
        let service = WorldPorts::new(world);
        let builder = Driver::builder(Arc::clone(&policy))
            .target(format!("prod/service-{number}").parse()?)
            .router(service.clone())
            .metrics(service)
            .clock(clock);
        fleet.start(builder, format!("service-{number}-v2").parse()?).await?;
    }
    let mut shown = Counts::default();
    loop {
        let counts = Counts::of(&fleet);
        if counts != shown {
            show(counts).context("cannot write to standard error")?;
            shown = counts;
        }
        if counts.under_way == 0 {
            return Ok(counts);
        }
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
}

/// Draws the progress line, where somebody looks at it.
fn show(counts: Counts) -> io::Result<()> {
    let mut out = io::stderr();
    if !out.is_terminal() {
        return Ok(());
    }
    let Counts { under_way, promoted, rolled_back } = counts;
    let end = if under_way == 0 { "\n" } else { "" };
    write!(
        out,
        "\r\x1b[K{under_way} under way, {promoted} promoted, {rolled_back} rolled back{end}"
    )?;
    out.flush()
}

fn policy() -> anyhow::Result<Policy> {
    Ok(Policy::builder("service")
        .every(Duration::from_secs(15))
        .stage("tenth", Weight::percent(10), Duration::from_secs(300))
        .stage("half", Weight::percent(50), Duration::from_secs(300))
        .stage("full", Weight::FULL, Duration::from_secs(120))
        .check(Check::worse_than_stable("errors", 1.25))
        .build()?)
}
