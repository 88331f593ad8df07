//! How rules of an HTTPRoute send by header and mirror.

use std::collections::BTreeMap;

use canary_core::ports::PortError;
use canary_core::value::Weight;
use serde_json::{Map, Value, json};

use crate::form::{Mirror, RuleForm};
use crate::split::invalid;

/// What names a backend, beside its weight and filters; with what it is where nothing is said.
const BACKEND: [(&str, &str); 5] =
    [("group", ""), ("kind", "Service"), ("namespace", ""), ("name", ""), ("port", "")];

const MIRROR: &str = "RequestMirror";

/// Reads and writes the rules of the Gateway API.
#[derive(Debug)]
pub(super) struct HttpRouteForm;

impl RuleForm for HttpRouteForm {
    fn by_header(
        &self,
        rule: &Value,
        canary: &Value,
        header: &BTreeMap<String, String>,
    ) -> Result<Value, PortError> {
        let mut fields = rule.as_object().cloned().unwrap_or_default();
        let filters = list(rule, "filters").iter().filter(|filter| !mirrors(filter));
        let filters: Vec<_> = filters.cloned().collect();
        if filters.is_empty() {
            fields.remove("filters");
        } else {
            fields.insert("filters".to_owned(), json!(filters));
        }
        let mut matches = list(rule, "matches").to_vec();
        if matches.is_empty() {
            matches.push(json!({}));
        }
        for found in &mut matches {
            ask_for(header, found)?;
        }
        let mut canary = canary.clone();
        canary["weight"] = json!(1);
        fields.insert("matches".to_owned(), json!(matches));
        fields.insert("backendRefs".to_owned(), json!([canary]));
        Ok(Value::Object(fields))
    }

    fn header_of(&self, own: &Value, rule: &Value) -> BTreeMap<String, String> {
        let mut header = asked_by_all(own);
        for name in asked_by_all(rule).keys() {
            header.remove(name);
        }
        header
    }

    fn reaches(&self, rule: &Value, canary: &Value) -> bool {
        let mut backends = list(rule, "backendRefs").iter();
        backends.any(|backend| is_same_backend(backend, canary) && backend["weight"] != 0)
    }

    fn mirror_of(&self, rule: &Value, canary: &Value) -> Mirror {
        let filters = list(rule, "filters").iter().filter(|filter| mirrors(filter));
        let (ours, theirs): (Vec<_>, Vec<_>) =
            filters.partition(|filter| mirrors_to(filter, canary));
        match (&ours[..], &theirs[..]) {
            ([], []) => Mirror::None,
            ([], _) => Mirror::Theirs,
            ([filter], []) => {
                share(&filter["requestMirror"]).map_or(Mirror::Unclear, Mirror::Canary)
            }
            _ => Mirror::Unclear,
        }
    }

    fn set_mirror(&self, rule: &mut Value, canary: &Value, share: Weight) {
        let Some(fields) = rule.as_object_mut() else {
            return;
        };
        let filters = fields.entry("filters").or_insert_with(|| json!([]));
        let Some(filters) = filters.as_array_mut() else {
            return;
        };
        filters.retain(|filter| !mirrors_to(filter, canary));
        if share != Weight::ZERO {
            filters.push(json!({ "type": MIRROR, "requestMirror": mirror(canary, share) }));
        }
        if filters.is_empty() {
            fields.remove("filters");
        }
    }

    fn first_wins(&self) -> bool {
        false
    }
}

/// Makes one match ask for these headers, too.
fn ask_for(header: &BTreeMap<String, String>, found: &mut Value) -> Result<(), PortError> {
    let mut asked = list(found, "headers").to_vec();
    for (name, value) in header {
        if value.is_empty() {
            return Err(invalid(format!("an HTTPRoute cannot ask for an empty `{name}`")));
        }
        // Of two that differ in case alone, the Gateway API heeds the first.
        let same = |other: &Value| {
            other["name"].as_str().is_some_and(|other| other.eq_ignore_ascii_case(name))
        };
        if asked.iter().any(same) {
            return Err(invalid(format!(
                "the rule asks something of the header `{name}` itself: use another one"
            )));
        }
        asked.push(json!({ "type": "Exact", "name": name, "value": value }));
    }
    let mut fields = found.as_object().cloned().unwrap_or_default();
    fields.insert("headers".to_owned(), json!(asked));
    *found = fields.into();
    Ok(())
}

