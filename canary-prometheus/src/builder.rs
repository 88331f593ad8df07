//! Puts a source together and checks it before a rollout depends on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use canary_core::value::{BySide, Side, Signal};

use crate::api::Api;
use crate::error::{BuildError, QueryProblem};
use crate::source::{Ask, Prometheus};
use crate::template::{OWN_VARIABLES, Template, Variables};

/// Says in what unit the buckets of a latency histogram are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LatencyUnit {
    /// Seconds, Prometheus's own custom: `…_seconds_bucket`.
    Seconds,
    /// Milliseconds: `…_milliseconds_bucket`, `…_ms_bucket`.
    Milliseconds,
}

impl LatencyUnit {
    /// Converts a bucket's bound, exact to the nanosecond: 0.0082 s is 8.2 ms and nothing above it.
    pub(crate) fn to_millis(self, bound: f64) -> f64 {
        match self {
            Self::Seconds => (bound * 1e9).round() / 1e6,
            Self::Milliseconds => bound,
        }
    }
}

/// Collects what a [`Prometheus`] is to ask; everything is checked by [`build`](Self::build).
///
/// Queries are templates. `{{ variant }}` is `stable` on the one side and `canary` on the other (see
/// [`variant`](Self::variant)), `{{ rollout }}` is the rollout's id, and [`variable`](Self::variable)
/// adds names of your own. Values are taken literally: between quotes they are escaped, in the
/// regular expression of a `=~` or `!~` its special characters too, and outside of quotes
/// only letters, digits, `_`, `:` and `.` are allowed in them.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct PrometheusBuilder {
    address: String,
    client: Option<reqwest::Client>,
    variables: Variables,
    asks: Vec<(Signal, Ask)>,
}

impl PrometheusBuilder {
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            client: None,
            variables: Variables {
                own: BTreeMap::new(),
                variant: BySide::from_fn(|side| side.as_str().to_owned()),
            },
            asks: Vec::new(),
        }
    }

    /// Sends requests through a client of your own: with your certificates, proxies or headers.
    ///
    /// Its redirect policy should be `none`: a redirected query loses its body.
    pub fn client(mut self, client: reqwest::Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Sets a variable for all queries; a later value of the same name replaces an earlier one.
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.own.insert(name.into(), value.into());
        self
    }

    /// Sets what `{{ variant }}` stands for on one side, such as `v2` where that is what the labels say.
    pub fn variant(mut self, side: Side, text: impl Into<String>) -> Self {
        let variant = &mut self.variables.variant;
        match side {
            Side::Stable => variant.stable = text.into(),
            Side::Canary => variant.canary = text.into(),
        }
        self
    }

    /// Counts [`Signal::Requests`]: the counters of all requests, and those of the bad ones among them.
    ///
    /// Both are series *selectors*, without `rate`, `sum` or a range: the source fetches their
    /// samples and counts what they rose by. Every series of `bad` should be one of `total` too; a window
    /// with more bad requests than requests is refused. Where no `bad` series exists, none was bad.
    pub fn requests(self, total: impl Into<String>, bad: impl Into<String>) -> Self {
        let ask = Ask::Requests { total: Template::new(total), bad: Template::new(bad) };
        self.ask(Signal::Requests, ask)
    }

    /// Counts [`Signal::Latency`]: a selector of the `_bucket` series of classic histograms.
    pub fn latency(self, buckets: impl Into<String>, unit: LatencyUnit) -> Self {
        let buckets = Template::new(buckets);
        self.ask(Signal::Latency, Ask::Latency { buckets, unit })
    }

    /// Reads [`Signal::Custom`]: any expression that gives one number for each side.
    ///
    /// Without `{{ variant }}` in it, both sides have the same number.
    pub fn value(self, name: impl Into<String>, query: impl Into<String>) -> Self {
        let query = Template::new(query);
        self.ask(Signal::Custom(name.into().into()), Ask::Value { query })
    }

    fn ask(mut self, signal: Signal, ask: Ask) -> Self {
        self.asks.push((signal, ask));
        self
    }

    /// Checks the address and tries every query out, without a word to the server.
    ///
    /// # Errors
    /// [`BuildError`] for the first thing that is wrong: an address that is none, a variable that nobody
    /// set or that is the source's own, a signal with two queries, and what is wrong with a query.
    pub fn build(self) -> Result<Prometheus, BuildError> {
        let own = &self.variables.own;
        if let Some(name) = OWN_VARIABLES.into_iter().find(|n| own.contains_key(*n)) {
            return Err(BuildError::ReservedVariable(name.to_owned()));
        }
        let mut asks = BTreeMap::new();
        for (signal, ask) in self.asks {
            try_out(&signal, &ask, &self.variables)?;
            if asks.contains_key(&signal) {
                return Err(BuildError::Twice(signal.to_string()));
            }
            asks.insert(signal, ask);
        }
        Ok(Prometheus {
            api: Api::new(&self.address, self.client)?,
            variables: Arc::new(self.variables),
            asks: Arc::new(asks),
        })
    }
}

fn try_out(signal: &Signal, ask: &Ask, variables: &Variables) -> Result<(), BuildError> {
    let refuse = |query: String| move |problem| BuildError::Query { query, problem };
    match ask {
        Ask::Requests { total, bad } => {
            selector(total, variables).map_err(refuse(format!("{signal} (total)")))?;
            selector(bad, variables).map_err(refuse(format!("{signal} (bad)")))
        }
        Ask::Latency { buckets, .. } => {
            selector(buckets, variables).map_err(refuse(signal.to_string()))
        }
        Ask::Value { query } => value(query, variables).map_err(refuse(signal.to_string())),
    }
}

/// Checks a query whose series are counted on each side; counting the same ones twice compares nothing.
fn selector(template: &Template, variables: &Variables) -> Result<(), QueryProblem> {
    let sides = template.try_out(variables)?;
    for side in Side::BOTH {
        check_selector(sides.get(side))?;
    }
    if sides.stable == sides.canary {
        return Err(QueryProblem::SameOnBothSides);
    }
    Ok(())
}

fn value(template: &Template, variables: &Variables) -> Result<(), QueryProblem> {
    let sides = template.try_out(variables)?;
    Side::BOTH.into_iter().try_for_each(|side| check_value(sides.get(side)))
}

#[cfg(feature = "promql")]
use crate::promql::{check_selector, check_value};

/// Leaves the check to the server.
#[cfg(not(feature = "promql"))]
fn check_selector(_: &str) -> Result<(), QueryProblem> {
    Ok(())
}

/// Leaves the check to the server.
#[cfg(not(feature = "promql"))]
fn check_value(_: &str) -> Result<(), QueryProblem> {
    Ok(())
}
