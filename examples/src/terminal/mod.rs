//! A rollout on the terminal: a live view below the scrollback, or plain lines.

mod draw;
mod follow;
mod live;
mod view;

pub use follow::{Story, view};
pub use view::{CheckView, SideView, StageView, Tone, View};

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;

use live::Live;

/// Where a screen writes to.
pub type Out = Box<dyn Write + Send>;

/// Shows a rollout to a person.
///
/// A screen that can no longer be written to is given up in silence: a rollout does not end because nobody
/// looks at it.
pub struct Screen(Kind);

enum Kind {
    Live(Box<Live<CrosstermBackend<Out>>>),
    Plain(Out),
    GivenUp,
}

impl Screen {
    /// Opens a live view if both standard streams are a terminal that can draw it, else plain lines; on
    /// standard error if standard output is taken.
    #[must_use]
    pub fn open(stdout_is_taken: bool) -> Self {
        let out = || -> Out {
            if stdout_is_taken { Box::new(io::stderr()) } else { Box::new(io::stdout()) }
        };
        // Asking a terminal where its cursor is goes through standard output, whatever is drawn on.
        let both = io::stdout().is_terminal() && io::stderr().is_terminal();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if both
            && !dumb
            && let Ok(live) = Live::open(CrosstermBackend::new(out()))
        {
            return Self(Kind::Live(Box::new(live)));
        }
        Self(Kind::Plain(out()))
    }

    /// Writes plain lines.
    #[must_use]
    pub fn plain(out: Out) -> Self {
        Self(Kind::Plain(out))
    }

    /// Returns how often a new view is worth showing.
    #[must_use]
    pub const fn pace(&self) -> Duration {
        match self.0 {
            Kind::Live(_) => Duration::from_millis(200),
            Kind::Plain(_) | Kind::GivenUp => Duration::from_secs(1),
        }
    }

    /// Shows how things stand: in place of the last view, or as one more line.
    pub fn show(&mut self, view: &View) {
        self.attempt(|kind| match kind {
            Kind::Live(live) => live.show(view),
            Kind::Plain(out) => writeln!(out, "{}", view.line()).and_then(|()| out.flush()),
            Kind::GivenUp => Ok(()),
        });
    }

    /// Says something that stays.
    pub fn say(&mut self, text: &str) {
        self.attempt(|kind| match kind {
            Kind::Live(live) => live.say(text),
            Kind::Plain(out) => writeln!(out, "{text}").and_then(|()| out.flush()),
            Kind::GivenUp => Ok(()),
        });
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Kind) -> io::Result<()>) {
        if write(&mut self.0).is_err() {
            self.0 = Kind::GivenUp;
        }
    }
}

/// Takes the live view away; what was said stays.
impl Drop for Screen {
    fn drop(&mut self) {
        self.attempt(|kind| match kind {
            Kind::Live(live) => live.clear(),
            Kind::Plain(_) | Kind::GivenUp => Ok(()),
        });
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Live(_) => "Screen(live)",
            Kind::Plain(_) => "Screen(plain)",
            Kind::GivenUp => "Screen(given up)",
        })
    }
}
