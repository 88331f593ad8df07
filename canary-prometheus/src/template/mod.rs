//! Queries with `{{ variables }}` in them.
//!
//! A variable's value is taken literally wherever it stands. A template engine
//! knows nothing of PromQL, so rendering has two steps: the engine marks what
//! came out of an expression, then [`place`] writes each such value as the spot
//! demands where it stands.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use canary_core::value::{BySide, RolloutId, Side, Window, millis};
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior};

use crate::error::QueryProblem;

mod place;

use place::{CLOSE, OPEN};

/// The variables that the source sets itself.
pub(crate) const OWN_VARIABLES: [&str; 3] = ["rollout", "variant", "window"];

/// How long `window` is at least: in less, a rate would lack the samples that it needs.
const SHORTEST_WINDOW: Duration = Duration::from_secs(60);

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_formatter(|out, _state, value| {
        write!(out, "{OPEN}{value}{CLOSE}").map_err(minijinja::Error::from)
    });
    engine
});

/// Holds what templates may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables {
    /// The user's own.
    pub(crate) own: BTreeMap<String, String>,
    /// The text of `variant` on each side.
    pub(crate) variant: BySide<String>,
}

impl Variables {
    /// Names all of them, for messages.
    fn names(&self) -> String {
        let own = self.own.keys().map(String::as_str);
        let names: Vec<_> = OWN_VARIABLES.into_iter().chain(own).collect();
        names.join(", ")
    }
}

/// Holds a query with variables in it.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    text: String,
    /// Variables of its own, which come before all others.
    bound: BTreeMap<String, BySide<String>>,
}

impl Template {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), bound: BTreeMap::new() }
    }

    /// Adds a variable that has its own value on each side.
    pub(crate) fn with_sides(mut self, name: &str, values: BySide<String>) -> Self {
        self.bound.insert(name.to_owned(), values);
        self
    }

    /// Adds a variable.
    pub(crate) fn fill_in(&mut self, name: &str, value: &str) {
        self.bound.insert(name.to_owned(), BySide::from_fn(|_| value.to_owned()));
    }

    fn all<'a>(
        &'a self,
        variables: &'a Variables,
        rollout: &'a str,
        side: Side,
        window: &'a str,
    ) -> BTreeMap<&'a str, &'a str> {
        let own = variables.own.iter().map(|(name, value)| (&**name, &**value));
        let variant = variables.variant.get(side).as_str();
        let bound = self.bound.iter().map(|(name, values)| (&**name, values.get(side).as_str()));
        own.chain(OWN_VARIABLES.into_iter().zip([rollout, variant, window])).chain(bound).collect()
    }

    /// Checks that the template can be rendered whatever the rollout is called, and renders it for both sides.
    pub(crate) fn try_out(&self, variables: &Variables) -> Result<BySide<String>, QueryProblem> {
        let template = ENGINE.template_from_str(&self.text).map_err(not_rendered)?;
        let used = template.undeclared_variables(false);
        let known = self.all(variables, "", Side::Stable, "");
        if let Some(name) = used.into_iter().find(|name| !known.contains_key(&**name)) {
            return Err(QueryProblem::UnknownVariable { name, known: variables.names() });
        }
        // As odd as the name of a rollout can be.
        let rollout = "0-sample_rollout.1";
        Ok(BySide {
            stable: self.render_as(variables, rollout, Side::Stable, SHORTEST_WINDOW)?,
            canary: self.render_as(variables, rollout, Side::Canary, SHORTEST_WINDOW)?,
        })
    }

    /// Renders the query of one side.
    pub(crate) fn render(
        &self,
        variables: &Variables,
        rollout: &RolloutId,
        side: Side,
        window: Window,
    ) -> Result<String, QueryProblem> {
        self.render_as(variables, rollout.as_str(), side, window.length())
    }

    fn render_as(
        &self,
        variables: &Variables,
        rollout: &str,
        side: Side,
        window: Duration,
    ) -> Result<String, QueryProblem> {
        let window = format!("{}ms", millis(window.max(SHORTEST_WINDOW)));
        let marked = ENGINE
            .render_str(&self.text, Value::from_pairs(self.all(variables, rollout, side, &window)))
            .map_err(not_rendered)?;
        place::values(marked.trim())
    }
}

fn not_rendered(error: minijinja::Error) -> QueryProblem {
    QueryProblem::Template(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        Variables {
            own: BTreeMap::from([("namespace".into(), "shop".into())]),
            variant: BySide { stable: "v1.0".into(), canary: "v\"2\\".into() },
        }
    }

    #[test]
    fn each_side_has_its_variant() {
        let template = Template::new(r#"up{ns="{{ namespace }}", variant="{{ variant }}"}"#);
        let sides = template.try_out(&variables()).unwrap();
        assert_eq!(sides.stable, r#"up{ns="shop", variant="v1.0"}"#);
        assert_eq!(sides.canary, r#"up{ns="shop", variant="v\"2\\"}"#);
    }

    #[test]
    fn an_unknown_variable_is_named_with_those_there_are() {
        let problem = Template::new("up{a=\"{{ varaint }}\"}").try_out(&variables()).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "there is no variable `varaint`; there are rollout, variant, window, namespace"
        );
    }

    #[test]
    fn what_cannot_be_rendered_is_refused() {
        for text in ["up{a=\"{{ variant\"}", "up{a=\"{{ variant.x }}\"}"] {
            let problem = Template::new(text).try_out(&variables()).unwrap_err();
            assert!(matches!(problem, QueryProblem::Template(_)), "{problem}");
        }
    }

    #[test]
    fn a_rollout_outside_quotes_is_refused_before_one_is_called_so() {
        let problem =
            Template::new("{{ rollout }}_requests_total").try_out(&variables()).unwrap_err();
        assert!(matches!(problem, QueryProblem::Bare { .. }), "{problem}");
    }
}
