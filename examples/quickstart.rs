//! A canary rollout on loopback, in half a minute: two versions of a service, a proxy that splits the
//! requests between them, and a rollout that moves the split.
//!
//! ```sh
//! cargo run --release --example quickstart            # a good version: promoted
//! cargo run --release --example quickstart -- --bad   # a bad one: taken back
//! ```

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use canary_core::driver::{Driver, Finished};
use canary_core::policy::{Policy, PolicyError};
use canary_core::report::Report;
use canary_core::rollout::Answer;
use canary_core::value::{Actor, BySide};
use canary_examples::faults::Faults;
use canary_examples::load::Load;
use canary_examples::loopback::Loopback;
use canary_examples::terminal::{self, Screen, Story};
use clap::Parser;
use tokio::sync::mpsc;

/// The policy that is run unless `--policy` names another.
const POLICY: &str = include_str!("policies/quickstart.yaml");

/// Rolls a new version out on loopback: two services, a proxy in front of both, real requests.
///
/// The proxy gives the new version 5, 25, 50 and 100 % of the requests in turn. On the way the rollout
/// compares both versions, and takes the new one back if it is worse.
#[derive(Debug, Parser)]
#[command(name = "quickstart", after_help = AFTER_HELP)]
struct Options {
    #[command(flatten)]
    faults: Faults,
    /// Run this policy instead of the built-in one
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// How many requests are sent in a second
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rps: u32,
    /// Write the report as Markdown and as JSON into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the report as JSON on standard output, and nothing else there
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Ctrl-C takes the new version back, then ends.

Exit status: 0 promoted, 3 taken back, 1 something went wrong, 2 wrong options.

Try, after `cargo run --release --example quickstart --`:
  --bad                  the new version fails one request in five
  --error-rate 0.05      it fails one in twenty: only the comparison with the old one finds it
  --slow-ms 400          it takes 400 ms longer
  --bad --out reports    and the report is written to a directory";

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime");
    match runtime.and_then(|runtime| runtime.block_on(run(&options))) {
        Ok(finished) if finished.outcome().is_promoted() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        // It calls each of its problems an error itself.
        Err(error) if error.is::<PolicyError>() => fail(&error.to_string()),
        Err(error) => fail(&format!("error: {error:#}")),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

async fn run(options: &Options) -> anyhow::Result<Finished> {
    let policy = options.policy()?;
    if let Some(directory) = &options.out {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    }
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    // It listens from its first poll on. Until here Ctrl-C ends the process: there is nothing to take back.
    if let Ok(heard) = tokio::time::timeout(Duration::ZERO, &mut interrupt).await {
        heard.context("cannot listen for Ctrl-C")?;
        anyhow::bail!("interrupted before the rollout began");
    }

    let world = Loopback::start(options.faults.behaviours()).await?;
    let _load = Load::start(world.proxy.address(), options.rps)?;
    let mut screen = Screen::open(options.json);
    screen.say(&options.introduction(&world));
    let finished = roll_out(policy, &world, &mut screen, interrupt).await?;
    if !finished.outcome().is_promoted() {
        wait_for_requests(&world, options.rps).await;
    }
    screen.say(&conclusion(finished.report(), &world));
    if let Some(directory) = &options.out {
        screen.say(&write(finished.report(), directory)?);
    }
    drop(screen);
    if options.json {
        writeln!(io::stdout(), "{}", finished.report().to_json())?;
    }
    Ok(finished)
}

/// Runs the rollout to its end, and shows it on the way.
async fn roll_out(
    policy: Policy,
    world: &Loopback,
    screen: &mut Screen,
    mut interrupt: impl Future<Output = io::Result<()>> + Unpin,
) -> anyhow::Result<Finished> {
    let (notice, mut records) = mpsc::unbounded_channel();
    let rollout = Driver::builder(policy.clone())
        .router(world.split.clone())
        .metrics(world.counters.clone())
        .clock(world.clock)
        .observe(move |record| {
            // Nobody listens any more once this function has returned.
            let _ = notice.send(record.clone());
        })
        .start("quickstart".parse()?)
        .await?;

    let status = rollout.status();
    let view = || terminal::view(&status.borrow(), &policy, &world.split, &world.counters);
    let mut story = Story::default();
    let mut ticks = tokio::time::interval(screen.pace());
    ticks.reset();
    let mut interrupted = false;
    let mut finished = pin!(rollout.finished());
    let finished = loop {
        tokio::select! {
            Some(record) = records.recv() => {
                story.tell(&record).into_iter().for_each(|line| screen.say(&line));
            }
            _ = ticks.tick() => screen.show(&view()),
            heard = &mut interrupt, if !interrupted => {
                heard.context("cannot listen for Ctrl-C")?;
                interrupted = true;
                screen.say("Ctrl-C: taking the canary back");
                let answer = rollout.abort("Ctrl-C", &Actor::new("terminal")?).await;
                // What else it may answer shows in the records, and where it has ended, in `finished`.
                if let Ok(Answer::Impossible { why }) = answer {
                    screen.say(&format!("too late: {why}"));
                }
            }
            finished = &mut finished => break finished?,
        }
    };
    while let Ok(record) = records.try_recv() {
        story.tell(&record).into_iter().for_each(|line| screen.say(&line));
    }
    screen.show(&view());
    Ok(finished)
}

/// Waits until the proxy has picked a side for a second's worth of requests after the rollout's last word.
async fn wait_for_requests(world: &Loopback, rps: u32) {
    let enough = async {
        while world.split.standing().picked.stable < u64::from(rps) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // A machine that cannot keep up shows fewer.
    let _ = tokio::time::timeout(Duration::from_secs(3), enough).await;
}

/// Says what was decided and why, and what became of the requests after a roll-back.
fn conclusion(report: &Report, world: &Loopback) -> String {
    let mut text = format!("\n{}.", report.sentence());
    if report.outcome.as_ref().is_some_and(|outcome| !outcome.is_promoted()) {
        let standing = world.split.standing();
        let received = world.services.canary.received_after(standing.last_pick_before);
        text.push_str(&format!(
            "\nSince the proxy acknowledged 0% it has picked a side for {} requests, {} of them for the canary; \
             the canary has received {received} of them.",
            standing.picked.stable + standing.picked.canary,
            standing.picked.canary,
        ));
    }
    text
}

/// Writes the report into a directory that is there, and says where.
fn write(report: &Report, directory: &Path) -> anyhow::Result<String> {
    let write = |name, text: String| {
        let file = directory.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        anyhow::Ok(file.display().to_string())
    };
    let page = write("quickstart.md", report.to_markdown())?;
    let json = write("quickstart.json", report.to_json() + "\n")?;
    Ok(format!("Report: {page} and {json}"))
}

impl Options {
    fn policy(&self) -> anyhow::Result<Policy> {
        let Some(file) = &self.policy else {
            return Ok(Policy::from_yaml_named("quickstart.yaml", POLICY)?);
        };
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Policy::from_yaml_named(&file.to_string_lossy(), &text)?)
    }

    fn introduction(&self, world: &Loopback) -> String {
        let BySide { stable, canary } = &world.services;
        format!(
            "Stable is v1 on {}, the canary v2 on {} ({});\n\
             {} requests a second go to the proxy on {}. Ctrl-C takes the canary back.\n",
            stable.address(),
            canary.address(),
            self.faults,
            self.rps,
            world.proxy.address(),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use canary_core::value::Weight;

    use super::*;

    /// Makes a policy with one hold for both stages, and no check that a busy machine could fail.
    fn policy(hold: &str) -> Policy {
        let text = format!(
            "
version: 1
name: test
every: 100ms
stages:
  - {{ name: half, weight: 50%,  hold: {hold} }}
  - {{ name: full, weight: 100%, hold: {hold} }}
checks:
  - {{ name: too-many-errors, metric: error_rate, above: 50%, for: 200ms, then: roll_back }}
"
        );
        Policy::from_yaml(&text).unwrap()
    }

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs a rollout; it is interrupted once the canary has this weight.
    async fn run(
        policy: Policy,
        error_rate: &str,
        interrupt_at: Option<Weight>,
    ) -> (Finished, Loopback, String) {
        let words = ["quickstart", "--error-rate", error_rate];
        let options = Options::try_parse_from(words).unwrap();
        let world = Loopback::start(options.faults.behaviours()).await.unwrap();
        let _load = Load::start(world.proxy.address(), options.rps).unwrap();
        let paper = Paper::default();
        let mut screen = Screen::plain(Box::new(paper.clone()));
        let split = world.split.clone();
        let interrupt = Box::pin(async move {
            while interrupt_at != Some(split.standing().weight) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        });
        let finished = roll_out(policy, &world, &mut screen, interrupt);
        let patience = Duration::from_secs(60);
        let finished = tokio::time::timeout(patience, finished).await;
        let finished = finished.expect("a rollout that ends").unwrap();
        wait_for_requests(&world, options.rps).await;
        screen.say(&conclusion(finished.report(), &world));
        let said = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        (finished, world, said)
    }

    #[tokio::test]
    async fn a_version_without_errors_is_promoted() {
        let (finished, world, said) = run(policy("300ms"), "0", None).await;
        assert!(finished.outcome().is_promoted(), "{said}");
        assert_eq!(world.split.standing().weight, Weight::FULL);
    }

    #[tokio::test]
    async fn a_version_that_fails_is_taken_back_and_gets_nothing_any_more() {
        let (finished, world, said) = run(policy("1h"), "1", None).await;
        let reason = finished.outcome().reason();
        assert!(reason.is_some_and(|reason| reason.check().is_some()), "{said}");
        let standing = world.split.standing();
        assert_eq!((standing.weight, standing.picked.canary), (Weight::ZERO, 0));
        let counted = "0 of them for the canary; the canary has received 0 of them";
        assert!(said.contains(counted), "{said}");
    }

    #[tokio::test]
    async fn ctrl_c_takes_the_canary_back() {
        let half = Some(Weight::percent(50));
        let (_, world, said) = run(policy("1h"), "0", half).await;
        assert_eq!(world.split.standing().weight, Weight::ZERO);
        assert!(said.contains("Ctrl-C: taking the canary back"), "{said}");
        assert!(said.contains("rolled back at 50%"), "{said}");
    }
}
