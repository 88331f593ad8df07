//! How HTTP routes of a VirtualService send by header and mirror.

use std::collections::BTreeMap;

use canary_core::ports::PortError;
use canary_core::value::{FailureKind, Weight};
use canary_kube::{Mirror, RuleForm};
use serde_json::{Map, Value, json};

/// Where an HTTP route may name whom it mirrors to, and how much: `mirror_percent` and `mirrorPercent` are older.
const MIRROR_FIELDS: [&str; 5] =
    ["mirror", "mirrors", "mirrorPercentage", "mirrorPercent", "mirror_percent"];

/// Reads and writes Istio's HTTP routes.
#[derive(Debug)]
pub(crate) struct HttpForm;

impl RuleForm for HttpForm {
    fn by_header(
        &self,
        route: &Value,
        canary: &Value,
        header: &BTreeMap<String, String>,
    ) -> Result<Value, PortError> {
        header.iter().try_for_each(|(name, value)| check(name, value))?;
        let mut fields = route.as_object().cloned().unwrap_or_default();
        MIRROR_FIELDS.iter().for_each(|field| drop(fields.remove(*field)));
        let mut matches = matches(route).to_vec();
        if matches.is_empty() {
            matches.push(json!({}));
        }
        for found in &mut matches {
            ask_for(header, found)?;
        }
        let mut canary = canary.clone();
        canary["weight"] = json!(100);
        fields.insert("match".to_owned(), json!(matches));
        fields.insert("route".to_owned(), json!([canary]));
        Ok(Value::Object(fields))
    }

    fn header_of(&self, own: &Value, route: &Value) -> BTreeMap<String, String> {
        let mut header = asked_by_all(own);
        for name in asked_by_all(route).keys() {
            header.remove(name);
        }
        header
    }

    fn reaches(&self, route: &Value, canary: &Value) -> bool {
        let entries = route["route"].as_array().map_or(&[][..], Vec::as_slice);
        entries.iter().any(|entry| entry["destination"] == canary["destination"])
    }

    fn mirror_of(&self, route: &Value, canary: &Value) -> Mirror {
        // A share without a destination mirrors nothing, and is not ours all the same.
        if !MIRROR_FIELDS.iter().any(|field| route.get(*field).is_some()) {
            return Mirror::None;
        }
        if route["mirror"] != canary["destination"] {
            return Mirror::Theirs;
        }
        // All requests where nothing is said.
        let percent = match route.get("mirrorPercentage") {
            None | Some(Value::Null) => Some(100.0),
            Some(percentage) => percentage.get("value").map_or(Some(0.0), Value::as_f64),
        };
        percent.and_then(share).map_or(Mirror::Unclear, Mirror::Canary)
    }

    fn set_mirror(&self, route: &mut Value, canary: &Value, share: Weight) {
        let Some(fields) = route.as_object_mut() else {
            return;
        };
        if share == Weight::ZERO {
            fields.remove("mirror");
            fields.remove("mirrorPercentage");
            return;
        }
        fields.insert("mirror".to_owned(), canary["destination"].clone());
        fields.insert("mirrorPercentage".to_owned(), json!({ "value": percent(share) }));
    }
}

/// Refuses what Istio does not take, or takes for something else.
fn check(name: &str, value: &str) -> Result<(), PortError> {
    let what = if name.chars().any(char::is_uppercase) {
        format!(
            "Istio compares headers in lower case: write `{}` for `{name}`",
            name.to_lowercase()
        )
    } else if value.is_empty() {
        format!("to Istio, an empty value for `{name}` means any value")
    } else {
        return Ok(());
    };
    Err(PortError::new(FailureKind::Invalid, what))
}

/// Makes one match ask for these headers, too.
fn ask_for(header: &BTreeMap<String, String>, found: &mut Value) -> Result<(), PortError> {
    for name in header.keys() {
        let asks = |field: &str| found[field].get(name).is_some();
        if asks("headers") || asks("withoutHeaders") {
            return Err(PortError::new(
                FailureKind::Invalid,
                format!("the route asks something of the header `{name}` itself: use another one"),
            ));
        }
    }
    let exact = header.iter().map(|(name, value)| (name.clone(), json!({ "exact": value })));
    let asked = found["headers"].as_object().cloned().unwrap_or_default();
    let headers: Map<_, _> = asked.into_iter().chain(exact).collect();
    let mut fields = found.as_object().cloned().unwrap_or_default();
    fields.insert("headers".to_owned(), headers.into());
    *found = fields.into();
    Ok(())
}

/// Returns the headers and exact values that every match of a route asks for.
fn asked_by_all(route: &Value) -> BTreeMap<String, String> {
    let exact = |found: &Value| -> BTreeMap<String, String> {
        let headers = found["headers"].as_object().into_iter().flatten();
        let exact = headers.filter_map(|(name, asked)| {
            Some((name.clone(), asked.get("exact")?.as_str()?.to_owned()))
        });
        exact.collect()
    };
    let common = matches(route).iter().map(exact).reduce(|mut common, next| {
        common.retain(|name, value| next.get(name) == Some(value));
        common
    });
    common.unwrap_or_default()
}

fn matches(route: &Value) -> &[Value] {
    route.get("match").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Reads a percentage; `None` where it is no share. What is more than none never reads as none.
fn share(percent: f64) -> Option<Weight> {
    if !(0.0..=100.0).contains(&percent) {
        return None;
    }
    let points = (percent * 100.0).round();
    let points = if percent > 0.0 { points.max(1.0) } else { points };
    // In range: at most 10 000.
    Weight::from_basis_points(points as u16).ok()
}

/// Writes a percentage as the API server writes it back: whole numbers without a point.
fn percent(share: Weight) -> Value {
    let points = share.basis_points();
    if points.is_multiple_of(100) { json!(points / 100) } else { json!(f64::from(points) / 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_is_read_as_it_was_written() {
        for points in 0..=10_000 {
            let weight = Weight::from_basis_points(points).unwrap();
            assert_eq!(share(percent(weight).as_f64().unwrap()), Some(weight));
        }
        assert_eq!([share(-0.1), share(100.1), share(f64::NAN)], [None; 3]);
        assert_eq!(share(0.0001), Some(Weight::BASIS_POINT));
    }
}
