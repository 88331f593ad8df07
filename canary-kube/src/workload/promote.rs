//! Stable replaced or taken over from, and back.

use canary_core::ports::{Call, PortError, Progress};
use canary_core::value::{FailureKind, Side};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::deployment::{Deployment, MADE_FROM, REPLACED, TOOK_OVER};
use super::parts::Parts;
use super::{Deployments, Sides, canary, pods, size};

/// Says what a rollout that promotes in place has made of stable.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    rollout: String,
    /// What it had; `None` once it has that again.
    parts: Option<Parts>,
    /// What it was given last.
    #[serde(default)]
    given: Parts,
}

impl Before {
    /// Reads what a rollout has kept on stable.
    fn of(call: &Call, stable: &Deployment) -> Option<Self> {
        let kept = serde_json::from_str::<Self>(stable.annotation(REPLACED)?).ok()?;
        (kept.rollout == call.rollout.as_str()).then_some(kept)
    }

    /// Writes it as a change of stable's annotations.
    fn fields(call: &Call, parts: Option<Parts>, given: &Parts) -> Result<Value, PortError> {
        let before = Self { rollout: call.rollout.to_string(), parts, given: given.clone() };
        let text = serde_json::to_string(&before).map_err(|error| {
            PortError::new(FailureKind::Internal, "what stable was cannot be written")
                .with_source(error)
        })?;
        Ok(json!({ "metadata": { "annotations": { REPLACED: text } } }))
    }
}

impl Deployments {
    /// Gives stable what is different about the canary, and waits until it has it.
    pub(super) async fn replace(&self, call: &Call) -> Result<Progress, PortError> {
        let Sides { stable, canary } = self.look().await?;
        let whole = size::whole(call, &stable, canary.as_ref());
        if let Some(before) = Before::of(call, &stable).filter(|before| before.parts.is_some()) {
            return self.is_as_given(&stable, &before, whole).await;
        }
        let canary = canary.ok_or_else(|| self.missing(Side::Canary))?;
        if let Some(why) = canary.cannot_bear_all(1) {
            let message = format!("{} is not replaced: {why}", stable.place());
            return Err(PortError::new(FailureKind::Conflict, message));
        }
        if stable.is_paused() {
            let message = format!("{} is paused: resume it", stable.place());
            return Err(PortError::new(FailureKind::Conflict, message));
        }
        let parts = match &self.variant {
            Some(variant) => Parts::of_variant(variant, &stable)?.as_in(&canary),
            None => Some(Parts::of_images(&canary, &stable)),
        };
        let had = parts.as_ref().and_then(|parts| parts.as_in(&stable));
        let (Some(parts), Some(had)) = (parts, had) else {
            let message =
                format!("{} and {} have not the same containers", stable.place(), canary.place());
            return Err(PortError::new(FailureKind::Invalid, message));
        };
        let mut fields = Before::fields(call, Some(had), &parts)?;
        fields["spec"] = wanted(&parts, &stable, whole);
        let stable = self.server.change(&stable, &fields).await?;
        Ok(Progress::Wait { why: format!("{} takes the new version", stable.place()) })
    }

    /// Gives stable back what it had, and waits until it has it.
    ///
    /// It is marked even where it had been given nothing: what was asked before may still be on its way, and must find
    /// another generation.
    pub(super) async fn put_back(&self, call: &Call) -> Result<Progress, PortError> {
        let Sides { stable, canary } = self.look().await?;
        let whole = size::whole(call, &stable, canary.as_ref());
        let before = Before::of(call, &stable);
        let had = match before {
            Some(before @ Before { parts: None, .. }) => {
                return self.is_as_given(&stable, &before, whole).await;
            }
            Some(Before { parts: Some(had), .. }) => had,
            None => Parts::default(),
        };
        let mut fields = Before::fields(call, None, &had)?;
        fields["spec"] = wanted(&had, &stable, whole);
        let stable = self.server.change(&stable, &fields).await?;
        Ok(Progress::Wait { why: format!("{} takes the old version back", stable.place()) })
    }

