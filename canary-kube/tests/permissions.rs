//! The Role that is written is enough, and nothing in it is too much.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::policy::{Moment, Policy};
use canary_core::ports::{Claim, Decision, Gate, GateContext, Observer, StateStore, TrafficRouter};
use canary_core::rollout::Rollout;
use canary_core::testing::conformance::run;
use canary_core::value::{Side, Timestamp, Weight};
use canary_kube::testing::Cluster;
use canary_kube::{
    Account, ConfigMapStore, Connection, Duty, Events, EventsOn, HTTP_ROUTE, Leadership,
    Permissions, Preflight, ReadyPods, RouteWatch, Shards,
};
use common::{apply, call, fields, router};
use http::Request;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::mpsc::unbounded_channel;

type Outcome = Result<(), Box<dyn Error>>;

#[test]
fn the_manifest_is_yaml_and_says_what_each_rule_is_for() {
    let account = Account::service("canary", "bot");
    let permissions =
        Permissions::new().route(&HTTP_ROUTE, "shop", "web").store("canary").readiness("shop");
    let manifest = permissions.manifest("canary-bot", &account);
    let parts = manifest.split("---\n").skip(1);
    let read: Vec<Value> = parts.map(|part| serde_saphyr::from_str(part).unwrap()).collect();
    assert_eq!(read, permissions.objects("canary-bot", &account));
    assert_eq!(read.len(), 4, "a Role and a RoleBinding in each of two namespaces");
    for why in ["# keeps rollouts\n- ", "# moves the weights of this route\n- "] {
        assert!(manifest.contains(why), "{manifest}");
    }
    assert_eq!(account.user(), "system:serviceaccount:canary:bot");
}

