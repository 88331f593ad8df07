//! The side without traffic removed.

use canary_core::ports::{Call, PortError, Progress};
use canary_core::value::{BySide, FailureKind, Side};
use serde_json::{Value, json};

use super::deployment::{ASKED, Deployment, MADE_FROM, REPLACED, ROLLOUT, RUNS, SIZE, TOOK_OVER};
use super::{Deployments, Sides, size};

/// What a canary loses that is the stable one now. How it became so stays: the next rollout must not take it for a canary.
const NOTES: [&str; 5] = [MADE_FROM, ASKED, RUNS, ROLLOUT, SIZE];

impl Deployments {
    /// Removes the canary, and what the rollout has noted on stable.
    pub(super) async fn retire_canary(&self) -> Result<Progress, PortError> {
        self.let_go().await?;
        let Sides { stable, canary } = self.look().await?;
        let over = match canary {
            None => Progress::Done,
            Some(canary) if self.variant.is_none() => self.stop(&canary, &stable, 1).await?,
            // Somebody else's.
            Some(canary) if canary.annotation(MADE_FROM) != Some(stable.name()) => Progress::Done,
            Some(canary) if canary.is_going() => going(&canary),
            Some(canary) => Progress::Wait { why: self.remove(&canary, &stable).await? },
        };
        if over == Progress::Done {
            self.clean(&stable, &[REPLACED]).await?;
        }
        Ok(over)
    }

    /// Removes what was stable before a swap.
    pub(super) async fn retire_stable(&self, call: &Call) -> Result<Progress, PortError> {
        self.let_go().await?;
        let BySide { stable, canary } = &self.names;
        let (stable, canary) = futures::future::try_join(
            self.server.deployment(stable),
            self.server.deployment(canary),
        )
        .await?;
        let canary = canary.ok_or_else(|| self.missing(Side::Canary))?;
        let Some(stable) = stable else {
            self.clean(&canary, &NOTES).await?;
            return Ok(Progress::Done);
        };
        if stable.is_going() {
            return Ok(going(&stable));
        }
        if !self.deletes_old {
            let whole = size::whole(call, &stable, Some(&canary));
            let stopped = self.stop(&stable, &canary, whole).await?;
            if stopped == Progress::Done {
                self.clean(&canary, &NOTES).await?;
            }
            return Ok(stopped);
        }
        let owned = canary.json()["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        if owned.into_iter().any(|owner| owner["uid"].as_str() == stable.uid()) {
            let message =
                format!("{} is not deleted: {} would go with it", stable.place(), canary.place());
            return Err(PortError::new(FailureKind::Conflict, message));
        }
        if let Some(why) = kept(&stable, &canary, size::whole(call, &stable, Some(&canary))) {
            return Ok(Progress::Wait { why });
        }
        self.server.delete(&stable).await?;
        Ok(going(&stable))
    }

    /// Takes these notes off a version.
    async fn clean(&self, side: &Deployment, keys: &[&str]) -> Result<(), PortError> {
        let notes = notes(side, keys);
        if notes.is_empty() {
            return Ok(());
        }
        self.server.change(side, &without(&notes)).await.map(drop)
    }

    /// Deletes a canary that was made, once stable can bear all of the traffic, and says what is waited for.
    pub(super) async fn remove(
        &self,
        canary: &Deployment,
        stable: &Deployment,
    ) -> Result<String, PortError> {
        if let Some(why) = kept(canary, stable, 1) {
            return Ok(why);
        }
        self.server.delete(canary).await?;
        Ok(format!("{} is being removed", canary.place()))
    }

    /// Scales one side to 0, once the other can bear all of the traffic with so many replicas at least.
    async fn stop(
        &self,
        side: &Deployment,
        other: &Deployment,
        at_least: u32,
    ) -> Result<Progress, PortError> {
        let notes = notes(side, &[ROLLOUT, SIZE, TOOK_OVER, REPLACED]);
        if side.replicas() > 0
            && let Some(why) = kept(side, other, at_least)
        {
            return Ok(Progress::Wait { why });
        }
        if side.replicas() > 0 || !notes.is_empty() {
            let mut fields = without(&notes);
            fields["spec"] = json!({ "replicas": 0 });
            self.server.change(side, &fields).await?;
            return Ok(Progress::Wait { why: format!("{} is to have no replicas", side.place()) });
        }
        Ok(if side.is_down() { Progress::Done } else { going(side) })
    }
}

/// Says why one side is kept: the other cannot bear all of the traffic yet.
fn kept(goes: &Deployment, stays: &Deployment, at_least: u32) -> Option<String> {
    let why = stays.cannot_bear_all(at_least)?;
    Some(format!("{} is kept, or both versions would be down: {why}", goes.place()))
}

/// Returns those of these annotations that are there.
fn notes<'a>(side: &Deployment, keys: &[&'a str]) -> Vec<&'a str> {
    keys.iter().copied().filter(|key| side.annotation(key).is_some()).collect()
}

/// Writes the change that takes these annotations away.
fn without(keys: &[&str]) -> Value {
    let annotations = keys.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
    json!({ "metadata": { "annotations": Value::Object(annotations) } })
}

fn going(side: &Deployment) -> Progress {
    Progress::Wait { why: format!("{} is being removed", side.place()) }
}
