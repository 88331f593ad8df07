//! A hundred rollouts in one process, on a real API server: what they cost, whether they are on time, and how soon bad
//! canaries are taken back.
//!
//! ```sh
//! eval "$(.ci/cluster/up /tmp/canary-cluster)"
//! cargo run --release --features mesh --example cluster -- --kubeconfig "$CANARY_TEST_KUBECONFIG"
//! cargo run --release --features mesh --example cluster -- --kubeconfig "$CANARY_TEST_KUBECONFIG" --rollouts 1000 --bad
//! ```
//!
//! Each rollout moves a VirtualService of its own, a step at each look. Metrics come from a stand-in for Prometheus in
//! another process.

mod course;
mod figures;
mod process;
mod rollouts;
mod server;
mod stand_in;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use serde_json::json;

use figures::{Back, Cost};
use rollouts::Rollouts;
use server::{Calls, Services};
use stand_in::StandIn;

/// After how many looks all rollouts go on as they will.
const WARM_UP: u32 = 3;

/// Runs many rollouts against a Kubernetes API server with Istio's definitions, and measures what they cost.
#[derive(Debug, Parser)]
#[command(name = "cluster", after_help = AFTER_HELP)]
struct Options {
    /// The way to the cluster; as the environment says unless given
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How many rollouts there are
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rollouts: u32,
    /// For how long is measured
    #[arg(long, value_name = "MINUTES", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=10))]
    minutes: u64,
    /// Every how many seconds a rollout looks
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    every: Duration,
    /// Every how many seconds the stand-in scrapes
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    scrape: Duration,
    /// Where the rollouts are kept
    #[arg(long, value_name = "WHERE", default_value = "file")]
    store: Store,
    /// Read each VirtualService at each look instead of watching all of them
    #[arg(long)]
    no_watch: bool,
    /// In the end, let half of the canaries' requests fail
    #[arg(long)]
    bad: bool,
    /// For how many seconds they have failed already when the metric shows it; enough for a whole look unless said
    #[arg(long, value_name = "SECONDS", requires = "bad", value_parser = seconds)]
    failing_for: Option<Duration>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Be the stand-in for Prometheus
    #[arg(long, hide = true)]
    stand_in: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    /// Files in a folder that is removed in the end
    File,
    /// ConfigMaps in the cluster
    Configmap,
}

const AFTER_HELP: &str = "\
The VirtualServices are made in the namespace `default`, and deleted in the end and on Ctrl-C, and so are the
ConfigMaps in which their rollouts are kept.
CPU and memory are this process's own: the stand-in runs in another one.";

impl Options {
    const fn measured(&self) -> Duration {
        Duration::from_secs(60 * self.minutes)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<u32>();
    number.map(|seconds| Duration::from_secs(seconds.into())).map_err(|error| error.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    anyhow::ensure!(
        !options.scrape.is_zero() && options.scrape * 2 <= options.every,
        "there must be two scrapes or more from look to look"
    );
    if options.stand_in {
        return stand_in::serve(options.scrape).await;
    }
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    let (client, calls) = server::connect(options.kubeconfig.as_deref()).await?;
    let prometheus = StandIn::start(options.scrape)?;
    let idle = process::memory()?;
    let services = Services::new(client.clone());
    let measured = async {
        services.make(options.rollouts).await?;
        let rollouts = Rollouts::start(&options, client, &services, &prometheus).await?;
        let measured = measure(&options, &rollouts, &calls, &prometheus, idle).await;
        rollouts.leave().await;
        measured
    };
    let measured = tokio::select! {
        measured = measured => measured,
        heard = &mut interrupt => heard.context("cannot listen for Ctrl-C").and_then(|()| {
            anyhow::bail!("interrupted")
        }),
    };
    let deleted = services.delete().await;
    if options.store == Store::Configmap {
        services.forget().await?;
    }
    deleted?;
    let (cost, back) = measured?;
    if options.json {
        let back = back.map(|back| back.json());
        writeln!(io::stdout(), "{}", json!({ "cost": cost.json(), "back": back }))?;
    } else {
        writeln!(io::stdout(), "{cost}")?;
        back.map_or(Ok(()), |back| writeln!(io::stdout(), "{back}"))?;
    }
    Ok(())
}

async fn measure(
    options: &Options,
    rollouts: &Rollouts,
    calls: &Calls,
    prometheus: &StandIn,
    idle: u64,
) -> anyhow::Result<(Cost, Option<Back>)> {
    // Until each has raised its canary twice, and goes on as it will.
    wait(options.every * WARM_UP, "getting under way").await;
    let clock = rollouts.clock();
    let (begin, before, asked, cpu) =
        (clock.now(), calls.so_far(), prometheus.asked().await?, process::cpu()?);
    wait(options.measured(), "measuring").await;
    let (end, cpu) = (clock.now(), process::cpu()? - cpu);
    let mut cost = Cost {
        rollouts: options.rollouts,
        over: end.since(begin),
        calls: server::between(&before, &calls.so_far()),
        queries: prometheus.asked().await? - asked,
        cpu,
        memory: [idle, process::memory()?],
        steps: 0,
        looks: Vec::new(),
        failed: 0,
        failure: None,
    };
    cost.add_courses(rollouts.courses(), [begin, end]);
    let back =
        if options.bad { Some(turn_bad(options, rollouts, prometheus).await?) } else { None };
    Ok((cost, back))
}

/// Lets all canaries fail, and waits until they are taken back.
async fn turn_bad(
    options: &Options,
    rollouts: &Rollouts,
    prometheus: &StandIn,
) -> anyhow::Result<Back> {
    let clock = rollouts.clock();
    // So that whatever a look covers, half of it has failed.
    let failing_for = options.failing_for.unwrap_or(options.every * 2 + options.scrape * 2);
    let bad = clock.now();
    prometheus.turn_bad(bad - failing_for).await?;
    for _ in 0..12 {
        wait(options.every, "waiting until the canaries are taken back").await;
        if rollouts.courses().all(|course| course.noted().emptied.is_some()) {
            break;
        }
    }
    Ok(Back::of(rollouts.courses(), bad))
}

/// Waits, and says so where somebody looks.
async fn wait(time: Duration, what: &str) {
    let looks = io::stderr().is_terminal();
    for left in (1..=time.as_secs()).rev() {
        if looks {
            eprint!("\r\x1b[K{what}, {left} s");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    if looks {
        eprint!("\r\x1b[K");
    }
}
