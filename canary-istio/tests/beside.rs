//! Requests that reach the canary by their headers, and copies of others.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use canary_core::ports::TrafficRouter;
use canary_core::value::{FailureKind, Traffic, Weight};
use canary_istio::VirtualServiceRouter;
use common::{Shop, call, entry, header, lower, observe, percent, raise, route};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

fn with_header() -> Traffic {
    Traffic::all_stable().with_header(header())
}

fn mirrored(points: u16) -> Traffic {
    Traffic::all_stable().with_mirror(Weight::from_basis_points(points).unwrap())
}

/// A route with about everything that one may have.
fn full() -> Value {
    let mut full = route("primary", [100, 0]);
    let more = json!({
        "match": [
            { "name": "api", "uri": { "prefix": "/api" }, "headers": { "x-user": { "regex": "a.*" } } },
            { "uri": { "exact": "/" } },
        ],
        "retries": { "attempts": 3 },
        "timeout": "5s",
        "headers": { "request": { "set": { "x-via": "mesh" } } },
        "corsPolicy": { "maxAge": "24h" },
        "fault": { "abort": { "httpStatus": 503, "percentage": { "value": 0.1 } } },
        "mirror": { "host": "shadow" },
        "x-unknown": [1],
    });
    let fields = full.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    full["route"][1]["headers"] = json!({ "response": { "set": { "x-side": "canary" } } });
    full
}

#[tokio::test]
async fn an_own_route_does_what_the_route_does_for_requests_with_the_headers() {
    let other = route("other", [1, 1]);
    let shop = Shop::new(json!({ "http": [other, full()] }));
    raise(&shop.router(), &with_header()).await.unwrap();
    assert_eq!(observe(&shop.router()).await, with_header());

    let mut own = full();
    own["name"] = json!("canary-rollout-primary");
    own["match"][0]["headers"]["x-canary"] = json!({ "exact": "true" });
    own["match"][1]["headers"] = json!({ "x-canary": { "exact": "true" } });
    own["route"] = json!([full()["route"][1]]);
    own["route"][0]["weight"] = json!(100);
    own.as_object_mut().unwrap().remove("mirror");
    assert_eq!(shop.spec()["http"], json!([other, own, full()]));

    lower(&shop.router(), &Traffic::all_stable()).await.unwrap();
    assert_eq!(shop.spec()["http"], json!([other, full()]));
}

#[tokio::test]
async fn a_route_for_all_requests_gets_one_for_those_with_the_headers() {
    let shop = Shop::new(json!({ "http": [{ "route": route("", [100, 0])["route"] }] }));
    let router = shop.builder().subsets("stable", "canary");
    let two =
        BTreeMap::from([("x-a".to_owned(), "1".to_owned()), ("x-b".to_owned(), "2".to_owned())]);
    raise(&router, &with_header().with_header(two.clone())).await.unwrap();
    assert_eq!(
        shop.spec()["http"][0],
        json!({
            "name": "canary-rollout-rule",
            "match": [{ "headers": { "x-a": { "exact": "1" }, "x-b": { "exact": "2" } } }],
            "route": [entry("canary", 100)],
        })
    );
    // Other headers take the place of these.
    raise(&router, &with_header()).await.unwrap();
    assert_eq!(shop.spec()["http"].as_array().unwrap().len(), 2);
    assert_eq!(observe(&router).await, with_header());
}

#[tokio::test]
async fn weights_rise_in_one_request_beside_the_headers() {
    let shop = Shop::new(json!({ "http": [full()] }));
    let raised = raise(&shop.router(), &with_header()).await.unwrap();
    drop(shop.api.take_requests());
    let tenth = percent(10).with_header(header());
    shop.router().apply(&call(), &tenth, Some(&raised.version)).await.unwrap();
    assert_eq!(shop.api.take_requests(), ["PATCH application/json-patch+json"]);
    assert_eq!(observe(&shop.router()).await, tenth);
}

