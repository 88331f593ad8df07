//! What controllers say of a route.

use std::sync::Arc;
use std::time::Duration;

use canary_core::ports::{Call, PortError};
use serde_json::Value;

use crate::route::RouteWeights;
use crate::split::invalid;

/// How much of a call's time may go by until the controllers have looked at a raise, one part of so many.
const PART: u32 = 2;

/// How long it waits until it looks for their word again: they were seen to take 14 to 32 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The conditions that must hold for a route to do what it says.
const CONDITIONS: [&str; 2] = ["Accepted", "ResolvedRefs"];

impl RouteWeights {
    /// Waits until the controllers have looked at what was written, where they tell.
    ///
    /// # Errors
    /// `Invalid` where one of them does not take it.
    pub(crate) async fn heard(&self, call: &Call, written: Arc<Value>) -> Result<(), PortError> {
        let patience = call.deadline.since(call.made) / PART;
        let hear = async {
            let (mut object, mut pause) = (written, FIRST_PAUSE);
            loop {
                match word(&object) {
                    Word::Silence | Word::Taken => return Ok(()),
                    Word::Rejected(why) => return Err(invalid(why)),
                    Word::NotYet => tokio::time::sleep(pause).await,
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                // What was written stands, whether or not it can be looked at.
                object = self.object.look().await.unwrap_or(object);
            }
        };
        // A controller that is down holds no rollout up: then nobody knows.
        tokio::time::timeout(patience, hear).await.unwrap_or(Ok(()))
    }
}

/// What the controllers say that have a say in a route.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// None of them tells.
    Silence,
    /// One of them has not looked at the route as it is.
    NotYet,
    /// They take it as it is.
    Taken,
    /// One of them does not, and says so in these words.
    Rejected(String),
}

/// Reads what controllers say of this object as it is now.
///
/// A condition without a generation counts as said of the object as it is.
fn word(object: &Value) -> Word {
    let generation = object["metadata"]["generation"].as_u64().unwrap_or(0);
    let parents = object["status"]["parents"].as_array().map_or(&[][..], Vec::as_slice);
    let mut word = Word::Silence;
    for parent in parents {
        for (kind, condition) in
            CONDITIONS.iter().filter_map(|kind| Some((kind, find(parent, kind)?)))
        {
            let current =
                condition["observedGeneration"].as_u64().is_none_or(|at| at >= generation);
            match condition["status"].as_str() {
                Some("False") if current => return Word::Rejected(say(parent, kind, condition)),
                Some("True") if current => {
                    if word == Word::Silence {
                        word = Word::Taken;
                    }
                }
                _ => word = Word::NotYet,
            }
        }
    }
    word
}

fn find<'a>(parent: &'a Value, kind: &str) -> Option<&'a Value> {
    parent["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn say(parent: &Value, kind: &str, condition: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let of = &parent["parentRef"];
    let namespace = of["namespace"].as_str().map(|namespace| format!("{namespace}/"));
    let does =
        if kind == "Accepted" { "does not accept it" } else { "cannot use what it refers to" };
    format!(
        "{} {does} for {} {}{}: {}: {}",
        text(&parent["controllerName"]),
        of["kind"].as_str().unwrap_or("Gateway"),
        namespace.unwrap_or_default(),
        text(&of["name"]),
        text(&condition["reason"]),
        text(&condition["message"]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(conditions: &Value) -> Word {
        let parent = json!({ "kind": "Gateway", "namespace": "edge", "name": "public" });
        word(&json!({
            "metadata": { "generation": 3 },
            "status": { "parents": [
                { "parentRef": parent, "controllerName": "example.com/mesh", "conditions": conditions },
            ]},
        }))
    }

    fn condition(kind: &str, status: &str, at: Option<u64>) -> Value {
        let mut condition =
            json!({ "type": kind, "status": status, "reason": "Why", "message": "so" });
        if let Some(at) = at {
            condition["observedGeneration"] = json!(at);
        }
        condition
    }

    #[test]
    fn a_word_counts_for_the_generation_that_it_is_about() {
        let (accepted, refs) = ("Accepted", "ResolvedRefs");
        for (conditions, expected) in [
            (json!([]), Word::Silence),
            (json!([condition("Programmed", "False", Some(3))]), Word::Silence),
            (json!([condition(accepted, "True", Some(3))]), Word::Taken),
            (json!([condition(accepted, "True", None)]), Word::Taken),
            (
                json!([condition(accepted, "True", Some(3)), condition(refs, "True", Some(2))]),
                Word::NotYet,
            ),
            (
                json!([condition(accepted, "True", Some(2)), condition(refs, "True", Some(3))]),
                Word::NotYet,
            ),
            (json!([condition(accepted, "False", Some(2))]), Word::NotYet),
            (json!([condition(accepted, "Unknown", Some(3))]), Word::NotYet),
        ] {
            assert_eq!(said(&conditions), expected, "{conditions}");
        }
        let rejected =
            json!([condition(accepted, "True", Some(2)), condition(refs, "False", Some(3))]);
        let says = "example.com/mesh cannot use what it refers to for Gateway edge/public: Why: so";
        assert_eq!(said(&rejected), Word::Rejected(says.to_owned()));
        let nobody = json!({ "generation": 1 });
        assert_eq!(word(&json!({ "metadata": nobody })), Word::Silence);
        // As istiod writes it where it knows nothing of what the route hangs on.
        assert_eq!(
            word(&json!({ "metadata": nobody, "status": { "parents": [] } })),
            Word::Silence
        );
    }
}
