//! Queries with `{{ variables }}` in them.
//!
//! A variable's value is taken literally wherever it stands. A template engine
//! knows nothing of PromQL, so rendering has two steps: the engine marks what
//! came out of an expression, then [`place`] writes each such value as the spot
//! demands where it stands.

use std::collections::{BTreeMap, HashSet};
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

/// The only variable that a text which is no query has beside the user's own.
pub(crate) const ROLLOUT: &str = OWN_VARIABLES[0];

/// As odd as the name of a rollout can be.
const SAMPLE_ROLLOUT: &str = "0-sample_rollout.1";

/// The name of another one.
const OTHER_ROLLOUT: &str = "other";

/// Renders texts that are no queries: values stand in them as they are.
static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine
});

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = PLAIN.clone();
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
        let known = self.all(variables, "", Side::Stable, "");
        if let Some(name) = self.used()?.into_iter().find(|name| !known.contains_key(&**name)) {
            return Err(QueryProblem::UnknownVariable { name, known: variables.names() });
        }
        Ok(BySide {
            stable: self.render_as(variables, SAMPLE_ROLLOUT, Side::Stable, SHORTEST_WINDOW)?,
            canary: self.render_as(variables, SAMPLE_ROLLOUT, Side::Canary, SHORTEST_WINDOW)?,
        })
    }

    /// Renders it for both sides of two looks that have nothing in common: what is the same in all, always is.
    pub(crate) fn samples(&self, variables: &Variables) -> Result<[String; 4], QueryProblem> {
        let one = |side| self.render_as(variables, SAMPLE_ROLLOUT, side, SHORTEST_WINDOW);
        let other = |side| self.render_as(variables, OTHER_ROLLOUT, side, SHORTEST_WINDOW * 2);
        let (stable, canary) = (Side::Stable, Side::Canary);
        Ok([one(stable)?, one(canary)?, other(stable)?, other(canary)?])
    }

    /// Checks that a text which is no query can be rendered.
    pub(crate) fn try_out_text(&self, own: &BTreeMap<String, String>) -> Result<(), QueryProblem> {
        let known = |name: &str| name == ROLLOUT || own.contains_key(name);
        if let Some(name) = self.used()?.into_iter().find(|name| !known(name)) {
            let names: Vec<_> = [ROLLOUT].into_iter().chain(own.keys().map(|k| &**k)).collect();
            return Err(QueryProblem::UnknownVariable { name, known: names.join(", ") });
        }
        self.text(own, SAMPLE_ROLLOUT).map(drop)
    }

    /// Renders a text which is no query.
    pub(crate) fn text(
        &self,
        own: &BTreeMap<String, String>,
        rollout: &str,
    ) -> Result<String, QueryProblem> {
        let own = own.iter().map(|(name, value)| (&**name, &**value));
        let all = BTreeMap::from_iter(own.chain([(ROLLOUT, rollout)]));
        PLAIN.render_str(&self.text, Value::from_pairs(all)).map_err(not_rendered)
    }

    /// Returns the variables that the template names.
    fn used(&self) -> Result<HashSet<String>, QueryProblem> {
        let template = ENGINE.template_from_str(&self.text).map_err(not_rendered)?;
        Ok(template.undeclared_variables(false))
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
