//! Objects with any field that a custom resource's own schema knows.

use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

/// Reads the schema of a `spec` from the server.
pub(crate) async fn of_spec(client: Client, resource: &str) -> Value {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definitions: Api<DynamicObject> = Api::all_with(client, &ApiResource::from_gvk(&kind));
    let definition = definitions.get(resource).await.unwrap().data;
    let versions = definition["spec"]["versions"].as_array().unwrap();
    let version = versions.iter().find(|version| version["name"] == "v1").unwrap();
    version["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// Some value of this schema, as far as it says so in structure: the server may still refuse it.
pub(crate) fn value(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(choices) = schema["enum"].as_array() {
        return select(choices.clone()).boxed();
    }
    match schema["type"].as_str() {
        Some("object") => object(schema),
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
            vec(value(&schema["items"]), least..least + 3).prop_map(Value::from).boxed()
        }
        Some("string") if schema.to_string().contains("duration") => Just(json!("5s")).boxed(),
        Some("string") => "[a-z]{1,8}".prop_map(Value::from).boxed(),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer") => (1_u32..100).prop_map(Value::from).boxed(),
        Some("number") => (0.0..100.0).prop_map(|number: f64| json!(number)).boxed(),
        _ => Just(json!(1)).boxed(),
    }
}

fn object(schema: &Value) -> BoxedStrategy<Value> {
    let Some(properties) = schema["properties"].as_object() else {
        let entries = &schema["additionalProperties"];
        let entries =
            if entries.is_object() { value(entries) } else { value(&json!({ "type": "string" })) };
        return btree_map("[a-z]{1,8}", entries, 0..3).prop_map(|map| json!(map)).boxed();
    };
    let required = names(&schema["required"]);
    let choices = choices(schema);
    let all: Vec<_> = properties.clone().into_iter().collect();
    let picked = subsequence(all.clone(), 0..=all.len().min(6));
    let one_of_each: Vec<_> = choices.iter().map(|choice| select(choice.clone())).collect();
    (picked, one_of_each)
        .prop_flat_map(move |(picked, chosen)| {
            let unchosen = |name: &String| {
                let mut of = choices.iter().zip(&chosen);
                of.any(|(choice, chosen)| choice.contains(name) && chosen != name)
            };
            let mut fields = picked;
            let missing = all.iter().filter(|(name, _)| required.contains(name));
            fields.extend(missing.cloned());
            fields.retain(|(name, _)| !unchosen(name));
            let fields: Vec<_> = fields
                .into_iter()
                .map(|(name, schema)| value(&schema).prop_map(move |value| (name.clone(), value)))
                .collect();
            fields.prop_map(|fields| fields.into_iter().collect::<Value>())
        })
        .boxed()
}

/// Lists the fields of which an object may have one: those that the alternatives of a `oneOf` require.
fn choices(schema: &Value) -> Vec<Vec<String>> {
    let all = schema["allOf"].as_array().into_iter().flatten().chain([schema]);
    let alternatives = all.filter_map(|schema| schema["oneOf"].as_array());
    let choices = alternatives.map(|list| list.iter().flat_map(|one| names(&one["required"])));
    choices.map(Iterator::collect).filter(|choice: &Vec<String>| !choice.is_empty()).collect()
}

fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}
