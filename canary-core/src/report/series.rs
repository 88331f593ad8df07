//! What was counted over time, in few points.

use serde::{Deserialize, Serialize};

use crate::record::Judgement;
use crate::value::{BySide, Counts, Timestamp, Window};

/// How many points there are at most, and times in which the clock stood; of a longer rollout each holds more looks.
const MOST: usize = 60;

/// Holds both sides' requests over time; bounded, however long the rollout takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Series {
    /// The points, in the order of time.
    pub points: Vec<Point>,
    /// When weight and clock stood because of what looks showed; of many times those that lie closest are one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stands: Vec<Window>,
    /// How many looks a whole point holds.
    looks: u32,
    /// How many the last point holds.
    last: u32,
}

impl Default for Series {
    fn default() -> Self {
        Self { points: Vec::new(), stands: Vec::new(), looks: 1, last: 1 }
    }
}

/// Counts both sides' requests since the point before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Numbers", into = "Numbers")]
#[non_exhaustive]
pub struct Point {
    /// Up to when.
    pub until: Timestamp,
    /// The requests.
    pub requests: BySide<Counts>,
}

/// A point as it stands in JSON: `until`, stable's requests and bad ones, the canary's.
type Numbers = (Timestamp, u64, u64, u64, u64);

impl From<Numbers> for Point {
    fn from((until, stable, stable_bad, canary, canary_bad): Numbers) -> Self {
        let counts = |total: u64, bad: u64| Counts::new(total, bad.min(total)).unwrap_or_default();
        let requests =
            BySide { stable: counts(stable, stable_bad), canary: counts(canary, canary_bad) };
        Self { until, requests }
    }
}

impl From<Point> for Numbers {
    fn from(Point { until, requests: BySide { stable, canary } }: Point) -> Self {
        (until, stable.total, stable.bad, canary.total, canary.bad)
    }
}

impl Series {
    /// Adds what a look counted.
    pub(super) fn add(&mut self, judgement: &Judgement) {
        let Some(requests) = judgement.requests else { return };
        let point = Point { until: judgement.window.until, requests };
        match self.points.last_mut() {
            Some(last) if self.last < self.looks => {
                last.add(point);
                self.last += 1;
            }
            _ => {
                self.points.push(point);
                self.last = 1;
            }
        }
        if self.points.len() > MOST {
            self.halve();
        }
    }

    /// Adds that weight and clock stood at a look, joined to the time before where one follows the other.
    pub(super) fn stand(&mut self, window: Window) {
        match self.stands.last_mut() {
            Some(last) if window.after <= last.until => last.until = last.until.max(window.until),
            _ => self.stands.push(window),
        }
        if self.stands.len() > MOST {
            let gap = |i: &usize| self.stands[i + 1].after.since(self.stands[*i].until);
            let least = (0..self.stands.len() - 1).min_by_key(gap).unwrap_or_default();
            self.stands[least].until = self.stands[least + 1].until;
            self.stands.remove(least + 1);
        }
    }

    /// Makes one point of each two.
    fn halve(&mut self) {
        let odd = self.points.len() % 2 == 1;
        let pairs = self.points.chunks(2).map(|pair| {
            let mut sum = pair[0];
            pair[1..].iter().for_each(|point| sum.add(*point));
            sum
        });
        self.points = pairs.collect();
        self.last = self.last.saturating_add(if odd { 0 } else { self.looks });
        self.looks = self.looks.saturating_mul(2);
    }
}

impl Point {
    fn add(&mut self, later: Self) {
        self.until = later.until;
        self.requests.stable.add(later.requests.stable);
        self.requests.canary.add(later.requests.canary);
    }
}
