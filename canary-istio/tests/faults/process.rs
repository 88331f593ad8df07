//! A program that drives one rollout, as a process of its own that can be frozen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::{Driver, DriverBuilder, Fleet, Handle, Kept, StartError};
use canary_core::ports::{Claim, PortError, StateStore, Stored};
use canary_core::rollout::{Snapshot, Status, Waiting};
use canary_core::testing::conformance::run;
use canary_core::value::{Revision, Target};
use canary_kube::{ConfigMapStore, FleetDuty, Leadership, Shards};
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::front::Front;
use crate::shop::{Shop, admin, ana, asks, healthy, router, wait};

/// Names the variable by which a process knows that it is one of these.
const TASK: &str = "CANARY_TEST_TASK";

/// What a process is to do.
#[derive(Serialize, Deserialize)]
pub(crate) struct Task {
    kubeconfig: PathBuf,
    namespace: String,
    route: String,
    /// Where its state is kept.
    state: String,
    rollout: String,
    how: How,
    log: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    /// Start the rollout.
    Start,
    /// Take it up.
    Resume,
    /// Take part in leading it, and start it if it leads first.
    LeadAndStart,
    /// Take part in leading it.
    Lead,
}

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Line {
    Record(Value),
    /// From which revision to which one.
    Saved(Option<Revision>, Revision),
    Refused(String),
    Ended(String),
}

/// One process, which ends with the test at the latest.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// What leads it to the API server.
    pub(crate) front: Front,
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts a process that drives this rollout of the route.
    pub(crate) async fn start(shop: &Shop, rollout: &str, how: How) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (log, kubeconfig) = (folder.path().join("log"), folder.path().join("kubeconfig"));
        let front = Front::to(&crate::shop::kubeconfig()).await;
        front.kubeconfig(&kubeconfig, &admin());
        File::create(&log).unwrap();
        let task = Task {
            kubeconfig,
            namespace: shop.object.namespace().to_owned(),
            route: shop.object.name().to_owned(),
            state: shop.namespace().to_owned(),
            rollout: rollout.to_owned(),
            how,
            log: log.clone(),
        };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "process::the_process", "--ignored"]);
        command.env(TASK, serde_json::to_string(&task).unwrap());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
        Self { child: command.spawn().unwrap(), log, front, _folder: folder }
    }

    /// Freezes it, and returns when it stands still.
    pub(crate) async fn freeze(&self) {
        self.signal("-STOP").await;
        let stat = format!("/proc/{}/stat", self.child.id().unwrap());
        let state = || fs::read_to_string(&stat).unwrap().rsplit(") ").next().unwrap().to_owned();
        wait(async || state().starts_with('T')).await;
    }

    pub(crate) async fn wake(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }

    /// Says `approve` or `abort` to it, if it still runs.
    pub(crate) async fn say(&mut self, word: &str) {
        let line = format!("{word}\n");
        let _ = self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).await;
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        let text = fs::read_to_string(&self.log).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until it has told a record of this kind.
    pub(crate) async fn tells(&self, kind: &str) {
        let is = |line: &Line| matches!(line, Line::Record(record) if record["kind"] == kind);
        self.says(is).await;
    }

    /// Waits until it has said such a thing.
    pub(crate) async fn says(&self, is: impl Fn(&Line) -> bool) {
        let said = wait(async || self.lines().iter().any(&is));
        let said = tokio::time::timeout(Duration::from_secs(25), said).await;
        assert!(said.is_ok(), "it never said that: {:?}", self.lines());
    }

    /// Waits until it is done, and returns how it says that it ended.
    pub(crate) async fn ends(&mut self) -> String {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        assert!(ended.is_ok_and(|ended| ended.unwrap().success()), "{:?}", self.lines());
        let ended = |line| if let Line::Ended(how) = line { Some(how) } else { None };
        self.lines().into_iter().find_map(ended).expect("it says how it ended")
    }
}

/// Fails unless these have told the records of one rollout between them, each number one record, and each revision
/// of the store was left once.
pub(crate) fn records_are_whole(processes: &[&Process]) {
    let (mut records, mut left) = (BTreeMap::new(), BTreeSet::new());
    for line in processes.iter().flat_map(|process| process.lines()) {
        match line {
            Line::Record(record) => {
                let number = record["number"].as_u64().unwrap();
                let told = records.entry(number).or_insert_with(|| record.clone());
                assert_eq!(*told, record, "two records have one number");
            }
            Line::Saved(from, to) => {
                assert_ne!(from, Some(to));
                assert!(left.insert(from), "two have written at {from:?}");
            }
            Line::Refused(_) | Line::Ended(_) => {}
        }
    }
    let numbers: Vec<_> = records.keys().copied().collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "records are missing");
    assert_eq!(records.values().last().unwrap()["kind"], "ended");
}

/// What the processes run: this is no test where none has started it.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn the_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: Task = serde_json::from_str(&task).unwrap();
    run(async move {
        let bot = Bot::new(task).await;
        match bot.task.how {
            How::Start | How::Resume => bot.drive().await,
            How::Lead | How::LeadAndStart => bot.lead().await,
        }
    });
}

