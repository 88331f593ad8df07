//! The whole plan, tried on the server and not carried out.

use std::time::Duration;

use anyhow::Context as _;
use canary_core::driver::Clock;
use canary_core::policy::Policy;
use canary_core::ports::{Call, Capacity, TrafficRouter as _, Workload as _};
use canary_core::value::{EffectId, Epoch, RolloutId, Side, Traffic};
use canary_examples::delivery::{Job, in_words};
use canary_examples::terminal::Screen;
use canary_kube::dry_run;
use kube::Client;

/// How long the server may take for each write.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the canary, gives it one share after the other, takes all back and removes it, with writes that the server
/// checks and does not carry out.
pub(crate) async fn run(
    job: &Job,
    client: &Client,
    policy: &Policy,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let tried = dry_run(client);
    let (router, versions) = (job.router(tried.clone()), job.versions(tried));
    let (clock, rollout) = (Clock::system(), "trial".parse::<RolloutId>()?);
    let mut effects = 0;
    let mut call = || {
        effects += 1;
        let now = clock.now();
        Call::new(rollout.clone(), Epoch::new(1), EffectId::new(effects), 1, now, now + PATIENCE)
    };
    screen.say("Each write is checked by the API server, and none is carried out:");
    let (route, names) = (job.route_in_words(), job.deployments());
    let [stable, canary] =
        [names.stable, names.canary].map(|name| format!("Deployment {}/{name}", job.namespace));
    let mut version = router.observe(&call()).await.context(route.clone())?.version;
    for (position, stage) in policy.stages().iter().enumerate() {
        let wanted = Capacity::new(stage.weight, stage.scale);
        versions.prepare(&call(), &wanted).await.context("the canary")?;
        screen.say(&format!("  {canary} is made large enough for {}", stage.weight));
        let traffic = policy.traffic(position);
        version =
            router.apply(&call(), &traffic, Some(&version)).await.context(route.clone())?.version;
        let hold = in_words(Duration::from_millis(stage.hold_ms));
        screen.say(&format!("  {route} gives the canary {traffic}, for {hold}"));
    }
    router.apply(&call(), &Traffic::all_stable(), None).await.context(route.clone())?;
    router.release(&call()).await.context(route.clone())?;
    screen.say(&format!("  {route} gives the canary nothing, and is as it was"));
    versions.retire(&call(), Side::Canary).await.context("the canary")?;
    screen.say(&format!("  {canary} is removed"));
    screen.say(&format!(
        "That {stable} takes {} in the end needs a canary that runs: it is not tried.",
        job.image
    ));
    screen.say("Nothing stands in the way, and nothing was changed.");
    Ok(())
}
