//! The alerts: what is wrong with a canary, its pods, or its rollout.

mod pods;
mod rollout;
mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

use canary_core::policy::{Comparison, Policy};

use super::limits::Limited;
use super::{Rule, Service, literal, written};

/// How many events it takes to speak of a ratio: with fewer, one more or less changes it too much.
const FEWEST: u32 = 5;

/// Says how much an alert matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Holds an alert of a service.
#[derive(Debug)]
pub(super) struct Alert {
    name: &'static str,
    severity: Severity,
    expr: String,
    lasting: Duration,
    /// What is wrong, with the value; a template.
    summary: String,
    /// What to do about it.
    advice: &'static str,
}

/// Returns every alert, those about the rollout last: they read the others.
pub(super) fn all(policy: &Policy, service: &Service) -> Vec<Alert> {
    let mut alerts = traffic::all(policy, service);
    alerts.extend(pods::all(policy, service));
    alerts.extend(rollout::all(policy, service));
    alerts
}

impl Alert {
    /// Fires where what has a limit is beyond it; `told` stands before the limit in what people read.
    fn beyond(what: Limited, policy: &Policy, service: &Service, told: &str) -> Self {
        let bound = what.bound(policy);
        let sign = if what.comparison() == Comparison::Above { '>' } else { '<' };
        Self {
            name: "",
            severity: Severity::Warning,
            expr: format!("{} {sign} {}", service.recorded(what.recorded()), bound.at),
            lasting: bound.lasting,
            summary: format!("{told}; {} is well", what.show(bound.at)),
            advice: "",
        }
    }

    /// Writes it as a rule.
    pub(super) fn rule(self, service: &Service, labels: &BTreeMap<&'static str, String>) -> Rule {
        let mut labels = labels.clone();
        labels.insert("severity", self.severity.as_str().to_owned());
        let mut annotations = BTreeMap::from([
            ("summary", format!("{}/{}: {}", service.namespace, service.name, self.summary)),
            ("description", self.advice.to_owned()),
        ]);
        if let Some(link) = &service.runbook {
            let link = format!("{}#{}", literal(link), self.name.to_ascii_lowercase());
            annotations.insert("runbook_url", link);
        }
        Rule::Alert {
            alert: self.name,
            expr: self.expr,
            lasting: written(self.lasting),
            labels,
            annotations,
        }
    }
}
