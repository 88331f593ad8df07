//! Asks several questions for one number each as one question.
//!
//! Each question's series are marked by a label that says whose they are, and put together with `or`, which keeps
//! series whose labels differ. So a look with many numbers is one request, and all of them are of one instant.

use std::fmt::Write as _;

use crate::api::answer::{Answer, Data, Instant};
use crate::promql::is_scalar;

/// Says whose a series is.
const MARK: &str = "canary_query";

/// Puts queries together; nothing where there is nothing to put together, or one is not known to fit.
pub(crate) fn of(texts: &[String]) -> Option<String> {
    if texts.len() < 2 {
        return None;
    }
    let mut union = String::new();
    for (number, text) in texts.iter().enumerate() {
        if number > 0 {
            union.push_str(" or ");
        }
        let function = if is_scalar(text)? { "vector" } else { "" };
        // A comment at a text's end must not swallow what follows.
        write!(union, "label_replace({function}({text}\n), \"{MARK}\", \"{number}\", \"\", \"\")")
            .ok()?;
    }
    Some(union)
}

/// Takes the answer apart again; nothing where it is no answer to a union.
pub(crate) fn apart(answer: Answer, parts: usize) -> Option<Vec<Answer>> {
    let Data::Vector(series) = answer.data else { return None };
    let mut found: Vec<Vec<Instant>> = vec![Vec::new(); parts];
    for mut one in series {
        let number: usize = one.metric.remove(MARK)?.parse().ok()?;
        found.get_mut(number)?.push(one);
    }
    let answer = |series| Answer { data: Data::Vector(series), notes: answer.notes.clone() };
    Some(found.into_iter().map(answer).collect())
}
