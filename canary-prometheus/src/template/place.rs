//! Writes the values of variables into PromQL so that each is taken literally.

use crate::error::QueryProblem;

/// Begins and ends the value of an expression; Unicode sets them aside as no characters.
pub(super) const OPEN: char = '\u{FDD0}';
pub(super) const CLOSE: char = '\u{FDD1}';

/// Says where in PromQL a character stands.
#[derive(Clone, Copy)]
enum Place {
    Bare,
    Comment,
    String { quote: char, regex: bool },
}

/// Writes each marked value as its place demands.
pub(super) fn values(marked: &str) -> Result<String, QueryProblem> {
    let mut text = String::with_capacity(marked.len());
    let mut place = Place::Bare;
    let mut rest = marked;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == OPEN {
            let (value, behind) = rest.split_once(CLOSE).ok_or(QueryProblem::Marker)?;
            if value.contains(OPEN) {
                return Err(QueryProblem::Marker);
            }
            write_value(&mut text, value, place)?;
            rest = behind;
            continue;
        }
        place = match place {
            Place::Bare if matches!(c, '"' | '\'' | '`') => {
                let before = text.trim_end();
                let regex = before.ends_with("=~") || before.ends_with("!~");
                Place::String { quote: c, regex }
            }
            Place::Bare if c == '#' => Place::Comment,
            Place::Comment if c == '\n' => Place::Bare,
            Place::String { quote, .. } if c == quote => Place::Bare,
            same => same,
        };
        text.push(c);
        if matches!(place, Place::String { quote, .. } if quote != '`') && c == '\\' {
            let escaped = rest.chars().next().filter(|c| *c != OPEN);
            let escaped = escaped.ok_or(QueryProblem::BehindBackslash)?;
            text.push(escaped);
            rest = &rest[escaped.len_utf8()..];
        }
    }
    if text.contains(CLOSE) {
        return Err(QueryProblem::Marker);
    }
    Ok(text)
}

fn write_value(text: &mut String, value: &str, place: Place) -> Result<(), QueryProblem> {
    match place {
        Place::Bare | Place::Comment => {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
            if value.is_empty() || !value.chars().all(plain) {
                return Err(QueryProblem::Bare { value: value.to_owned() });
            }
            text.push_str(value);
        }
        Place::String { quote, regex } => {
            for c in value.chars() {
                if regex && r"\.+*?()|[]{}^$".contains(c) {
                    write_char(text, '\\', quote)?;
                }
                write_char(text, c, quote)?;
            }
        }
    }
    Ok(())
}

/// Writes one character of a string literal; between backquotes none can be escaped.
fn write_char(text: &mut String, c: char, quote: char) -> Result<(), QueryProblem> {
    match c {
        '`' if quote == '`' => return Err(QueryProblem::Backquote),
        '\\' if quote != '`' => text.push_str(r"\\"),
        '\n' if quote != '`' => text.push_str(r"\n"),
        c if c == quote => text.extend(['\\', c]),
        c => text.push(c),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marked(before: &str, value: &str, after: &str) -> String {
        format!("{before}{OPEN}{value}{CLOSE}{after}")
    }

    #[test]
    fn a_value_is_written_as_its_place_demands() {
        for (before, value, after, text) in [
            ("a{b=\"", r#"x"y\z"#, "\"}", r#"a{b="x\"y\\z"}"#),
            ("a{b='", "it's", "'}", r"a{b='it\'s'}"),
            ("a{b=\"", "two\nlines", "\"}", r#"a{b="two\nlines"}"#),
            ("a{b=~\"", "v1.2|x", "-.*\"}", r#"a{b=~"v1\\.2\\|x-.*"}"#),
            ("a{b!~ `", "v1.2", "`}", r"a{b!~ `v1\.2`}"),
            ("a{b=`", r"c:\d", "`}", r"a{b=`c:\d`}"),
            ("", "http", "_requests_total", "http_requests_total"),
            ("a{b=\"\\\"\"} # \"\n > ", "0.5", "", "a{b=\"\\\"\"} # \"\n > 0.5"),
        ] {
            assert_eq!(values(&marked(before, value, after)).unwrap(), text);
        }
    }

    #[test]
    fn a_value_that_could_change_the_query_is_refused() {
        for (before, value) in [
            ("sum(", "a) or vector(1"),
            ("a ", ""),
            ("a # ", "\n or b"),
            ("a{b=`", "`} or c{d=`"),
            ("a{b=\"\\", "x"),
            ("a{b=\"", "\u{FDD0}"),
        ] {
            assert!(values(&marked(before, value, "")).is_err(), "{before}{value}");
        }
        assert!(values("a{b=\"\u{FDD1}\"}").is_err());
    }

    /// Reads a literal between double quotes back, as PromQL does.
    fn read_back(literal: &str) -> String {
        let mut text = String::new();
        let mut chars = literal.chars();
        while let Some(c) = chars.next() {
            assert!(c != '"' && c != '\n', "the literal ends early: {literal}");
            text.push(match c {
                '\\' => match chars.next() {
                    Some('n') => '\n',
                    escaped => escaped.expect("something is escaped"),
                },
                c => c,
            });
        }
        text
    }

    proptest! {
        #[test]
        fn any_value_between_quotes_is_read_back_as_it_was(value in "[^\u{FDD0}\u{FDD1}]*") {
            let text = values(&marked("a{b=\"", &value, "\"}")).unwrap();
            let literal = text.strip_prefix("a{b=\"").and_then(|t| t.strip_suffix("\"}")).unwrap();
            prop_assert_eq!(read_back(literal), value);
        }
    }
}
