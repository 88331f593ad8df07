//! Puts a source together and checks it before a rollout depends on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use canary_core::value::{BySide, Side, Signal};

use crate::api::Api;
use crate::error::{BuildError, QueryProblem};
use crate::http::Endpoint;
use crate::increase::Increase;
use crate::limits::Limits;
use crate::preset::Preset;
use crate::promql::{Further, check_selector, check_value};
use crate::source::{Ask, Counted, Of, Pace, Prometheus};
use crate::template::{OWN_VARIABLES, Template, Variables};
use crate::tracks::Labelling;

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
/// [`variant`](Self::variant)), `{{ rollout }}` is the rollout's id, `{{ window }}` is the time since the last look, at
/// least a minute (`rate(x[{{ window }}])`), and [`variable`](Self::variable) adds names of your own, such as `namespace`. Values are taken literally: between quotes they are escaped, in the
/// regular expression of a `=~` or `!~` its special characters too, and outside of quotes
/// only letters, digits, `_`, `:` and `.` are allowed in them.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct PrometheusBuilder {
    endpoint: Endpoint,
    variables: Variables,
    labelling: Labelling,
    limits: Limits,
    asks: Vec<(Signal, Draft)>,
}

/// Is what will be asked for a signal.
#[derive(Clone, Debug)]
pub(crate) enum Draft {
    Counts(Of),
    Increase(Increase),
    Value(Template),
}

impl PrometheusBuilder {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            variables: Variables {
                own: BTreeMap::new(),
                variant: BySide::from_fn(|side| side.as_str().to_owned()),
            },
            labelling: Labelling::default(),
            limits: Limits::default(),
            asks: Vec::new(),
        }
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

    /// Names the label that tells pods apart: `pod` unless said, or else `instance`.
    ///
    /// With it the judge can say that one pod is bad and not the version.
    pub fn pod_label(mut self, label: impl Into<String>) -> Self {
        self.labelling.pod = Some(label.into());
        self
    }

    /// Names the label that tells servers apart which scrape the same processes, such as `prometheus_replica`.
    ///
    /// Without it, what two of them scraped and nobody merged would be counted twice.
    pub fn replica_label(mut self, label: impl Into<String>) -> Self {
        self.labelling.replica = Some(label.into());
        self
    }

    /// Bounds what a query may cost.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Counts [`Signal::Requests`]: the counters of all requests, and those of the bad ones among them.
    ///
    /// Both are series *selectors*, without `rate`, `sum` or a range: the source fetches their
    /// samples and counts what they rose by. Every series of `bad` should be one of `total` too; a window
    /// with more bad requests than requests is refused. Where no `bad` series exists, none was bad.
    pub fn requests(self, total: impl Into<String>, bad: impl Into<String>) -> Self {
        let of = Of::Requests { total: Template::new(total), bad: Template::new(bad) };
        self.ask(Signal::Requests, Draft::Counts(of))
    }

    /// Counts [`Signal::Requests`] with `increase()`, for a server that gives no raw samples.
    ///
    /// **It extrapolates**: what it counted is multiplied by how much of a window lies outside the samples, so that the
    /// evidence is weaker than it says: more innocent canaries are taken back than the policy allows. And windows are at
    /// least four scrapes long. Every record says so. Prefer [`requests`](Self::requests).
    pub fn requests_by_increase(
        self,
        total: impl Into<String>,
        bad: impl Into<String>,
        scrape: Duration,
    ) -> Self {
        let (total, bad) = (Template::new(total), Template::new(bad));
        self.ask(Signal::Requests, Draft::Increase(Increase { total, bad, scrape }))
    }

    /// Counts [`Signal::Latency`]: a selector of the `_bucket` series of classic histograms.
    pub fn latency(self, buckets: impl Into<String>, unit: LatencyUnit) -> Self {
        let of = Of::Latency { buckets: Template::new(buckets), unit };
        self.ask(Signal::Latency, Draft::Counts(of))
    }

    /// Reads [`Signal::Custom`]: any expression that gives one number for each side.
    ///
    /// Without `{{ variant }}` in it, both sides have the same number.
    pub fn value(self, name: impl Into<String>, query: impl Into<String>) -> Self {
        let query = Draft::Value(Template::new(query));
        self.ask(Signal::Custom(name.into().into()), query)
    }

    /// Adds the queries of a preset.
    pub fn preset(mut self, preset: Preset) -> Self {
        self.asks.extend(preset.asks);
        self
    }

    fn ask(mut self, signal: Signal, ask: Draft) -> Self {
        self.asks.push((signal, ask));
        self
    }

    /// Checks the address and tries every query out, without a word to the server.
    ///
    /// # Errors
    /// [`BuildError`] for the first thing that is wrong: an address, header or certificate that is none, a variable that nobody
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
            let ask = match ask {
                Draft::Counts(of) => {
                    let bad = told_apart(&of, &self.variables);
                    Ask::Counts(Counted { of, bad, pace: Pace::default() })
                }
                Draft::Increase(increase) => Ask::Increase(increase),
                Draft::Value(query) => Ask::Value(query),
            };
            asks.insert(signal, ask);
        }
        Ok(Prometheus {
            api: Api::new(self.endpoint.open()?, self.limits),
            variables: Arc::new(self.variables),
            labelling: Arc::new(self.labelling),
            asks: Arc::new(asks),
        })
    }
}

