//! Which rule of an object is meant, and where its two destinations are.

use canary_core::ports::PortError;
use canary_core::value::{BySide, FailureKind, Side};
use json_patch::jsonptr::PointerBuf;
use serde_json::Value;

use crate::beside::Beside;
use crate::form::{RuleForm, is_own};
use crate::rule::{Rule, delegate, has_match, label, list_or};
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

impl RouteKind {
    /// Tells whether both lie in the same objects, of whichever of their rules they speak.
    pub(crate) fn is_same_resource(&self, other: &Self) -> bool {
        (self.group, self.plural) == (other.group, other.plural)
    }
}

/// Chooses the two destinations in one rule of a kind of route object.
#[derive(Clone, Debug)]
pub struct Selector {
    pub(crate) kind: RouteKind,
    pub(crate) rule: Rule,
    /// What tells the two destinations: the first by their names, the others in common.
    known_by: Vec<KnownBy>,
    /// The entries that are meant, where what they are known by does not tell.
    pub(crate) entries_at: Option<BySide<usize>>,
    pub(crate) form: Option<&'static dyn RuleForm>,
    /// The user's own rule that sends requests to the canary by their headers.
    pub(crate) users_header: Option<String>,
}

/// Holds what stands in an entry for a destination to be meant.
#[derive(Clone, Debug)]
struct KnownBy {
    /// The path from an entry.
    at: &'static [&'static str],
    any_of: BySide<Vec<String>>,
}

