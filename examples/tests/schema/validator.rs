//! As much of JSON Schema as the policy's schema says; anything else in it is a panic.

use regex::Regex;
use serde_json::Value;

/// Returns what does not fit, each thing with its place.
pub(crate) fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Validator { root: schema, found: &mut found }.check(schema, value, "");
    found
}

struct Validator<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Validator<'_> {
    fn check(&mut self, schema: &Value, value: &Value, at: &str) {
        for (word, rule) in schema.as_object().unwrap() {
            let fits = match word.as_str() {
                "$schema" | "$defs" | "title" | "description" => true,
                "$ref" => {
                    let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    let root = self.root;
                    self.check(root.pointer(pointer).unwrap(), value, at);
                    true
                }
                "type" => is_a(rule.as_str().unwrap(), value),
                "const" => rule == value,
                "enum" => rule.as_array().unwrap().contains(value),
                "anyOf" => self.matching(rule, value) >= 1,
                "oneOf" => self.matching(rule, value) == 1,
                "pattern" => value
                    .as_str()
                    .is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
                "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= number(rule)),
                "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= number(rule)),
                "minProperties" => {
                    value.as_object().is_none_or(|map| map.len() as u64 >= number(rule))
                }
                "maxProperties" => {
                    value.as_object().is_none_or(|map| map.len() as u64 <= number(rule))
                }
                "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().unwrap()),
                "exclusiveMinimum" => value.as_f64().is_none_or(|n| n > rule.as_f64().unwrap()),
                "required" => {
                    let has = |key: &Value| value.get(key.as_str().unwrap()).is_some();
                    !value.is_object() || rule.as_array().unwrap().iter().all(has)
                }
                "items" => {
                    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{i}]"));
                    }
                    true
                }
                "properties" | "additionalProperties" | "propertyNames" => {
                    self.members(schema, word, rule, value, at);
                    true
                }
                other => panic!("the schema says `{other}`, which this test does not know"),
            };
            if !fits {
                self.found.push(format!("{at}: {value} does not fit `{word}: {rule}`"));
            }
        }
    }

    fn members(&mut self, schema: &Value, word: &str, rule: &Value, value: &Value, at: &str) {
        for (key, member) in value.as_object().into_iter().flatten() {
            let at = format!("{at}.{key}");
            let own = schema.get("properties").and_then(|own| own.get(key));
            match (word, own) {
                ("properties", Some(own)) => self.check(own, member, &at),
                ("additionalProperties", None) if rule == false => {
                    self.found.push(format!("{at}: is not known"));
                }
                ("additionalProperties", None) => self.check(rule, member, &at),
                ("propertyNames", _) => self.check(rule, &Value::String(key.clone()), &at),
                _ => {}
            }
        }
    }

    fn matching(&self, rules: &Value, value: &Value) -> usize {
        let fits = |rule: &&Value| {
            let mut found = Vec::new();
            Validator { root: self.root, found: &mut found }.check(rule, value, "");
            found.is_empty()
        };
        rules.as_array().unwrap().iter().filter(fits).count()
    }
}

fn number(rule: &Value) -> u64 {
    rule.as_u64().unwrap()
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("no `{other}` is known"),
    }
}