fn try_out(signal: &Signal, ask: &Draft, variables: &Variables) -> Result<(), BuildError> {
    let refuse = |query: String| move |problem| BuildError::Query { query, problem };
    match ask {
        Draft::Counts(Of::Requests { total, bad })
        | Draft::Increase(Increase { total, bad, .. }) => {
            selector(total, variables).map_err(refuse(format!("{signal} (total)")))?;
            selector(bad, variables).map_err(refuse(format!("{signal} (bad)")))
        }
        Draft::Counts(Of::Latency { buckets, .. }) => {
            selector(buckets, variables).map_err(refuse(signal.to_string()))
        }
        Draft::Value(query) => value(query, variables).map_err(refuse(signal.to_string())),
    }
}

/// Says what tells bad requests from the rest, where that is the same for whatever rollout and side.
fn told_apart(of: &Of, variables: &Variables) -> Option<Further> {
    let Of::Requests { total, bad } = of else { return None };
    let (total, bad) = (total.samples(variables).ok()?, bad.samples(variables).ok()?);
    let mut further = total.iter().zip(&bad).map(|(total, bad)| Further::of(total, bad));
    let first = further.next()??;
    further.all(|other| other.as_ref() == Some(&first)).then_some(first)
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

/// Checks a query that gives a number on each side.
pub(crate) fn value(template: &Template, variables: &Variables) -> Result<(), QueryProblem> {
    let sides = template.try_out(variables)?;
    Side::BOTH.into_iter().try_for_each(|side| check_value(sides.get(side)))
}

#[cfg(all(test, feature = "promql"))]
mod tests {
    use super::*;

    #[test]
    fn bad_requests_are_told_apart_once_for_all_or_asked_for() {
        let variant = BySide { stable: "v1".into(), canary: "v2".into() };
        let variables = Variables { variant, ..Variables::default() };
        let one_question = |bad: &str| {
            let total = Template::new(r#"a{r="{{ rollout }}", v="{{ variant }}"}"#);
            told_apart(&Of::Requests { total, bad: Template::new(bad) }, &variables).is_some()
        };
        assert!(one_question(r#"a{code=~"5..", v="{{ variant }}", r="{{ rollout }}"}"#));
        for bad in [
            r#"a{r="{{ rollout }}", v="{{ variant }}", w="{{ variant }}"}"#,
            r#"a{r="{{ rollout }}", v="{{ variant }}", w="{{ rollout }}"}"#,
            r#"a{r="{{ rollout }}", v="{{ variant }}", w="{{ window }}"}"#,
            r#"errors{r="{{ rollout }}", v="{{ variant }}"}"#,
            r#"a{v="{{ variant }}", code="500"}"#,
        ] {
            assert!(!one_question(bad), "{bad}");
        }
    }
}
