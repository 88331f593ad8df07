//! A rollout on the terminal: a live view below the scrollback, or plain lines.

mod draw;
mod follow;
mod live;
mod view;

pub use follow::{Story, judged, view};
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
pub struct Screen {
    kind: Kind,
    stdout_is_taken: bool,
    /// What stands in front of plain lines.
    name: String,
}

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
        // Asking a terminal where its cursor is goes through standard output, whatever is drawn on.
        let both = io::stdout().is_terminal() && io::stderr().is_terminal();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if both
            && !dumb
            && let Ok(live) = Live::open(CrosstermBackend::new(out(stdout_is_taken)))
        {
            let mut screen = Self::of(Kind::Live(Box::new(live)));
            screen.stdout_is_taken = stdout_is_taken;
            return screen;
        }
        Self::plain(out(stdout_is_taken))
    }

    /// Writes plain lines.
    #[must_use]
    pub fn plain(out: Out) -> Self {
        Self::of(Kind::Plain(out))
    }

    /// Writes plain lines on standard output with a name in front, for one of several rollouts.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut screen = Self::plain(out(false));
        screen.name = format!("{name}  ");
        screen
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, stdout_is_taken: false, name: String::new() }
    }

    /// Tells whether there is a live view.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.kind, Kind::Live(_))
    }

    /// Takes a live view away for good, so that somebody can type; plain lines follow.
    pub fn make_plain(&mut self) {
        if self.is_live() {
            self.clear();
            self.kind = Kind::Plain(out(self.stdout_is_taken));
        }
    }

    /// Returns how often a new view is worth showing.
    #[must_use]
    pub const fn pace(&self) -> Duration {
        match self.kind {
            Kind::Live(_) => Duration::from_millis(200),
            Kind::Plain(_) | Kind::GivenUp => Duration::from_secs(1),
        }
    }

    /// Shows how things stand: in place of the last view, or as one more line.
    pub fn show(&mut self, view: &View) {
        let name = self.name.clone();
        self.attempt(|kind| match kind {
            Kind::Live(live) => live.show(view),
            Kind::Plain(out) => writeln!(out, "{name}{}", view.line()).and_then(|()| out.flush()),
            Kind::GivenUp => Ok(()),
        });
    }

    /// Says something that stays.
    pub fn say(&mut self, text: &str) {
        let name = self.name.clone();
        self.attempt(|kind| match kind {
            Kind::Live(live) => live.say(text),
            Kind::Plain(out) => {
                text.split('\n').try_for_each(|line| writeln!(out, "{name}{line}"))?;
                out.flush()
            }
            Kind::GivenUp => Ok(()),
        });
    }

    fn clear(&mut self) {
        self.attempt(|kind| match kind {
            Kind::Live(live) => live.clear(),
            Kind::Plain(_) | Kind::GivenUp => Ok(()),
        });
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Kind) -> io::Result<()>) {
        if write(&mut self.kind).is_err() {
            self.kind = Kind::GivenUp;
        }
    }
}

/// Takes the live view away; what was said stays.
impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

fn out(stdout_is_taken: bool) -> Out {
    if stdout_is_taken { Box::new(io::stderr()) } else { Box::new(io::stdout()) }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Live(_) => "Screen(live)",
            Kind::Plain(_) => "Screen(plain)",
            Kind::GivenUp => "Screen(given up)",
        })
    }
}
