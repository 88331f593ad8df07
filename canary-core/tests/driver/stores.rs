//! A store that is down is seen: in the log, and by who looks at the status.

use canary_core::driver::Driver;
use canary_core::policy::{GateSpec, How, Policy};
use canary_core::rollout::Waiting;
use canary_core::testing::{MemoryRouter, MemoryWorkload};
use canary_core::value::Weight;

use crate::support::{Kind, Sink, Store, ana, builder, id, plain, s, until};

/// Writes what is logged on this thread to a sink.
///
/// The second subscriber hears nothing: while there is one alone, an event of which another thread was the first to
/// make use is off for all.
fn logged() -> (Sink, (tracing::subscriber::DefaultGuard, tracing::Dispatch)) {
    let sink = Sink::default();
    let writer = sink.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    (sink, (tracing::subscriber::set_default(log.finish()), second))
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_down_and_comes_back_is_logged_once_each() {
    let (log, _logged) = logged();
    let store = Store::default();
    let handle = builder().store(store.clone()).start(id("shop-1")).await.unwrap();
    until(&handle, |status| status.weight == Weight::percent(50)).await;
    store.writing.set(Kind::Fails(usize::MAX));
    let failed = store.writing.begun();
    let mut asked = tokio::task::JoinSet::new();
    asked.spawn({
        let handle = handle.clone();
        async move { handle.pause(&ana()).await }
    });
    tokio::time::sleep(s(600)).await;
    assert!(store.writing.begun() > failed + 10, "it is tried again and again");
    store.writing.set(Kind::None);
    tokio::time::sleep(s(60)).await;
    handle.resume(&ana()).await.unwrap();
    handle.finished().await.unwrap();
    let log = String::from_utf8(log.bytes()).unwrap();
    let of = |what| log.lines().filter(|line| line.contains(what)).collect::<Vec<_>>();
    let (down, back) = (of("the store fails"), of("the store is back"));
    assert_eq!((down.len(), back.len()), (1, 1), "{log}");
    assert!(down[0].contains("shop-1") && down[0].contains("WARN"), "{log}");
    let down_ms = back[0].split("down_ms=").nth(1).unwrap().split(' ').next().unwrap();
    let down_ms: u64 = down_ms.parse().unwrap();
    assert!((600_000..660_000).contains(&down_ms), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_status_names_the_store_where_it_is_what_is_waited_for() {
    let store = Store::default();
    let handle = Driver::builder(plain())
        .router(MemoryRouter::new())
        .store(store.clone())
        .workload(MemoryWorkload::new())
        .start(id("shop-1"))
        .await
        .unwrap();
    until(&handle, |status| status.weight == Weight::FULL).await;
    store.writing.set(Kind::Fails(usize::MAX));
    // What it goes on with after the last stage must be saved first.
    until(&handle, |status| status.waiting == Waiting::Store).await;
    let line = handle.status().borrow().to_string();
    assert!(line.ends_with("waits for the store, which fails"), "{line}");
    store.writing.set(Kind::None);
    assert!(handle.finished().await.unwrap().outcome().is_promoted());
}

#[tokio::test(start_paused = true)]
async fn stable_is_restored_soon_though_the_store_hangs() {
    let mut spec = plain().spec().clone();
    spec.promotion.how = How::InPlace;
    spec.promotion.after = vec!["ship".parse().unwrap()];
    spec.gates.insert("ship".parse().unwrap(), GateSpec::approval());
    let (store, versions) = (Store::default(), MemoryWorkload::new());
    let handle = Driver::builder(Policy::from_spec(spec).unwrap())
        .router(MemoryRouter::new())
        .store(store.clone())
        .workload(versions.clone())
        .start(id("shop-1"))
        .await
        .unwrap();
    until(&handle, |status| status.phase == "closing").await;
    assert!(versions.stable_is_new());
    store.writing.set(Kind::Hangs);
    let mut asked = tokio::task::JoinSet::new();
    let paused = handle.clone();
    asked.spawn(async move { paused.pause(&ana()).await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let aborted = handle.clone();
    asked.spawn(async move { aborted.abort("bad", &ana()).await });
    tokio::time::sleep(s(3)).await;
    assert!(!versions.stable_is_new(), "{:?}", versions.calls());
}
