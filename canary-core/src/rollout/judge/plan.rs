//! What follows from a policy for its judge, worked out once.

use std::ops::Range;
use std::time::Duration;

use crate::analysis::{EvidenceLimits, Starts};
use crate::policy::{
    Check, CheckKind, Comparison, Limit, Metric, MetricSpec, Policy, Quantile, ScorePart,
};
use crate::record::Combination;
use crate::value::{GateName, Query, Signal, Timestamp, Weight};

/// Says where each check finds what it looks at.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is measured at each look, the requests first.
    pub(super) queries: Vec<Query>,
    /// Of which of them each stage's own sum is kept.
    pub(super) summed: Vec<bool>,
    pub(super) checks: Vec<CheckPlan>,
    pub(super) histories: Vec<HistoryPlan>,
    /// Which signal is gathered between the looks of a check that looks less often.
    pub(super) gathered: Vec<usize>,
    pub(super) evidence: Vec<EvidenceLimits>,
    pub(super) abs: Vec<AbPlan>,
    pub(super) gates: Vec<GateName>,
    pub(super) needs: Vec<Need>,
    /// What each stage must show.
    pub(super) pass: Vec<Vec<Metered>>,
}

/// Says what belongs to one check.
#[derive(Debug)]
pub(super) struct CheckPlan {
    pub(super) node: Node,
    pub(super) gathered: Range<usize>,
    pub(super) evidence: Range<usize>,
    pub(super) abs: Range<usize>,
}

/// Mirrors what a check looks at.
#[derive(Debug)]
pub(super) enum Node {
    Metered(Metered),
    Evidence(usize),
    Ab(usize),
    Gate(usize),
    Combined(Combination, Vec<Node>),
}

/// Says what is read against which limit.
#[derive(Debug)]
pub(super) struct Metered {
    pub(super) metric: Metric,
    pub(super) comparison: Comparison,
    pub(super) limit: Limit,
    pub(super) for_ms: u64,
    pub(super) samples: u64,
    pub(super) read: Read,
}

#[derive(Debug)]
pub(super) enum Read {
    One(Place),
    Score(Vec<(ScorePart, Place)>),
}

/// Says where a reading is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) track: usize,
    pub(super) over: Over,
}

/// Says over which time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Over {
    /// This look's own window.
    Look,
    /// Since the check's last look.
    Gathered(usize),
    /// The last stretch of covered time.
    History(usize),
    /// The stage so far.
    Stage,
}

/// Says which stretch of which signal is remembered, and for which checks.
#[derive(Debug, PartialEq)]
pub(super) struct HistoryPlan {
    pub(super) track: usize,
    pub(super) look_back_ms: u64,
    pub(super) from: Weight,
    /// The one check that begins later than others, if it is for that.
    pub(super) delayed: Option<usize>,
}

#[derive(Debug)]
pub(super) struct AbPlan {
    pub(super) track: usize,
    pub(super) metric: Metric,
    /// The share of requests that are slower than the quantile, where the metric is one.
    pub(super) slower: Option<f64>,
    pub(super) significance: f64,
    pub(super) samples: u64,
}

/// Names a signal without which the clock stands.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) track: usize,
    pub(super) by: NeededBy,
    pub(super) from: Weight,
    /// Whether only where both sides have traffic.
    pub(super) compares: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NeededBy {
    HardLimit,
    Check(usize),
    Stage(usize),
}

impl Plan {
    pub(super) fn of(policy: &Policy) -> Self {
        let mut plan = Self {
            queries: vec![query(policy, Signal::Requests)],
            summed: vec![true],
            checks: Vec::new(),
            histories: Vec::new(),
            gathered: Vec::new(),
            evidence: Vec::new(),
            abs: Vec::new(),
            gates: policy.watched_gates().cloned().collect(),
            needs: Vec::new(),
            pass: Vec::new(),
        };
        if policy.hard_limit() {
            plan.need(0, NeededBy::HardLimit, Weight::ZERO, true);
        }
        for (i, check) in policy.checks().iter().enumerate() {
            plan.add_check(policy, i, check);
        }
        for (i, stage) in policy.stages().iter().enumerate() {
            plan.add_pass(policy, i, stage);
        }
        plan
    }

    fn add_check(&mut self, policy: &Policy, i: usize, check: &Check) {
        let (gathered, evidence, abs) = (self.gathered.len(), self.evidence.len(), self.abs.len());
        let node = self.node(policy, (i, check), &check.kind);
        self.checks.push(CheckPlan {
            node,
            gathered: gathered..self.gathered.len(),
            evidence: evidence..self.evidence.len(),
            abs: abs..self.abs.len(),
        });
    }

