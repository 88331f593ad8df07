//! An observer that writes records as JSON.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use serde::Serialize;

use crate::ports::Observer;
use crate::record::Record;
use crate::value::RolloutId;

/// How many records may wait to be written.
const MOST: u64 = 1024;

/// How long a flush waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes each record as a line of JSON, on a thread of its own; clones write to the same place.
///
/// A line is a record and its rollout: `{"rollout":"shop-42","record":{"number":3,"at_ms":1772368267412,"kind":"ended",..}}`.
/// It never waits for the disk: while 1024 records wait to be written, further ones are dropped. They are counted, and
/// `{"dropped":17}` stands behind the next line that is written.
#[derive(Clone, Debug)]
pub struct JsonLines {
    orders: Sender<Order>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Order {
    Write(Box<Line>),
    Flush { written: Sender<()> },
}

#[derive(Debug, Serialize)]
struct Line {
    rollout: RolloutId,
    record: Record,
}

#[derive(Serialize)]
struct Gap {
    dropped: u64,
}

impl JsonLines {
    /// Writes to whatever can be written to.
    #[must_use]
    pub fn to(out: impl Write + Send + 'static) -> Self {
        let (orders, received) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let writer = Writer { out, counts: Arc::clone(&counts), told: 0 };
        std::thread::spawn(move || {
            if let Err(error) = writer.write_all(&received) {
                ::tracing::warn!(%error, "records cannot be written, and none are any more");
            }
        });
        Self { orders, counts }
    }

    /// Writes to the end of a file, which is made where there is none.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    pub fn append(path: impl AsRef<Path>) -> io::Result<Self> {
        File::options().create(true).append(true).open(path).map(Self::to)
    }

    /// Returns how many records were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Waits, two seconds at most, until what it has heard is written; tells whether it is.
    ///
    /// It blocks its thread: for the end of a program.
    #[must_use]
    pub fn flush(&self) -> bool {
        let (written, wait) = mpsc::channel();
        self.orders.send(Order::Flush { written }).is_ok() && wait.recv_timeout(PATIENCE).is_ok()
    }
}

impl Observer for JsonLines {
    fn notice(&self, rollout: &RolloutId, record: &Record) {
        let full = self.counts.waiting.fetch_add(1, Ordering::Relaxed) >= MOST;
        let line = Line { rollout: rollout.clone(), record: record.clone() };
        if full || self.orders.send(Order::Write(Box::new(line))).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes on its thread.
struct Writer<W> {
    out: W,
    counts: Arc<Counts>,
    /// How many dropped records the lines say.
    told: u64,
}

impl<W: Write> Writer<W> {
    /// Writes as long as anybody may order it.
    fn write_all(mut self, orders: &Receiver<Order>) -> io::Result<()> {
        for order in orders {
            match order {
                Order::Write(line) => {
                    self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
                    self.line(&line)?;
                }
                Order::Flush { written } => {
                    self.out.flush()?;
                    // Whoever waited may have given up.
                    let _ = written.send(());
                }
            }
            self.tell_gap()?;
        }
        self.out.flush()
    }

    fn tell_gap(&mut self) -> io::Result<()> {
        let dropped = self.counts.dropped.load(Ordering::Relaxed);
        let new = dropped - std::mem::replace(&mut self.told, dropped);
        if new == 0 { Ok(()) } else { self.line(&Gap { dropped: new }) }
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.out.write_all(&text)
    }
}
