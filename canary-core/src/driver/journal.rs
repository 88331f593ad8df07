//! Writes the journal on a thread of its own, so that a slow disk holds nothing up.

use std::io::Write;
use std::sync::mpsc;

use crate::journal::Line;

/// Hands lines to the thread that writes them; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Journal {
    lines: Option<mpsc::Sender<Line>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Journal {
    pub(super) fn to(mut out: impl Write + Send + 'static) -> Self {
        let (lines, written) = mpsc::channel::<Line>();
        let writer = std::thread::spawn(move || {
            for line in written {
                let result =
                    serde_json::to_vec(&line).map_err(std::io::Error::from).and_then(|mut text| {
                        text.push(b'\n');
                        out.write_all(&text)?;
                        out.flush()
                    });
                if let Err(error) = result {
                    tracing::warn!(%error, "the journal cannot be written and ends here");
                    return;
                }
            }
        });
        Self { lines: Some(lines), writer: Some(writer) }
    }

    pub(super) fn write(&self, line: Line) {
        // A writer that has given up has said so itself.
        if let Some(lines) = &self.lines {
            let _ = lines.send(line);
        }
    }

    /// Waits until everything is written; called when nothing is left to be held up.
    pub(super) async fn close(mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }
}
