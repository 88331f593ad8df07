//! What happened to a rollout, as marks in its picture.

use std::fmt::{self, Write};

use super::scale::Times;
use super::{ERRORS, Escaped, LANE, WEIGHT, WIDTH, since};
use crate::record::{Content, Outcome, Record};
use crate::report::Report;

/// The colour of a time in which weight and clock stood.
const STANDS: &str = "#eab308";

/// The colour of a time in which a gate was waited for.
const WAITS: &str = "#7c3aed";

/// How much room a mark takes, and a letter of its name.
const SIZE: f64 = 13.0;
const LETTER: f64 = 6.2;

/// Marks one record in the lane.
pub(super) struct Mark<'a> {
    record: &'a Record,
    begin: crate::value::Timestamp,
    sort: Sort,
}

/// Sorts marks by how they look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    GateAsked,
    GateOpened,
    Command,
    Question,
    Trouble,
    Drift,
    TakenOver,
    RollBack,
    Promoted,
}

impl Sort {
    const ALL: [Self; 9] = [
        Self::GateAsked,
        Self::GateOpened,
        Self::Command,
        Self::Question,
        Self::Trouble,
        Self::Drift,
        Self::TakenOver,
        Self::RollBack,
        Self::Promoted,
    ];

    fn of(content: &Content) -> Option<Self> {
        match content {
            Content::GateAsked { .. } => Some(Self::GateAsked),
            Content::GateOpened { .. } => Some(Self::GateOpened),
            Content::Commanded { .. } => Some(Self::Command),
            Content::Asked { .. } => Some(Self::Question),
            Content::CallFailed { .. }
            | Content::Stuck { .. }
            | Content::Stalled { .. }
            | Content::CanaryNotReady { .. } => Some(Self::Trouble),
            Content::Drifted { .. } => Some(Self::Drift),
            Content::Restored { .. } => Some(Self::TakenOver),
            Content::RollbackDecided { .. } => Some(Self::RollBack),
            Content::Ended { outcome: Outcome::Promoted } => Some(Self::Promoted),
            _ => None,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::GateAsked => "gate asked",
            Self::GateOpened => "gate open",
            Self::Command => "command",
            Self::Question => "question",
            Self::Trouble => "trouble",
            Self::Drift => "drift",
            Self::TakenOver => "taken over",
            Self::RollBack => "taken back",
            Self::Promoted => "promoted",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::GateAsked | Self::GateOpened => "#7c3aed",
            Self::Command => "#0f766e",
            Self::Question => "#a16207",
            Self::Trouble => "#9f1239",
            Self::Drift => "#c026d3",
            Self::TakenOver => "#475569",
            Self::RollBack => "#b91c1c",
            Self::Promoted => "#15803d",
        }
    }

    /// Returns the path of the mark around 0, and whether it is filled.
    const fn shape(self) -> (&'static str, bool) {
        const DIAMOND: &str = "M0 -6L6 0L0 6L-6 0Z";
        const ROUND: &str = "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1 -5 0Z";
        match self {
            Self::GateAsked => (DIAMOND, false),
            Self::GateOpened => (DIAMOND, true),
            Self::Command => ("M-5 -5H5V5H-5Z", true),
            Self::Question => (ROUND, true),
            Self::Trouble => ("M0 -6L6 5H-6Z", true),
            Self::Drift => ("M0 6L6 -5H-6Z", true),
            Self::TakenOver => (ROUND, false),
            Self::RollBack => ("M-5 -5L5 5M5 -5L-5 5", false),
            Self::Promoted => ("M-6 0L-2 5L6 -5", false),
        }
    }

    fn write(self, page: &mut String) -> fmt::Result {
        let ((path, filled), colour) = (self.shape(), self.colour());
        let fill = if filled { colour } else { "#ffffff" };
        let fill = if matches!(self, Self::RollBack | Self::Promoted) { "none" } else { fill };
        write!(page, "<path d=\"{path}\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"2\"/>")
    }
}

impl<'a> Mark<'a> {
    /// Finds all that is worth a mark.
    pub(super) fn all(report: &'a Report) -> Vec<Self> {
        let mark = |record: &'a Record| {
            let sort = Sort::of(&record.content)?;
            Some(Self { record, begin: report.started, sort })
        };
        report.timeline.iter().filter_map(mark).collect()
    }

    /// Returns whose mark it is: the gate, or the check that asks.
    fn name(&self) -> Option<&str> {
        match &self.record.content {
            Content::GateAsked { gate, .. } | Content::GateOpened { gate, .. } => {
                Some(gate.as_str())
            }
            Content::Asked { check } => Some(&check.check),
            _ => None,
        }
    }

    /// Writes the mark this far down the lane.
    fn write(&self, page: &mut String, x: f64, down: f64) -> fmt::Result {
        if matches!(self.sort, Sort::RollBack | Sort::Promoted) {
            writeln!(
                page,
                "<path d=\"M{x:.1} {:.1}V{:.1}\" stroke=\"{}\" stroke-dasharray=\"4 3\"/>",
                WEIGHT.top,
                ERRORS.bottom,
                self.sort.colour()
            )?;
        }
        write!(page, "<g transform=\"translate({x:.1} {:.1})\">", LANE + down)?;
        self.sort.write(page)?;
        let (after, text) = (since(self.begin, self.record.at), self.record.content.to_string());
        writeln!(page, "<title>{after}: {}</title></g>", Escaped(&text))
    }
}

