//! What makes two states the same: everything that the machine's `Debug` shows, but for what it never reads again.

use std::fmt::{self, Debug, Write};

use canary_core::value::Timestamp;

/// Writes a state in a canonical form: times relative to now, and neither policy, report nor the text of records.
///
/// It goes by the derived `Debug`, so that a field that is added to the machine is part of the key.
pub(crate) fn key(value: &dyn Debug, now: Timestamp) -> String {
    let mut text = String::new();
    write!(text, "{value:?}").unwrap_or_default();
    let mut key = String::with_capacity(text.len() / 4);
    let mut rest = text.as_str();
    while let Some(at) = MARKS.iter().filter_map(|mark| rest.find(mark)).min() {
        key.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = if let Some(time) = rest.strip_prefix("Timestamp(") {
            relative(time, now, &mut key)
        } else {
            skipped(rest)
        };
    }
    key.push_str(rest);
    key
}

const MARKS: [&str; 4] = ["Timestamp(", "report: Report {", "policy: Policy {", "content: "];

/// Times long past differ in nothing.
const LONG_PAST: i128 = -400_000;

fn relative<'a>(text: &'a str, now: Timestamp, key: &mut String) -> &'a str {
    let end = text.find(')').unwrap_or(text.len());
    let at: i128 = text[..end].parse().unwrap_or(0);
    let from_now = (at - i128::from(now.as_millis())).max(LONG_PAST);
    let _: fmt::Result = write!(key, "{from_now}");
    &text[(end + 1).min(text.len())..]
}

/// Skips a field up to the end of its value; the model's own texts hold no brackets.
fn skipped(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' if depth <= 1 => {
                // The bracket that closes the value, or the one around a value without any.
                return &text[at + usize::from(depth == 1)..];
            }
            '}' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => return &text[at..],
            _ => {}
        }
    }
    ""
}
