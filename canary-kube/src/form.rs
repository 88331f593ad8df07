//! What rules of a kind can do beside weights, and how they say it.

use std::collections::BTreeMap;
use std::fmt;

use canary_core::ports::PortError;
use canary_core::value::Weight;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Begins the names of rules that a rollout adds and takes away again.
///
/// What follows is the name of the rule that it stands in front of. Nobody else may use such a name.
pub const OWN_RULE: &str = "canary-rollout-";

/// Says how the rules of one kind send requests by their headers and copy them.
///
/// Rules and entries are plain JSON; `canary` is the canary's entry in the rule. To be correct, each method leaves
/// alone what it does not know.
pub trait RuleForm: fmt::Debug + Send + Sync {
    /// Returns a rule which does with requests that bear these headers what `rule` does with all, but sends them
    /// to the canary alone and copies none. Its name is put in by the caller.
    ///
    /// # Errors
    /// `Invalid` where the headers cannot be asked for, or `rule` asks something of the same headers itself.
    fn by_header(
        &self,
        rule: &Value,
        canary: &Value,
        header: &BTreeMap<String, String>,
    ) -> Result<Value, PortError>;

    /// Returns the headers that a request must bear to be taken by `own`, beside those that `rule` asks for.
    fn header_of(&self, own: &Value, rule: &Value) -> BTreeMap<String, String>;

    /// Tells whether the rule sends anything to the canary.
    fn reaches(&self, rule: &Value, canary: &Value) -> bool;

    /// Reads whom the rule sends copies.
    fn mirror_of(&self, rule: &Value, canary: &Value) -> Mirror;

    /// Makes the rule send the canary copies of this share of the requests; none for 0 %.
    ///
    /// Only asked where [`mirror_of`](Self::mirror_of) does not answer [`Mirror::Theirs`].
    fn set_mirror(&self, rule: &mut Value, canary: &Value, share: Weight);

    /// Tells whether a request is taken by the first rule that matches it, as in Istio. Where not, as in the Gateway API,
    /// the rule that asks for most takes it, wherever it stands.
    fn first_wins(&self) -> bool {
        true
    }
}

/// Says whom a rule sends copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "who describes a kind answers with one of these")]
pub enum Mirror {
    /// Nobody.
    #[default]
    None,
    /// The canary, this share of the requests.
    Canary(Weight),
    /// The canary, a share that cannot be read.
    Unclear,
    /// Somebody else.
    Theirs,
}

impl Mirror {
    /// Returns the canary's share, where it is known.
    #[must_use]
    pub const fn share(self) -> Option<Weight> {
        match self {
            Self::None | Self::Theirs => Some(Weight::ZERO),
            Self::Canary(share) => Some(share),
            Self::Unclear => None,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    pub(crate) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// Returns the name of the rule that stands in front of this one.
pub(crate) fn own_name(rule: &Value) -> String {
    let name = rule.get("name").and_then(Value::as_str).unwrap_or("rule");
    format!("{OWN_RULE}{name}")
}

/// Tells whether a rollout has put this rule there.
pub(crate) fn is_own(rule: &Value) -> bool {
    rule.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with(OWN_RULE))
}
