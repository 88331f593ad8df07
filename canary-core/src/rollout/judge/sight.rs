//! What the judge sees at one look, and what a check makes of it.

use std::time::Duration;

use super::counted;
use super::gates::{self, Word};
use super::history::History;
use super::metered::{self, gravity};
use super::plan::{Node, Over, Place, Plan};
use super::ranks::Ranks;
use super::tally::{Tally, View};
use super::tracks::{State, Track};
use super::weigh::{Acquittal, Weighing};
use crate::record::{Combination, Finding, PartResult, Verdict};
use crate::value::{Counts, Failure, Measured, Split, Timestamp};

/// Shows what was measured now, and what is remembered.
pub(super) struct Sight<'a> {
    pub(super) plan: &'a Plan,
    pub(super) split: Split,
    pub(super) now: Timestamp,
    /// How old a gate's word may be.
    pub(super) fresh: Duration,
    /// Whether the stage's hold is used up with this look.
    pub(super) at_end: bool,
    /// The same, of the last stage in which both sides have traffic.
    pub(super) at_last_end: bool,
    /// Whether there is nothing newer that counts.
    pub(super) nothing_new: bool,
    pub(super) answers: &'a [Result<Measured, Failure>],
    pub(super) states: &'a [State],
    pub(super) tracks: &'a [Track],
    pub(super) histories: &'a [History],
    pub(super) gathered: &'a [Tally],
    pub(super) evidence: &'a [Weighing],
    pub(super) as_good: &'a [Acquittal],
    pub(super) objectives: &'a [Counts],
    pub(super) ranks: &'a [Ranks],
    pub(super) abs: &'a [Option<(Verdict, Finding)>],
    pub(super) gates: &'a [Word],
}

/// Says what the source answered for one signal.
#[derive(Clone, Copy)]
pub(super) enum Said<'a> {
    Fresh(&'a Measured),
    Pending,
    Failed(&'a Failure),
}

impl<'a> Sight<'a> {
    pub(super) fn said(&self, track: usize) -> Said<'a> {
        said(self.answers, self.states, track)
    }

    pub(super) fn view(&self, place: Place) -> Option<View<'a>> {
        match (place.over, self.said(place.track)) {
            (Over::Look, Said::Fresh(measured)) => Some(View::of(measured)),
            (Over::Look, _) => None,
            (Over::Gathered(i), _) => self.gathered.get(i).map(Tally::view),
            (Over::History(i), _) => self.histories.get(i).map(History::sum),
            (Over::Stage, _) => self.tracks.get(place.track).map(|track| track.stage.view()),
        }
    }

    /// Says what a check, or a part of one, comes to; `negated` if it is bad that this passes.
    pub(super) fn judge(&self, node: &Node, negated: bool) -> (Verdict, Finding) {
        const NOT_APPLICABLE: (Verdict, Finding) = (Verdict::NotApplicable, Finding::Nothing);
        match node {
            Node::Metered(metered) if !self.applies(metered.compares) => NOT_APPLICABLE,
            Node::Metered(metered) => metered::judge(self, metered, negated),
            Node::Objective(_) if !self.applies(false) => NOT_APPLICABLE,
            Node::Objective(i) => counted::objective(self, *i),
            Node::Evidence(_) | Node::AsGood(_) | Node::Ab(_) | Node::Ranks(_)
                if !self.split.is_mixed() =>
            {
                NOT_APPLICABLE
            }
            Node::Evidence(i) => counted::evidence(self, *i),
            Node::AsGood(i) => counted::as_good(self, *i),
            Node::Ab(_) | Node::Ranks(_) if !self.at_end => (self.not_asked(), Finding::Nothing),
            Node::Ab(i) => self.abs.get(*i).cloned().flatten().unwrap_or(NOT_APPLICABLE),
            Node::Ranks(i) => self.ranks.get(*i).and_then(Ranks::found).unwrap_or(NOT_APPLICABLE),
            Node::Impossible(why) => (Verdict::Error, Finding::Failed(why.clone())),
            Node::Gate(i) => gates::judge(self.gates.get(*i), self.now, self.fresh),
            Node::Combined(how, parts) => self.combine(*how, parts, negated),
        }
    }

    /// Says what that is of which only the end of a stage asks, before it. A look without anything newer is at no
    /// end, and what the last one said stands.
    pub(super) const fn not_asked(&self) -> Verdict {
        if self.nothing_new { Verdict::Pending } else { Verdict::NotApplicable }
    }

    /// Tells whether the plan gives what a metric looks at any traffic.
    fn applies(&self, compares: bool) -> bool {
        self.split.is_mixed() || (self.split.reaches_canary() && !compares)
    }

    fn combine(&self, how: Combination, parts: &[Node], negated: bool) -> (Verdict, Finding) {
        let negated = negated != (how == Combination::Not);
        let judge = |part| {
            let (verdict, finding) = self.judge(part, negated);
            PartResult::new(verdict, finding)
        };
        let parts: Vec<PartResult> = parts.iter().map(judge).collect();
        let verdict = combined(how, parts.iter().map(|part| part.verdict));
        (verdict, Finding::Combined { how, parts })
    }
}

/// Puts verdicts together. Parts to which the plan leaves nothing are left out; what is not known counts only
/// where it could matter.
pub(super) fn combined(how: Combination, verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let (mut failed, mut passed, mut unknown) = (false, false, None);
    for verdict in verdicts {
        match verdict {
            Verdict::Fail => failed = true,
            Verdict::Pass => passed = true,
            Verdict::NotApplicable => {}
            other => {
                let worse = unknown.is_none_or(|known| gravity(other) > gravity(known));
                unknown = if worse { Some(other) } else { unknown };
            }
        }
    }
    let (decides, otherwise) = match how {
        Combination::All => (passed.then_some(Verdict::Pass), failed.then_some(Verdict::Fail)),
        Combination::Any => (failed.then_some(Verdict::Fail), passed.then_some(Verdict::Pass)),
        Combination::Not => (failed.then_some(Verdict::Pass), passed.then_some(Verdict::Fail)),
    };
    decides.or(unknown).or(otherwise).unwrap_or(Verdict::NotApplicable)
}

pub(super) fn said<'a>(
    answers: &'a [Result<Measured, Failure>],
    states: &'a [State],
    track: usize,
) -> Said<'a> {
    match (states.get(track), answers.get(track)) {
        (Some(State::Fresh), Some(Ok(measured))) => Said::Fresh(measured),
        (Some(State::Failed(failure)), _) => Said::Failed(failure),
        _ => Said::Pending,
    }
}
