//! What became of a rollout whose process died just before its observers were told.

use std::path::Path;

use async_trait::async_trait;
use canary_core::driver::Driver;
use canary_core::policy::Policy;
use canary_core::ports::{Claim, PortError, StateStore, Stored};
use canary_core::rollout::Snapshot;
use canary_core::store::FileStore;
use canary_core::testing::MemoryRouter;
use canary_core::value::{Actor, Revision, RolloutId, Target};
use canary_examples::delivery::Job;
use serde_json::json;
use tokio::sync::mpsc;

use crate::programs::{example, start};

/// A store whose process dies once it has saved that the rollout is over.
#[derive(Debug)]
struct Dies {
    store: FileStore,
    dead: mpsc::UnboundedSender<()>,
}

#[async_trait]
impl StateStore for Dies {
    async fn load(&self, target: &Target) -> Result<Option<Stored>, PortError> {
        self.store.load(target).await
    }

    async fn claim(
        &self,
        target: &Target,
        claim: &Claim,
        expect: Option<Revision>,
    ) -> Result<Revision, PortError> {
        self.store.claim(target, claim, expect).await
    }

    async fn save(
        &self,
        target: &Target,
        state: &Snapshot,
        expect: Revision,
    ) -> Result<Revision, PortError> {
        if state.is_settled() {
            return std::future::pending().await;
        }
        let saved = self.store.save(target, state, expect).await;
        if state.is_ended() {
            self.dead.send(()).unwrap();
        }
        saved
    }

    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError> {
        self.store.confirm(target, expect).await
    }

    async fn targets(&self) -> Result<Vec<Target>, PortError> {
        self.store.targets().await
    }
}

/// Takes a canary back and dies before anybody was told; what it was about is kept as `deploy` keeps it.
async fn die_before_the_end_is_told(state: &Path, job: &Job, rollout: &RolloutId) {
    job.save(state, rollout).unwrap();
    let plan = "{ version: 1, name: web, hard_limit: off, stages: [{ name: all, weight: 100%, hold: 1h }] }";
    let (dead, mut died) = mpsc::unbounded_channel();
    let store = Dies { store: FileStore::new(state), dead };
    let builder = Driver::builder(Policy::from_yaml(plan).unwrap()).target(job.target().unwrap());
    let builder = builder.router(MemoryRouter::new()).store(store).observe(|_| ());
    let handle = builder.start(rollout.clone()).await.unwrap();
    handle.abort("it is to end", &Actor::new("test").unwrap()).await.unwrap();
    died.recv().await.unwrap();
}

#[test]
#[ignore = "needs `deploy` and `resume`, built"]
fn an_end_that_nobody_was_told_of_is_taken_up_and_told() {
    let (folder, rollout) = (tempfile::tempdir().unwrap(), "web-1".parse().unwrap());
    let (state, kubeconfig) = (folder.path().join("state"), folder.path().join("kubeconfig"));
    // Nobody answers there, and nobody is asked.
    let config = json!({
        "clusters": [{ "name": "none", "cluster": { "server": "http://127.0.0.1:1" } }],
        "contexts": [{ "name": "none", "context": { "cluster": "none", "user": "" } }],
        "current-context": "none",
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let job = json!({
        "service": "web", "image": "web:v2", "namespace": "shop", "mesh": "istio",
        "prometheus": "http://127.0.0.1:1", "kubeconfig": kubeconfig,
    });
    let job = serde_json::from_value(job).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(die_before_the_end_is_told(&state, &job, &rollout));
    runtime.shutdown_background();

    let deploy = || {
        let mut command = example("deploy");
        command.args(["web", "web:v3", "-n", "shop", "--prometheus", "http://127.0.0.1:1"]);
        command.arg("--kubeconfig").arg(&kubeconfig).arg("--state").arg(&state);
        start(&mut command).end()
    };
    let busy = "shop/web is busy with the rollout web-1";
    deploy().failed_with(1, busy);
    // How it ended stands, whether the disk takes the page or not, and whether anybody reads.
    std::fs::create_dir(state.join("web-1.md")).unwrap();
    let resume = || start(example("resume").arg("--state").arg(&state)).end();
    let one = start(example("resume").args(["web-1"]).arg("--state").arg(&state)).end();
    one.came_to(3, &["1 to take up", "rolled back", "warning: cannot write"]);
    resume().came_to(0, &["0 to take up"]);
    let full = std::fs::File::create("/dev/full").unwrap();
    let unread = example("resume").arg("--state").arg(&state).stdout(full).status().unwrap();
    assert_eq!(unread.code(), Some(0));
    // It gets as far as the cluster, which is not there.
    let again = deploy();
    again.failed_with(1, "the API server at http://127.0.0.1:1/ cannot be reached");
    assert!(!again.complained.contains(busy), "{}", again.complained);
}
