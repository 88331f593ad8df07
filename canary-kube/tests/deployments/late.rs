//! Requests that arrive after what was asked later, and who may ask.

use std::sync::Arc;

use canary_core::policy::How;
use canary_core::ports::{Progress, Workload};
use canary_core::testing::conformance::run;
use canary_core::value::{FailureKind, Side};
use canary_kube::{Account, Connection, Deployments, Permissions, Variant};
use http::{Method, Request};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::client::Body;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::stories::{all, done, ready, refused};
use crate::support::{Shop, call, call_of};

/// A client whose patches and deletions wait for leave.
struct Slow {
    client: Client,
    on_its_way: Arc<Semaphore>,
    leave: Arc<Semaphore>,
}

impl Slow {
    fn new(inner: &Client) -> Self {
        let [on_its_way, leave] = [0, 0].map(|permits| Arc::new(Semaphore::new(permits)));
        let (inner, told, waits) = (inner.clone(), on_its_way.clone(), leave.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (inner, told, waits) = (inner.clone(), told.clone(), waits.clone());
            async move {
                if request.method() != Method::GET {
                    told.add_permits(1);
                    waits.acquire().await.unwrap().forget();
                }
                inner.send(request).await
            }
        });
        Self { client: Client::new(service, "default"), on_its_way, leave }
    }

    /// Lets the next write come to the server's door, then lets this happen, and then the write.
    async fn after<T, U>(
        &self,
        late: impl Future<Output = T>,
        happens: impl Future<Output = U>,
    ) -> T {
        let meanwhile = async {
            self.on_its_way.acquire().await.unwrap().forget();
            happens.await;
            self.leave.add_permits(1);
        };
        tokio::join!(late, meanwhile).0
    }
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn a_promotion_that_arrives_after_its_restoration_changes_nothing() {
    run(async {
        let shop = Shop::open(1).await;
        let versions = shop.versions();
        ready(&versions, all()).await;
        let slow = Slow::new(&shop.client);
        let late =
            Deployments::new(slow.client.clone(), &shop.namespace, "web", Variant::image("web:v2"));
        let (second, third) = (call(2), call(3));
        let promotion = late.promote(&second, How::InPlace);
        let restoration = done(|| async { versions.restore(&third, How::InPlace).await });
        let words = "no longer what the write was based on";
        refused(slow.after(promotion, restoration).await, FailureKind::Conflict, words);
        let image = "/spec/template/spec/containers/0/image";
        assert_eq!(shop.get("web").await.unwrap().pointer(image), Some(&json!("web:v1")));
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn what_is_removed_late_is_not_the_next_rollouts() {
    run(async {
        let shop = Shop::open(1).await;
        let slow = Slow::new(&shop.client);
        let next = async |versions: &Deployments| {
            for _ in 0..500 {
                let readiness = versions.prepare(&call_of("shop-2", 1), &all()).await.unwrap();
                if readiness.ready_for.is_some() {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            panic!("never ready");
        };

        let versions = shop.versions();
        ready(&versions, all()).await;
        let late =
            Deployments::new(slow.client.clone(), &shop.namespace, "web", Variant::image("web:v2"));
        let second = call(2);
        let removed = slow.after(late.retire(&second, Side::Canary), next(&versions)).await;
        assert!(matches!(removed, Ok(Progress::Wait { .. })), "{removed:?}");
        shop.until("web-canary", |canary| canary["status"]["availableReplicas"] == 1).await;

        let versions = shop.pair().await;
        ready(&versions, all()).await;
        let names =
            canary_core::value::BySide { stable: "web".to_owned(), canary: "green".to_owned() };
        let late = Deployments::pair(slow.client.clone(), &shop.namespace, names);
        let removed = slow.after(late.retire(&second, Side::Canary), next(&versions)).await;
        refused(removed, FailureKind::Conflict, "no longer what the write was based on");
        assert_eq!(shop.get("green").await.unwrap()["spec"]["replicas"], 1);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn no_more_must_be_allowed_than_the_manifest_says() {
    run(async {
        let shop = Shop::open(1).await;
        let account = Account::service(&shop.namespace, "bot");
        let permissions =
            Permissions::new().deployments(&shop.namespace).autoscalers(&shop.namespace);
        for object in permissions.objects("bot", &account) {
            let params = PostParams::default();
            if object["kind"] == "Role" {
                let roles = Api::<Role>::namespaced(shop.client.clone(), &shop.namespace);
                roles.create(&params, &serde_json::from_value(object).unwrap()).await.unwrap();
            } else {
                let bindings = Api::<RoleBinding>::namespaced(shop.client.clone(), &shop.namespace);
                bindings.create(&params, &serde_json::from_value(object).unwrap()).await.unwrap();
            }
        }
        let kubeconfig = std::env::var("CANARY_TEST_KUBECONFIG").unwrap();
        let bot = Connection::new()
            .kubeconfig(kubeconfig)
            .impersonate(account.user())
            .client()
            .await
            .unwrap();
        let versions = Deployments::new(bot, &shop.namespace, "web", Variant::image("web:v2"));
        let versions = versions.hold_autoscalers().delete_old();
        // The server's own list of who may do what takes a moment.
        for _ in 0..500 {
            match versions.prepare(&call(1), &all()).await {
                Err(error) if error.kind() == FailureKind::Denied => {}
                answer => {
                    answer.unwrap();
                    break;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        ready(&versions, all()).await;
        for how in [How::InPlace, How::Swap] {
            done(|| async { versions.promote(&call(2), how).await }).await;
            done(|| async { versions.restore(&call(3), how).await }).await;
        }
        done(|| async { versions.retire(&call(4), Side::Canary).await }).await;
        ready(&versions, all()).await;
        done(|| async { versions.promote(&call(5), How::Swap).await }).await;
        done(|| async { versions.retire(&call(6), Side::Stable).await }).await;
    });
}
