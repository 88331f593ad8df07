//! Where times and rates lie in the picture.

use std::time::Duration;

use super::{LEFT, RIGHT};
use crate::record::Outcome;
use crate::report::{Report, Series, StageReport};
use crate::value::{Timestamp, millis};

/// Steps between two labels of time, in seconds.
const STEPS: [u64; 18] = [
    1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400,
    604_800,
];

/// How many times longer than the usual stage one must be to be drawn shorter, and how much longer it then looks.
const LONG: u64 = 8;
const SHORTENED: u64 = 4;

/// How many times shorter a time must be drawn for that to be said.
const SEEN: f64 = 1.05;

/// The least room between two labels of time.
const LABEL: f64 = 70.0;

/// Spreads the rollout's time over the width; stages that are far longer than the others are drawn shorter.
pub(super) struct Times {
    pieces: Vec<Piece>,
}

/// Spans time that is drawn at one scale.
struct Piece {
    from: Timestamp,
    until: Timestamp,
    left: f64,
    right: f64,
    /// How many times shorter it is drawn than the rest.
    shortened: f64,
}

impl Times {
    pub(super) fn of(report: &Report, until: Timestamp) -> Self {
        let from = report.started;
        let until = until.max(from + Duration::from_secs(1));
        let entered = report.stages.iter().map(|stage| stage.entered);
        let mut ends: Vec<Timestamp> = entered.chain([until]).filter(|end| *end > from).collect();
        ends.sort();
        ends.dedup();
        let most = longest_drawn(report, until);
        // Time at one scale is one piece, so that it has labels in even steps.
        let mut drawn: Vec<(Timestamp, Timestamp, u64)> = Vec::new();
        let mut begin = from;
        for end in ends {
            let length = millis(end.since(begin));
            let shown = length.min(most);
            match drawn.last_mut() {
                Some((first, last, sum))
                    if shown == length && *sum == millis(last.since(*first)) =>
                {
                    (*last, *sum) = (end, *sum + shown);
                }
                _ => drawn.push((begin, end, shown)),
            }
            begin = end;
        }
        Self::spread(&drawn)
    }

    /// Gives each piece the width that it is to have: from when, until when, and how many milliseconds wide.
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture needs no 53 bits")]
    fn spread(drawn: &[(Timestamp, Timestamp, u64)]) -> Self {
        let whole: u64 = drawn.iter().map(|(.., shown)| shown).sum();
        let mut left = LEFT;
        let piece = |(from, until, shown): &(Timestamp, Timestamp, u64)| {
            let right = left + (RIGHT - LEFT) * *shown as f64 / whole.max(1) as f64;
            let shortened = millis(until.since(*from)) as f64 / (*shown).max(1) as f64;
            let piece = Piece { from: *from, until: *until, left, right, shortened };
            left = right;
            piece
        };
        Self { pieces: drawn.iter().map(piece).collect() }
    }

    pub(super) fn until(&self) -> Timestamp {
        self.pieces.last().map_or(Timestamp::EPOCH, |piece| piece.until)
    }

    pub(super) fn x(&self, at: Timestamp) -> f64 {
        let piece = self.pieces.iter().find(|piece| at < piece.until).or(self.pieces.last());
        piece.map_or(LEFT, |piece| piece.x(at))
    }

    /// Returns how many times shorter than the rest the time from here on is drawn, if one could see it.
    pub(super) fn shortened(&self, from: Timestamp) -> Option<f64> {
        let piece = self.pieces.iter().find(|piece| from < piece.until)?;
        (piece.shortened >= SEEN).then_some(piece.shortened)
    }

    /// Returns times since the begin with their labels, in even steps within each piece.
    pub(super) fn lines(&self) -> Vec<(f64, String)> {
        let mut lines: Vec<(f64, String)> = Vec::new();
        let Some(begin) = self.pieces.first().map(|piece| piece.from) else { return lines };
        for piece in &self.pieces {
            let second = |at: Timestamp| millis(at.since(begin)) / 1000;
            let step = piece.step();
            let first = second(piece.from).div_ceil(step);
            for seconds in (first..=second(piece.until) / step).map(|i| i * step) {
                let x = piece.x(begin + Duration::from_secs(seconds));
                if lines.last().is_none_or(|(last, _)| x - last >= LABEL) {
                    lines.push((x, label(seconds)));
                }
            }
        }
        lines
    }
}

impl Piece {
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture needs no 53 bits")]
    fn x(&self, at: Timestamp) -> f64 {
        let length = millis(self.until.since(self.from)).max(1);
        let share = millis(at.since(self.from)) as f64 / length as f64;
        self.left + (self.right - self.left) * share.min(1.0)
    }

    /// Returns the seconds between two labels.
    fn step(&self) -> u64 {
        let seconds = millis(self.until.since(self.from)) / 1000;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few labels fit into the width of the picture"
        )]
        let fit = (((self.right - self.left) / 95.0) as u64).max(1);
        STEPS.into_iter().find(|step| seconds / step <= fit).unwrap_or(seconds / fit).max(1)
    }
}

/// Returns how long a time between two stages is at most drawn, in milliseconds.
///
/// What is usual is the middle of the stages; of a rollout that was taken back the last one counts for nothing, since
/// it was cut off.
fn longest_drawn(report: &Report, until: Timestamp) -> u64 {
    let whole = match report.outcome {
        Some(Outcome::RolledBack { .. }) => report.stages.len().saturating_sub(1),
        _ => report.stages.len(),
    };
    let length = |stage: &StageReport| millis(stage.left.unwrap_or(until).since(stage.entered));
    let longest = report.stages.iter().map(length).max().unwrap_or_default();
    let mut lengths: Vec<u64> = report.stages[..whole].iter().map(length).collect();
    lengths.sort_unstable();
    match lengths.get(lengths.len().saturating_sub(1) / 2) {
        Some(&usual) if usual > 0 && longest > usual.saturating_mul(LONG) => {
            usual.saturating_mul(SHORTENED)
        }
        _ => u64::MAX,
    }
}

fn label(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m, s) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, 0) => format!("{m} min"),
        (0, 0, m, s) => format!("{m}:{s:02}"),
        (0, h, 0, 0) => format!("{h} h"),
        (0, h, m, _) => format!("{h} h {m:02}"),
        (d, 0, _, _) => format!("{d} d"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

/// Spreads error rates over the height.
pub(super) struct Rates {
    /// What the top line stands for, a share.
    top: f64,
}

impl Rates {
    /// Takes one, two or five times a power of ten above all rates, and at least 0.1 %.
    pub(super) fn of(series: &Series) -> Self {
        let sides = |point: &crate::report::Point| [point.requests.stable, point.requests.canary];
        let rates = series.points.iter().flat_map(sides).filter_map(|counts| counts.error_rate());
        let highest = rates.fold(0.001, f64::max);
        let tops = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
        Self { top: tops.into_iter().find(|top| *top >= highest).unwrap_or(1.0) }
    }

    /// Returns a rate as a share of the height.
    pub(super) fn share(&self, rate: f64) -> f64 {
        rate / self.top
    }

    pub(super) fn lines(&self) -> [(f64, String); 3] {
        [0.0, 0.5, 1.0].map(|share| (share, format!("{} %", short(share * self.top * 100.0))))
    }
}

/// Writes a number without zeros that say nothing.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
