//! The API server ends and comes back, is slow, or answers nothing good.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use canary_core::driver::{Clock, Handle};
use canary_core::ports::{Call, TrafficRouter as _};
use canary_core::store::MemoryStore;
use canary_core::testing::conformance::run;
use canary_core::value::{EffectId, Epoch, FailureKind, Timestamp, Weight};
use futures::FutureExt as _;
use futures::future::join_all;
use kube::config::Kubeconfig;
use tokio::process::{Child, Command};

use crate::front::{Asked, Fate, Front};
use crate::shop::{HOUR, SHORT, Shop, admin, ana, ended, holds, kubeconfig, until, wait};

/// An API server of our own, on the cluster's data.
struct Server {
    port: u16,
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let server = Self { port, child: launch(port, folder.path()), folder };
        let mut kubeconfig = Kubeconfig::read_from(kubeconfig()).unwrap();
        let cluster = kubeconfig.clusters[0].cluster.as_mut().unwrap();
        cluster.server = Some(format!("https://127.0.0.1:{port}"));
        let text = serde_json::to_string(&kubeconfig).unwrap();
        std::fs::write(server.kubeconfig(), text).unwrap();
        server
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Ends it as a crash does.
    async fn crash(&mut self) {
        self.child.kill().await.unwrap();
    }

    fn start_again(&mut self) {
        self.child = launch(self.port, self.folder.path());
    }
}

