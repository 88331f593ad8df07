//! Writes the journal on a thread of its own, so that a slow disk holds nothing up.

use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::journal::Line;

/// How long the end of a rollout waits for its journal.
const PATIENCE: Duration = Duration::from_secs(2);

/// Hands lines to the thread that writes them; it ends when this and its clones are dropped.
#[derive(Debug)]
pub(super) struct Journal {
    lines: mpsc::Sender<Line>,
    /// Disconnected once the thread has ended; only the first one waits for that.
    written: Option<mpsc::Receiver<()>>,
}

impl Clone for Journal {
    fn clone(&self) -> Self {
        Self { lines: self.lines.clone(), written: None }
    }
}

impl Journal {
    pub(super) fn to(out: impl Write + Send + 'static) -> Self {
        let (lines, received) = mpsc::channel();
        let (ended, written) = mpsc::channel();
        std::thread::spawn(move || {
            // Dropped at the end, whatever the end is.
            let _ended: mpsc::Sender<()> = ended;
            if let Err(error) = write_all(&received, out) {
                tracing::warn!(%error, "the journal cannot be written and ends here");
            }
        });
        Self { lines, written: Some(written) }
    }

    pub(super) fn write(&self, line: Line) {
        // A writer that has given up has said so itself.
        let _ = self.lines.send(line);
    }

    /// Waits until everything is written, but not for ever.
    pub(super) async fn close(self) {
        let Self { lines, written } = self;
        drop(lines);
        let Some(written) = written else { return };
        // By the wall clock and on a thread: it is the disk that is waited for.
        let waited = tokio::task::spawn_blocking(move || written.recv_timeout(PATIENCE)).await;
        if let Ok(Err(RecvTimeoutError::Timeout)) = waited {
            tracing::warn!("the journal is not written yet; the rollout's end waits no longer");
        }
    }
}

/// Writes lines as long as any come.
fn write_all(lines: &mpsc::Receiver<Line>, mut out: impl Write) -> io::Result<()> {
    // Whoever wrote to the same file before may have died in the middle of a line.
    let mut text = vec![b'\n'];
    for line in lines {
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
        out.write_all(&text)?;
        out.flush()?;
        text.clear();
    }
    Ok(())
}
