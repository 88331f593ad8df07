//! A report as a picture: the canary's weight, what happened to it, and how often both sides failed.

mod marks;
mod scale;

use std::fmt::{self, Write};

use super::Report;
use crate::record::{Content, Outcome};
use crate::value::{Side, Timestamp};
use marks::Mark;
use scale::{Rates, Times};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 470.0;
/// Where the panels begin and end from left to right.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 936.0;
/// Where the panel of the weight, the lane of marks and the panel of error rates lie from top to bottom.
const WEIGHT: Panel = Panel { top: 96.0, bottom: 226.0 };
const LANE: f64 = 242.0;
const ERRORS: Panel = Panel { top: 282.0, bottom: 402.0 };

const CANARY: &str = "#d9730d";
const STABLE: &str = "#2f6db5";
const GRID: &str = "#e4e7ec";
const TEXT: &str = "#1f2937";
const FAINT: &str = "#6b7280";

/// Spans a part of the picture from top to bottom.
#[derive(Clone, Copy)]
struct Panel {
    top: f64,
    bottom: f64,
}

impl Panel {
    /// Returns where a share of the panel's height lies, 0 at the bottom.
    fn y(self, share: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * share.clamp(0.0, 1.0)
    }
}

impl Report {
    /// Draws the rollout as an SVG picture of 960 by 470: the weight over time, when gates, holds and commands came,
    /// and the error rates of both sides. Resting the pointer on a mark tells what happened.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let mut page = String::with_capacity(16 * 1024);
        Chart::of(self).write(&mut page).unwrap_or_default();
        page
    }
}

struct Chart<'a> {
    report: &'a Report,
    times: Times,
    rates: Rates,
}

impl<'a> Chart<'a> {
    fn of(report: &'a Report) -> Self {
        let last = report.timeline.last().map_or(report.started, |record| record.at);
        let until = report.series.points.last().map_or(last, |point| point.until.max(last));
        Self {
            report,
            times: Times::of(report, report.ended.unwrap_or(until)),
            rates: Rates::of(&report.series),
        }
    }

    fn write(&self, page: &mut String) -> fmt::Result {
        writeln!(
            page,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\" font-size=\"12\" fill=\"{TEXT}\">"
        )?;
        writeln!(page, "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>")?;
        self.write_title(page)?;
        self.write_stages(page)?;
        self.write_grid(page)?;
        marks::write_waits(page, self.report, &self.times)?;
        marks::write_stands(page, self.report, &self.times)?;
        self.write_weight(page)?;
        for side in Side::BOTH {
            self.write_errors(page, side)?;
        }
        let marks = Mark::all(self.report);
        marks::write_all(page, &marks, &self.times)?;
        self.write_legend(page, &marks)?;
        writeln!(page, "</svg>")
    }

    fn write_title(&self, page: &mut String) -> fmt::Result {
        let name = self.report.rollout.as_ref().map_or("rollout", |id| id.as_str());
        let (word, colour) = match &self.report.outcome {
            Some(Outcome::Promoted) => ("promoted", "#15803d"),
            Some(Outcome::RolledBack { .. }) => ("rolled back", "#b91c1c"),
            _ => ("under way", FAINT),
        };
        writeln!(
            page,
            "<text x=\"24\" y=\"36\" font-size=\"18\" font-weight=\"600\">{} <tspan fill=\"{FAINT}\" \
             font-weight=\"400\">under {}</tspan> <tspan fill=\"{colour}\">{word}</tspan></text>",
            Escaped(name),
            Escaped(&self.report.policy)
        )?;
        let sentence = shortened(&self.report.sentence(), 150);
        writeln!(page, "<text x=\"24\" y=\"58\" fill=\"{FAINT}\">{}</text>", Escaped(&sentence))
    }

    /// Writes a stripe for every other stage, and each name where there is room for it.
    fn write_stages(&self, page: &mut String) -> fmt::Result {
        for (i, stage) in self.report.stages.iter().enumerate() {
            let from = self.times.x(stage.entered);
            let to = self.times.x(stage.left.unwrap_or(self.times.until()));
            let width = to - from;
            if i % 2 == 0 {
                writeln!(
                    page,
                    "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"#f6f7f9\"/>",
                    WEIGHT.top,
                    ERRORS.bottom - WEIGHT.top
                )?;
            }
            let name = match self.times.shortened(stage.entered) {
                Some(times) if times < 10.0 => {
                    format!("{}, drawn {times:.1} times shorter", stage.name)
                }
                Some(times) => format!("{}, drawn {times:.0} times shorter", stage.name),
                None => stage.name.clone(),
            };
            // About seven units a letter.
            #[expect(clippy::cast_precision_loss, reason = "names are short")]
            let needed = name.chars().count() as f64 * 7.0;
            if needed < width {
                let middle = f64::midpoint(from, to);
                writeln!(
                    page,
                    "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{FAINT}\">{}</text>",
                    WEIGHT.top - 8.0,
                    Escaped(&name)
                )?;
            }
        }
        Ok(())
    }

