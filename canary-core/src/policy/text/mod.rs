//! Policies in the form that people write: `15m`, `1%`, `1.5x stable`.
//!
//! The text becomes a tree of nodes that know their place ([`node`]), the tree
//! becomes a [`PolicySpec`](super::PolicySpec) with a list of what could not be read
//! ([`read`]), and the spec is validated; all problems are shown together.

mod checks;
mod cursor;
mod gates;
mod metrics;
mod mode;
mod node;
mod read;
mod scalar;
mod stages;

use read::Reading;

use super::problem::Place;
use super::{Policy, PolicyError, Problem, validate};

/// Reads a policy; `file` stands in its errors.
pub(super) fn read(file: &str, text: &str) -> Result<Policy, PolicyError> {
    let root = node::parse(text).map_err(|error| syntax_error(file, text, &error))?;
    let Reading { spec, mut problems, moved } = read::policy(&root);
    problems.extend(validate::problems_beside(&spec, &problems, |path| moved.in_text(path)));
    if problems.is_empty() {
        return Policy::from_spec(spec);
    }
    for problem in &mut problems {
        let (line, column) = match &problem.place {
            Some(place) => (place.line, place.column),
            None => root.nearest(&problem.path),
        };
        problem.place = Some(line_at(file, text, line, column));
    }
    problems.sort_by_key(|p| p.place.as_ref().map(|place| (place.line, place.column)));
    Err(PolicyError::new(problems))
}

/// Finds the place of a path in the text; `file` stands in it.
pub(super) fn place(file: &str, text: &str, path: &str) -> Option<Place> {
    let root = node::parse(text).ok()?;
    let path = read::policy(&root).moved.in_text(path.to_owned());
    let (line, column) = root.nearest(&path);
    Some(line_at(file, text, line, column))
}

fn line_at(file: &str, text: &str, line: usize, column: usize) -> Place {
    let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    Place { file: file.to_owned(), line, column, text: shown.to_owned() }
}

fn syntax_error(file: &str, text: &str, error: &serde_saphyr::Error) -> PolicyError {
    let bare = error.without_snippet();
    let (line, column) =
        bare.location().map_or((1, 1), |at| (at.line() as usize, at.column() as usize));
    let mut problem = Problem::new(
        "",
        in_our_words(&bare.to_string()),
        "mend the YAML first; what it says is checked after that",
    );
    problem.place = Some(line_at(file, text, line.max(1), column.max(1)));
    PolicyError::new(vec![problem])
}

/// Leaves out what the YAML reader says to the programs that use it.
fn in_our_words(message: &str) -> String {
    let end = [", set DuplicateKeyPolicy", "; use from_str_multiple"]
        .iter()
        .filter_map(|hint| message.find(hint))
        .min();
    let message = &message[..end.unwrap_or(message.len())];
    if message.contains("budget breached") {
        return "it is larger, or deeper, than any policy can be".to_owned();
    }
    message
        .replace(" rejected by the configured policy", " is no number that a policy can hold")
        .replace(" are not allowed by configured policy", " are not read in a policy")
        .replace(" is not allowed by configured policy", " is not read in a policy")
}

#[cfg(test)]
mod tests;
