//! Embeds a rollout: Istio moves the traffic, Prometheus measures, files keep the state.
//!
//! `cargo run --example embed --features mesh` needs a cluster with Istio and the VirtualService `shop/checkout`.

use canary_core::driver::Driver;
use canary_core::policy::Policy;
use canary_core::store::FileStore;
use canary_istio::VirtualServiceRouter;
use canary_prometheus::{LatencyUnit, Prometheus};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let policy = Policy::from_yaml(include_str!("policies/checkout.yaml"))?;
    let router = VirtualServiceRouter::new(canary_istio::client().await?, "shop", "checkout")
        .route("primary")
        .subsets("stable", "canary");
    let metrics = Prometheus::builder("http://prometheus:9090")
        .requests(
            r#"http_requests_total{app="checkout", variant="{{ variant }}"}"#,
            r#"http_requests_total{app="checkout", variant="{{ variant }}", code=~"5.."}"#,
        )
        .latency(
            r#"http_request_duration_seconds_bucket{app="checkout", variant="{{ variant }}"}"#,
            LatencyUnit::Seconds,
        )
        .build()?;
    let driver = Driver::builder(policy)
        .target("shop/checkout".parse()?)
        .router(router)
        .metrics(metrics)
        .store(FileStore::new("rollouts"))
        .observe(|record| println!("{record}"));
    // After a crash the same program takes up the rollout that its files hold.
    let rollout = driver.start_or_resume("checkout-42".parse()?).await?;
    // While it runs: rollout.pause(..), resume(..), approve(..), abort(..), status(). A clone of the handle in
    // an HTTP handler or a chat command is how people answer the plan's gates: approve("oncall", &actor).
    let finished = rollout.finished().await?;
    println!("{}", finished.report().to_markdown());
    Ok(())
}
