//! Which rule of an object is meant, and where its two destinations are.

use canary_core::ports::PortError;
use canary_core::value::{BySide, FailureKind, Side};
use json_patch::jsonptr::PointerBuf;
use serde_json::Value;

use crate::split::{Place, Slot, Split, invalid};

/// Describes a kind of route object, laid out as `spec.{rules}[i].{entries}[j].weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "adapters write it down as a constant")]
pub struct RouteKind {
    /// The API group: `networking.istio.io`.
    pub group: &'static str,
    /// The version of the group: `v1`.
    pub version: &'static str,
    /// The kind: `VirtualService`.
    pub kind: &'static str,
    /// The kind as it stands in a path: `virtualservices`.
    pub plural: &'static str,
    /// The list of rules in `spec`: `http`. A rule may have a `name`.
    pub rules: &'static str,
    /// The list of weighted destinations in a rule: `route`.
    pub entries: &'static str,
    /// What an entry without a `weight` weighs beside others.
    pub default_weight: u64,
}

/// Chooses one rule of a route object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The only one that has both destinations.
    Only,
    /// The one with this name.
    Named(String),
    /// The one at this place, counted from 0.
    At(usize),
}

/// Chooses the two destinations in one rule of a kind of route object.
#[derive(Clone, Debug)]
pub struct Selector {
    pub(crate) kind: RouteKind,
    rule: Rule,
    /// The path from an entry to what names its destination.
    pub(crate) named_at: &'static [&'static str],
    pub(crate) names: BySide<String>,
}

