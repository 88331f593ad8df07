//! Which routes and destinations are meant, and how several move together.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use canary_core::ports::TrafficRouter;
use canary_core::value::{FailureKind, Traffic, Weight};
use canary_istio::{VIRTUAL_SERVICE, VirtualServiceRouter};
use common::{Shop, call, entry, header, lower, observe, percent, raise, route};
use serde_json::{Value, json};

/// The canary's weights, by route.
fn weights(spec: &Value, kind: &str) -> Vec<u64> {
    let routes = spec[kind].as_array().unwrap().iter();
    routes.map(|route| route["route"][1]["weight"].as_u64().unwrap()).collect()
}

fn matching(matches: Value) -> Value {
    let mut route = route("", [100, 0]);
    route.as_object_mut().unwrap().remove("name");
    route["match"] = matches;
    route
}

#[tokio::test]
async fn a_route_is_chosen_by_its_match_or_its_place() {
    let api = matching(json!([{ "uri": { "prefix": "/api" }, "port": 80 }, { "port": 81 }]));
    let web = matching(json!([{ "uri": { "prefix": "/" }, "port": 80 }]));
    let shop = Shop::new(json!({ "http": [api, web] }));
    let new = || shop.builder();
    let by_uri = new().route_matching(json!({ "uri": { "prefix": "/api" } }));
    let by_uri = by_uri.subsets("stable", "canary");
    raise(&by_uri, &percent(10)).await.unwrap();
    assert_eq!(weights(&shop.spec(), "http"), [10, 0]);
    shop.change(|spec| spec["http"].as_array_mut().unwrap().reverse());
    raise(&by_uri, &percent(20)).await.unwrap();
    assert_eq!(weights(&shop.spec(), "http"), [0, 20]);

    let by_place = new().route_at(0).subsets("stable", "canary");
    raise(&by_place, &percent(30).with_header(header())).await.unwrap();
    // Its own route in front does not count.
    assert_eq!(observe(&by_place).await, percent(30).with_header(header()));
    lower(&by_place, &Traffic::all_stable()).await.unwrap();
    assert_eq!(weights(&shop.spec(), "http"), [0, 20]);

    for (fields, kind) in [
        (json!({ "port": 80 }), FailureKind::Invalid),
        (json!({ "port": 82 }), FailureKind::NotFound),
    ] {
        let router = new().route_matching(fields).subsets("stable", "canary");
        let error = router.observe(&call()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("with a match that has {\"port\":8"), "{error}");
    }
}

/// Two routes change places: a raise that was decided before never lands on the wrong one.
#[tokio::test]
async fn a_route_chosen_by_its_match_is_not_raised_where_another_stands_now() {
    let [api, web] = ["/api", "/web"].map(|uri| matching(json!([{ "uri": { "prefix": uri } }])));
    let shop = Shop::new(json!({ "http": [api, web] }));
    let router = shop.builder().route_matching(json!({ "uri": { "prefix": "/api" } }));
    let router = router.subsets("stable", "canary");
    let claimed = lower(&router, &Traffic::all_stable()).await.unwrap();
    shop.change(|spec| spec["http"].as_array_mut().unwrap().reverse());
    let refused = router.apply(&call(), &percent(10), Some(&claimed.version)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);
    assert_eq!(shop.spec()["http"], json!([web, api]));
}

