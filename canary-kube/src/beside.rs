//! What the canary gets beside its weight: requests by their headers, and copies.

use std::collections::BTreeMap;

use canary_core::ports::PortError;
use canary_core::value::{FailureKind, Side};
use serde_json::Value;

use crate::fence::counts_header;
use crate::form::{Mirror, RuleForm, own_name};
use crate::rule::label;
use crate::selector::Selector;
use crate::split::{Place, Split, invalid};

/// What the canary gets beside its weight.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) own: Option<usize>,
    pub(crate) header: BTreeMap<String, String>,
    pub(crate) open: bool,
    pub(crate) mirror: Mirror,
}

impl Selector {
    /// Reads what the canary gets by header and as copies.
    pub(crate) fn beside_weights(
        &self,
        object: &Value,
        rules: &[Value],
        rule: usize,
        canary: &Value,
    ) -> Beside {
        let Some(form) = self.form else {
            return Beside::default();
        };
        let mirror = form.mirror_of(&rules[rule], canary);
        let beside = Beside { mirror, ..Beside::default() };
        if let Some(name) = &self.users_header {
            let users = rules.iter().position(|rule| rule["name"] == name.as_str());
            let users = users.filter(|&users| takes_before(form, users, rule));
            let users = users.map(|users| &rules[users]);
            let users = users.filter(|users| counts_header(object) && form.reaches(users, canary));
            let header = users.map(|users| form.header_of(users, &Value::Null));
            return Beside { header: header.unwrap_or_default(), ..beside };
        }
        let name = own_name(&rules[rule]);
        let Some(own) = rules.iter().position(|rule| rule["name"] == name.as_str()) else {
            return beside;
        };
        let taken = takes_before(form, own, rule) && form.reaches(&rules[own], canary);
        let header = form.header_of(&rules[own], &rules[rule]);
        let open = taken && header.is_empty();
        let header = if taken { header } else { BTreeMap::new() };
        Beside { own: Some(own), header, open, ..beside }
    }

    /// Returns the user's own rule that sends requests by these headers to the canary.
    ///
    /// # Errors
    /// `NotFound` where there is none of that name, `Invalid` where it does something else.
    pub(crate) fn check_users_header(
        &self,
        object: &Value,
        split: &Split,
        header: &BTreeMap<String, String>,
    ) -> Result<(), PortError> {
        let (Some(name), Some(form)) = (&self.users_header, self.form) else {
            return Ok(());
        };
        let rules = self.rules(object);
        let Some(index) = rules.iter().position(|rule| rule["name"] == name.as_str()) else {
            let message = format!("no rule named `{name}`; there is {}", self.list(rules));
            return Err(PortError::new(FailureKind::NotFound, message));
        };
        let Place { rule, canary, .. } = &split.place;
        let entries = self.entries(&rules[*rule]);
        let before = takes_before(form, index, *rule);
        let reaches = before && form.reaches(&rules[index], &entries[canary.entry]);
        let found = form.header_of(&rules[index], &Value::Null);
        if reaches && found == *header {
            return Ok(());
        }
        Err(invalid(format!(
            "{} must stand in front of {}, ask for the headers {header:?} and send to `{}`; it asks for {found:?}",
            label(index, &rules[index]),
            label(*rule, &rules[*rule]),
            self.name(Side::Canary),
        )))
    }
}

/// Tells whether one rule takes requests that both match, being one that asks for more.
fn takes_before(form: &dyn RuleForm, one: usize, other: usize) -> bool {
    if form.first_wins() { one < other } else { one != other }
}