/// Runs the cluster's program for one more API server, which ends with the test at the latest.
fn launch(port: u16, folder: &Path) -> Child {
    let program = std::env::var_os("CANARY_TEST_ANOTHER_SERVER")
        .expect("CANARY_TEST_ANOTHER_SERVER names a program that runs an API server on a port");
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(program);
    command.arg(port.to_string()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
    command.spawn().unwrap()
}

/// Finds a port below those that outgoing connections get.
fn free_port() -> u16 {
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (first..32_768).find(is_free).unwrap()
}

/// A look of nobody's.
fn call() -> Call {
    let (made, id) = (Timestamp::EPOCH, "look".parse().unwrap());
    Call::new(id, Epoch::new(1), EffectId::new(0), 1, made, made + Duration::from_secs(10))
}

/// Fails unless the route was written as soon as the server answered: beside the two requests of the abort itself
/// there may be a look at the route before them, and one between them.
fn takes_back_at_once(asked: &[Asked]) {
    let mut of_route = asked.iter().filter(|asked| asked.is_of_route());
    let is_taken = |asked: &&Asked| asked.code.is_some_and(|code| code < 300);
    let first = of_route.find(is_taken).expect("the server has answered");
    let behind: Vec<_> = [first].into_iter().chain(of_route).collect();
    let written = behind.iter().position(|asked| asked.writes_route()).expect("it was written");
    assert!(written <= 3 && behind[written].code == Some(200), "{behind:?}");
}

/// A rollout that has a tenth of the traffic, through a front of its own.
struct Rollout {
    shop: Shop,
    front: Front,
    handle: Handle,
}

impl Rollout {
    async fn of(server: &Path, hold: Duration, in_cluster: bool) -> Self {
        let (shop, front) = (Shop::open().await, Front::to(server).await);
        let client = front.client(&admin()).await;
        let builder = shop.builder(client.clone(), hold);
        let builder = match in_cluster {
            true => builder.store(shop.store(client)),
            false => builder.store(MemoryStore::new()),
        };
        let handle = builder.start(shop.id()).await.unwrap();
        holds(&handle, 10).await;
        Self { shop, front, handle }
    }

    /// Asks for the end, which is answered when it is there.
    async fn abort(&self) {
        self.handle.abort("bad", &ana()).await.unwrap();
    }

    /// Waits until so many tries of the abort have failed.
    async fn failed(&self, tries: usize) {
        let failed = || {
            let failures = self.shop.failures();
            failures.iter().filter(|(action, _)| action == "route 0% to the canary").count()
        };
        wait(async || failed() >= tries).await;
    }

    async fn is_back(&self) {
        until(&self.handle, |status| status.weight == Weight::ZERO).await;
    }

    async fn end(self, promoted: bool) {
        let outcome = ended(&self.handle).await;
        assert_eq!(outcome.is_promoted(), promoted, "{outcome}: {:#?}", self.shop.failures());
        self.shop.is_as_it_was_but_for(if promoted { 100 } else { 0 }).await;
        self.shop.object.delete().await;
    }
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn after_a_crash_of_the_server_aborts_land_at_once_and_a_rollout_goes_on() {
    run(async {
        let mut server = Server::start().await;
        let direct = canary_istio::client_from(server.kubeconfig()).await.unwrap();
        let is_up = async || direct.apiserver_version().await.is_ok();
        wait(is_up).await;
        let path = server.kubeconfig();
        let rollouts = [
            Rollout::of(&path, SHORT, true),
            Rollout::of(&path, HOUR, false),
            Rollout::of(&path, HOUR, true),
        ];
        let [goes_on, one, other] =
            <[Rollout; 3]>::try_from(join_all(rollouts).await).ok().unwrap();
        server.crash().await;
        let before = [one.front.count(), other.front.count()];
        let down = async {
            // Those of the other one are told when its store is back.
            one.failed(4).await;
            server.start_again();
            wait(async || one.shop.router(direct.clone()).observe(&call()).await.is_ok()).await;
            let clock = Clock::system();
            let back = clock.now();
            let lag = async |rollout: &Rollout| {
                rollout.is_back().await;
                clock.now().since(back)
            };
            let lags = tokio::join!(lag(&one), lag(&other));
            eprintln!("the server answers again; the canaries have nothing after {lags:?}");
        };
        tokio::join!(one.abort(), other.abort(), down);
        takes_back_at_once(&one.front.since(before[0]));
        takes_back_at_once(&other.front.since(before[1]));
        let words = "the API server cannot be reached";
        assert!(one.shop.failures().iter().any(|(_, failed)| failed.message.contains(words)));
        tokio::join!(goes_on.end(true), one.end(false), other.end(false));
    });
}

/// Faults, and what is said of each.
const FAULTS: [(&str, FailureKind, &str); 6] = [
    ("503", FailureKind::Unavailable, "the API server answered 503"),
    ("429", FailureKind::RateLimited, "the API server answered 429"),
    ("401", FailureKind::Denied, "the API server answered 401"),
    ("cut", FailureKind::Unavailable, "the API server cannot be reached"),
    ("unheard", FailureKind::Unavailable, "the API server cannot be reached"),
    ("hangs", FailureKind::Timeout, "answer"),
];

fn fate(fault: &str) -> Fate {
    match fault {
        "cut" => Fate::Cut,
        "unheard" => Fate::Unheard,
        "hangs" => Fate::Hangs,
        code => Fate::Answer(code.parse().unwrap()),
    }
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn an_abort_lands_with_the_first_request_that_the_server_takes() {
    run(async {
        let aborted = FAULTS.map(|(fault, kind, words)| async move {
            let rollout = Rollout::of(&kubeconfig(), HOUR, false).await;
            rollout
                .front
                .rule(move |asked| if asked.is_of_route() { fate(fault) } else { Fate::Pass });
            let before = rollout.front.count();
            let ends = async {
                rollout.failed(if fault == "hangs" { 1 } else { 4 }).await;
                rollout.front.rule(|_| Fate::Pass);
            };
            tokio::join!(rollout.abort(), ends);
            rollout.is_back().await;
            if fault != "unheard" {
                takes_back_at_once(&rollout.front.since(before));
            }
            let failures = rollout.shop.failures();
            let said = failures.iter().any(|(action, failed)| {
                action == "route 0% to the canary"
                    && failed.kind == kind
                    && failed.message.contains(words)
            });
            assert!(said, "{fault}: {failures:?}");
            rollout.end(false).await;
        });
        join_all(aborted).await;
    });
}

/// Each second write of the route and a quarter of all requests meet a fault; a server that asks for patience is given half a minute, so it is not among them.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn a_rollout_goes_through_all_of_it() {
    run(async {
        let faults = ["500", "cut", "unheard", "slow"].map(|fault| async move {
            let rollout = Rollout::of(&kubeconfig(), SHORT, true).await;
            let (mut drawn, mut failed, mut write_failed) = (1_u64, false, false);
            rollout.front.rule(move |asked| {
                // Fixed, and without a period that a row of tries could fall in with.
                drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let write = asked.writes_route();
                // A write of which the answer is always lost would be repeated for ever.
                let due = drawn >> 62 == 0 || write && fault != "unheard";
                // Nothing fails twice in a row: at the end, marks that some tries cannot take away stay.
                let fails = due && !failed && !(write && write_failed);
                failed = fails;
                if write {
                    write_failed = fails;
                }
                match fault {
                    _ if !fails => Fate::Pass,
                    "slow" => Fate::Behind(tokio::time::sleep(Duration::from_secs(1)).boxed()),
                    _ => fate(fault),
                }
            });
            rollout.end(true).await;
        });
        join_all(faults).await;
    });
}