    fn node(&mut self, policy: &Policy, (i, check): (usize, &Check), kind: &CheckKind) -> Node {
        let parts = |plan: &mut Self, how, parts: &[CheckKind]| {
            let nodes = parts.iter().map(|part| plan.node(policy, (i, check), part));
            Node::Combined(how, nodes.collect())
        };
        match kind {
            CheckKind::Threshold { metric, comparison, limit, for_ms, samples } => {
                Node::Metered(Metered {
                    metric: metric.clone(),
                    comparison: *comparison,
                    limit: *limit,
                    for_ms: *for_ms,
                    samples: *samples,
                    read: self.read(policy, metric, &mut |plan, track| {
                        plan.need_of(check, i, track, kind.compares());
                        plan.over((i, check), *for_ms, track)
                    }),
                })
            }
            CheckKind::WorseThanStable { ratio, false_alarm } => {
                self.need_of(check, i, 0, true);
                let starts = Starts::over(policy.mixed_time());
                self.evidence.push(EvidenceLimits::new(*ratio, *false_alarm, starts));
                Node::Evidence(self.evidence.len() - 1)
            }
            CheckKind::Ab { metric, significance, samples } => {
                let track = self.track(policy, metric.signal());
                self.need_of(check, i, track, true);
                self.summed[track] = true;
                let slower = match metric {
                    Metric::Latency(quantile) => Some(1.0 - Quantile::fraction(*quantile)),
                    _ => None,
                };
                let (metric, significance, samples) = (metric.clone(), *significance, *samples);
                self.abs.push(AbPlan { track, metric, slower, significance, samples });
                Node::Ab(self.abs.len() - 1)
            }
            CheckKind::Gate { gate } => {
                let known = self.gates.iter().position(|name| name == gate);
                Node::Gate(known.unwrap_or(self.gates.len()))
            }
            CheckKind::All(kinds) => parts(self, Combination::All, kinds),
            CheckKind::Any(kinds) => parts(self, Combination::Any, kinds),
            CheckKind::Not(kind) => parts(self, Combination::Not, std::slice::from_ref(kind)),
        }
    }

    fn add_pass(&mut self, policy: &Policy, i: usize, stage: &crate::policy::Stage) {
        if !stage.pass.is_empty() {
            self.need(0, NeededBy::Stage(i), Weight::BASIS_POINT, false);
        }
        let limits = stage.pass.limits.iter().map(|limit| Metered {
            metric: limit.metric.clone(),
            comparison: limit.comparison,
            limit: Limit::Absolute(limit.limit),
            for_ms: 0,
            samples: 0,
            read: self.read(policy, &limit.metric, &mut |plan, track| {
                plan.need(track, NeededBy::Stage(i), Weight::BASIS_POINT, false);
                plan.summed[track] = true;
                Over::Stage
            }),
        });
        let limits = limits.collect();
        self.pass.push(limits);
    }

    /// Finds out which signals a metric is read off, and where each of them is kept.
    fn read(
        &mut self,
        policy: &Policy,
        metric: &Metric,
        keep: &mut impl FnMut(&mut Self, usize) -> Over,
    ) -> Read {
        let mut place = |plan: &mut Self, metric: &Metric| {
            let track = plan.track(policy, metric.signal());
            Place { track, over: keep(plan, track) }
        };
        match score(policy, metric) {
            Some(parts) => {
                let parts = parts.iter().map(|part| (part.clone(), place(self, &part.metric)));
                Read::Score(parts.collect())
            }
            None => Read::One(place(self, metric)),
        }
    }

    fn track(&mut self, policy: &Policy, signal: Signal) -> usize {
        match self.queries.iter().position(|query| query.signal == signal) {
            Some(track) => track,
            None => {
                self.queries.push(query(policy, signal));
                self.summed.push(false);
                self.queries.len() - 1
            }
        }
    }

    fn over(&mut self, (i, check): (usize, &Check), for_ms: u64, track: usize) -> Over {
        if for_ms > 0 {
            let delayed = (check.delay_ms > 0).then_some(i);
            let plan = HistoryPlan { track, look_back_ms: for_ms, from: check.from, delayed };
            let shared = self.histories.iter().position(|other| *other == plan);
            return Over::History(shared.unwrap_or_else(|| {
                self.histories.push(plan);
                self.histories.len() - 1
            }));
        }
        if check.every_ms.is_some() {
            self.gathered.push(track);
            return Over::Gathered(self.gathered.len() - 1);
        }
        Over::Look
    }

    fn need_of(&mut self, check: &Check, i: usize, track: usize, compares: bool) {
        if check.is_binding() {
            self.need(track, NeededBy::Check(i), check.from, compares);
        }
    }

    fn need(&mut self, track: usize, by: NeededBy, from: Weight, compares: bool) {
        self.needs.push(Need { track, by, from, compares });
    }
}

impl Metered {
    /// Tells whether it looks at stable too.
    pub(super) const fn compares(&self) -> bool {
        matches!(self.limit, Limit::TimesStable(_))
    }
}

impl Need {
    /// Tells whether the plan gives the signal that is needed any traffic.
    pub(super) fn applies_at(&self, stage: usize, weight: Weight) -> bool {
        let here = match self.by {
            NeededBy::Stage(needing) => needing == stage,
            NeededBy::HardLimit | NeededBy::Check(_) => true,
        };
        here && weight >= self.from
            && (weight.is_mixed() || (weight == Weight::FULL && !self.compares))
    }
}

/// Returns the parts of a metric that is a health score.
fn score<'a>(policy: &'a Policy, metric: &Metric) -> Option<&'a [ScorePart]> {
    let Metric::Custom(name) = metric else { return None };
    match policy.spec().metrics.get(&**name)? {
        MetricSpec::Score(parts) => Some(parts),
        MetricSpec::Query(_) => None,
    }
}

/// Asks for a signal, with the source and the words that the policy gives for it.
fn query(policy: &Policy, signal: Signal) -> Query {
    let mut query = Query::new(signal, Timestamp::EPOCH);
    if let Signal::Custom(name) = &query.signal
        && let Some(MetricSpec::Query(asked)) = policy.spec().metrics.get(&**name)
    {
        query.source.clone_from(&asked.source);
        query.text.clone_from(&asked.query);
    }
    query
}

/// Returns how long a check waits before it begins.
pub(super) const fn delay(check: &Check) -> Duration {
    Duration::from_millis(check.delay_ms)
}