#[tokio::test]
async fn tls_and_tcp_routes_are_chosen_by_what_they_match() {
    let [shop_sni, other_sni] =
        ["shop", "other"].map(|sni| matching(json!([{ "port": 443, "sniHosts": [sni, "x"] }])));
    let [one, two] = [9000, 9001].map(|port| matching(json!([{ "port": port }])));
    let shop = Shop::new(json!({ "tls": [shop_sni, other_sni], "tcp": [one, two] }));
    let tls = shop.builder().tls().route_matching(json!({ "port": 443, "sniHosts": ["other"] }));
    let tcp = shop.builder().tcp().route_matching(json!({ "port": 9000 }));
    let both = tls.subsets("stable", "canary").and(tcp.subsets("stable", "canary"));
    raise(&both, &percent(25)).await.unwrap();
    assert_eq!(weights(&shop.spec(), "tls"), [0, 25]);
    assert_eq!(weights(&shop.spec(), "tcp"), [25, 0]);
    assert_eq!(observe(&both).await, percent(25));
    let error =
        shop.builder().tls().subsets("stable", "canary").observe(&call()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
}

#[tokio::test]
async fn short_and_whole_names_of_a_host_mean_the_same() {
    let whole = "web-v2.shop.svc.cluster.local";
    let route = |stable: &str, canary: &str| {
        json!([{ "route": [
            { "destination": { "host": stable }, "weight": 100 },
            { "destination": { "host": canary }, "weight": 0 },
        ]}])
    };
    for written in [route("web-v1", "web-v2"), route("web-v1", whole)] {
        for asked in ["web-v2", whole] {
            let shop = Shop::new(json!({ "http": written }));
            let router = shop.builder().hosts("web-v1", asked);
            raise(&router, &percent(10)).await.unwrap();
            assert_eq!(weights(&shop.spec(), "http"), [10]);
        }
    }
    let shop = Shop::new(json!({ "http": route("web-v1.other.svc.cluster.local", "web-v2") }));
    let error = shop.builder().hosts("web-v1", "web-v2").observe(&call()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NotFound);
    let error = shop.builder().hosts("web-v2", whole).observe(&call()).await.unwrap_err();
    assert!(error.to_string().contains("the same destination"), "{error}");
    let twice = json!([{ "route": [
        { "destination": { "host": "web-v1" }, "weight": 100 },
        { "destination": { "host": "web-v2" }, "weight": 0 },
        { "destination": { "host": whole }, "weight": 0 },
    ]}]);
    let shop = Shop::new(json!({ "http": twice }));
    let error = shop.builder().hosts("web-v1", "web-v2").observe(&call()).await.unwrap_err();
    assert!(error.to_string().contains("`web-v2` more than once"), "{error}");
}

#[tokio::test]
async fn a_host_tells_subsets_of_the_same_names_apart() {
    let of = |host: &str, subset: &str, weight: u8| json!({ "destination": { "host": host, "subset": subset }, "weight": weight });
    let two = json!([{ "route": [
        of("cart", "stable", 0), of("cart", "canary", 0),
        of("checkout.shop.svc.cluster.local", "stable", 100), of("checkout", "canary", 0),
    ]}]);
    let shop = Shop::new(json!({ "http": two }));
    let error = shop.builder().subsets("stable", "canary").observe(&call()).await.unwrap_err();
    assert!(error.to_string().contains("more than once"), "{error}");
    let router = shop.builder().host("checkout").subsets("stable", "canary");
    raise(&router, &percent(10)).await.unwrap();
    let route = &shop.spec()["http"][0]["route"];
    assert_eq!([0, 1, 2, 3].map(|i| route[i]["weight"].as_u64().unwrap()), [0, 0, 90, 10]);
    let missing = shop.builder().host("gone").route_at(0).subsets("stable", "canary");
    let error = missing.observe(&call()).await.unwrap_err();
    assert!(error.to_string().contains("no destination `stable` for stable at `gone`"), "{error}");
}

#[tokio::test]
async fn a_delegated_route_names_whom_to_ask() {
    let delegated = json!({ "name": "primary", "match": [{ "uri": { "prefix": "/cart" } }],
        "delegate": { "name": "cart", "namespace": "team" } });
    let shop = Shop::new(json!({ "http": [delegated] }));
    let error = shop.router().observe(&call()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
    let says = "rule 0 (`primary`) is delegated to VirtualService team/cart";
    assert!(error.to_string().contains(says), "{error}");
    let error = shop.builder().subsets("stable", "canary").observe(&call()).await.unwrap_err();
    let says = "there is rule 0 (`primary`), delegated to VirtualService team/cart";
    assert!(error.to_string().contains(says), "{error}");
}

#[tokio::test]
async fn routes_of_one_object_move_in_one_request() {
    let shop = Shop::new(json!({ "http": [route("api", [1, 0]), route("primary", [100, 0])] }));
    let api = shop.builder().route("api").subsets("stable", "canary");
    let both = shop.router().and(api);
    let all = percent(10).with_header(header()).with_mirror(Weight::percent(1));
    let claimed = lower(&both, &Traffic::all_stable()).await.unwrap();
    drop(shop.api.take_requests());
    both.apply(&call(), &all, Some(&claimed.version)).await.unwrap();
    assert_eq!(shop.api.take_requests(), ["GET", "PATCH application/json-patch+json"]);
    let spec = shop.spec();
    let names = [0, 1, 2, 3].map(|i| spec["http"][i]["name"].as_str().unwrap());
    assert_eq!(names, ["canary-rollout-api", "api", "canary-rollout-primary", "primary"]);
    assert_eq!(observe(&both).await, all);
    lower(&both, &percent(10)).await.unwrap();
    assert_eq!(weights(&shop.spec(), "http"), [10, 10]);

    // Somebody takes one of them back alone: what is observed is the greatest exposure.
    shop.change(|spec| spec["http"][0] = route("api", [100, 0]));
    assert_eq!(observe(&both).await, percent(10));
    let refused = lower(&both, &percent(10)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict, "it would raise one: {refused}");
    lower(&both, &Traffic::all_stable()).await.unwrap();
}

#[tokio::test]
async fn routes_that_cannot_be_told_apart_get_no_routes_in_front() {
    let [api, web] = ["/api", "/web"].map(|uri| matching(json!([{ "uri": { "prefix": uri } }])));
    let shop = Shop::new(json!({ "http": [api, web] }));
    let at = |index| shop.builder().route_at(index).subsets("stable", "canary");
    let refused = raise(&at(0).and(at(1)), &Traffic::all_stable().with_header(header())).await;
    assert_eq!(refused.unwrap_err().kind(), FailureKind::Invalid);
    assert_eq!(shop.spec()["http"], json!([api, web]));
    raise(&at(0).and(at(1)), &percent(3)).await.unwrap();
    assert_eq!(weights(&shop.spec(), "http"), [3, 3]);
}

#[tokio::test]
async fn several_objects_are_lowered_though_one_of_them_fails() {
    let shop = Shop::new(json!({ "http": [route("primary", [100, 0])] }));
    let fields = json!({ "spec": { "http": [route("primary", [100, 0])] } });
    let names = ["cart", "login"];
    let mut router = shop.router();
    for name in names {
        shop.api.put(&VIRTUAL_SERVICE, "shop", name, &fields);
        let new = VirtualServiceRouter::new(shop.api.client(), "shop", name);
        router = router.and(new.route("primary").subsets("stable", "canary"));
    }
    let of = |name: &str| {
        let object = shop.api.get(&VIRTUAL_SERVICE, "shop", name).unwrap();
        weights(&object["spec"], "http")[0]
    };
    raise(&router, &percent(10)).await.unwrap();
    assert_eq!([of("checkout"), of("cart"), of("login")], [10; 3]);

    // The first to be asked fails, and the others are lowered all the same.
    shop.api.answer_next(503, None, "down");
    let failed = lower(&router, &Traffic::all_stable()).await.unwrap_err();
    assert_eq!(failed.kind(), FailureKind::Unavailable);
    assert!(failed.to_string().starts_with("VirtualService shop/checkout: "), "{failed}");
    assert_eq!([of("checkout"), of("cart"), of("login")], [10, 0, 0]);
    assert_eq!(observe(&router).await, percent(10));
    lower(&router, &Traffic::all_stable()).await.unwrap();

    // A raise ends where it fails, and what was raised is seen.
    let at = router.observe(&call()).await.unwrap().version;
    let cart = json!({ "http": [{ "name": "primary", "route": [entry("stable", 1), entry("canary", 1)] }] });
    shop.api.put(&VIRTUAL_SERVICE, "shop", "cart", &json!({ "spec": cart }));
    let failed = router.apply(&call(), &percent(20), Some(&at)).await.unwrap_err();
    assert_eq!(failed.kind(), FailureKind::Conflict);
    assert_eq!([of("checkout"), of("login")], [20, 0]);
    assert_eq!(observe(&router).await, percent(50));
    lower(&router, &Traffic::all_stable()).await.unwrap();
    assert_eq!([of("checkout"), of("cart"), of("login")], [0; 3]);
}

#[tokio::test]
async fn routes_are_lowered_though_one_of_them_is_gone() {
    let shop = Shop::new(json!({ "http": [route("api", [100, 0]), route("primary", [100, 0])] }));
    let both = shop.router().and(shop.builder().route("api").subsets("stable", "canary"));
    raise(&both, &percent(10)).await.unwrap();
    shop.change(|spec| drop(spec["http"].as_array_mut().unwrap().remove(0)));
    let missing = lower(&both, &Traffic::all_stable()).await.unwrap_err();
    assert_eq!(missing.kind(), FailureKind::NotFound);
    assert_eq!(shop.spec()["http"], json!([route("primary", [100, 0])]));
}

#[tokio::test]
async fn weights_are_written_back_as_they_were() {
    for (stable, canary) in [
        (json!(1), Value::Null),
        (json!(1), json!(0)),
        (json!(10_000), json!(0)),
        (json!(100), json!(0)),
    ] {
        let mut route = route("primary", [0, 0]);
        route["route"][0]["weight"] = stable;
        route["route"][1]["weight"] = canary.clone();
        if canary.is_null() {
            route["route"][1].as_object_mut().unwrap().remove("weight");
        }
        let shop = Shop::new(json!({ "http": [route] }));
        let router = shop.router();
        lower(&router, &Traffic::all_stable()).await.unwrap();
        raise(&router, &percent(10)).await.unwrap();
        raise(&router, &percent(20).with_header(header())).await.unwrap();
        lower(&router, &Traffic::all_stable()).await.unwrap();
        router.release(&call()).await.unwrap();
        let object = shop.api.get(&VIRTUAL_SERVICE, "shop", "checkout").unwrap();
        assert_eq!(object["spec"]["http"], json!([route]));
        assert_eq!(object["metadata"].get("annotations"), None);
    }
}

/// What is in the annotation by somebody else's hand is not written into a route.
#[tokio::test]
async fn weights_are_not_written_back_from_what_nobody_here_wrote() {
    for before in [
        "[{\"stable\":-1,\"canary\":0}]",
        "[]",
        "[{\"stable\":50,\"canary\":50}]",
        "[{}]",
        "[{\"stable\":\"x\"}]",
        "x",
    ] {
        let shop = Shop::new(json!({ "http": [route("primary", [1, 0])] }));
        let router = shop.router();
        lower(&router, &Traffic::all_stable()).await.unwrap();
        raise(&router, &percent(10)).await.unwrap();
        let mut object = shop.api.get(&VIRTUAL_SERVICE, "shop", "checkout").unwrap();
        object["metadata"]["annotations"][canary_kube::BEFORE] = json!(before);
        shop.api.put(&VIRTUAL_SERVICE, "shop", "checkout", &object);
        lower(&router, &Traffic::all_stable()).await.unwrap();
        router.release(&call()).await.unwrap();
        assert_eq!(shop.spec()["http"], json!([route("primary", [100, 0])]));
    }
}
