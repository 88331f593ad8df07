//! The rules that compare minute points of both sides by the Mann-Whitney test.

use canary_core::analysis::MannWhitney;

use super::super::Requests;
use super::super::deal::chance_of_higher;
use super::{Judge, Minutes};

/// Collects both sides' error rates, a point a minute; a minute in which a side has no requests has no point there.
#[derive(Debug, Default)]
struct Points {
    minutes: Minutes,
    canary: Vec<Option<f64>>,
    stable: Vec<Option<f64>>,
}

impl Points {
    /// Returns how many minutes are over, if one has just ended.
    fn add(&mut self, tick: Requests) -> Option<usize> {
        let minute = self.minutes.add(tick)?;
        self.canary.push(minute.canary.error_rate());
        self.stable.push(minute.stable.error_rate());
        Some(self.canary.len())
    }

    /// Returns the canary's and stable's points of the last minutes.
    fn last(&self, minutes: usize) -> (Vec<f64>, Vec<f64>) {
        let from = self.canary.len().saturating_sub(minutes);
        let points = |of: &[Option<f64>]| of[from..].iter().flatten().copied().collect();
        (points(&self.canary), points(&self.stable))
    }
}

/// Kayenta's judge with one metric, the error rate, that may not increase.
///
/// With one metric, one that is `High` makes the score 0, which takes the canary back.
#[derive(Debug)]
pub(super) struct Kayenta {
    every: usize,
    /// How far it looks back; to the beginning unless said.
    back: Option<usize>,
    points: Points,
}

impl Kayenta {
    pub(super) fn new(every: usize, back: Option<usize>) -> Self {
        Self { every, back, points: Points::default() }
    }
}

impl Judge for Kayenta {
    fn look(&mut self, tick: Requests) -> bool {
        let Some(minute) = self.points.add(tick) else { return false };
        if !minute.is_multiple_of(self.every) {
            return false;
        }
        let (canary, stable) = self.points.last(self.back.unwrap_or(minute));
        MannWhitney::new(&stable, &canary).is_some_and(|shift| shift.is_high(1.0))
    }
}

/// `PipeCD`'s analysis of canary against primary: deviation `HIGH` at 5 % over the last five minutes, looked at every
/// five minutes, with `failureLimit: 1`.
///
/// At its fairest: points that are all equal, and none at all, are no failures.
#[derive(Debug, Default)]
pub(super) struct PipeCd {
    points: Points,
    failed: u32,
}

impl Judge for PipeCd {
    fn look(&mut self, tick: Requests) -> bool {
        let Some(minute) = self.points.add(tick) else { return false };
        if minute.is_multiple_of(5) {
            let (canary, stable) = self.points.last(5);
            self.failed += u32::from(chance_of_higher(&canary, &stable) <= 0.05);
        }
        self.failed > 1
    }
}
