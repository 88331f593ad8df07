//! The figures as a picture: what a rule costs in errors, against how often it is wrong.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use canary_benches::judging::{BASE, Kind, Row};
use plotters::coord::combinators::{BindKeyPoints, IntoLogRange};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const SIZE: (u32, u32) = (880, 500);
/// From where to where the axes go, in percent and in errors.
const WRONG: Range<f64> = 0.03..100.0;
const ERRORS: Range<f64> = 10.0..1_000.0;
/// How many percent our rule may take back wrongly.
const BOUND: f64 = 1.0;

const INK: RGBColor = RGBColor(51, 51, 51);
const OURS: RGBColor = RGBColor(0, 114, 178);
const THEIRS: RGBColor = RGBColor(213, 94, 0);

/// Holds what one judge came to over all rows.
struct Point {
    judge: &'static str,
    is_ours: bool,
    /// The mean share of innocent canaries that were taken back, in percent.
    wrong: f64,
    /// The geometric mean of the errors that bad canaries served.
    errors: f64,
}

impl Point {
    /// Tells whether another point stands where this one's name would: within half a decade to the right, at about
    /// the same height.
    fn is_crowded_by(&self, other: &Self) -> bool {
        let (right, up) = (other.wrong / self.wrong, other.errors / self.errors);
        right > 1.0 && right < 3.2 && up.ln().abs() < 0.15
    }
}

/// Draws a point for each judge, ours in a colour of its own.
pub(crate) fn draw(rows: &[Row], file: &Path) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(20)
        .x_label_area_size(50)
        .y_label_area_size(60)
        .build_cartesian_2d(
            WRONG.log_scale().with_key_points(vec![0.1, 1.0, 10.0, 100.0]),
            ERRORS.log_scale().with_key_points(vec![10.0, 30.0, 100.0, 300.0, 1_000.0]),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.15))
        .axis_style(INK)
        .label_style(("sans-serif", 14, &INK))
        .axis_desc_style(("sans-serif", 15, &INK))
        .x_desc("innocent canaries taken back, % (mean of the rows)")
        .y_desc("errors a bad canary serves (geometric mean of the rows)")
        .x_label_formatter(&|percent| format!("{percent}"))
        .y_label_formatter(&|errors| format!("{errors}"))
        .draw()?;

    let text = |size, colour: RGBColor, h| {
        ("sans-serif", size).into_font().color(&colour).pos(Pos::new(h, VPos::Center))
    };
    let bound = [(BOUND, ERRORS.start), (BOUND, ERRORS.end)];
    chart.draw_series(DashedLineSeries::new(bound, 5, 4, INK.stroke_width(1)))?;
    let note = Text::new("what `evidence` promises", (6, -16), text(13, INK, HPos::Left));
    chart.draw_series(std::iter::once(EmptyElement::at(bound[0]) + note))?;
    let points = points(rows);
    for point in &points {
        let (size, radius, colour) = if point.is_ours { (17, 6, OURS) } else { (13, 4, THEIRS) };
        let crowded = points.iter().any(|other| point.is_crowded_by(other));
        let (dx, side) = if crowded { (-9, HPos::Right) } else { (9, HPos::Left) };
        let at = (point.wrong.max(WRONG.start), point.errors.max(ERRORS.start));
        let dot = EmptyElement::at(at)
            + Circle::new((0, 0), radius, colour.filled())
            + Text::new(point.judge, (dx, 0), text(size, colour, side));
        chart.draw_series(std::iter::once(dot))?;
    }
    root.present()?;
    Ok(())
}

/// Sums up each judge's rows.
///
/// Of innocent canaries those count whose error rate is stable's: what to do at the edge of innocence is a matter of
/// taste, and our rule alone has such an edge.
fn points(rows: &[Row]) -> Vec<Point> {
    let as_good = |row: &&Row| row.kind == Kind::Null && row.canary_error_rate <= BASE;
    let mut judges: Vec<_> = rows.iter().map(|row| row.judge).collect();
    let many = judges.iter().skip(1).position(|judge| *judge == judges[0]);
    judges.truncate(many.map_or(judges.len(), |many| many + 1));
    let point = |(i, judge): (usize, &&'static str)| {
        let of = || rows.iter().filter(|row| row.judge == *judge);
        Point {
            judge,
            is_ours: i == 0,
            wrong: 100.0 * mean(of().filter(as_good).map(Row::share)),
            errors: mean(of().filter_map(|row| row.errors_served).map(f64::ln)).exp(),
        }
    };
    judges.iter().enumerate().map(point).collect()
}

#[expect(clippy::cast_precision_loss, reason = "rows are few")]
fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}
