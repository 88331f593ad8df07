//! Delivers a new image to a service in a cluster, as a canary: the shell script of a platform team as a tool.
//!
//! ```sh
//! cargo run --features mesh --example deploy -- auth-service ghcr.io/orion/auth:v2.0.0 --namespace orion --dry-run
//! cargo run --features mesh --example deploy -- auth-service ghcr.io/orion/auth:v2.0.0 --namespace orion --auto-promote
//! ```
//!
//! It makes a second Deployment with the new image, moves the traffic step by step, looks at the metrics on the way, and
//! gives the image to the service's own Deployment in the end, or takes the canary back. Killed at any time, the
//! example `resume` goes on.

mod trial;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use canary_core::driver::{Clock, Driver, DriverBuilder, StartError};
use canary_core::policy::{How, Policy, PolicyError};
use canary_core::ports::StateStore as _;
use canary_core::store::FileStore;
use canary_core::value::RolloutId;
use canary_examples::delivery::{
    Begun, End, Job, People, Plan, Stop, complain, follow, in_full, in_words, looks,
};
use canary_examples::terminal::Screen;
use canary_kube::Account;
use clap::Parser;
use tokio::sync::mpsc;

/// Delivers a new image to a service in a cluster, as a canary.
///
/// It makes a second Deployment with the image, gives it 5, 25, 50 and 100 % of the traffic for five minutes each, and
/// takes it back where too many requests fail or are slow. In the end it asks whether to promote: the service's own
/// Deployment then takes the image, and the canary goes. It waits an hour for the answer, and takes the canary back if
/// there is none.
///
/// There must be a VirtualService with both subsets in a route, or an HTTPRoute with both Services in a rule, that gives
/// stable everything; and a Deployment whose selector names a `version`. The canary's pods have `version: canary`.
#[derive(Debug, Parser)]
#[command(name = "deploy", after_help = AFTER_HELP)]
struct Options {
    #[command(flatten)]
    job: Job,
    #[command(flatten)]
    plan: Plan,
    /// Try all of it on the server and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Start without looking at the cluster and the metrics first
    #[arg(long)]
    skip_validation: bool,
    /// Take a rollout back first that has the service still, be it one whose state is lost: its canary goes
    #[arg(long, conflicts_with = "dry_run")]
    supersede: bool,
    /// Print the Role that this service account needs, for `kubectl apply -f -`, and do nothing else
    #[arg(long, value_name = "NAMESPACE:NAME", value_parser = account)]
    print_role: Option<Account>,
    /// Where the rollout is kept, so that `resume` can take it up; its report is written there too
    #[arg(long, value_name = "DIR", default_value = "rollouts")]
    state: PathBuf,
    /// Print the report as JSON on standard output, and nothing else there
    #[arg(long, conflicts_with = "dry_run")]
    json: bool,
}

const AFTER_HELP: &str = "\
Ctrl-C, SIGTERM (a CI job that is cancelled) and SIGHUP (a terminal that goes away) take the canary back and wait until
it has no traffic; a second one leaves everything as it is.
Killed or left, the rollout goes on with `resume TARGET --state DIR`. Where DIR is lost, --supersede takes the canary
back that it has left.

Exit status:
  0  promoted; with --dry-run, nothing stands in the way
  1  it did not begin, and nothing was changed but by --supersede
  2  wrong options
  3  the canary was taken back
  4  it is left where it is, to be resumed
  by a signal (129, 130, 143)  stopped before it began, and nothing was changed

Examples:
  deploy auth-service ghcr.io/orion/auth:v2.0.0 -n orion --dry-run
  deploy auth-service ghcr.io/orion/auth:v2.0.0 -n orion --auto-promote --prometheus http://localhost:9090
  deploy gateway-service ghcr.io/orion/gateway:v3.1.0 -n orion --mesh linkerd --error-threshold 3 --latency-p95 300 \\
    --traffic-steps 5,10,25,50,100 --step-duration 10";

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(code) => ExitCode::from(code),
        // It calls each of its problems an error itself.
        Err(error) if error.is::<PolicyError>() => fail(2, &error.to_string()),
        Err(error) => fail(1, &format!("error: {}", in_full(&error))),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    complain(message);
    ExitCode::from(code)
}