    /// Makes the canary as large as stable, and stable from then on.
    pub(super) async fn take_over(&self, call: &Call) -> Result<Progress, PortError> {
        let Sides { stable, canary } = self.look().await?;
        let canary = canary.ok_or_else(|| self.missing(Side::Canary))?;
        let whole = size::whole(call, &stable, Some(&canary));
        let is_marked = canary.annotation(TOOK_OVER) == Some(call.rollout.as_str());
        if is_marked && canary.replicas() >= whole {
            return self.is_rolled_out(&canary, whole).await;
        }
        // Its owner may go, and it stays.
        let owners: Vec<_> = owners(&canary).filter(|owner| !is_owner(owner, &stable)).collect();
        let fields = json!({
            "metadata": {
                "annotations": { TOOK_OVER: call.rollout.as_str() }, "ownerReferences": owners,
            },
            "spec": { "replicas": canary.replicas().max(whole) },
        });
        let canary = self.server.change(&canary, &fields).await?;
        Ok(Progress::Wait {
            why: format!("{} takes over with {} replicas", canary.place(), canary.replicas()),
        })
    }

    /// Makes stable what it was before the canary took over.
    pub(super) async fn hand_back(&self, call: &Call) -> Result<Progress, PortError> {
        let Sides { stable, canary } = self.look().await?;
        let whole = size::whole(call, &stable, canary.as_ref());
        if stable.replicas() < whole {
            return self.enlarge(&stable, whole).await;
        }
        let Some(canary) = canary else { return self.is_rolled_out(&stable, whole).await };
        if canary.annotation(TOOK_OVER).is_some() {
            let mut fields = json!({ "metadata": { "annotations": { TOOK_OVER: null } } });
            if canary.annotation(MADE_FROM) == Some(stable.name()) {
                let others = owners(&canary).filter(|owner| !is_owner(owner, &stable));
                let owners: Vec<_> = others.chain([canary::owner(&stable)]).collect();
                fields["metadata"]["ownerReferences"] = json!(owners);
            }
            let canary = self.server.change(&canary, &fields).await?;
            return Ok(Progress::Wait { why: format!("{} is the canary again", canary.place()) });
        }
        if !canary.is_taken_up() {
            return Ok(Progress::Wait {
                why: format!("{} was changed and not taken up yet", canary.place()),
            });
        }
        self.is_rolled_out(&stable, whole).await
    }

    /// Tells whether stable runs what it was given, in all of the replicas that it is to have; it is given them again
    /// where an autoscaler has taken some.
    async fn is_as_given(
        &self,
        stable: &Deployment,
        before: &Before,
        whole: u32,
    ) -> Result<Progress, PortError> {
        if before.given.as_in(stable).as_ref() != Some(&before.given) {
            let message =
                format!("somebody has changed what {} runs since this rollout did", stable.place());
            return Err(PortError::new(FailureKind::Conflict, message));
        }
        if stable.replicas() < whole {
            return self.enlarge(stable, whole).await;
        }
        self.is_rolled_out(stable, whole).await
    }

    async fn enlarge(&self, stable: &Deployment, whole: u32) -> Result<Progress, PortError> {
        let stable = self.server.change(stable, &json!({ "spec": { "replicas": whole } })).await?;
        Ok(Progress::Wait { why: format!("{} grows to {whole} replicas", stable.place()) })
    }

    /// Tells whether a version runs as it is described, in so many replicas.
    async fn is_rolled_out(&self, side: &Deployment, replicas: u32) -> Result<Progress, PortError> {
        let Some(lacks) = side.lacks(replicas) else { return Ok(Progress::Done) };
        let trouble = pods::troubles(&self.server, side, lacks).await?;
        if trouble.is_hopeless {
            return Err(PortError::new(FailureKind::Invalid, trouble.what));
        }
        Ok(Progress::Wait { why: trouble.what })
    }
}

/// Writes what stable shall be: with these parts, and as large as for all of the traffic.
fn wanted(parts: &Parts, stable: &Deployment, whole: u32) -> Value {
    let mut spec = json!({ "template": { "spec": { "containers": parts.laid_over(stable) } } });
    if stable.replicas() < whole {
        spec["replicas"] = json!(whole);
    }
    spec
}

fn owners(deployment: &Deployment) -> impl Iterator<Item = Value> {
    deployment.json()["metadata"]["ownerReferences"].as_array().into_iter().flatten().cloned()
}

fn is_owner(owner: &Value, stable: &Deployment) -> bool {
    owner["uid"].as_str() == stable.uid()
}
