//! From a policy to the plan of its judge.

use std::sync::Arc;

use super::memory::Rules;
use super::plan::{
    AbPlan, AsGoodPlan, CheckPlan, EvidencePlan, HistoryPlan, Metered, Need, NeededBy, Node,
    ObjectivePlan, Over, Place, Plan, RankPlan, Read,
};
use crate::analysis::{
    CombinedLimits, EvidenceLimits, InvalidLimits, NonInferiorityLimits, Objective, SharpestAt,
    Starts,
};
use crate::policy::{
    Check, CheckKind, Evident, HARD_LIMIT, Limit, Metric, MetricSpec, Policy, Quantile, ScorePart,
    Stage, Weighed,
};
use crate::record::Combination;
use crate::value::{Query, Signal, Timestamp, Weight};

/// For which probability of a false alarm an objective's evidence is sharpest at most: towards 50 %, odds of 2 : 1, no
/// prior is the sharpest any more.
const SHARPEST_UP_TO: f64 = 0.25;

/// A check, and its position among all of the policy's.
type Owner<'a> = (usize, &'a Check);

impl Plan {
    pub(super) fn of(policy: &Policy) -> Self {
        let mut plan = Self {
            hard_limit: Arc::from(HARD_LIMIT),
            hard_limit_rules: Rules::of_hard_limit(policy),
            latency: None,
            queries: vec![query(policy, Signal::Requests)],
            summed: vec![true],
            checks: Vec::new(),
            histories: Vec::new(),
            gathered: Vec::new(),
            evidence: Vec::new(),
            as_good: Vec::new(),
            objectives: Vec::new(),
            abs: Vec::new(),
            ranks: Vec::new(),
            last_mixed: policy.stages().iter().rposition(|stage| stage.split().is_mixed()),
            gates: policy.watched_gates().cloned().collect(),
            needs: vec![Vec::new()],
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
        plan.latency = plan.queries.iter().position(|query| query.signal == Signal::Latency);
        plan
    }

    fn add_check(&mut self, policy: &Policy, i: usize, check: &Check) {
        let (gathered, evidence, abs) = (self.gathered.len(), self.evidence.len(), self.abs.len());
        let (as_good, ranks) = (self.as_good.len(), self.ranks.len());
        let objectives = self.objectives.len();
        let node = self.node(policy, (i, check), &check.kind);
        self.checks.push(CheckPlan {
            rules: Rules::of(policy, check),
            node,
            gathered: gathered..self.gathered.len(),
            evidence: evidence..self.evidence.len(),
            as_good: as_good..self.as_good.len(),
            objectives: objectives..self.objectives.len(),
            abs: abs..self.abs.len(),
            ranks: ranks..self.ranks.len(),
        });
    }

    fn node(&mut self, policy: &Policy, owner: Owner<'_>, kind: &CheckKind) -> Node {
        match kind {
            CheckKind::Threshold { metric, comparison, limit, for_ms, samples } => {
                let compares = kind.compares() || policy.spec().compares(metric);
                let metered = Metered {
                    read: self.read_lasting(policy, owner, metric, (*for_ms, compares)),
                    metric: metric.clone(),
                    comparison: *comparison,
                    limit: *limit,
                    for_ms: *for_ms,
                    samples: *samples,
                    compares,
                };
                Node::Metered(metered)
            }
            CheckKind::WorseThanStable { ratio, false_alarm, of } => {
                self.evidence(policy, owner, (*ratio, *false_alarm), of).unwrap_or_else(Node::from)
            }
            CheckKind::AsGoodAsStable { ratio, false_pass, .. } => {
                self.as_good(owner, *ratio, *false_pass).unwrap_or_else(Node::from)
            }
            CheckKind::Objective { allowed, false_alarm } => {
                self.objective(owner, *allowed, *false_alarm).unwrap_or_else(Node::from)
            }
            CheckKind::MannWhitney { metric, ratio } => self.ranked(policy, owner, metric, *ratio),
            CheckKind::Ab { metric, significance, samples } => {
                self.compared(policy, owner, metric, (*significance, *samples))
            }
            CheckKind::Gate { gate } => {
                let known = self.gates.iter().position(|name| name == gate);
                Node::Gate(known.unwrap_or(self.gates.len()))
            }
            CheckKind::All(kinds) => self.combined(policy, owner, (Combination::All, kinds)),
            CheckKind::Any(kinds) => self.combined(policy, owner, (Combination::Any, kinds)),
            CheckKind::Not(kind) => {
                let kinds = std::slice::from_ref(&**kind);
                self.combined(policy, owner, (Combination::Not, kinds))
            }
        }
    }

    fn combined(
        &mut self,
        policy: &Policy,
        owner: Owner<'_>,
        (how, kinds): (Combination, &[CheckKind]),
    ) -> Node {
        Node::Combined(how, kinds.iter().map(|kind| self.node(policy, owner, kind)).collect())
    }

    /// Finds out where a check's metric is read, and notes that it is needed.
    fn read_lasting(
        &mut self,
        policy: &Policy,
        owner: Owner<'_>,
        metric: &Metric,
        (for_ms, compares): (u64, bool),
    ) -> Read {
        let (i, check) = owner;
        self.read(policy, metric, &mut |plan, track| {
            plan.need_of(check, i, track, compares);
            plan.over(owner, for_ms, track)
        })
    }

    fn ranked(
        &mut self,
        policy: &Policy,
        (i, check): Owner<'_>,
        metric: &Metric,
        ratio: f64,
    ) -> Node {
        let track = self.track(policy, metric.signal());
        self.need_of(check, i, track, true);
        self.ranks.push(RankPlan { track, metric: metric.clone(), ratio });
        Node::Ranks(self.ranks.len() - 1)
    }

    fn compared(
        &mut self,
        policy: &Policy,
        (i, check): Owner<'_>,
        metric: &Metric,
        (significance, samples): (f64, u64),
    ) -> Node {
        let track = self.track(policy, metric.signal());
        self.need_of(check, i, track, true);
        self.summed[track] = true;
        let slower = match metric {
            Metric::Latency(quantile) => Some(1.0 - Quantile::fraction(*quantile)),
            _ => None,
        };
        self.abs.push(AbPlan { track, metric: metric.clone(), slower, significance, samples });
        Node::Ab(self.abs.len() - 1)
    }

    fn evidence(
        &mut self,
        policy: &Policy,
        (i, check): Owner<'_>,
        (ratio, false_alarm): (f64, f64),
        of: &[Weighed],
    ) -> Result<Node, InvalidLimits> {
        let limits = EvidenceLimits::new(ratio, false_alarm, Starts::over(policy.mixed_time()))?;
        let weights: Vec<f64> = of.iter().map(|weighed| weighed.weight).collect();
        let combined = match of {
            [] | [_] => None,
            several => Some((
                CombinedLimits::new(&weights, false_alarm)?,
                several.iter().map(|weighed| weighed.what).collect(),
            )),
        };
        let weighs = |what| of.iter().any(|weighed| weighed.what == what);
        let latency = weighs(Evident::Latency).then(|| self.track(policy, Signal::Latency));
        if weighs(Evident::Errors) || of.is_empty() {
            self.need_of(check, i, 0, true);
        }
        if let Some(track) = latency {
            self.need_of(check, i, track, true);
        }
        let one = of.first().map_or(Evident::Errors, |weighed| weighed.what);
        self.evidence.push(EvidencePlan { limits, one, combined, latency });
        Ok(Node::Evidence(self.evidence.len() - 1))
    }

    fn as_good(
        &mut self,
        (i, check): Owner<'_>,
        ratio: f64,
        false_pass: f64,
    ) -> Result<Node, InvalidLimits> {
        let limits = NonInferiorityLimits::new(ratio, false_pass)?;
        self.need_of(check, i, 0, true);
        self.as_good.push(AsGoodPlan { limits, ratio, false_pass });
        Ok(Node::AsGood(self.as_good.len() - 1))
    }

    fn objective(
        &mut self,
        (i, check): Owner<'_>,
        allowed: f64,
        false_alarm: f64,
    ) -> Result<Node, InvalidLimits> {
        // Where ten failures are expected.
        let sharpest = SharpestAt::new(10.0 / allowed, false_alarm.min(SHARPEST_UP_TO))?;
        let objective = Objective::exceeds(allowed, sharpest)?;
        self.need_of(check, i, 0, false);
        self.objectives.push(ObjectivePlan { objective, allowed, false_alarm });
        Ok(Node::Objective(self.objectives.len() - 1))
    }

    fn add_pass(&mut self, policy: &Policy, i: usize, stage: &Stage) {
        if !stage.pass.is_empty() {
            self.need(0, NeededBy::Stage(i), Weight::BASIS_POINT, false);
        }
        let limits = stage.pass.limits.iter().map(|limit| Metered {
            metric: limit.metric.clone(),
            comparison: limit.comparison,
            limit: Limit::Absolute(limit.limit),
            for_ms: 0,
            samples: 0,
            compares: policy.spec().compares(&limit.metric),
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
                self.needs.push(Vec::new());
                self.queries.len() - 1
            }
        }
    }

    fn over(&mut self, (i, check): Owner<'_>, for_ms: u64, track: usize) -> Over {
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
        self.needs[track].push(Need { by, from, compares });
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
