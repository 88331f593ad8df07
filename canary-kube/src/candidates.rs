//! What could be meant where nobody can say what is: enough to take traffic away from the canary.

use canary_core::value::{BySide, Side};
use serde_json::Value;

use crate::rule::Rule;
use crate::selector::{Selector, users};

impl Selector {
    /// Returns a selector for each pair of destinations that could be meant: itself where that is clear, else one for
    /// each rule of those that has both, and there for each of the canary's entries.
    pub(crate) fn candidates(&self, object: &Value) -> Vec<Self> {
        if self.find(object).is_ok() {
            return vec![self.clone()];
        }
        if self.name_of_both().is_some() {
            return Vec::new();
        }
        let rules = self.rules(object);
        let places = users(rules).into_iter().enumerate();
        let matching = self.matching(rules);
        let meant = places.filter(|(_, index)| matching.contains(index));
        meant.flat_map(|(place, index)| self.pairs(place, &rules[index])).collect()
    }

    /// Returns a selector for each of the canary's entries in the rule at this place.
    fn pairs(&self, place: usize, rule: &Value) -> Vec<Self> {
        let entries = self.entries(rule);
        let Some(&stable) = self.entries_of(entries, Side::Stable).first() else {
            return Vec::new();
        };
        let canaries = self.entries_of(entries, Side::Canary).into_iter().enumerate();
        let pairs = canaries.map(|(nth, canary)| {
            let mut pair = self.clone();
            (pair.rule, pair.entries_at) = (Rule::At(place), Some(BySide { stable, canary }));
            // What the rule has beside weights is taken away once.
            pair.form = self.form.filter(|_| nth == 0);
            pair
        });
        pairs.collect()
    }
}