#[tokio::test]
async fn an_own_route_is_found_wherever_it_was_moved() {
    let other = route("other", [1, 1]);
    let shop = Shop::new(json!({ "http": [full(), other] }));
    raise(&shop.router(), &with_header()).await.unwrap();
    shop.change(|spec| spec["http"].as_array_mut().unwrap().rotate_left(1));
    // Behind the route, it gets no request: what a look tells is what requests meet.
    assert_eq!(observe(&shop.router()).await, Traffic::all_stable());
    raise(&shop.router(), &with_header()).await.unwrap();
    let names = |spec: &Value| -> Vec<String> {
        let routes = spec["http"].as_array().unwrap().iter();
        routes.map(|route| route["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&shop.spec()), ["canary-rollout-primary", "primary", "other"]);
    shop.change(|spec| spec["http"].as_array_mut().unwrap().reverse());
    lower(&shop.router(), &Traffic::all_stable()).await.unwrap();
    assert_eq!(shop.spec()["http"], json!([other, full()]));
}

#[tokio::test]
async fn an_own_route_that_lost_its_headers_stops_raises_and_never_an_abort() {
    let shop = Shop::new(json!({ "http": [route("primary", [100, 0])] }));
    let raised = raise(&shop.router(), &with_header()).await.unwrap();
    shop.change(|spec| drop(spec["http"][0].as_object_mut().unwrap().remove("match")));
    let error = shop.router().observe(&call()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
    assert!(error.to_string().contains("whatever their headers"), "{error}");
    let deeper = Traffic::all_stable().with_header(header()).with_mirror(Weight::percent(1));
    shop.router().apply(&call(), &deeper, Some(&raised.version)).await.unwrap_err();
    lower(&shop.router(), &Traffic::all_stable()).await.unwrap();
    assert_eq!(shop.spec()["http"], json!([route("primary", [100, 0])]));
}

#[tokio::test]
async fn headers_that_istio_would_take_for_others_are_refused() {
    let mut asks = full();
    asks["match"][1]["withoutHeaders"] = json!({ "x-canary": {} });
    for (route, name, value, says) in [
        (full(), "X-Canary", "true", "write `x-canary` for `X-Canary`"),
        (full(), "x-canary", "", "an empty value for `x-canary` means any value"),
        (full(), "x-user", "a", "something of the header `x-user` itself"),
        (asks, "x-canary", "true", "something of the header `x-canary` itself"),
    ] {
        let shop = Shop::new(json!({ "http": [route] }));
        let header = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let refused = raise(&shop.router(), &with_header().with_header(header)).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Invalid);
        assert!(refused.to_string().contains(says), "{refused}");
        assert_eq!(shop.spec()["http"], json!([route]));
    }
}

#[tokio::test]
async fn the_users_own_route_is_counted_on_and_left_alone() {
    let mut testers = route("testers", [0, 100]);
    testers["match"] = json!([{ "headers": { "x-canary": { "exact": "true" } } }]);
    testers["route"] = json!([entry("canary", 100)]);
    let shop = Shop::new(json!({ "http": [testers, route("primary", [100, 0])] }));
    let router =
        shop.builder().route("primary").header_route("testers").subsets("stable", "canary");
    assert_eq!(observe(&router).await, Traffic::all_stable());
    raise(&router, &with_header()).await.unwrap();
    assert_eq!(observe(&router).await, with_header());
    raise(&router, &percent(10).with_header(header())).await.unwrap();
    assert_eq!(shop.spec()["http"], json!([testers, route("primary", [90, 10])]));
    lower(&router, &Traffic::all_stable()).await.unwrap();
    assert_eq!(observe(&router).await, Traffic::all_stable());
    assert_eq!(shop.spec()["http"], json!([testers, route("primary", [100, 0])]));
}

#[tokio::test]
async fn a_users_route_that_does_something_else_is_refused() {
    let mut testers = route("testers", [0, 100]);
    testers["match"] = json!([{ "headers": { "x-canary": { "exact": "true" } } }]);
    let primary = route("primary", [100, 0]);
    let mut elsewhere = testers.clone();
    elsewhere["route"] = json!([entry("beta", 100)]);
    let mut otherwise = testers.clone();
    otherwise["match"][0]["headers"]["x-canary"] = json!({ "exact": "yes" });
    for (routes, kind) in [
        (json!([primary]), FailureKind::NotFound),
        (json!([primary, testers]), FailureKind::Invalid),
        (json!([elsewhere, primary]), FailureKind::Invalid),
        (json!([otherwise, primary]), FailureKind::Invalid),
    ] {
        let shop = Shop::new(json!({ "http": routes }));
        let router = shop.builder().route("primary").header_route("testers");
        let router = router.subsets("stable", "canary");
        let refused = raise(&router, &with_header()).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(refused.to_string().contains("`testers`"), "{refused}");
    }
}

#[tokio::test]
async fn copies_go_to_the_canary_and_end_with_the_rollout() {
    let shop = Shop::new(json!({ "http": [route("primary", [100, 0])] }));
    for (points, value) in [(500, json!(5)), (50, json!(0.5)), (10_000, json!(100))] {
        raise(&shop.router(), &mirrored(points)).await.unwrap();
        let route = &shop.spec()["http"][0];
        assert_eq!(route["mirror"], json!({ "host": "checkout", "subset": "canary" }));
        assert_eq!(route["mirrorPercentage"], json!({ "value": value }));
        assert_eq!(observe(&shop.router()).await, mirrored(points));
    }
    lower(&shop.router(), &mirrored(1)).await.unwrap();
    assert_eq!(observe(&shop.router()).await, mirrored(1));
    lower(&shop.router(), &Traffic::all_stable()).await.unwrap();
    assert_eq!(shop.spec()["http"], json!([route("primary", [100, 0])]));
}

#[tokio::test]
async fn copies_to_the_canary_are_seen_however_they_are_written() {
    let canary = json!({ "host": "checkout", "subset": "canary" });
    for (percentage, points) in
        [(Value::Null, 10_000), (json!({}), 0), (json!({ "value": 1e-9 }), 1)]
    {
        let shop = Shop::new(json!({ "http": [route("primary", [100, 0])] }));
        shop.change(|spec| {
            spec["http"][0]["mirror"] = canary.clone();
            spec["http"][0]["mirrorPercentage"] = percentage;
        });
        assert_eq!(observe(&shop.router()).await, mirrored(points));
    }
    let shop = Shop::new(json!({ "http": [route("primary", [100, 0])] }));
    shop.change(|spec| {
        spec["http"][0]["mirror"] = canary;
        spec["http"][0]["mirrorPercentage"] = json!({ "value": 101 });
    });
    let error = shop.router().observe(&call()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
    lower(&shop.router(), &Traffic::all_stable()).await.unwrap();
    assert_eq!(shop.spec()["http"], json!([route("primary", [100, 0])]));
}

#[tokio::test]
async fn copies_to_somebody_else_are_never_written_over() {
    for theirs in [
        json!({ "mirror": { "host": "shadow" } }),
        json!({ "mirrors": [{ "destination": { "host": "shadow" } }] }),
        json!({ "mirrorPercentage": { "value": 1 } }),
    ] {
        let mut route = route("primary", [100, 0]);
        route.as_object_mut().unwrap().extend(theirs.as_object().unwrap().clone());
        let shop = Shop::new(json!({ "http": [route] }));
        let refused = raise(&shop.router(), &mirrored(100)).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Invalid);
        assert!(refused.to_string().contains("copies its requests to somewhere else"), "{refused}");
        raise(&shop.router(), &with_header()).await.unwrap();
        lower(&shop.router(), &Traffic::all_stable()).await.unwrap();
        assert_eq!(shop.spec()["http"], json!([route]));
    }
}

/// Somebody gives the route a mirror after the raise has read it and before it writes.
#[tokio::test]
async fn a_mirror_that_comes_in_between_is_not_written_over() {
    let shop = Shop::new(json!({ "http": [route("primary", [100, 0])] }));
    let (inner, api) = (shop.api.client(), shop.api.clone());
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (inner, shop) = (inner.clone(), Shop { api: api.clone() });
        async move {
            if request.method() == http::Method::PATCH {
                shop.change(|spec| spec["http"][0]["mirror"] = json!({ "host": "shadow" }));
            }
            inner.send(request).await
        }
    });
    let router = VirtualServiceRouter::new(Client::new(service, "default"), "shop", "checkout");
    let router = router.subsets("stable", "canary");
    lower(&shop.router(), &Traffic::all_stable()).await.unwrap();
    let refused = raise(&router, &mirrored(100)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);
    assert_eq!(shop.spec()["http"][0]["mirror"], json!({ "host": "shadow" }));
}

#[tokio::test]
async fn what_is_not_there_for_tcp_is_refused() {
    let shop = Shop::new(json!({ "tcp": [{ "route": route("", [100, 0])["route"] }] }));
    let router = shop.builder().tcp().subsets("stable", "canary");
    let can = router.capabilities();
    assert!(!can.headers && !can.mirror && !can.audience);
    assert!(shop.router().capabilities().headers && shop.router().capabilities().mirror);
    for traffic in [with_header(), mirrored(100)] {
        let refused = raise(&router, &traffic).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Invalid);
    }
    raise(&router, &percent(10)).await.unwrap();
    assert_eq!(shop.spec()["tcp"][0]["route"], route("", [90, 10])["route"]);
}
