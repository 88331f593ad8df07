//! A rollout's requests, with a server in memory and a controller that the test plays.

use std::collections::BTreeMap;

use canary_core::policy::How;
use canary_core::ports::{Progress, Workload};
use canary_core::testing::conformance::run;
use canary_core::value::{BySide, FailureKind, Side, Weight};
use canary_kube::testing::MemoryApi;
use canary_kube::{Deployments, RouteKind, Variant};
use serde_json::{Value, json};

use crate::stories::all;
use crate::support::{call, web};

pub(crate) const DEPLOYMENT: RouteKind = RouteKind {
    group: "apps",
    version: "v1",
    kind: "Deployment",
    plural: "deployments",
    rules: "",
    entries: "",
    default_weight: 1,
};

/// Does what the Deployment controller does, with pods that are ready at once.
pub(crate) fn settle(api: &MemoryApi, names: &[&str]) {
    for name in names {
        let mut deployment = api.get(&DEPLOYMENT, "shop", name).unwrap();
        let replicas = deployment["spec"]["replicas"].clone();
        deployment["status"] = json!({
            "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas,
        });
        api.put(&DEPLOYMENT, "shop", name, &deployment);
    }
}

pub(crate) fn get(api: &MemoryApi, name: &str) -> Option<Value> {
    api.get(&DEPLOYMENT, "shop", name)
}

pub(crate) fn waits(answer: &Progress) -> bool {
    matches!(answer, Progress::Wait { .. })
}

#[test]
fn each_step_asks_no_more_than_it_needs() {
    const JSON_PATCH: &str = "PATCH application/json-patch+json";
    const READS: [&str; 2] = ["GET", "GET"];
    run(async {
        let api = MemoryApi::new();
        api.put(&DEPLOYMENT, "shop", "web", &web("web", "v1", 2));
        let versions = Deployments::new(api.client(), "shop", "web", Variant::image("web:v2"));

        assert_eq!(versions.prepare(&call(1), &all()).await.unwrap().ready_for, None);
        assert_eq!(api.take_requests(), ["GET", "GET", "POST application/json"]);
        // What the server has made of it is noted.
        versions.prepare(&call(2), &all()).await.unwrap();
        assert_eq!(api.take_requests(), ["GET", "GET", JSON_PATCH]);
        let readiness = versions.prepare(&call(2), &all()).await.unwrap();
        assert!(readiness.why.ends_with("web-canary has 0 of 2 pods available"), "{readiness:?}");
        assert_eq!(api.take_requests(), ["GET", "GET", "GET"]);

        let refused = versions.promote(&call(3), How::InPlace).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Conflict);
        settle(&api, &["web", "web-canary"]);
        drop(api.take_requests());
        assert_eq!(versions.prepare(&call(4), &all()).await.unwrap().ready_for, Some(Weight::FULL));
        assert_eq!(api.take_requests(), READS);

        let before = get(&api, "web").unwrap()["spec"].clone();
        assert!(waits(&versions.promote(&call(5), How::InPlace).await.unwrap()));
        assert_eq!(api.take_requests(), ["GET", "GET", JSON_PATCH]);
        let image = "/spec/template/spec/containers/0/image";
        assert_eq!(get(&api, "web").unwrap().pointer(image), Some(&json!("web:v2")));
        settle(&api, &["web"]);
        assert_eq!(versions.promote(&call(6), How::InPlace).await.unwrap(), Progress::Done);
        assert!(waits(&versions.restore(&call(7), How::InPlace).await.unwrap()));
        assert_eq!(get(&api, "web").unwrap()["spec"], before);
        settle(&api, &["web"]);
        assert_eq!(versions.restore(&call(8), How::InPlace).await.unwrap(), Progress::Done);

        assert!(waits(&versions.retire(&call(9), Side::Canary).await.unwrap()));
        assert_eq!(versions.retire(&call(10), Side::Canary).await.unwrap(), Progress::Done);
        assert_eq!(get(&api, "web-canary"), None);
        assert_eq!(get(&api, "web").unwrap()["metadata"].get("annotations"), None);
    });
}

#[test]
fn the_labels_of_the_pods_are_told_before_there_are_any() {
    run(async {
        let api = MemoryApi::new();
        api.put(&DEPLOYMENT, "shop", "web", &web("web", "v1", 2));
        let versions = Deployments::new(api.client(), "shop", "web", Variant::image("web:v2"));
        let told = versions.pod_labels(&call(1)).await.unwrap();
        let version = |labels: &BTreeMap<String, String>| {
            (labels.len(), labels["app"].clone(), labels["version"].clone())
        };
        let web_of = |version: &str| (2, "web".to_owned(), version.to_owned());
        assert_eq!(version(&told.stable), web_of("v1"));
        assert_eq!(version(&told.canary), web_of("canary"));
        versions.prepare(&call(1), &all()).await.unwrap();
        let made = get(&api, "web-canary").unwrap();
        assert_eq!(made["spec"]["template"]["metadata"]["labels"], json!(told.canary));

        let names = BySide { stable: "web".to_owned(), canary: "green".to_owned() };
        let pair = Deployments::pair(api.client(), "shop", names);
        let error = pair.pod_labels(&call(2)).await.unwrap_err();
        assert_eq!(error.to_string(), "Deployment shop/green is not there");
        api.put(&DEPLOYMENT, "shop", "green", &web("green", "v2", 0));
        let told = pair.pod_labels(&call(3)).await.unwrap();
        assert_eq!(version(&told.canary), web_of("v2"));
    });
}

#[test]
fn what_is_wrong_is_said_before_anything_is_made() {
    run(async {
        let api = MemoryApi::new();
        let prepare = async |variant: Variant| {
            let versions = Deployments::new(api.client(), "shop", "web", variant);
            versions.prepare(&call(1), &all()).await.unwrap_err()
        };
        let error = prepare(Variant::image("web:v2")).await;
        assert_eq!(error.to_string(), "Deployment shop/web is not there");
        api.put(&DEPLOYMENT, "shop", "web", &web("web", "v1", 1));
        let error = prepare(Variant::image("web:v2").label("version", "v1")).await;
        assert!(error.to_string().contains("would match the pods of"), "{error}");
        assert!(error.to_string().contains(", or give the canary another value"), "{error}");
        let error = prepare(Variant::image("web:v2").container("shop")).await;
        assert_eq!(error.to_string(), "Deployment shop/web has no container shop, but web");
        assert_eq!(get(&api, "web-canary"), None);
        api.put(&DEPLOYMENT, "shop", "web-canary", &web("web-canary", "v7", 1));
        let error = prepare(Variant::image("web:v2")).await.to_string();
        let says = "remove it, give the canary another name (`.canary(..)`), or take both as they are (`Deployments::pair`)";
        assert!(error.ends_with(says), "{error}");
    });
}
