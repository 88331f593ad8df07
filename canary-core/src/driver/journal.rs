//! Writes the journal off the driver's own path, so that a slow disk holds nothing up.

use std::any::TypeId;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::outbox::{Outbox, Taker, Trouble};
use crate::journal::Line;

/// Hands lines to whoever writes them; clones write to the same place.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    lines: Arc<Outbox<Line>>,
}

impl Journal {
    pub(super) fn to<W: Write + Send + 'static>(out: W) -> Self {
        // Whoever wrote to the same file before may have died in the middle of a line.
        let pen = Pen { out, text: vec![b'\n'] };
        Self { lines: Outbox::new(Writer(Mutex::new(Some(pen))), TypeId::of::<W>()) }
    }

    pub(super) fn write(&self, line: Line) {
        self.lines.push(line);
    }

    /// Waits until everything is written, but not for a slow disk.
    pub(super) async fn is_written(&self) {
        self.lines.is_taken().await;
    }
}

/// Writes lines until it cannot, or lacks one: what follows a gap would be replayed wrongly.
struct Writer<W>(Mutex<Option<Pen<W>>>);

struct Pen<W> {
    out: W,
    /// What stands before the next line.
    text: Vec<u8>,
}

impl<W> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a journal")
    }
}

impl<W: Write + Send + 'static> Taker<Line> for Writer<W> {
    fn take(&self, line: Line) {
        let mut pen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out meanwhile: one that panics in the middle of a line does not go on behind it.
        let Some(mut writing) = pen.take() else { return };
        match writing.write(&line) {
            Ok(()) => *pen = Some(writing),
            Err(error) => {
                tracing::warn!(%error, "the journal cannot be written and ends here");
            }
        }
    }

    fn hear(&self, trouble: Trouble) {
        match trouble {
            Trouble::Slow => tracing::warn!("the journal is written slowly; nothing waits for it"),
            Trouble::Full => {
                tracing::error!(
                    "the journal cannot be written fast enough and ends with what waits to be written"
                );
            }
            Trouble::Missed(lines) => {
                self.take(Line::Lost { lines });
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            Trouble::Panicked => {
                tracing::warn!("what the journal is written to panicked; it ends here");
            }
        }
    }
}

impl<W: Write> Pen<W> {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.text, line)?;
        self.text.push(b'\n');
        self.out.write_all(&self.text)?;
        self.out.flush()?;
        self.text.clear();
        Ok(())
    }
}
