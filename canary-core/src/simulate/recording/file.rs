//! A recording as a file: JSON, line by line.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{Recording, Track};
use crate::value::{BySide, Measured, PodCounts, Query, Reading, Signal, Window};

/// The version of the form.
const VERSION: u32 = 1;

/// Says what the first line looks like.
const HEADER: &str = r#"a header such as {"recording":1,"span":{"after_ms":..,"until_ms":..},"windows":480,"asked":[{"signal":"requests"}]}"#;

/// Says what every other line looks like.
const LINE: &str = r#"a window such as {"signal":"requests","covered":{"after_ms":..,"until_ms":..},"sides":{"stable":{"counts":{"total":9,"bad":0}},"canary":"no_data"}}"#;

/// Is the first line: what follows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// The version of the form.
    recording: u32,
    span: Window,
    /// How many lines follow.
    windows: usize,
    asked: Vec<Asked>,
}

/// Says what one signal answers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    signal: Signal,
    /// The question in the source's own language, where the policy has written one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Is any other line: what was read of a signal in a window.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    signal: Signal,
    covered: Window,
    sides: BySide<Reading>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pods: Option<BySide<Vec<PodCounts>>>,
}

/// Tells why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// There is something in the way to it.
    #[error("the recording cannot be read")]
    Io(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line} of the recording: {found}; expected {expected}")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
}

impl Recording {
    /// Writes it as lines of JSON: a header, then each window of each signal, in the order of their ends.
    ///
    /// ```text
    /// {"recording":1,"span":{"after_ms":1772366400000,"until_ms":1772367300000},"windows":120,"asked":[{"signal":"requests"},{"signal":{"custom":"pool"},"text":"max(pool)"}]}
    /// {"signal":"requests","covered":{"after_ms":1772366400000,"until_ms":1772366415000},"sides":{"stable":{"counts":{"total":90,"bad":0}},"canary":"no_data"}}
    /// {"signal":{"custom":"pool"},"covered":{"after_ms":1772366400000,"until_ms":1772366415000},"sides":{"stable":{"value":0.4},"canary":{"value":0.5}}}
    /// ```
    ///
    /// A reading is that of a metric source, as in journals: `"no_data"`, `"not_finite"`, `{"value":0.5}`,
    /// `{"counts":{"total":90,"bad":1}}`, or `{"buckets":{"bounds":[100.0],"counts":[89,1]}}` with bounds in milliseconds
    /// and one more count than bounds. Further keys are `notes` and, for requests, `pods`: what a person should know
    /// of the reading, and what each of a side's pods served.
    ///
    /// # Errors
    /// What the writer gives.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        let asked = |Track { query, .. }: &Track| Asked {
            signal: query.signal.clone(),
            text: query.text.as_deref().map(str::to_owned),
        };
        let header = Header {
            recording: VERSION,
            span: self.span,
            windows: self.len(),
            asked: self.tracks.iter().map(asked).collect(),
        };
        write_line(&mut out, &header)?;
        let of = |track: &'_ Track| (track.query.signal.clone(), track.windows.clone());
        let mut lines: Vec<(Signal, Measured)> = (self.tracks.iter().map(of))
            .flat_map(|(signal, windows)| windows.into_iter().map(move |w| (signal.clone(), w)))
            .collect();
        lines.sort_by_key(|(_, measured)| measured.covered.until);
        lines.into_iter().try_for_each(|line| write_line(&mut out, &Line::from(line)))
    }

    /// Reads what [`write`](Self::write) wrote; it is the same then.
    ///
    /// # Errors
    /// [`RecordingError`], for a line that is missing too.
    pub fn read(from: impl BufRead) -> Result<Self, RecordingError> {
        let mut lines = from.lines().zip(1..);
        let (text, _) = lines.next().unwrap_or((Ok(String::new()), 1));
        let (mut recording, windows) = begin(&text?)?;
        let mut last = 1;
        for (text, line) in lines {
            let text = text?;
            let wrong = |found: String, expected: String| {
                Err(RecordingError::Line { line, found, expected })
            };
            if line - 1 > windows {
                return wrong(
                    "there is one more line".to_owned(),
                    format!("the end after {windows} windows"),
                );
            }
            let Line { signal, covered, sides, notes, pods } = match serde_json::from_str(&text) {
                Ok(line) => line,
                Err(error) => return wrong(error.to_string(), LINE.to_owned()),
            };
            let pods = pods.unwrap_or_default();
            if let Err(error) = recording.push(&signal, Measured { covered, sides, notes, pods }) {
                return wrong(error.found, error.expected);
            }
            last = line;
        }
        if recording.len() < windows {
            let found = format!("it ends after {} windows", recording.len());
            return Err(RecordingError::Line {
                line: last + 1,
                found,
                expected: format!("{windows} of them"),
            });
        }
        Ok(recording)
    }
}

/// Reads the header, and how many windows follow.
fn begin(text: &str) -> Result<(Recording, usize), RecordingError> {
    let wrong = |found: String, expected: &str| RecordingError::Line {
        line: 1,
        found,
        expected: expected.to_owned(),
    };
    let header: Header =
        serde_json::from_str(text).map_err(|error| wrong(error.to_string(), HEADER))?;
    if header.recording != VERSION {
        return Err(wrong(format!("the form has the version {}", header.recording), "version 1"));
    }
    let Header { span, windows, asked, .. } = header;
    let query = |Asked { signal, text }| Query {
        text: text.map(Into::into),
        ..Query::new(signal, span.after)
    };
    let all = asked.len();
    let recording = Recording::new(span, asked.into_iter().map(query));
    if span.is_empty() || recording.tracks.len() < all {
        return Err(wrong("the span is empty, or a signal is named twice".to_owned(), HEADER));
    }
    Ok((recording, windows))
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

impl From<(Signal, Measured)> for Line {
    fn from((signal, measured): (Signal, Measured)) -> Self {
        let Measured { covered, sides, notes, pods } = measured;
        let told = !pods.stable.is_empty() || !pods.canary.is_empty();
        Self { signal, covered, sides, notes, pods: told.then_some(pods) }
    }
}