#[test]
fn only_a_watch_reads_other_routes_and_one_of_all_namespaces_takes_a_cluster_role() {
    let account = Account::service("canary", "bot");
    let rules = |permissions: Permissions| -> Vec<Value> {
        let objects = permissions.objects("bot", &account).into_iter();
        objects.filter(|object| object["rules"].is_array()).collect()
    };
    let route = Permissions::new().route(&HTTP_ROUTE, "shop", "web");
    let [role] = &rules(route.clone())[..] else { panic!("one Role") };
    assert_eq!(role["rules"].as_array().unwrap().len(), 1);
    assert_eq!(role["rules"][0]["resourceNames"], json!(["web"]));
    assert_eq!(role["rules"][0]["verbs"], json!(["get", "patch"]));

    let [role] = &rules(route.clone().route_watch(&HTTP_ROUTE, Some("shop")))[..] else {
        panic!("one Role")
    };
    assert_eq!(role["rules"][1]["verbs"], json!(["list", "watch"]));
    assert!(role["rules"][1].get("resourceNames").is_none());

    let [all, role] = &rules(route.clone().route_watch(&HTTP_ROUTE, None))[..] else {
        panic!("a ClusterRole and a Role")
    };
    assert_eq!([&all["kind"], &role["kind"]], ["ClusterRole", "Role"]);
    assert_eq!(all["metadata"], json!({ "name": "bot" }));
    assert_eq!(role["rules"].as_array().unwrap().len(), 1);
    let objects = route.route_watch(&HTTP_ROUTE, None).objects("bot", &account);
    assert_eq!(objects[1]["kind"], "ClusterRoleBinding");
    assert_eq!(objects[1]["roleRef"]["kind"], "ClusterRole");
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn all_of_it_is_enough_and_less_is_not() {
    run(async {
        let cluster = Cluster::connect().await;
        let namespace = cluster.namespace().await;
        let place = Place::furnish(cluster.client(), &namespace).await;
        place.allow(&place.permissions(), None).await;
        if let Err(error) = place.everything().await {
            panic!("with all permissions: {error}");
        }
        let permissions = place.permissions();
        let mut tried = 0;
        for (rule, permission) in permissions.list().iter().enumerate() {
            for verb in permission.verbs {
                place.allow(&permissions, Some((rule, verb))).await;
                let outcome = place.everything().await;
                let what = format!("{verb} {} {}", permission.group, permission.resource);
                assert!(outcome.is_err(), "without {what} everything works");
                tried += 1;
            }
        }
        assert_eq!(tried, 17, "verbs");
    });
}

/// A namespace with all that a rollout meets, and who may do what there.
struct Place {
    admin: Client,
    bot: Client,
    namespace: String,
    account: Account,
}

impl Place {
    async fn furnish(admin: Client, namespace: &str) -> Self {
        let account = Account::service(namespace, "bot");
        let path = std::env::var("CANARY_TEST_KUBECONFIG").unwrap();
        let bot = Connection::new().kubeconfig(path).impersonate(account.user()).client().await;
        let namespace = namespace.to_owned();
        let place = Self { admin, bot: bot.unwrap(), namespace, account };
        for name in ["web", "told"] {
            place
                .create("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", name, fields())
                .await;
        }
        for name in ["web-stable", "web-canary"] {
            let labels = json!({ "app": name });
            let spec = json!({ "spec": { "ports": [{ "port": 80 }], "selector": labels } });
            place.create("v1", "Service", "services", name, spec).await;
            let slice = json!({
                "metadata": { "labels": { "kubernetes.io/service-name": name } },
                "addressType": "IPv4",
                "endpoints": [{ "addresses": ["10.9.8.7"], "conditions": { "ready": true } }],
            });
            place
                .create("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", name, slice)
                .await;
            let container = json!({ "name": "app", "image": "app:1" });
            let template = json!({
                "metadata": { "labels": labels }, "spec": { "containers": [container] },
            });
            let deployment = json!({ "spec": {
                "replicas": 1, "selector": { "matchLabels": labels }, "template": template,
            }});
            place.create("apps/v1", "Deployment", "deployments", name, deployment).await;
        }
        place
    }

    async fn create(&self, version: &str, kind: &str, plural: &str, name: &str, fields: Value) {
        let mut object = json!({ "apiVersion": version, "kind": kind, "metadata": {} });
        json_patch::merge(&mut object, &fields);
        object["metadata"]["name"] = json!(name);
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let kind =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api = Api::<DynamicObject>::namespaced_with(self.admin.clone(), &self.namespace, &kind);
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    fn permissions(&self) -> Permissions {
        let namespace = &self.namespace;
        Permissions::new()
            .route(&HTTP_ROUTE, namespace, "web")
            .route_watch(&HTTP_ROUTE, Some(namespace))
            .store(namespace)
            .leases(namespace)
            .events(&self.told())
            .readiness(namespace)
            .services(namespace)
    }

    /// Returns an object that nothing else is done with.
    fn told(&self) -> EventsOn {
        EventsOn::route(&HTTP_ROUTE, &self.namespace, "told")
    }

    /// Allows everything but one verb of one rule, and waits until the server knows.
    async fn allow(&self, permissions: &Permissions, less: Option<(usize, &str)>) {
        for mut object in permissions.objects("bot", &self.account) {
            if let Some((rule, verb)) = less
                && let Some(rules) = object.get_mut("rules").and_then(Value::as_array_mut)
            {
                let verbs = rules[rule]["verbs"].as_array_mut().unwrap();
                verbs.retain(|allowed| allowed != verb);
                if verbs.is_empty() {
                    rules.remove(rule);
                }
            }
            let kind = object["kind"].as_str().unwrap().to_owned();
            let gvk = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", &kind);
            let resource = ApiResource::from_gvk(&gvk);
            let api = Api::<DynamicObject>::namespaced_with(
                self.admin.clone(),
                &self.namespace,
                &resource,
            );
            let params = PatchParams::apply("test").force();
            api.patch("bot", &params, &Patch::Apply(&object)).await.unwrap();
        }
        let expected = usize::from(less.is_some());
        loop {
            let found =
                Preflight::new(self.bot.clone()).permissions(permissions.clone()).run().await;
            if found.findings.len() == expected {
                if let Some((_, verb)) = less {
                    assert!(
                        found.findings[0].what.starts_with(&format!("may not {verb} ")),
                        "{found}"
                    );
                }
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Does everything that the permissions are for, as the bot.
    async fn everything(&self) -> Outcome {
        static TIMES: AtomicU64 = AtomicU64::new(0);
        let time = TIMES.fetch_add(1, Ordering::Relaxed);
        self.route().await?;
        self.watch().await?;
        self.store(&format!("shop/{time}")).await?;
        self.lease(&format!("bot-{time}")).await?;
        self.events(time).await?;
        self.pods().await?;
        self.services().await
    }

    async fn route(&self) -> Outcome {
        let router = router(self.bot.clone(), &self.namespace, "web");
        let observed = router.observe(&call("a")).await?;
        let raised = apply(&router, &call("a"), 5, Some(&observed.version)).await;
        apply(&router, &call("a"), 0, None).await?;
        router.release(&call("a")).await?;
        raised?;
        Ok(())
    }

    /// Watches until the server has begun to tell of changes, or refused something.
    async fn watch(&self) -> Outcome {
        let (told, mut answers) = unbounded_channel();
        let bot = self.bot.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (bot, told) = (bot.clone(), told.clone());
            async move {
                let watches = request.uri().query().unwrap_or("").contains("watch=");
                let answer = bot.send(request).await?;
                let _ = told.send((watches, answer.status()));
                Ok::<_, kube::Error>(answer)
            }
        });
        let client = Client::new(service, &self.namespace);
        let _watch = RouteWatch::start(client, HTTP_ROUTE, Some(&self.namespace));
        while let Some((watches, status)) = answers.recv().await {
            if !status.is_success() {
                return Err(format!("the watch was answered {status}").into());
            }
            if watches {
                return Ok(());
            }
        }
        Err("nothing was asked".into())
    }

    async fn store(&self, target: &str) -> Outcome {
        let store = ConfigMapStore::new(self.bot.clone(), &self.namespace);
        let target = target.parse()?;
        let stage = Duration::from_secs(60);
        let policy = Arc::new(Policy::builder("shop").stage("full", Weight::FULL, stage).build()?);
        let state =
            Rollout::start("shop-1".parse()?, Arc::clone(&policy), Timestamp::EPOCH).0.snapshot();
        let claim = Claim::new(policy.spec().clone(), state.clone());
        let at = store.claim(&target, &claim, None).await?;
        let at = store.save(&target, &state, at).await?;
        store.confirm(&target, at).await?;
        store.load(&target).await?;
        store.targets().await?;
        Ok(())
    }

    async fn lease(&self, group: &str) -> Outcome {
        struct Once(Notify);
        #[async_trait]
        impl Duty for Once {
            async fn take_up(&self, _: u32) {
                self.0.notify_one();
            }
            fn put_down(&self, _: u32) {}
        }
        let bot = self.bot.clone();
        let leadership = Leadership::lasting(bot, &self.namespace, group, "pod", Shards::new(1), 5);
        let once = Once(Notify::new());
        let lead = leadership.lead(&once, once.0.notified());
        // A Lease that cannot be had is wanted for ever.
        tokio::time::timeout(Duration::from_secs(4), lead).await?;
        let leases = Api::<Lease>::namespaced(self.admin.clone(), &self.namespace);
        let lease = leases.get(&format!("{group}-shard-0")).await?;
        match lease.spec.and_then(|spec| spec.holder_identity) {
            Some(holder) => Err(format!("{holder} could not give its Lease back").into()),
            None => Ok(()),
        }
    }

    async fn events(&self, time: u64) -> Outcome {
        let record = json!({ "number": 1, "at_ms": 1, "kind": "point_of_no_return" });
        let rollout = format!("web-{time}").parse()?;
        let events = Events::new(self.bot.clone(), self.told(), "pod");
        events.notice(&rollout, &serde_json::from_value(record)?);
        events.written().await;
        let written = Api::<Event>::namespaced(self.admin.clone(), &self.namespace);
        let written = written.list(&ListParams::default()).await?.items;
        let ours = |event: &&Event| {
            event.note.as_deref().unwrap_or("").starts_with(&format!("{rollout}: "))
        };
        let event = written.iter().find(ours).ok_or("no Event was written")?;
        let uid = event.regarding.as_ref().and_then(|on| on.uid.as_ref());
        uid.map(drop).ok_or_else(|| "the Event names no object".into())
    }

    async fn pods(&self) -> Outcome {
        let gate = ReadyPods::new(self.bot.clone(), &self.namespace)
            .deployment(Side::Stable, "web-stable")
            .deployment(Side::Canary, "web-canary");
        let context = GateContext::new("pods".parse()?, Moment::Watch, "", Weight::ZERO);
        match gate.decide(&call("a"), &context).await? {
            Decision::Wait { .. } => Ok(()),
            decided => Err(format!("there are no pods, and yet {decided:?}").into()),
        }
    }

    async fn services(&self) -> Outcome {
        let preflight = Preflight::new(self.bot.clone())
            .service(Side::Stable, &self.namespace, "web-stable")
            .service(Side::Canary, &self.namespace, "web-canary");
        let found = preflight.run().await;
        if found.is_clear() { Ok(()) } else { Err(found.to_string().into()) }
    }
}
