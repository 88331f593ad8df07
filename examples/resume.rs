//! Takes up the rollouts that a killed `deploy` has left: the program that a bot is when it starts again.
//!
//! `cargo run --features mesh --example resume -- --state rollouts`

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use canary_core::driver::Driver;
use canary_core::policy::Policy;
use canary_core::ports::{Claim, StateStore as _};
use canary_core::store::FileStore;
use canary_core::value::Target;
use canary_examples::delivery::{Begun, Job, People, Stop, complain, follow, in_full};
use canary_examples::terminal::Screen;
use clap::{Parser, ValueEnum};
use futures::future::join_all;
use tokio::sync::mpsc;

/// Takes up the rollouts that are kept in a directory, one or all, and follows them to their end.
///
/// One that is still driven elsewhere is taken over: the other one notices, and does nothing any more.
#[derive(Debug, Parser)]
#[command(name = "resume", after_help = AFTER_HELP)]
struct Options {
    /// Take up this one alone: what it is about, as `shop/web`, or its own name
    #[arg(value_name = "TARGET")]
    of: Option<String>,
    /// Where `deploy` keeps its rollouts
    #[arg(long, value_name = "DIR", default_value = "rollouts")]
    state: PathBuf,
    /// Answer what the rollout asks, instead of asking here; where there are several, say which
    #[arg(long, value_enum, value_name = "ANSWER")]
    answer: Option<Yes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Yes {
    /// Go on, promote
    Yes,
    /// Take the canary back
    No,
}

const AFTER_HELP: &str = "\
Ctrl-C, SIGTERM and SIGHUP take all canaries back; a second one leaves everything as it is.

Exit status: 0 all promoted or none to take up, 1 something went wrong or TARGET is not there, 2 wrong options, 3 one was taken back,
4 one is left where it is.";

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("error: {}", in_full(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<u8> {
    let store = FileStore::new(&options.state);
    let people = Arc::new(match options.answer {
        Some(answer) => People::said(answer == Yes::Yes),
        None => People::at_stdin(),
    }?);
    let Found { under_way, mut code } = under_way(options, &store).await?;
    if let (Some(of), true) = (&options.of, under_way.is_empty()) {
        anyhow::bail!("no rollout of {of} is under way in {}", options.state.display());
    }
    if options.answer.is_some() && options.of.is_none() && under_way.len() > 1 {
        let all: Vec<_> = under_way.iter().map(|(target, _)| target.as_str()).collect();
        complain(&format!("error: say which one has this answer: {}", all.join(", ")));
        return Ok(2);
    }
    let mut taken = Vec::new();
    for (target, claim) in under_way {
        match take_up(options, &store, &target, claim).await.with_context(|| target.to_string()) {
            Ok(rollout) => taken.extend(rollout),
            // It keeps no other from being taken up.
            Err(error) => {
                complain(&format!("error: {}", in_full(&error)));
                code = 1;
            }
        }
    }
    let found = format!("{} to take up in {}", taken.len(), options.state.display());
    Screen::plain(Box::new(io::stdout())).say(&found);
    let alone = taken.len() == 1;
    let ends = taken.into_iter().map(|begun| {
        let people = Arc::clone(&people);
        async move {
            let mut screen =
                if alone { Screen::open(false) } else { Screen::named(begun.handle.id().as_str()) };
            let end = follow(begun, &mut screen, &people, &options.state).await;
            end.conclude(&options.state, &mut screen);
            end.code()
        }
    });
    for ended in join_all(ends).await {
        code = code.max(ended);
    }
    Ok(code)
}

/// What was found in the store.
struct Found {
    under_way: Vec<(Target, Claim)>,
    /// 1 where something that is meant cannot be read.
    code: u8,
}

/// Looks which rollouts are under way that are meant.
async fn under_way(options: &Options, store: &FileStore) -> anyhow::Result<Found> {
    let mut found = Found { under_way: Vec::new(), code: 0 };
    for target in store.targets().await? {
        let is_named = |name: &str| options.of.as_ref().is_none_or(|of| of == name);
        match store.load(&target).await {
            // One that is over may have ended before anybody was told.
            Ok(Some(kept)) if !kept.claim.state.is_settled() => {
                if is_named(target.as_str()) || is_named(kept.claim.state.rollout().as_str()) {
                    found.under_way.push((target, kept.claim));
                }
            }
            Ok(_) => {}
            // It keeps no other from being taken up.
            Err(error) => {
                complain(&format!("error: {target}: {}", in_full(&error.into())));
                found.code = found.code.max(u8::from(is_named(target.as_str())));
            }
        }
    }
    Ok(found)
}

/// Takes up the rollout of a target, unless it has ended meanwhile.
async fn take_up(
    options: &Options,
    store: &FileStore,
    target: &Target,
    claim: Claim,
) -> anyhow::Result<Option<Begun>> {
    // The policy is kept with the rollout, and what it is about beside it: router, versions and metrics are made of that.
    let policy = Policy::from_spec(claim.policy)?;
    let job = Job::read(&options.state, claim.state.rollout())?;
    let client = job.connect().await?;
    let (notice, records) = mpsc::unbounded_channel();
    let builder = Driver::resumer(target.clone()).store(store.clone());
    let builder = job.equip(builder, &client, &policy)?.observe(move |record| {
        // Nobody listens any more once the rollout is over.
        let _ = notice.send(record.clone());
    });
    let stop = Stop::listen()?;
    Ok(builder.resume().await?.map(|handle| Begun { handle, policy, records, stop }))
}
