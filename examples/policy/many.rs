//! What becomes of many rollouts?

use std::time::Duration;

use canary_core::simulate::{Many, Share, Simulation};
use canary_core::value::millis;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::table::table;
use crate::words::{duration, percent, rounded};

/// How sure the bounds of a share are.
const CONFIDENCE: f64 = 0.99;

/// Returns how long this share of those that ended one way took at most.
type After = fn(&Many, f64) -> Option<Duration>;

/// Runs so many rollouts, and shows on a terminal how far it is.
pub(crate) fn run(simulation: &Simulation, runs: u64) -> anyhow::Result<Many> {
    let style = ProgressStyle::with_template("{pos} of {len} rollouts, {eta} to go")?;
    // Where standard error is no terminal nothing is drawn.
    let progress = ProgressBar::new(runs).with_style(style);
    let many = simulation.run_many_watched(runs, |so_far| progress.set_position(so_far.runs()));
    progress.finish_and_clear();
    Ok(many)
}

/// Says what became of them; a roll-back of an innocent canary is a false one.
pub(crate) fn in_words(many: &Many, innocent: bool) -> String {
    let mut text = shares(many, innocent) + "\n" + &numbers(many);
    if let Some(seed) = many.first_rolled_back() {
        text += &format!("\n`--seed {seed}` shows the first that was rolled back\n");
    }
    text
}

fn shares(many: &Many, innocent: bool) -> String {
    let onset =
        many.onset().map(|onset| format!("rolled back before it was bad, at {}", seconds(onset)));
    let detected = if innocent { "false rollbacks" } else { "detected" };
    let row = |what: &str, share: Share| {
        let (low, high) = share.interval(CONFIDENCE);
        [
            what.to_owned(),
            share.hits.to_string(),
            percent(rounded(share.fraction())),
            format!("{} to {}", percent(rounded(low)), percent(rounded(high))),
        ]
    };
    let mut rows: Vec<_> = onset.iter().map(|early| row(early, many.early())).collect();
    rows.push(row(detected, many.detected()));
    rows.extend(many.checks().map(|(check, share)| row(&format!("  by {check}"), share)));
    rows.push(row("promoted", many.promoted()));
    if many.unfinished().hits > 0 {
        rows.push(row("not finished", many.unfinished()));
    }
    let of = format!("of {}", many.runs());
    let bounds = format!("with {} confidence", percent(CONFIDENCE));
    table(["", &of, "share", &bounds], &[0], rows)
}

fn numbers(many: &Many) -> String {
    let errors = |share| many.canary_errors_served(share).to_string();
    let mut rows = vec![[
        "requests that failed on the canary".to_owned(),
        format!("{:.1}", many.mean_canary_errors_served()),
        errors(0.5),
        errors(0.9),
        errors(1.0),
    ]];
    let detected = match many.onset() {
        Some(_) => "time from when it was bad until it was rolled back",
        None => "time until it was rolled back",
    };
    let times: [(_, After); 2] =
        [(detected, Many::detected_after), ("time until it was promoted", Many::promoted_after)];
    for (what, after) in times {
        let [Some(median), Some(most), Some(worst)] =
            [0.5, 0.9, 1.0].map(|share| after(many, share))
        else {
            continue;
        };
        let [median, most, worst] = [median, most, worst].map(seconds);
        rows.push([what.to_owned(), String::new(), median, most, worst]);
    }
    table(["", "mean", "median", "90%", "worst"], &[0], rows)
}

/// Returns the same for programs.
pub(crate) fn in_json(many: &Many, innocent: bool) -> Value {
    let share = |share: Share| {
        let (low, high) = share.interval(CONFIDENCE);
        json!({ "runs": share.hits, "share": share.fraction(), "low": low, "high": high })
    };
    let after = |after: After| {
        let ms = |share| after(many, share).map(millis);
        json!({ "median": ms(0.5), "ninety_percent": ms(0.9), "worst": ms(1.0) })
    };
    let by_check: serde_json::Map<_, _> =
        many.checks().map(|(check, hits)| (check.to_owned(), share(hits))).collect();
    json!({
        "runs": many.runs(),
        "innocent": innocent,
        "confidence": CONFIDENCE,
        "interval": "clopper-pearson",
        "onset_ms": many.onset().map(millis),
        "rolled_back": share(many.rolled_back()),
        "early": share(many.early()),
        "detected": share(many.detected()),
        "rolled_back_by": by_check,
        "promoted": share(many.promoted()),
        "unfinished": share(many.unfinished()),
        "canary_errors_served": {
            "mean": many.mean_canary_errors_served(),
            "median": many.canary_errors_served(0.5),
            "ninety_percent": many.canary_errors_served(0.9),
            "worst": many.canary_errors_served(1.0),
        },
        "rolled_back_after_ms": after(Many::rolled_back_after),
        "detected_after_ms": after(Many::detected_after),
        "promoted_after_ms": after(Many::promoted_after),
        "first_rolled_back": many.first_rolled_back(),
    })
}

/// Writes a time to the second.
fn seconds(time: Duration) -> String {
    duration(Duration::from_secs(time.as_secs()))
}