/// The inside of a process.
struct Bot {
    task: Task,
    client: Client,
    log: Log,
    target: Target,
}

impl Bot {
    async fn new(task: Task) -> Self {
        let client = canary_istio::client_from(&task.kubeconfig).await.unwrap();
        let log = Log::to(&task.log);
        let target = format!("{}/{}", task.namespace, task.route).parse().unwrap();
        Self { task, client, log, target }
    }

    fn store(&self) -> Logged {
        let store = ConfigMapStore::new(self.client.clone(), &self.task.state);
        Logged { store, log: self.log.clone() }
    }

    fn furnish<P>(&self, builder: DriverBuilder<P>) -> DriverBuilder<P> {
        let log = self.log.clone();
        let Task { namespace, route, .. } = &self.task;
        builder
            .router(router(self.client.clone(), namespace, route))
            .metrics(healthy())
            .store(self.store())
            .observe(move |record| log.line(&Line::Record(serde_json::to_value(record).unwrap())))
    }

    fn builder(&self) -> DriverBuilder {
        self.furnish(Driver::builder(asks()).target(self.target.clone()))
    }

    async fn drive(&self) {
        let id = self.task.rollout.parse().unwrap();
        let started = match self.task.how {
            How::Start => self.builder().start(id).await.map(Some),
            _ => self.builder().resume().await,
        };
        match started {
            Ok(handle) => self.obey(&handle.expect("a rollout is under way")).await,
            Err(error @ StartError::Busy { .. }) => {
                self.log.line(&Line::Refused(error.to_string()));
                self.log.line(&Line::Ended("busy".to_owned()));
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn lead(&self) {
        let Task { state, route, how, rollout, .. } = &self.task;
        let (fleet, shards) = (Fleet::new(8), Shards::new(1));
        let duty = FleetDuty::new(fleet.clone(), self.store(), shards, |target: &Target| {
            self.furnish::<Kept>(Driver::resumer(target.clone()))
        });
        let leadership = Leadership::lasting(self.client.clone(), state, route, "bot", shards, 2);
        let done = async {
            leadership.led().wait_for(|led| !led.is_empty()).await.unwrap();
            if *how == How::LeadAndStart {
                let id = rollout.parse().unwrap();
                duty.start(&leadership, &self.target, self.builder(), id).await.unwrap();
            }
            wait(async || !fleet.handles().is_empty()).await;
            self.obey(&fleet.handles()[0]).await;
        };
        leadership.lead(&duty, done).await;
    }

    /// Does what is said on standard input until the rollout ends here.
    async fn obey(&self, handle: &Handle) {
        let (sender, mut words) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            std::io::stdin().lines().map_while(Result::ok).try_for_each(|word| sender.send(word))
        });
        let (heard, obeys) = (handle.clone(), async {
            while let Some(word) = words.recv().await {
                // It may have ended, or be somebody else's.
                let _ = match word.as_str() {
                    "approve" => {
                        let asked = |status: &Status| matches!(status.waiting, Waiting::Gate(_));
                        let _ = handle.status().wait_for(asked).await;
                        handle.approve("go", &ana()).await
                    }
                    _ => handle.abort("bad", &ana()).await,
                };
            }
            std::future::pending::<()>().await;
        });
        let ended = tokio::select! {
            ended = heard.finished() => ended,
            () = obeys => unreachable!("it never ends"),
        };
        let how = ended.map_or_else(|error| error.to_string(), |done| done.outcome().to_string());
        self.log.line(&Line::Ended(how));
    }
}

/// A file to which lines are added.
#[derive(Clone, Debug)]
struct Log(Arc<Mutex<File>>);

impl Log {
    fn to(path: &Path) -> Self {
        Self(Arc::new(Mutex::new(File::options().append(true).open(path).unwrap())))
    }

    fn line(&self, line: &Line) {
        let text = serde_json::to_string(line).unwrap() + "\n";
        self.0.lock().unwrap().write_all(text.as_bytes()).unwrap();
    }
}

/// A store that says what it has written.
#[derive(Clone, Debug)]
struct Logged {
    store: ConfigMapStore,
    log: Log,
}

impl Logged {
    fn saved(
        &self,
        from: Option<Revision>,
        to: Result<Revision, PortError>,
    ) -> Result<Revision, PortError> {
        let to = to?;
        self.log.line(&Line::Saved(from, to));
        Ok(to)
    }
}

#[async_trait]
impl StateStore for Logged {
    async fn load(&self, target: &Target) -> Result<Option<Stored>, PortError> {
        self.store.load(target).await
    }

    async fn claim(
        &self,
        target: &Target,
        claim: &Claim,
        expect: Option<Revision>,
    ) -> Result<Revision, PortError> {
        self.saved(expect, self.store.claim(target, claim, expect).await)
    }

    async fn save(
        &self,
        target: &Target,
        state: &Snapshot,
        expect: Revision,
    ) -> Result<Revision, PortError> {
        self.saved(Some(expect), self.store.save(target, state, expect).await)
    }

    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError> {
        self.store.confirm(target, expect).await
    }

    async fn targets(&self) -> Result<Vec<Target>, PortError> {
        self.store.targets().await
    }
}