impl Selector {
    /// Chooses the entries whose value at the path `named_at`, such as `["destination", "subset"]`, is the name
    /// of stable's or the canary's destination.
    #[must_use]
    pub const fn new(
        kind: RouteKind,
        rule: Rule,
        named_at: &'static [&'static str],
        names: BySide<String>,
    ) -> Self {
        Self { kind, rule, named_at, names }
    }

    /// Returns the name by which the rule is known, if it is by name.
    pub(crate) fn rule_name(&self) -> Option<&str> {
        match &self.rule {
            Rule::Named(name) => Some(name),
            Rule::Only | Rule::At(_) => None,
        }
    }

    /// Returns the path to the rule that a place is in.
    pub(crate) fn rule_path(&self, place: &Place) -> PointerBuf {
        let rule = place.rule.to_string();
        PointerBuf::from_tokens(["spec", self.kind.rules, &rule])
    }

    /// Returns the path to one side's entry.
    pub(crate) fn entry_path(&self, place: &Place, side: Side) -> PointerBuf {
        let entry = place.slot(side).entry;
        let mut path = self.rule_path(place);
        path.push_back(self.kind.entries);
        path.push_back(entry);
        path
    }

    /// Finds the rule and its two destinations.
    ///
    /// # Errors
    /// `NotFound` where one is missing, `Invalid` where more than one could be meant; both say what there is.
    pub(crate) fn find(&self, object: &Value) -> Result<Split, PortError> {
        if self.names.stable == self.names.canary {
            return Err(invalid(format!(
                "stable and canary are the same destination `{}`",
                self.names.stable
            )));
        }
        let rules = object["spec"][self.kind.rules].as_array();
        let rules = rules.map_or(&[][..], Vec::as_slice);
        let rule = self.choose(rules)?;
        let entries = self.entries(&rules[rule]);
        let slot = |side| self.slot(&label(rule, &rules[rule]), entries, side);
        let place = Place { rule, stable: slot(Side::Stable)?, canary: slot(Side::Canary)? };
        Ok(Split {
            others: self.others(entries, &place),
            default_weight: self.kind.default_weight,
            place,
        })
    }

    fn choose(&self, rules: &[Value]) -> Result<usize, PortError> {
        let matching: Vec<usize> = match &self.rule {
            Rule::At(index) => (*index..rules.len()).take(1).collect(),
            Rule::Named(name) => indices(rules, |rule| rule["name"] == name.as_str()),
            Rule::Only => indices(rules, |rule| self.holds_both(rule)),
        };
        let wanted = || match &self.rule {
            Rule::At(index) => format!("at place {index}"),
            Rule::Named(name) => format!("named `{name}`"),
            Rule::Only => format!("with both `{}` and `{}`", self.names.stable, self.names.canary),
        };
        match matching[..] {
            [index] => Ok(index),
            [] => Err(PortError::new(
                FailureKind::NotFound,
                format!("no rule {}; there is {}", wanted(), self.list(rules)),
            )),
            _ => {
                let labels: Vec<_> = matching.iter().map(|&i| label(i, &rules[i])).collect();
                Err(invalid(format!(
                    "more than one rule {}: {}; say which one is meant",
                    wanted(),
                    labels.join(", ")
                )))
            }
        }
    }

    fn slot(&self, rule: &str, entries: &[Value], side: Side) -> Result<Slot, PortError> {
        let name = self.names.get(side).as_str();
        match indices(entries, |entry| self.name_of(entry) == Some(name))[..] {
            [entry] => Ok(Slot { entry, weight: entries[entry].get("weight").cloned() }),
            [] => Err(PortError::new(
                FailureKind::NotFound,
                format!(
                    "{rule} has no destination `{name}` for {side}; there is {}",
                    self.names_in(entries)
                ),
            )),
            _ => Err(invalid(format!("{rule} has the destination `{name}` more than once"))),
        }
    }

    fn others(&self, entries: &[Value], place: &Place) -> Vec<String> {
        let ours = [place.stable.entry, place.canary.entry];
        let weighs = |entry: &Value| {
            let weight = entry.get("weight");
            weight.map_or(self.kind.default_weight != 0, |w| w.as_u64() != Some(0))
        };
        let others = entries.iter().enumerate();
        others
            .filter(|(index, entry)| !ours.contains(index) && weighs(entry))
            .map(|(_, entry)| self.name_of(entry).unwrap_or("(unnamed)").to_owned())
            .collect()
    }

    fn holds_both(&self, rule: &Value) -> bool {
        let entries = self.entries(rule);
        Side::BOTH.iter().all(|&side| {
            let name = Some(self.names.get(side).as_str());
            entries.iter().any(|entry| self.name_of(entry) == name)
        })
    }

    fn entries<'a>(&self, rule: &'a Value) -> &'a [Value] {
        let entries = rule.get(self.kind.entries).and_then(Value::as_array);
        entries.map_or(&[], Vec::as_slice)
    }

    fn name_of<'a>(&self, entry: &'a Value) -> Option<&'a str> {
        let mut path = self.named_at.iter();
        path.try_fold(entry, |value, key| value.get(key))?.as_str()
    }

    fn names_in(&self, entries: &[Value]) -> String {
        let names = entries.iter().map(|entry| match self.name_of(entry) {
            Some(name) => format!("`{name}`"),
            None => "one without a name".to_owned(),
        });
        list_or(names.collect(), "none")
    }

    /// Lists the rules and their destinations for people.
    fn list(&self, rules: &[Value]) -> String {
        let rules = rules.iter().enumerate().map(|(index, rule)| {
            let names = self.names_in(self.entries(rule));
            format!("{} with {names}", label(index, rule))
        });
        list_or(rules.collect(), "no rule at all")
    }
}

fn indices(list: &[Value], keep: impl Fn(&Value) -> bool) -> Vec<usize> {
    (0..list.len()).filter(|&i| keep(&list[i])).collect()
}

fn label(index: usize, rule: &Value) -> String {
    match rule.get("name").and_then(Value::as_str) {
        Some(name) => format!("rule {index} (`{name}`)"),
        None => format!("rule {index}"),
    }
}

fn list_or(items: Vec<String>, none: &str) -> String {
    if items.is_empty() { none.to_owned() } else { items.join(", ") }
}