async fn run(options: &Options) -> anyhow::Result<u8> {
    let (job, plan) = (&options.job, &options.plan);
    if let Some(account) = &options.print_role {
        let role = format!("deploy-{}", job.service);
        write!(io::stdout(), "{}", job.permissions().manifest(&role, account))?;
        return Ok(0);
    }
    // What is wrong with the options needs no cluster to be told.
    let policy = plan.policy(&job.service)?;
    one_that_can_follow(&policy)?;
    let job = &job.located().await?;
    let (target, client) = (job.target()?, job.connect().await?);
    let store = FileStore::new(&options.state);
    let mut screen =
        Screen::plain(if options.json { Box::new(io::stderr()) } else { Box::new(io::stdout()) });
    screen.say(&introduction(options, &policy));

    let builder = Driver::builder(policy.clone()).target(target.clone()).version(&job.image);
    let builder = job.equip(builder, &client, &policy)?.store(store.clone());
    builder.check()?;

    let kept = store.load(&target).await?;
    // One that is over and not told yet has the target still.
    let before = kept.map(|kept| kept.claim.state).filter(|state| !state.is_settled());
    let before = before.map(|state| state.rollout().clone());
    if let (Some(rollout), false) = (&before, options.supersede) {
        let state = options.state.display();
        anyhow::bail!(
            "{target} is busy with the rollout {rollout}: take that one up with `resume {target} --state {state}`, or \
             have it taken back first with --supersede"
        );
    }
    job.reach(&client).await?;
    if !options.skip_validation {
        let found = looks(job, &client, &policy, options.supersede)?.run().await;
        screen.say(&found.to_string());
        if !found.is_clear() {
            anyhow::bail!(
                "nothing was changed; --skip-validation starts all the same, --print-role tells what must be allowed, \
                 --supersede takes back first what a rollout that is lost has left"
            );
        }
    }
    if options.dry_run {
        trial::run(job, &client, &policy, &mut screen).await?;
        return Ok(0);
    }
    drop(screen);
    deliver(options, job, policy, builder, before).await
}

/// Carries it out, to the end or until somebody wants it left.
async fn deliver(
    options: &Options,
    job: &Job,
    policy: Policy,
    mut builder: DriverBuilder,
    before: Option<RolloutId>,
) -> anyhow::Result<u8> {
    let (rollout, state) = (rollout_id(&job.service)?, options.state.as_path());
    let people = Arc::new(People::at_stdin()?);
    let (notice, records) = mpsc::unbounded_channel();
    builder = builder.observe(move |record| {
        // Nobody listens any more once the rollout is over.
        let _ = notice.send(record.clone());
    });
    if options.supersede {
        builder = builder.supersede(people.actor().clone());
    }
    // Before there is a canary that nobody would take back.
    let mut stop = Stop::listen()?;
    job.save(state, &rollout)?;
    let handle = match stop.unless_told_twice(builder.start(rollout.clone())).await {
        Some(Ok(handle)) => handle,
        None => {
            complain(&format!("left as it is: `resume --state {}` goes on", state.display()));
            return Ok(4);
        }
        // It may be kept all the same, and then it is to be resumed.
        Some(Err(error @ StartError::Store(_))) => {
            let place = state.display();
            let what = format!("it may be kept in {place} all the same, where `resume` finds it");
            return Err(anyhow::Error::new(error).context(what));
        }
        Some(Err(error)) => {
            Job::forget(state, &rollout);
            return Err(error.into());
        }
    };
    if let Some(before) = before {
        // It was taken back, and there is nothing to take up any more.
        Job::forget(state, &before);
    }
    let mut screen = Screen::open(options.json);
    let end = follow(Begun { handle, policy, records, stop }, &mut screen, &people, state).await;
    // It is over, and what cannot be written changes nothing of that.
    screen.make_plain();
    if let (true, End::Finished(finished)) = (options.json, &end)
        && let Err(error) = writeln!(io::stdout(), "{}", finished.report().to_json())
    {
        screen.say(&format!("warning: cannot print the report: {error}"));
    }
    end.conclude(state, &mut screen);
    Ok(end.code())
}

/// Checks that the next delivery finds stable where this one did.
fn one_that_can_follow(policy: &Policy) -> anyhow::Result<()> {
    if policy.spec().promotion.how == How::Swap {
        anyhow::bail!(
            "`promotion: {{ how: swap }}` leaves the canary's Deployment as the stable one, and whoever delivers next \
             would have it as the canary again: let the promotion be `in_place`"
        );
    }
    Ok(())
}

fn account(text: &str) -> Result<Account, &'static str> {
    match text.split_once(':') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(Account::service(namespace, name))
        }
        _ => Err("expected a service account with its namespace: `ci:deployer`"),
    }
}

/// Names a rollout by the service and the time, so that an image that was taken back can be tried again.
fn rollout_id(service: &str) -> anyhow::Result<RolloutId> {
    let now = i64::try_from(Clock::system().now().as_millis())?;
    let now = jiff::Timestamp::from_millisecond(now).context("the clock is far off")?;
    Ok(format!("{service}-{}", now.strftime("%Y%m%d-%H%M%S")).parse()?)
}

/// Says what is about to be done.
fn introduction(options: &Options, policy: &Policy) -> String {
    let Options { job, plan, state, .. } = options;
    let steps = policy.stages().iter().map(|stage| {
        format!("{} for {}", stage.weight, in_words(Duration::from_millis(stage.hold_ms)))
    });
    let steps: Vec<_> = steps.collect();
    let mut lines = vec![
        format!("{} to {}/{}", job.image, job.namespace, job.deployments().stable),
        format!("  canary  {}, by {}", steps.join(", "), job.route_in_words()),
    ];
    lines.extend(plan.in_words().into_iter().map(|line| format!("          {line}")));
    if options.supersede {
        lines.push("  first   whatever rollout has it is taken back".to_owned());
    }
    lines.push(format!("  state   {}\n", state.display()));
    lines.join("\n")
}
