//! What is shown, as plain data.

use std::fmt;
use std::time::Duration;

use canary_core::value::{BySide, Weight};

/// Says how good something is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "each has its colour")]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Notice,
    /// Not as it should be.
    Bad,
    /// Nothing to judge.
    Quiet,
}

/// Everything that is shown of a rollout at one moment.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "whoever shows a rollout says all of it")]
pub struct View {
    /// The rollout's name.
    pub rollout: String,
    /// The stage it is in; `None` before the first and after the last.
    pub stage: Option<StageView>,
    /// The share that the canary should have.
    pub weight: Weight,
    /// How both versions are doing.
    pub sides: BySide<SideView>,
    /// What was last decided, in a word or two.
    pub verdict: (Tone, String),
    /// What the checks found.
    pub checks: Vec<CheckView>,
    /// What the rollout waits for.
    pub next: String,
}

/// Tells which stage a rollout is in.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "part of the view")]
pub struct StageView {
    /// Counts from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// What the policy calls it.
    pub name: String,
    /// How much of its hold has passed.
    pub held: Duration,
    /// How long it holds.
    pub hold: Duration,
}

/// Tells how one version has been doing lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "part of the view")]
pub struct SideView {
    /// Finished requests a second.
    pub per_second: f64,
    /// The share of bad ones, 0 to 1; `None` without requests.
    pub error_rate: Option<f64>,
    /// The 95th percentile of their latency in milliseconds; `None` without requests.
    pub p95: Option<f64>,
    /// The share of requests that this version got, 0 to 1; `None` without requests.
    pub share: Option<f64>,
}

/// Tells what one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "part of the view")]
pub struct CheckView {
    /// What the policy calls it.
    pub name: String,
    /// How good that is.
    pub tone: Tone,
    /// What it found, with its numbers.
    pub found: String,
}

impl View {
    /// Returns everything but the checks in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let place = match &self.stage {
            Some(stage) => format!("        {} {}", stage.name, stage.progress()),
            None => format!("        {}", self.rollout),
        };
        let side = |name, side: &SideView| {
            let (errors, p95) = (percent(side.error_rate), millis(side.p95));
            format!("{name} {errors} bad, p95 {p95}")
        };
        [
            place,
            format!("canary {} (has {})", self.weight, percent(self.sides.canary.share)),
            side("stable", &self.sides.stable),
            side("canary", &self.sides.canary),
            self.verdict.1.clone(),
            self.next.clone(),
        ]
        .join("  ")
    }
}

impl StageView {
    /// Writes how much of the hold has passed: `2.1/4.0 s`, `2:05/5:00`.
    fn progress(&self) -> String {
        if self.hold < MINUTE {
            format!("{:.1}/{}", self.held.as_secs_f64(), seconds(self.hold))
        } else {
            format!("{}/{}", clock(self.held), clock(self.hold))
        }
    }
}

/// Writes `stage 2 of 4, quarter, 2.1/4.0 s held`.
impl fmt::Display for StageView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, of, name) = (self.number, self.of, &self.name);
        write!(f, "stage {number} of {of}, {name}, {} held", self.progress())
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Writes a time: `2.1 s`, `2:05`.
pub(super) fn seconds(time: Duration) -> String {
    if time < MINUTE { format!("{:.1} s", time.as_secs_f64()) } else { clock(time) }
}

/// Writes minutes and seconds, and hours where there are some: `2:05`, `1:02:05`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 {
        format!("{minutes}:{seconds:02}")
    } else {
        format!("{hours}:{minutes:02}:{seconds:02}")
    }
}

/// Writes a share as a percentage: `25.0%`; `-` where there is none.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0))
}

/// Writes milliseconds: `36 ms`; `-` where there are none.
pub(super) fn millis(millis: Option<f64>) -> String {
    millis.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.0} ms"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn example() -> View {
        View {
            rollout: "checkout-42".to_owned(),
            stage: Some(StageView {
                number: 2,
                of: 4,
                name: "quarter".to_owned(),
                held: Duration::from_millis(2_100),
                hold: Duration::from_secs(4),
            }),
            weight: Weight::percent(25),
            sides: BySide {
                stable: SideView {
                    per_second: 224.6,
                    error_rate: Some(0.001),
                    p95: Some(36.2),
                    share: Some(0.75),
                },
                canary: SideView {
                    per_second: 75.1,
                    error_rate: Some(0.2),
                    p95: None,
                    share: Some(0.25),
                },
            },
            verdict: (Tone::Bad, "roll back".to_owned()),
            checks: vec![CheckView {
                name: "errors".to_owned(),
                tone: Tone::Bad,
                found: "20.0% above 5.0%".to_owned(),
            }],
            next: "50% in 1.9 s".to_owned(),
        }
    }

    #[test]
    fn long_times_are_told_in_minutes() {
        let mut stage = example().stage.unwrap();
        assert_eq!(stage.progress(), "2.1/4.0 s");
        stage.hold = Duration::from_secs(300);
        stage.held = Duration::from_secs(125);
        assert_eq!(stage.progress(), "2:05/5:00");
        assert_eq!(seconds(Duration::from_secs(3_725)), "1:02:05");
    }

    #[test]
    fn a_line_says_where_it_is_and_how_both_sides_are() {
        assert_eq!(
            example().line(),
            "        quarter 2.1/4.0 s  canary 25% (has 25.0%)  stable 0.1% bad, p95 36 ms  \
             canary 20.0% bad, p95 -  roll back  50% in 1.9 s"
        );
    }
}
