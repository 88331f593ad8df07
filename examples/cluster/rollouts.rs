//! The rollouts themselves, as a program that runs many of them puts them together.

use std::sync::Arc;
use std::time::Duration;

use canary_core::driver::{Clock, Driver, DriverBuilder, Fleet, Shutdown};
use canary_core::policy::{Check, Policy};
use canary_core::store::FileStore;
use canary_core::value::Weight;
use canary_istio::{VIRTUAL_SERVICE, VirtualServiceRouter};
use canary_kube::{ConfigMapStore, RouteWatch};
use canary_prometheus::Prometheus;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use tempfile::TempDir;

use crate::course::{Course, Watched};
use crate::server::{NAMESPACE, Services};
use crate::stand_in::StandIn;
use crate::{Options, Store, WARM_UP};

/// How many queries may be under way at once.
const QUERIES: u32 = 64;

/// How many rollouts are started at a time.
const AT_ONCE: usize = 32;

/// Drives the rollouts, and notes what each goes through.
pub(crate) struct Rollouts {
    fleet: Fleet,
    courses: Vec<Course>,
    clock: Clock,
    _folder: TempDir,
}

impl Rollouts {
    /// Starts all of them.
    pub(crate) async fn start(
        options: &Options,
        client: Client,
        services: &Services,
        prometheus: &StandIn,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let watch = (!options.no_watch)
            .then(|| RouteWatch::start(client.clone(), VIRTUAL_SERVICE, Some(NAMESPACE)));
        let source = Prometheus::builder(prometheus.address())
            .requests(
                r#"requests_total{rollout="{{ rollout }}", variant="{{ variant }}"}"#,
                r#"requests_total{rollout="{{ rollout }}", variant="{{ variant }}", code=~"5.."}"#,
            )
            .build()?;
        let (policy, clock) = (Arc::new(policy(options)?), Clock::system());
        let files = FileStore::new(folder.path());
        let (fleet, mut courses) = (Fleet::new(QUERIES), Vec::new());
        let mut builders = Vec::new();
        for number in 1..=options.rollouts {
            let (name, course) = (services.name(number), Course::new(options.every));
            let router = VirtualServiceRouter::new(client.clone(), NAMESPACE, &name)
                .route("primary")
                .subsets("stable", "canary");
            let router = match &watch {
                Some(watch) => router.watched(watch),
                None => router,
            };
            let (source, heard) = (source.clone(), course.clone());
            let builder = Driver::builder(Arc::clone(&policy))
                .target(format!("{NAMESPACE}/{name}").parse()?)
                .router(router)
                .metrics(Watched { source, course: course.clone(), clock })
                .clock(clock)
                .observe(move |record| heard.noted().hears(record));
            let builder = match options.store {
                Store::File => builder.store(files.clone()),
                Store::Configmap => builder.store(ConfigMapStore::new(client.clone(), NAMESPACE)),
            };
            builders.push((builder, name));
            courses.push(course);
        }
        let start = |(builder, name): (DriverBuilder, String)| {
            let fleet = &fleet;
            async move { anyhow::Ok(fleet.start(builder, name.parse()?).await.map(drop)?) }
        };
        let started = stream::iter(builders).map(start).buffer_unordered(AT_ONCE);
        started.try_for_each(|()| async { Ok(()) }).await?;
        Ok(Self { fleet, courses, clock, _folder: folder })
    }

    pub(crate) fn courses(&self) -> impl Iterator<Item = &Course> {
        self.courses.iter()
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Drives them no further.
    pub(crate) async fn leave(&self) {
        self.fleet.shutdown(Shutdown::LeaveToBeResumed).await;
    }
}

/// Returns a plan with a step at each look, for as long as is measured and some looks more.
fn policy(options: &Options) -> anyhow::Result<Policy> {
    let every = options.every;
    let looks = (options.measured().as_millis() / every.as_millis()).max(1);
    let steps = u32::try_from(looks)? + WARM_UP + 4;
    anyhow::ensure!(steps < 100, "no more than 99 steps fit below 100 %: look less often");
    let mut plan = Policy::builder("load").every(every).settle(Duration::ZERO).lag(Duration::ZERO);
    // A look covers what was scraped since the weight came: some less than the time since then.
    let hold = every / 3;
    for step in 1..=steps {
        let weight = Weight::percent(u8::try_from(step * 99 / steps)?);
        plan = plan.stage(format!("step {step}"), weight, hold);
    }
    let plan = plan.stage("full", Weight::FULL, hold);
    Ok(plan.check(Check::worse_than_stable("errors", 1.25)).build()?)
}
