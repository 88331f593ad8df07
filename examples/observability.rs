//! Alert rules, recording rules and a dashboard, written from a policy.
//!
//! ```sh
//! cargo run --features mesh --example observability -- \
//!   --policy examples/policies/checkout.yaml --mesh istio --namespace shop --service checkout --out monitoring
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use canary_core::policy::{Policy, PolicyError};
use canary_prometheus::dashboard;
use canary_prometheus::rules::{Mesh, Rule, RuleFile, Service, rules};
use clap::Parser;
use clap::error::ErrorKind;

/// Writes Prometheus rules and a Grafana dashboard for a service that is rolled out under a policy.
#[derive(Debug, Parser)]
#[command(name = "observability", after_help = AFTER_HELP)]
struct Options {
    /// The policy, as YAML or JSON.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Who counts the requests: istio or linkerd.
    #[arg(long)]
    mesh: Mesh,
    /// The namespace of the service.
    #[arg(long, value_name = "NS", default_value = "default")]
    namespace: String,
    /// The service, called as the policy unless said; its rollouts have the target NS/NAME.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The Deployment of the old version; NAME unless said.
    #[arg(long, value_name = "DEPLOYMENT")]
    stable: Option<String>,
    /// The Deployment of the new version; NAME-canary unless said.
    #[arg(long, value_name = "DEPLOYMENT")]
    canary: Option<String>,
    /// What each alert links, its own name behind it as an anchor.
    #[arg(long, value_name = "URL")]
    runbook: Option<String>,
    /// The folder to write into; made where there is none.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

const AFTER_HELP: &str = "\
Examples, after `cargo run --features mesh --example observability --`:
  --policy examples/policies/checkout.yaml --mesh istio --namespace shop --service checkout --out monitoring
  --policy examples/policies/orion.yaml --mesh linkerd --namespace orion --service auth-service \\
      --runbook https://wiki.example.com/canary --out monitoring

docs/observability.md says what each alert means, and how the rollouts' own metrics reach Prometheus.";

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Where even that cannot be written, nobody can be told.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    match options.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.is::<PolicyError>() {
                // It calls each of its problems an error itself.
                eprintln!("{error}");
            } else {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

impl Options {
    fn run(&self) -> anyhow::Result<()> {
        let name = self.policy.display().to_string();
        let text =
            fs::read_to_string(&self.policy).with_context(|| format!("cannot read {name}"))?;
        let policy = Policy::from_yaml_named(&name, &text)?;
        let name = self.service.as_deref().unwrap_or_else(|| policy.name());
        let service = self.service(name)?;
        fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;

        let file = rules(&policy, &service);
        let path = self.out.join(format!("{name}-rules.yaml"));
        write(&path, &serde_saphyr::to_string(&file)?)?;
        let (recording, alerts) = count(&file);
        println!("{}: {recording} recording rules, {alerts} alerts", path.display());

        let dashboard = dashboard(&policy, &service);
        let path = self.out.join(format!("{name}-dashboard.json"));
        write(&path, &format!("{dashboard:#}\n"))?;
        let panels = dashboard["panels"].as_array().into_iter().flatten();
        let panels = panels.filter(|panel| panel["type"] != "row").count();
        println!("{}: a dashboard of {panels} panels", path.display());
        println!("Check them: promtool check rules {}/*-rules.yaml", self.out.display());
        Ok(())
    }

    fn service(&self, name: &str) -> anyhow::Result<Service> {
        let service = Service::new(self.mesh, &self.namespace, name)?;
        let service = match (&self.stable, &self.canary) {
            (None, None) => service,
            (stable, canary) => {
                let stable = stable.clone().unwrap_or_else(|| name.to_owned());
                let canary = canary.clone().unwrap_or_else(|| format!("{name}-canary"));
                service.deployments(stable, canary)?
            }
        };
        Ok(match &self.runbook {
            Some(link) => service.runbook(link),
            None => service,
        })
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Counts the rules: those that record, and those that alert.
fn count(file: &RuleFile) -> (usize, usize) {
    let all = file.groups.iter().flat_map(|group| &group.rules);
    let alerts = all.clone().filter(|rule| matches!(rule, Rule::Alert { .. })).count();
    (all.count() - alerts, alerts)
}