/// Writes the marks with their names, those that would hide each other one below the other.
///
/// A gate that opens close to where it was asked has its name there.
pub(super) fn write_all(page: &mut String, marks: &[Mark<'_>], times: &Times) -> fmt::Result {
    let mut ends = [f64::NEG_INFINITY; 3];
    let mut named: Option<(&str, f64)> = None;
    for mark in marks {
        let x = times.x(mark.record.at);
        let free = ends.iter().position(|end| end + SIZE <= x);
        let level = free.unwrap_or(ends.len() - 1);
        let down = [0.0, SIZE, 2.0 * SIZE][level];
        mark.write(page, x, down)?;
        ends[level] = x;
        let Some(name) = mark.name().filter(|_| free.is_some()) else { continue };
        #[expect(clippy::cast_precision_loss, reason = "names are short")]
        let end = x + SIZE / 2.0 + name.chars().count() as f64 * LETTER;
        let known = named.is_some_and(|(last, until)| last == name && x <= until);
        if !known && end <= WIDTH {
            let (x, y) = (x + SIZE / 2.0 + 2.0, LANE + down + 3.5);
            let (fill, name) = (mark.sort.colour(), Escaped(name));
            writeln!(
                page,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"10\" fill=\"{fill}\">{name}</text>"
            )?;
            ends[level] = end;
        }
        named = Some((name, end));
    }
    Ok(())
}

/// Writes a stripe wherever weight and clock stood because of what a look showed.
pub(super) fn write_stands(page: &mut String, report: &Report, times: &Times) -> fmt::Result {
    for stand in &report.series.stands {
        let (from, to) = (times.x(stand.after), times.x(stand.until));
        writeln!(
            page,
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{STANDS}\" fill-opacity=\"0.22\"/>",
            WEIGHT.top,
            (to - from).max(1.5),
            ERRORS.bottom - WEIGHT.top
        )?;
    }
    Ok(())
}

/// Writes a stripe wherever a gate was waited for.
pub(super) fn write_waits(page: &mut String, report: &Report, times: &Times) -> fmt::Result {
    for (from, to) in waits(report, times) {
        writeln!(
            page,
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{WAITS}\" fill-opacity=\"0.10\"/>",
            WEIGHT.top,
            to - from,
            ERRORS.bottom - WEIGHT.top
        )?;
    }
    Ok(())
}

/// Returns from where to where a gate was waited for, as far as one can see it.
fn waits(report: &Report, times: &Times) -> Vec<(f64, f64)> {
    let (mut waits, mut asked) = (Vec::new(), None);
    let ends = |content: &Content| {
        matches!(content, Content::GateOpened { .. } | Content::RollbackDecided { .. })
    };
    for Record { at, content, .. } in &report.timeline {
        match content {
            Content::GateAsked { .. } => asked = Some(*at),
            content if ends(content) => waits.extend(asked.take().map(|asked| (asked, *at))),
            _ => {}
        }
    }
    waits.extend(asked.map(|asked| (asked, times.until())));
    let drawn = waits.into_iter().map(|(from, to)| (times.x(from), times.x(to)));
    drawn.filter(|(from, to)| to - from >= 1.0).collect()
}

/// Explains the marks that there are.
pub(super) fn write_legend(
    page: &mut String,
    (report, times): (&Report, &Times),
    marks: &[Mark<'_>],
    mut x: f64,
    y: f64,
) -> fmt::Result {
    let mut label = |page: &mut String, text: &str, draw: &dyn Fn(&mut String) -> fmt::Result| {
        write!(page, "<g transform=\"translate({:.1} {y:.1})\">", x + 8.0)?;
        draw(page)?;
        writeln!(page, "<text x=\"12\" y=\"4\">{text}</text></g>")?;
        #[expect(clippy::cast_precision_loss, reason = "labels are short")]
        let width = text.chars().count() as f64 * 7.0;
        x += width + 38.0;
        Ok(())
    };
    if !report.series.stands.is_empty() {
        label(page, "stands", &|page| {
            write!(
                page,
                "<rect x=\"-8\" y=\"-6\" width=\"14\" height=\"12\" fill=\"{STANDS}\" fill-opacity=\"0.4\"/>"
            )
        })?;
    }
    if !waits(report, times).is_empty() {
        label(page, "waits", &|page| {
            write!(
                page,
                "<rect x=\"-8\" y=\"-6\" width=\"14\" height=\"12\" fill=\"{WAITS}\" fill-opacity=\"0.25\"/>"
            )
        })?;
    }
    for sort in Sort::ALL {
        if marks.iter().any(|mark| mark.sort == sort) {
            label(page, sort.label(), &|page| sort.write(page))?;
        }
    }
    Ok(())
}