impl Selector {
    /// Chooses the entries whose value at the path `named_at`, such as `["destination", "subset"]`, is the name
    /// of stable's or the canary's destination.
    #[must_use]
    pub fn new(
        kind: RouteKind,
        rule: Rule,
        named_at: &'static [&'static str],
        names: BySide<String>,
    ) -> Self {
        let any_of = BySide { stable: vec![names.stable], canary: vec![names.canary] };
        let known_by = vec![KnownBy { at: named_at, any_of }];
        Self { kind, rule, known_by, entries_at: None, form: None, users_header: None }
    }

    /// Knows the destinations by these other names, too, which mean the same.
    #[must_use]
    pub fn or_named(mut self, names: BySide<Vec<String>>) -> Self {
        let BySide { stable, canary } = names;
        self.known_by[0].any_of.stable.extend(stable);
        self.known_by[0].any_of.canary.extend(canary);
        self
    }

    /// Takes only entries that have one of these values at the path `at`, on both sides.
    #[must_use]
    pub fn only_at(mut self, at: &'static [&'static str], values: Vec<String>) -> Self {
        let any_of = BySide { stable: values.clone(), canary: values };
        self.known_by.push(KnownBy { at, any_of });
        self
    }

    /// Sends requests by their headers and copies them, too, as rules of this kind say it.
    #[must_use]
    pub fn with_form(mut self, form: &'static dyn RuleForm) -> Self {
        self.form = Some(form);
        self
    }

    /// Leaves it to the user's own rule of this name to send requests to the canary by their headers.
    #[must_use]
    pub fn with_users_header(mut self, rule: impl Into<String>) -> Self {
        self.users_header = Some(rule.into());
        self
    }

    /// Returns the name by which the rule is known, if it is by name.
    pub(crate) fn rule_name(&self) -> Option<&str> {
        match &self.rule {
            Rule::Named(name) => Some(name),
            Rule::Only | Rule::At(_) | Rule::Matching(_) => None,
        }
    }

    /// Tells whether a rule and its destinations can be told from others without reading the whole object.
    pub(crate) const fn is_told_by_place(&self) -> bool {
        !matches!(self.rule, Rule::Matching(_))
    }

    pub(crate) const fn leaves_header_to_user(&self) -> bool {
        self.users_header.is_some()
    }

    /// Returns the path to the rule at this index.
    pub(crate) fn rule_path(&self, rule: usize) -> PointerBuf {
        PointerBuf::from_tokens(["spec", self.kind.rules, &rule.to_string()])
    }

    /// Returns the path to one side's entry.
    pub(crate) fn entry_path(&self, place: &Place, side: Side) -> PointerBuf {
        let mut path = self.rule_path(place.rule);
        path.push_back(self.kind.entries);
        path.push_back(place.slot(side).entry);
        path
    }

    /// Returns the paths, from an entry, to what its destination is known by.
    pub(crate) fn known_at(&self) -> impl Iterator<Item = &'static [&'static str]> {
        self.known_by.iter().map(|known_by| known_by.at)
    }

    /// Finds the rule and what it gives the canary.
    ///
    /// # Errors
    /// `NotFound` where one is missing, `Invalid` where more than one could be meant; both say what there is.
    pub(crate) fn find(&self, object: &Value) -> Result<Split, PortError> {
        if let Some(name) = self.name_of_both() {
            return Err(invalid(format!("stable and canary are the same destination `{name}`")));
        }
        let rules = self.rules(object);
        let rule = self.choose(rules)?;
        let entries = self.entries(&rules[rule]);
        let slot = |side| self.slot(&label(rule, &rules[rule]), entries, side);
        let (stable, canary) = (slot(Side::Stable)?, slot(Side::Canary)?);
        let others = self.others(entries, [stable.entry, canary.entry]);
        let beside = self.beside_weights(object, rules, rule, &entries[canary.entry]);
        let Beside { own, header, open, mirror } = beside;
        let place = Place { rule, stable, canary, own, header, mirror };
        Ok(Split { place, default_weight: self.kind.default_weight, others, open })
    }

    /// Returns the name that is said to be both destinations'.
    pub(crate) fn name_of_both(&self) -> Option<&str> {
        let BySide { stable, canary } = &self.known_by[0].any_of;
        stable.iter().find(|name| canary.contains(name)).map(String::as_str)
    }

    /// Returns the rules of the object.
    pub(crate) fn rules<'a>(&self, object: &'a Value) -> &'a [Value] {
        let rules = object["spec"][self.kind.rules].as_array();
        rules.map_or(&[][..], Vec::as_slice)
    }

    /// Returns the rules that are meant.
    pub(crate) fn matching(&self, rules: &[Value]) -> Vec<usize> {
        let users = users(rules);
        let those = |keep: &dyn Fn(&Value) -> bool| -> Vec<usize> {
            users.iter().copied().filter(|&index| keep(&rules[index])).collect()
        };
        match &self.rule {
            Rule::At(place) => users.get(*place).copied().into_iter().collect(),
            Rule::Named(name) => those(&|rule| rule["name"] == name.as_str()),
            Rule::Only => those(&|rule| self.holds_both(rule)),
            Rule::Matching(wanted) => those(&|rule| has_match(rule, wanted)),
        }
    }

    fn choose(&self, rules: &[Value]) -> Result<usize, PortError> {
        let matching = self.matching(rules);
        let wanted = || match &self.rule {
            Rule::At(index) => format!("at place {index}"),
            Rule::Named(name) => format!("named `{name}`"),
            Rule::Only => {
                format!("with both `{}` and `{}`", self.name(Side::Stable), self.name(Side::Canary))
            }
            Rule::Matching(wanted) => format!("with a match that has {wanted}"),
        };
        match matching[..] {
            [index] => self.not_delegated(index, &rules[index]),
            [] => Err(PortError::new(
                FailureKind::NotFound,
                format!("no rule {}; there is {}", wanted(), self.list(rules)),
            )),
            _ => {
                let labels: Vec<_> = matching.iter().map(|&i| label(i, &rules[i])).collect();
                Err(invalid(format!(
                    "more than one rule {}: {}; say by its name or its place which one is meant",
                    wanted(),
                    labels.join(", ")
                )))
            }
        }
    }

    /// Refuses a rule that only names another object.
    fn not_delegated(&self, index: usize, rule: &Value) -> Result<usize, PortError> {
        match delegate(rule) {
            Some(object) if self.entries(rule).is_empty() => Err(invalid(format!(
                "{} is delegated to {} {object}: that object is the one to shift traffic in",
                label(index, rule),
                self.kind.kind
            ))),
            _ => Ok(index),
        }
    }

    fn slot(&self, rule: &str, entries: &[Value], side: Side) -> Result<Slot, PortError> {
        let name = self.name(side);
        let found = match &self.entries_at {
            Some(at) => vec![*at.get(side)],
            None => self.entries_of(entries, side),
        };
        match found[..] {
            [entry] => {
                let known_by = self.known_by.iter();
                let known_by = known_by.filter_map(|known| at(&entries[entry], known.at).cloned());
                let weight = entries[entry].get("weight").cloned();
                Ok(Slot { entry, known_by: known_by.collect(), weight })
            }
            [] => Err(PortError::new(
                FailureKind::NotFound,
                format!(
                    "{rule} has no destination `{name}` for {side}{}; there is {}",
                    self.in_common(),
                    self.names_in(entries)
                ),
            )),
            _ => Err(invalid(format!("{rule} has the destination `{name}` more than once"))),
        }
    }

    /// Returns which entries are this side's.
    pub(crate) fn entries_of(&self, entries: &[Value], side: Side) -> Vec<usize> {
        indices(entries, |entry| self.is(entry, side))
    }

    /// Says what further tells the destinations, for people.
    fn in_common(&self) -> String {
        let further = self.known_by[1..].iter();
        further.map(|known| format!(" at `{}`", known.any_of.stable.join("` or `"))).collect()
    }

    fn others(&self, entries: &[Value], ours: [usize; 2]) -> Vec<String> {
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
        Side::BOTH.iter().all(|&side| entries.iter().any(|entry| self.is(entry, side)))
    }

    /// Returns the entries of a rule.
    pub(crate) fn entries<'a>(&self, rule: &'a Value) -> &'a [Value] {
        let entries = rule.get(self.kind.entries).and_then(Value::as_array);
        entries.map_or(&[], Vec::as_slice)
    }

    /// Tells whether an entry is this side's.
    fn is(&self, entry: &Value, side: Side) -> bool {
        self.known_by.iter().all(|known| {
            let value = at(entry, known.at).and_then(Value::as_str);
            value.is_some_and(|value| known.any_of.get(side).iter().any(|name| name == value))
        })
    }

    /// Returns the name of a side's destination, as it was chosen.
    pub(crate) fn name(&self, side: Side) -> &str {
        let names = self.known_by[0].any_of.get(side);
        names.first().map_or("", String::as_str)
    }

    fn name_of<'a>(&self, entry: &'a Value) -> Option<&'a str> {
        at(entry, self.known_by[0].at)?.as_str()
    }

    fn names_in(&self, entries: &[Value]) -> String {
        let names = entries.iter().map(|entry| match self.name_of(entry) {
            Some(name) => format!("`{name}`"),
            None => "one without a name".to_owned(),
        });
        list_or(names.collect(), "none")
    }

    /// Lists the rules and their destinations for people.
    pub(crate) fn list(&self, rules: &[Value]) -> String {
        let rules = rules.iter().enumerate().map(|(index, rule)| match delegate(rule) {
            Some(object) => {
                format!("{}, delegated to {} {object}", label(index, rule), self.kind.kind)
            }
            None => format!("{} with {}", label(index, rule), self.names_in(self.entries(rule))),
        });
        list_or(rules.collect(), "no rule at all")
    }
}

fn at<'a>(entry: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(entry, |value, key| value.get(key))
}

/// Returns the rules that no rollout has put there.
pub(crate) fn users(rules: &[Value]) -> Vec<usize> {
    indices(rules, |rule| !is_own(rule))
}

fn indices(list: &[Value], keep: impl Fn(&Value) -> bool) -> Vec<usize> {
    (0..list.len()).filter(|&i| keep(&list[i])).collect()
}
