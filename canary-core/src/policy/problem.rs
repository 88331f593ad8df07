//! What is wrong with a policy.

use std::fmt;

/// Says one thing that is wrong with a policy: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where it stands in the policy: `stages[2].weight`.
    pub path: String,
    /// Where it stands in the text, if there is one.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What was expected, or what to write instead.
    pub help: String,
}

/// Points into the text of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The whole line.
    pub text: String,
}

#[cfg(feature = "yaml")]
impl Place {
    /// Finds where `stages[2].weight` stands in the text of a policy, or the innermost thing around it; `None` where
    /// the text is no YAML. `file` is the name that it bears.
    #[must_use]
    pub fn find(file: &str, text: &str, path: &str) -> Option<Self> {
        super::text::place(file, text, path)
    }
}

/// How much of a line is shown, in characters, and how much of that before what is meant.
const SHOWN: usize = 160;
const BEFORE: usize = 60;

impl Place {
    /// Returns the line, of a long one what is around the place, and how many characters stand before that.
    fn excerpt(&self) -> (String, usize) {
        let (line, before) = (self.text.trim_end(), self.column.saturating_sub(1));
        if line.chars().count() <= SHOWN {
            return (line.to_owned(), before);
        }
        let left_out = before.saturating_sub(BEFORE);
        let mut text: String = line.chars().skip(left_out).take(SHOWN).collect();
        if line.chars().nth(left_out + SHOWN).is_some() {
            text.push('…');
        }
        if left_out == 0 { (text, before) } else { (format!("…{text}"), before - left_out + 1) }
    }
}

impl Problem {
    pub(super) fn new(
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), place: None, message: message.into(), help: help.into() }
    }

    /// Points at a line and column of a text whose name and words are filled in later.
    #[cfg(feature = "yaml")]
    pub(super) fn standing(mut self, (line, column): (usize, usize)) -> Self {
        self.place = Some(Place { file: String::new(), line, column, text: String::new() });
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = format!("error: {}", self.message);
        shown(f, &head, self.place.as_ref(), &self.path, &self.help)
    }
}

/// Writes what was found in a policy: what, where, and what to do about it.
pub(crate) fn shown(
    f: &mut fmt::Formatter<'_>,
    head: &str,
    place: Option<&Place>,
    path: &str,
    help: &str,
) -> fmt::Result {
    writeln!(f, "{head}")?;
    let Some(place) = place else {
        return write!(f, "  at {path}\n  = {help}");
    };
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    writeln!(f, "{margin} ┌─ {}:{}:{}", place.file, place.line, place.column)?;
    let (text, before) = place.excerpt();
    writeln!(f, "{number} │ {text}")?;
    writeln!(f, "{margin} │ {}^", " ".repeat(before))?;
    write!(f, "{margin} = {help}")
}

/// Holds everything that is wrong with a policy, in the order in which it stands there.
#[derive(Clone, PartialEq, Eq)]
pub struct PolicyError {
    problems: Vec<Problem>,
}

impl PolicyError {
    pub(super) const fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// Returns each thing that is wrong; at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        match self.problems.len() {
            1 => write!(f, "the policy has 1 error"),
            n => write!(f, "the policy has {n} errors"),
        }
    }
}

/// Writes what `Display` does, so that an `unwrap()` in a test shows the errors as they are meant to be read.
impl fmt::Debug for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for PolicyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_line_what_matters_is_shown() {
        let text: String = (0..5000).map(|i| if i == 4000 { 'X' } else { 'a' }).collect();
        for (column, text) in [(4001, text.clone()), (1, text.replace('a', "X")), (5001, text)] {
            let place = Place { file: "shop".to_owned(), line: 1, column, text };
            let (shown, before) = place.excerpt();
            assert!(shown.chars().count() <= SHOWN + 2, "{shown}");
            assert!(matches!(shown.chars().nth(before), Some('X') | None), "{shown} {before}");
        }
        let place = Place { file: "shop".to_owned(), line: 1, column: 3, text: "a: b ".to_owned() };
        assert_eq!(place.excerpt(), ("a: b".to_owned(), 2));
    }
}
