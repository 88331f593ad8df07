//! Embeds a rollout that alerts stop: while a critical one fires for the service, its canary is taken back.
//!
//! `cargo run --example alerts --features mesh` needs a cluster with Istio and the VirtualService `shop/payment`, a Prometheus
//! and its Alertmanager.

use canary_core::driver::Driver;
use canary_core::policy::Policy;
use canary_core::store::FileStore;
use canary_core::value::Target;
use canary_istio::VirtualServiceRouter;
use canary_prometheus::preset::istio;
use canary_prometheus::{AlertGate, Prometheus};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Its check `alerts` asks the gate `no-critical-alert` all along.
    let policy = Policy::from_yaml(include_str!("policies/payment.yaml"))?;
    let target: Target = "shop/payment".parse()?;
    let router = VirtualServiceRouter::new(canary_istio::client().await?, "shop", "payment")
        .route("primary")
        .subsets("stable", "canary");
    let metrics = Prometheus::builder("http://prometheus:9090")
        .preset(istio::by_workload("shop", "payment", "payment-canary"))
        .build()?;
    let alerts = AlertGate::alertmanager("http://alertmanager:9093")
        .severity("critical")
        .label("namespace", "shop")
        .label("service", "payment")
        .build()?;
    let driver = Driver::builder(policy)
        .target(target)
        .router(router)
        .metrics(metrics)
        .gate("no-critical-alert", alerts)
        .store(FileStore::new("rollouts"))
        .observe(|record| println!("{record}"));
    let rollout = driver.start_or_resume("payment-7".parse()?).await?;
    println!("{}", rollout.finished().await?.report().to_markdown());
    Ok(())
}
