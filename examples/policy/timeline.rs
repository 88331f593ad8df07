//! The story of a rollout in short lines.

use std::io;
use std::time::Duration;

use canary_core::record::{CheckResult, Content, Judgement, Record, Ruling, Verdict};
use canary_core::value::{Timestamp, Window};

/// Writes each record with the time since the first; a row of looks that found the same is one line.
pub(crate) struct Timeline<W> {
    out: W,
    began: Option<Timestamp>,
    row: Option<Row>,
    /// The gate that is waited for.
    asked: Option<String>,
    written: io::Result<()>,
}

/// Sums up looks that found the same.
struct Row {
    looks: u64,
    span: Window,
    /// The last of them, with the requests of all.
    judgement: Judgement,
}

impl<W: io::Write> Timeline<W> {
    pub(crate) const fn new(out: W) -> Self {
        Self { out, began: None, row: None, asked: None, written: Ok(()) }
    }

    pub(crate) fn tell(&mut self, record: &Record) {
        self.began.get_or_insert(record.at);
        match &record.content {
            // The next record says why; and the sentence at the end, how it ended.
            Content::Judged(judgement) if judgement.ruling == Ruling::RollBack => {}
            Content::Ended { .. } => {}
            Content::Judged(judgement) => self.judged(record.at, judgement),
            content => {
                self.close_row();
                match content {
                    Content::GateAsked { gate, .. } => self.asked = Some(gate.to_string()),
                    Content::GateOpened { .. } | Content::RollbackDecided { .. } => {
                        self.asked = None
                    }
                    _ => {}
                }
                self.line(record.at, content.to_string());
            }
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The first that any write gave.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.close_row();
        self.written
    }

    fn judged(&mut self, at: Timestamp, judgement: &Judgement) {
        match &mut self.row {
            Some(row) if alike(&row.judgement, judgement) => row.add(at, judgement),
            _ => {
                self.close_row();
                self.row =
                    Some(Row { looks: 1, span: Window::new(at, at), judgement: judgement.clone() });
            }
        }
    }

    fn close_row(&mut self) {
        let Some(Row { looks, span, judgement }) = self.row.take() else {
            return;
        };
        let waits = self.asked.as_deref().filter(|_| judgement.ruling == Ruling::GoOn);
        let waits = waits.map(|gate| format!("waiting for the gate {gate}"));
        let text = match (looks, waits) {
            (1, None) => judgement.to_string(),
            (1, Some(waits)) => format!("{waits}: {judgement}"),
            (looks, waits) => {
                let waits = waits.map(|waits| format!(", {waits}")).unwrap_or_default();
                let until = clock(self.since_begin(span.until));
                format!("{looks} looks until {until}{waits}: {judgement}")
            }
        };
        self.line(span.after, text);
    }

    fn line(&mut self, at: Timestamp, text: String) {
        let time = clock(self.since_begin(at));
        if self.written.is_ok() {
            self.written = writeln!(self.out, "{time:>12}  {text}");
        }
    }

    fn since_begin(&self, at: Timestamp) -> Duration {
        at.since(self.began.unwrap_or(at))
    }
}

impl Row {
    fn add(&mut self, at: Timestamp, judgement: &Judgement) {
        self.looks += 1;
        self.span = Window::new(self.span.after, at);
        let sum = std::mem::replace(&mut self.judgement, judgement.clone()).requests;
        if let (Some(mut sum), Some(more)) = (sum, judgement.requests) {
            sum.stable.add(more.stable);
            sum.canary.add(more.canary);
            self.judgement.requests = Some(sum);
        }
    }
}

/// Tells whether two looks found the same; then they also rule the same.
fn alike(one: &Judgement, other: &Judgement) -> bool {
    fn concerns(judgement: &Judgement) -> impl Iterator<Item = (&str, Verdict)> {
        let says_something =
            |check: &&CheckResult| !matches!(check.verdict, Verdict::Pass | Verdict::NotApplicable);
        judgement.checks.iter().filter(says_something).map(|check| (&*check.check, check.verdict))
    }
    concerns(one).eq(concerns(other))
}

/// Writes `1:05:00`, with milliseconds where there are any.
pub(crate) fn clock(time: Duration) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match millis {
        0 => format!("{h}:{m:02}:{s:02}"),
        millis => format!("{h}:{m:02}:{s:02}.{millis:03}"),
    }
}
