//! The live view below what was said.

use ratatui::backend::Backend;
use ratatui::text::Line;
use ratatui::widgets::Widget as _;
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::draw;
use super::view::View;

/// Keeps a view in place while what is said scrolls by above it.
pub(super) struct Live<B: Backend> {
    terminal: Terminal<B>,
    last: Option<View>,
}

impl<B: Backend> Live<B> {
    pub(super) fn open(backend: B) -> Result<Self, B::Error> {
        let viewport = Viewport::Inline(draw::HEIGHT);
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport })?;
        Ok(Self { terminal, last: None })
    }

    pub(super) fn show(&mut self, view: &View) -> Result<(), B::Error> {
        self.last = Some(view.clone());
        self.draw()
    }

    pub(super) fn say(&mut self, text: &str) -> Result<(), B::Error> {
        let width = usize::from(self.terminal.size()?.width);
        let lines = text.split('\n').flat_map(|line| wrap(line, width));
        let lines: Vec<_> = lines.collect();
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        self.terminal.insert_before(height, |buffer| {
            for (row, line) in buffer.area.rows().zip(lines) {
                Line::raw(line).render(row, buffer);
            }
        })?;
        // Inserting wiped the view.
        self.draw()
    }

    /// Takes the view away, and leaves the cursor where it was.
    pub(super) fn clear(&mut self) -> Result<(), B::Error> {
        let top = self.terminal.get_frame().area().as_position();
        self.terminal.clear()?;
        self.terminal.set_cursor_position(top)?;
        self.terminal.show_cursor()
    }

    fn draw(&mut self) -> Result<(), B::Error> {
        if let Some(view) = &self.last {
            self.terminal.draw(|frame| draw::draw(frame, view))?;
        }
        Ok(())
    }
}

/// Breaks a line at spaces so that no piece is wider than `width` characters, if its words allow.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for word in line.split(' ') {
        match pieces.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => pieces.push(word.to_owned()),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::super::view::tests::example;
    use super::*;

    fn rows(live: &Live<TestBackend>) -> Vec<String> {
        let text = live.terminal.backend().to_string();
        let row = |line: &str| line.trim_matches('"').trim_end().to_owned();
        text.lines().map(row).collect()
    }

    #[test]
    fn what_is_said_stands_above_the_view_and_stays() {
        let mut live = Live::open(TestBackend::new(40, 20)).unwrap();
        live.say("first").unwrap();
        live.show(&example()).unwrap();
        live.say("the second is longer than the terminal is wide\n").unwrap();
        let shown = rows(&live);
        let said = ["first", "the second is longer than the terminal", "is wide", ""];
        assert_eq!(shown[..4], said);
        assert!(shown[5].starts_with("checkout-42"), "{shown:#?}");

        live.clear().unwrap();
        assert_eq!(rows(&live)[..4], said);
        assert!(rows(&live)[4..].iter().all(String::is_empty), "{:#?}", rows(&live));
        let cursor = live.terminal.get_cursor_position().unwrap();
        assert_eq!((cursor.x, cursor.y), (0, 4));
    }

    #[test]
    fn a_line_is_broken_at_its_spaces() {
        assert_eq!(wrap("", 9), [""]);
        assert_eq!(wrap("  one two three", 9), ["  one two", "three"]);
        assert_eq!(wrap("unbreakable x", 4), ["unbreakable", "x"]);
    }
}