    fn write_grid(&self, page: &mut String) -> fmt::Result {
        for (share, label) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
            write_line(page, WEIGHT.y(share), label)?;
        }
        for (share, label) in self.rates.lines() {
            write_line(page, ERRORS.y(share), &label)?;
        }
        for (x, label) in self.times.lines() {
            writeln!(
                page,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{FAINT}\">{label}</text>",
                ERRORS.bottom + 18.0
            )?;
        }
        for (panel, what) in [(WEIGHT, "weight"), (ERRORS, "errors")] {
            let middle = f64::midpoint(panel.top, panel.bottom);
            writeln!(
                page,
                "<text transform=\"translate(16 {middle:.1}) rotate(-90)\" text-anchor=\"middle\" \
                 fill=\"{FAINT}\">{what}</text>"
            )?;
        }
        Ok(())
    }

    /// Writes the weight that the router accepted, as steps.
    fn write_weight(&self, page: &mut String) -> fmt::Result {
        let accepted = self.report.timeline.iter().filter_map(|record| match &record.content {
            Content::TrafficAccepted { weight, .. } => Some((record.at, *weight)),
            Content::Drifted { found, .. } => Some((record.at, found.canary)),
            _ => None,
        });
        let (first, mut line) = (self.times.x(self.report.started), String::new());
        let mut y = WEIGHT.y(0.0);
        write!(line, "M{first:.1} {y:.1}")?;
        for (at, weight) in accepted {
            y = WEIGHT.y(weight.fraction());
            write!(line, "H{:.1}V{y:.1}", self.times.x(at))?;
        }
        let last = self.times.x(self.times.until());
        write!(line, "H{last:.1}")?;
        let bottom = WEIGHT.bottom;
        writeln!(
            page,
            "<path d=\"{line}V{bottom:.1}H{first:.1}Z\" fill=\"{CANARY}\" fill-opacity=\"0.14\"/>"
        )?;
        writeln!(page, "<path d=\"{line}\" fill=\"none\" stroke=\"{CANARY}\" stroke-width=\"2\"/>")
    }

    /// Writes one side's error rate as a line with a gap wherever it had no requests, or nothing was known of them.
    fn write_errors(&self, page: &mut String, side: Side) -> fmt::Result {
        let mut line = String::new();
        let mut pen = 'M';
        let points = &self.report.series.points;
        let gap = |i: usize| points[i].until.since(points[i.saturating_sub(1)].until);
        let mut gaps: Vec<_> = (1..points.len()).map(gap).collect();
        gaps.sort_unstable();
        let usual = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
        for (i, point) in points.iter().enumerate() {
            if gap(i) > usual * 3 {
                pen = 'M';
            }
            match point.requests.get(side).error_rate() {
                Some(rate) => {
                    let (x, y) = (self.times.x(point.until), ERRORS.y(self.rates.share(rate)));
                    write!(line, "{pen}{x:.1} {y:.1}")?;
                    pen = 'L';
                }
                None => pen = 'M',
            }
        }
        let colour = if side == Side::Canary { CANARY } else { STABLE };
        writeln!(
            page,
            "<path d=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>"
        )
    }

    fn write_legend(&self, page: &mut String, marks: &[Mark<'_>]) -> fmt::Result {
        let y = HEIGHT - 22.0;
        let mut x = LEFT;
        for (colour, label) in [(CANARY, "canary"), (STABLE, "stable")] {
            writeln!(
                page,
                "<path d=\"M{x:.1} {y:.1}h18\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                x + 24.0,
                y + 4.0
            )?;
            x += 86.0;
        }
        marks::write_legend(page, (self.report, &self.times), marks, x, y)
    }
}

/// Writes a line of the grid and its label.
fn write_line(page: &mut String, y: f64, label: &str) -> fmt::Result {
    writeln!(page, "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"{GRID}\"/>")?;
    writeln!(
        page,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{FAINT}\">{label}</text>",
        LEFT - 8.0,
        y + 4.0
    )
}

/// Cuts a text after this many characters, and says so.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Writes a text so that it can stand in XML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                // Nothing else may stand in XML below the space but these.
                c if c < ' ' && !matches!(c, '\t' | '\n' | '\r') => f.write_char('�')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Returns a time since the begin as people say it.
fn since(begin: Timestamp, at: Timestamp) -> String {
    crate::value::Span(crate::value::millis(at.since(begin))).to_string()
}
