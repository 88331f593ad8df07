//! Puts a gate together and checks it before a rollout depends on it.

use std::collections::BTreeMap;

use crate::alert::AlertGate;
use crate::alert::answer::Server;
use crate::error::BuildError;
use crate::http::Endpoint;
use crate::limits::Limits;
use crate::template::{ROLLOUT, Template};

/// Collects which alerts close an [`AlertGate`]; everything is checked by [`build`](Self::build).
///
/// An alert closes the gate if it fires, has every [`label`](Self::label) and one of the severities, if any are said. Without
/// a label that names the service, alerts about anything close it.
///
/// The values of labels are templates: `{{ rollout }}` is the rollout's id, and [`variable`](Self::variable) adds names of your
/// own.
///
/// The alert `CanaryAutomatedRollbackRecommended` of [`rules`](crate::rules) is passed over: it repeats what the
/// rollout and the other alerts say, and so a check that fails and asks a person would take the canary back.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct AlertGateBuilder {
    endpoint: Endpoint,
    server: Server,
    limits: Limits,
    variables: BTreeMap<String, String>,
    labels: BTreeMap<String, Template>,
    severities: Vec<String>,
    pending: bool,
}

impl AlertGate {
    /// Begins a gate that asks a Prometheus, or whatever evaluates rules and answers `/api/v1/alerts` as it does.
    ///
    /// It knows the alerts of its own rules and no silences, which are Alertmanager's: one that people have silenced still
    /// closes the gate. The server sends all of its alerts each time.
    pub fn prometheus(server: impl Into<Endpoint>) -> AlertGateBuilder {
        AlertGateBuilder::new(server.into(), Server::Prometheus)
    }

    /// Begins a gate that asks an Alertmanager, whose alerts may come from many servers.
    ///
    /// Alerts that are silenced or inhibited do not close the gate. Behind a route prefix or a proxy the address has a
    /// path: `https://mimir.example/alertmanager`.
    pub fn alertmanager(server: impl Into<Endpoint>) -> AlertGateBuilder {
        AlertGateBuilder::new(server.into(), Server::Alertmanager)
    }
}

impl AlertGateBuilder {
    fn new(endpoint: Endpoint, server: Server) -> Self {
        Self {
            endpoint,
            server,
            limits: Limits::default(),
            variables: BTreeMap::new(),
            labels: BTreeMap::new(),
            severities: Vec::new(),
            pending: false,
        }
    }

    /// Adds a severity that closes the gate: a value of the label `severity`. Unless one is added, any does.
    ///
    /// Say here what the policy says of the gate; nothing compares the two.
    pub fn severity(mut self, severity: impl Into<String>) -> Self {
        self.severities.push(severity.into());
        self
    }

    /// Asks for alerts that have this label; a later value of the same label replaces an earlier one.
    ///
    /// An empty value means alerts without the label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), Template::new(value));
        self
    }

    /// Sets a variable for the values of labels; a later value of the same name replaces an earlier one.
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Lets alerts close the gate whose expression holds, though not yet for as long as their rule says.
    ///
    /// Only Prometheus knows of them. What is pending may be gone at the next look, so this takes canaries back that
    /// nobody would have been called for.
    pub const fn or_pending(mut self) -> Self {
        self.pending = true;
        self
    }

    /// Bounds what an answer may cost; each alert counts as a series.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Checks the address and the labels, without a word to the server.
    ///
    /// # Errors
    /// [`BuildError`] for the first thing that is wrong: an address, header or certificate that is none, a variable that
    /// nobody set or that is called `rollout`, a label's name that is none, pending alerts of an Alertmanager.
    pub fn build(self) -> Result<AlertGate, BuildError> {
        if self.pending && self.server == Server::Alertmanager {
            return Err(BuildError::Pending);
        }
        if self.variables.contains_key(ROLLOUT) {
            return Err(BuildError::ReservedVariable(ROLLOUT.to_owned()));
        }
        for (name, value) in &self.labels {
            if !is_label(name) {
                return Err(BuildError::Label(name.clone()));
            }
            value
                .try_out_text(&self.variables)
                .map_err(|problem| BuildError::Query { query: format!("label {name}"), problem })?;
        }
        Ok(AlertGate {
            http: self.endpoint.open()?,
            server: self.server,
            limits: self.limits,
            variables: self.variables,
            labels: self.labels,
            severities: self.severities,
            pending: self.pending,
        })
    }
}

fn is_label(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c| plain(c) && !c.is_ascii_digit()) && name.chars().all(plain)
}
