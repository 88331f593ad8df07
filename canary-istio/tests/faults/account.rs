//! What the rollout may do ends before the rollout does.

use std::time::Duration;

use canary_core::policy::Policy;
use canary_core::record::Content;
use canary_core::testing::conformance::run;
use canary_core::value::{Failure, FailureKind, Weight};
use canary_istio::VIRTUAL_SERVICE;
use canary_kube::{Account, Permissions};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::front::Front;
use crate::shop::{HOUR, Shop, ana, ended, holds, kubeconfig};

/// A service account that may move one route.
struct Bot {
    shop: Shop,
    token: String,
}

impl Bot {
    async fn new(shop: &Shop) -> Self {
        let (namespace, name) = (shop.object.namespace(), shop.object.name());
        let accounts = Api::<ServiceAccount>::namespaced(shop.cluster.client(), namespace);
        let account = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        let _ = accounts.delete(name, &DeleteParams::default()).await;
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let spec = TokenRequestSpec { expiration_seconds: Some(600), ..Default::default() };
        let request = TokenRequest { spec, ..Default::default() };
        let created = accounts.create_token_request(name, &PostParams::default(), &request).await;
        let token = created.unwrap().status.unwrap().token;
        Self { shop: shop.clone(), token }
    }

    /// Lets it look at the route, and change it or not.
    async fn may(&self, change: bool) {
        let (namespace, name) = (self.shop.object.namespace(), self.shop.object.name());
        let permissions = Permissions::new().route(&VIRTUAL_SERVICE, namespace, name);
        let account = Account::service(namespace, name);
        for mut object in permissions.objects(name, &account) {
            if !change && let Some(rules) = object.get_mut("rules") {
                rules[0]["verbs"] = json!(["get"]);
            }
            let kind = object["kind"].as_str().unwrap();
            let gvk = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind);
            let api = Api::<DynamicObject>::namespaced_with(
                self.shop.cluster.client(),
                namespace,
                &ApiResource::from_gvk(&gvk),
            );
            let _ = api.delete(name, &DeleteParams::default()).await;
            let object = serde_json::from_value(object).unwrap();
            api.create(&PostParams::default(), &object).await.unwrap();
        }
    }
}

/// A token as a program gives it that is asked for one before each request: `cat`, here.
struct Token {
    folder: TempDir,
}

impl Token {
    fn new(token: &str) -> Self {
        let given = Self { folder: tempfile::tempdir().unwrap() };
        given.becomes(token);
        given
    }

    fn becomes(&self, token: &str) {
        let status = json!({ "token": token, "expirationTimestamp": "2020-01-01T00:00:00Z" });
        let text = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": status,
        });
        // In one go, since it may be read at any time.
        let new = self.folder.path().join("new");
        std::fs::write(&new, text.to_string()).unwrap();
        std::fs::rename(new, self.folder.path().join("token")).unwrap();
    }

    fn is_lost(&self) {
        std::fs::remove_file(self.folder.path().join("token")).unwrap();
    }

    fn user(&self) -> Value {
        json!({ "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": "cat", "args": [self.folder.path().join("token")],
        } })
    }
}

/// A tenth for an hour; whatever holds an abort up is said after a second.
fn policy() -> Policy {
    let every = Duration::from_millis(100);
    let policy = Policy::builder("shop").every(every).stage("tenth", Weight::percent(10), HOUR);
    let policy = policy.stage("full", Weight::FULL, HOUR);
    policy.rollback_within(Duration::from_secs(1)).build().unwrap()
}

impl Shop {
    /// Returns what was said of the canary's way back.
    fn said(&self) -> Vec<Failure> {
        let failures = self.failures().into_iter();
        failures.filter(|(action, _)| action == "route 0% to the canary").map(|(_, f)| f).collect()
    }

    /// Waits until it was said that the canary cannot be taken back.
    async fn is_stuck(&self) {
        self.told(|content| matches!(content, Content::Stuck { .. })).await;
    }
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn without_the_permission_to_write_it_says_so_and_ends() {
    run(async {
        let shop = Shop::open().await;
        let bot = Bot::new(&shop).await;
        bot.may(false).await;
        let front = Front::to(&kubeconfig()).await;
        let client = front.client(&json!({ "token": bot.token })).await;
        let handle = shop.start(client).await;
        let outcome = ended(&handle).await;
        let outcome = outcome.to_string();
        let (namespace, name) = (shop.object.namespace(), shop.object.name());
        let words = format!(
            "denied: VirtualService {namespace}/{name}: the API server answered 403: \
             virtualservices.networking.istio.io \"{name}\" is forbidden: User \
             \"system:serviceaccount:{namespace}:{name}\" cannot patch resource"
        );
        assert!(outcome.contains(&words), "{outcome}");
        let writes = front.since(0).into_iter().filter(|asked| asked.writes_route()).count();
        assert!((2..=10).contains(&writes), "it was tried {writes} times");
        shop.is_as_it_was_but_for(0).await;
        shop.object.delete().await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn a_permission_that_comes_back_lets_the_abort_through() {
    run(async {
        let shop = Shop::open().await;
        let bot = Bot::new(&shop).await;
        bot.may(true).await;
        let front = Front::to(&kubeconfig()).await;
        let client = front.client(&json!({ "token": bot.token })).await;
        let handle = shop.policy(policy(), client).start(shop.id()).await.unwrap();
        holds(&handle, 10).await;
        bot.may(false).await;
        handle.abort("bad", &ana()).await.unwrap();
        shop.is_stuck().await;
        assert_eq!(shop.weight().await, 10);
        bot.may(true).await;
        let outcome = ended(&handle).await;
        assert!(!outcome.is_promoted(), "{outcome}");
        let said = shop.said();
        assert!(said.iter().all(|failed| failed.kind == FailureKind::Denied), "{said:?}");
        assert!(said.iter().any(|failed| failed.message.contains("cannot patch")), "{said:?}");
        shop.is_as_it_was_but_for(0).await;
        shop.object.delete().await;
    });
}

/// First there is no token, then one that is not valid any more, then a new one.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn a_token_that_is_renewed_lets_the_abort_through() {
    run(async {
        let shop = Shop::open().await;
        let bot = Bot::new(&shop).await;
        bot.may(true).await;
        let (front, token) = (Front::to(&kubeconfig()).await, Token::new(&bot.token));
        let client = front.client(&token.user()).await;
        let handle = shop.policy(policy(), client).start(shop.id()).await.unwrap();
        holds(&handle, 10).await;
        token.is_lost();
        handle.abort("bad", &ana()).await.unwrap();
        let cat = "no credentials for the API server: the program that gives them failed (exit status: 1): cat:";
        shop.told(|content| said(content, cat)).await;
        token.becomes("expired");
        shop.told(|content| said(content, "the API server answered 401: Unauthorized")).await;
        shop.is_stuck().await;
        assert_eq!(shop.weight().await, 10);
        token.becomes(&bot.token);
        let outcome = ended(&handle).await;
        assert!(!outcome.is_promoted(), "{outcome}");
        let said = shop.said();
        assert!(said.iter().all(|failed| failed.kind == FailureKind::Denied), "{said:?}");
        shop.is_as_it_was_but_for(0).await;
        shop.object.delete().await;
    });
}

fn said(content: &Content, words: &str) -> bool {
    matches!(content, Content::CallFailed { failure, .. } if failure.message.contains(words))
}
