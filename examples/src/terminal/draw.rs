//! The live view.

use canary_core::value::Side;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Row, Table};
use ratatui::{Frame, symbols};

use super::view::{CheckView, Tone, View, millis, percent};

/// How many checks are shown at most.
const CHECKS: u16 = 4;

/// How many rows the view takes: a rule, where it is, a bar, two sides below their heads, what is next,
/// the checks.
pub(super) const HEIGHT: u16 = 7 + CHECKS;

pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let rows = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Length(CHECKS),
    ]);
    let [head, bar, sides, next, checks] = frame.area().layout(&rows);
    draw_head(frame, head, view);
    draw_bar(frame, bar, view);
    draw_sides(frame, sides, view);
    frame.render_widget(field("next", Span::raw(&view.next)), next);
    draw_checks(frame, checks, &view.checks);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let [rule, line] = area.layout(&Layout::vertical([Constraint::Length(1); 2]));
    frame.render_widget(Line::raw("─".repeat(rule.width.into())).dark_gray(), rule);
    let (tone, verdict) = &view.verdict;
    let verdict = Line::styled(verdict, style(*tone).bold());
    let width = u16::try_from(verdict.width()).unwrap_or(u16::MAX);
    let widths = [Constraint::Fill(1), Constraint::Length(width)];
    let [left, right] = line.layout(&Layout::horizontal(widths).spacing(1));
    let mut head = vec![Span::raw(&view.rollout).bold()];
    if let Some(stage) = &view.stage {
        head.push(Span::raw(format!("   {stage}")));
    }
    frame.render_widget(Line::from(head), left);
    frame.render_widget(verdict, right);
}

fn draw_bar(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let weight = view.weight;
    let gauge = LineGauge::default()
        .label(format!("canary {:>4}", weight.to_string()))
        .ratio(weight.fraction())
        .filled_symbol(symbols::line::THICK_HORIZONTAL)
        .filled_style(Style::new().fg(Color::Cyan))
        .unfilled_style(Style::new().fg(Color::DarkGray));
    frame.render_widget(gauge, area);
}

fn draw_sides(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let right = |text: String| Line::raw(text).right_aligned();
    let head = ["", "requests", "errors", "p95", "share", "should be"];
    let head = head.map(|text| right(text.to_owned()).dark_gray());
    let rows = Side::BOTH.map(|side| {
        let shown = view.sides.get(side);
        let weight = match side {
            Side::Stable => 1.0 - view.weight.fraction(),
            Side::Canary => view.weight.fraction(),
        };
        Row::new([
            Line::raw(side.as_str()),
            right(format!("{:.0}/s", shown.per_second)),
            right(percent(shown.error_rate)),
            right(millis(shown.p95)),
            right(percent(shown.share)),
            right(percent(Some(weight))),
        ])
    });
    let widths = [8, 10, 9, 10, 9, 11].map(Constraint::Length);
    frame.render_widget(Table::new(rows, widths).header(Row::new(head)), area);
}

fn draw_checks(frame: &mut Frame<'_>, area: Rect, checks: &[CheckView]) {
    for (row, check) in area.rows().zip(checks) {
        let found = Span::styled(&check.found, style(check.tone));
        frame.render_widget(field(&check.name, found), row);
    }
}

fn field<'a>(name: &'a str, says: Span<'a>) -> Line<'a> {
    Line::from(vec![Span::raw(format!("{name:<18} ")).dark_gray(), says])
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Notice => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red),
        Tone::Quiet => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::view::tests::example;
    use super::*;

    fn drawn(view: &View, width: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, HEIGHT)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        let text = terminal.backend().to_string();
        text.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
    }

    #[test]
    fn the_view_shows_both_sides_and_what_the_checks_found() {
        let rows = drawn(&example(), 76);
        let bar = format!("canary  25% {}{}", "━".repeat(16), "─".repeat(48));
        assert_eq!(
            rows,
            [
                &*"─".repeat(76),
                "checkout-42   stage 2 of 4, quarter, 2.1/4.0 s held                roll back",
                &*bar,
                "           requests    errors        p95     share   should be",
                "stable        225/s      0.1%      36 ms     75.0%       75.0%",
                "canary         75/s     20.0%          -     25.0%       25.0%",
                "next               50% in 1.9 s",
                "errors             20.0% above 5.0%",
                "",
                "",
                "",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_is_drawn_as_well() {
        for width in 1..30 {
            assert_eq!(drawn(&example(), width).len(), usize::from(HEIGHT));
        }
    }
}