/// Returns the headers and exact values that every match of a rule asks for.
fn asked_by_all(rule: &Value) -> BTreeMap<String, String> {
    let exact = |found: &Value| -> BTreeMap<String, String> {
        let exact = list(found, "headers")
            .iter()
            .filter(|header| header.get("type").is_none_or(|kind| kind == "Exact"));
        let pair = |header: &Value| {
            Some((header["name"].as_str()?.to_owned(), header["value"].as_str()?.to_owned()))
        };
        exact.filter_map(pair).collect()
    };
    let common = list(rule, "matches").iter().map(exact).reduce(|mut common, next| {
        common.retain(|name, value| next.get(name) == Some(value));
        common
    });
    common.unwrap_or_default()
}

fn mirrors(filter: &Value) -> bool {
    filter["type"] == MIRROR
}

fn mirrors_to(filter: &Value, canary: &Value) -> bool {
    mirrors(filter) && is_same_backend(&filter["requestMirror"]["backendRef"], canary)
}

fn is_same_backend(one: &Value, other: &Value) -> bool {
    let said = |backend: &Value, key: &str, unsaid: &str| {
        backend.get(key).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| json!(unsaid))
    };
    BACKEND.iter().all(|(key, unsaid)| said(one, key, unsaid) == said(other, key, unsaid))
}

/// Writes what a `RequestMirror` filter does: all of the requests where no share is written, which older schemas take.
fn mirror(canary: &Value, share: Weight) -> Value {
    let named = BACKEND.iter().filter_map(|(key, _)| Some(((*key).to_owned(), canary.get(key)?)));
    let backend: Map<_, _> = named.map(|(key, value)| (key, value.clone())).collect();
    let mut mirror = json!({ "backendRef": backend });
    let points = share.basis_points();
    if points.is_multiple_of(100) {
        if share != Weight::FULL {
            mirror["percent"] = json!(points / 100);
        }
    } else {
        mirror["fraction"] = json!({ "numerator": points, "denominator": 10_000 });
    }
    mirror
}

/// Reads which share of the requests is copied; `None` where it is no share. What is more than none never reads as none.
fn share(mirror: &Value) -> Option<Weight> {
    let (numerator, denominator) = match (mirror.get("percent"), mirror.get("fraction")) {
        (None, None) => return Some(Weight::FULL),
        (Some(percent), None) => (percent.as_u64()?, 100),
        (None, Some(fraction)) => {
            let denominator = fraction.get("denominator").map_or(Some(100), Value::as_u64)?;
            (fraction["numerator"].as_u64()?, denominator)
        }
        (Some(_), Some(_)) => return None,
    };
    if denominator == 0 || numerator > denominator {
        return None;
    }
    let nearest =
        (u128::from(numerator) * 10_000 + u128::from(denominator) / 2) / u128::from(denominator);
    let points = nearest.max(u128::from(numerator > 0));
    Weight::from_basis_points(u16::try_from(points).ok()?).ok()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_is_read_as_it_was_written() {
        let canary = json!({ "name": "web-canary", "port": 80, "weight": 3 });
        for points in 1..=10_000 {
            let weight = Weight::from_basis_points(points).unwrap();
            assert_eq!(share(&mirror(&canary, weight)), Some(weight));
        }
        let written = json!({ "backendRef": { "name": "web-canary", "port": 80 }, "percent": 5 });
        assert_eq!(mirror(&canary, Weight::percent(5)), written);
    }

    #[test]
    fn a_share_that_makes_no_sense_is_none_and_a_tiny_one_is_not_0() {
        let fraction = |n: u64, d: u64| json!({ "fraction": { "numerator": n, "denominator": d } });
        assert_eq!(share(&fraction(1, 2_000_000_000)), Some(Weight::BASIS_POINT));
        assert_eq!(share(&json!({ "fraction": { "numerator": 7 } })), Some(Weight::percent(7)));
        assert_eq!(share(&fraction(0, 7)), Some(Weight::ZERO));
        for strange in
            [fraction(2, 1), fraction(1, 0), json!({ "percent": -1 }), json!({ "percent": 101 })]
        {
            assert_eq!(share(&strange), None, "{strange}");
        }
    }
}
