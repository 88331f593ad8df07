//! How gates are asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::value::{GateName, millis};

/// Says how a gate is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GateSpec {
    /// Who decides.
    pub kind: GateKind,
    /// How long it may take from the first time it is asked; `None` for as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What is done when that time has passed.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// Says who decides about a gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateKind {
    /// A gate that the program supplies.
    #[default]
    Supplied,
    /// A person, with the command `approve` or `reject`.
    Approval,
    /// The calendar.
    Window(Calendar),
    /// A page that is asked for over HTTP.
    Http(HttpProbe),
    /// The alerts that fire.
    Alerts(AlertFilter),
}

/// Says at which times a gate is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Calendar {
    /// The minutes that are meant, as cron writes them: `* 9-16 * * MON-THU`.
    pub cron: String,
    /// The time zone by its IANA name: `Europe/Berlin`; UTC unless said.
    #[serde(default = "utc")]
    pub zone: String,
    /// Whether the gate is closed in these minutes instead of open: a freeze.
    #[serde(default)]
    pub freeze: bool,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Calendar {
    /// Opens a gate in the minutes that a cron expression means.
    #[must_use]
    pub fn open(cron: impl Into<String>, zone: impl Into<String>) -> Self {
        Self { cron: cron.into(), zone: zone.into(), freeze: false }
    }

    /// Closes a gate in the minutes that a cron expression means.
    #[must_use]
    pub fn freeze(cron: impl Into<String>, zone: impl Into<String>) -> Self {
        Self { freeze: true, ..Self::open(cron, zone) }
    }
}

/// Says what is asked for over HTTP, and which answer opens the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpProbe {
    /// The page.
    pub url: String,
    /// The status that opens the gate.
    #[serde(default = "ok")]
    pub expect: u16,
}

const fn ok() -> u16 {
    200
}

impl HttpProbe {
    /// Asks for a page that must answer with 200.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self { url: url.into(), expect: ok() }
    }
}

/// Says which alerts close a gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AlertFilter {
    /// Those of this severity; of any unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
}

/// Says what is done when a gate did not open in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Otherwise {
    /// The canary is taken back.
    #[default]
    RollBack,
    /// The rollout goes on.
    Open,
}

impl GateSpec {
    /// A gate that a person opens with the command `approve`.
    #[must_use]
    pub fn approval() -> Self {
        Self::of(GateKind::Approval)
    }

    /// A gate of a kind.
    #[must_use]
    pub fn of(kind: GateKind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Bounds how long it may take.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout_ms = Some(millis(time));
        self
    }

    /// Does this when that time has passed.
    #[must_use]
    pub const fn otherwise(mut self, otherwise: Otherwise) -> Self {
        self.otherwise = otherwise;
        self
    }
}

/// Says where in a rollout a gate is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Moment {
    /// Before anything else happens.
    Start,
    /// Before the weight of a stage.
    Entering,
    /// Before a stage is left.
    Leaving,
    /// Before the new version becomes the stable one.
    Promotion,
    /// After that, before the old version goes.
    Promoted,
    /// As a check, all along.
    Watch,
}

/// Puts a question to a gate at its moment in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// The gate.
    pub gate: GateName,
    /// Where it is asked.
    pub moment: Moment,
    /// The position of the stage that is entered or left, where it is about one.
    pub stage: Option<usize>,
}
