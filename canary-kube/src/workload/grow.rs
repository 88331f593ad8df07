//! The canary made, grown and waited for.

use canary_core::ports::{Call, Capacity, PortError, Readiness};
use canary_core::value::{FailureKind, Side};
use serde_json::json;

use super::deployment::{ASKED, Deployment, MADE_FROM, ROLLOUT, RUNS, SIZE, TOOK_OVER};
use super::parts::Parts;
use super::variant::Variant;
use super::{Deployments, Sides, canary, pods, size};

impl Deployments {
    /// Makes the canary, or makes it larger, and says how much it is ready for.
    pub(super) async fn grow(
        &self,
        call: &Call,
        wanted: &Capacity,
    ) -> Result<Readiness, PortError> {
        let Sides { stable, canary } = self.look().await?;
        let whole = size::whole(call, &stable, canary.as_ref());
        let needed = size::needed(wanted, whole)?;
        let Some(canary) = canary else {
            return self.make(call, &stable, needed).await;
        };
        if let Some(variant) = &self.variant
            && let Some(waits) = self.check_made(call, variant, &stable, &canary).await?
        {
            return Ok(Readiness::waiting(waits));
        }
        not_stable_already(call, &canary)?;
        canary::apart(&stable, &canary)?;
        let is_noted = canary.annotation(ROLLOUT) == Some(call.rollout.as_str())
            && canary.annotation(SIZE) == Some(whole.to_string().as_str())
            && (self.variant.is_none() || canary.annotation(RUNS).is_some());
        if canary.replicas() < needed || !is_noted {
            self.make_larger(call, &stable, &canary, needed, whole).await?;
            let why = format!("{} is to have {needed} replicas at least", canary.place());
            return Ok(Readiness::waiting(why));
        }
        let ready_for = size::ready_for(wanted, whole, canary.available());
        if let Some(ready_for) = ready_for.filter(|&ready| ready >= wanted.weight) {
            return Ok(Readiness::ready_for(ready_for));
        }
        let lacks =
            canary.lacks(needed).unwrap_or_else(|| format!("{} is not ready", canary.place()));
        let trouble = pods::troubles(&self.server, &canary, lacks).await?;
        if trouble.is_hopeless {
            return Err(PortError::new(FailureKind::Invalid, trouble.what));
        }
        let mut readiness = Readiness::waiting(trouble.what);
        readiness.ready_for = ready_for;
        Ok(readiness)
    }

    async fn make(
        &self,
        call: &Call,
        stable: &Deployment,
        replicas: u32,
    ) -> Result<Readiness, PortError> {
        let Some(variant) = &self.variant else { return Err(self.missing(Side::Canary)) };
        let (name, whole) = (self.names.canary.as_str(), size::whole(call, stable, None));
        let order = canary::Order { rollout: &call.rollout, name, replicas, whole };
        let made = canary::of(stable, variant, &order)?;
        self.hold(call).await?;
        self.server.create(name, &made).await?;
        let namespace = self.server.namespace();
        Ok(Readiness::waiting(format!(
            "Deployment {namespace}/{name} was made with {replicas} replicas"
        )))
    }

    async fn make_larger(
        &self,
        call: &Call,
        stable: &Deployment,
        canary: &Deployment,
        needed: u32,
        whole: u32,
    ) -> Result<(), PortError> {
        self.hold(call).await?;
        let mut annotations = json!({ ROLLOUT: call.rollout.as_str(), SIZE: whole.to_string() });
        if let Some(variant) = &self.variant
            && canary.annotation(RUNS).is_none()
            && let Some(runs) = Parts::of_variant(variant, stable)?.as_in(canary)
        {
            annotations[RUNS] = json!(runs.note()?);
        }
        let mut fields = json!({ "metadata": { "annotations": annotations } });
        if canary.replicas() < needed {
            fields["spec"] = json!({ "replicas": needed });
        }
        self.server.change(canary, &fields).await.map(drop)
    }

    /// Checks that a canary was made by this rollout, from what it is to be; removes one that another has left behind,
    /// and says then what is waited for.
    async fn check_made(
        &self,
        call: &Call,
        variant: &Variant,
        stable: &Deployment,
        canary: &Deployment,
    ) -> Result<Option<String>, PortError> {
        let place = canary.place();
        if canary.is_going() {
            return Ok(Some(format!("{place} is being removed")));
        }
        not_stable_already(call, canary)?;
        if canary.annotation(MADE_FROM) != Some(stable.name()) {
            let message = format!(
                "{place} is there and was not made from {}: it is left alone; remove it, give the canary another \
                 name (`.canary(..)`), or take both as they are (`Deployments::pair`)",
                stable.place(),
            );
            return Err(PortError::new(FailureKind::Invalid, message));
        }
        if canary.annotation(ROLLOUT) != Some(call.rollout.as_str()) {
            let why = self.remove(canary, stable).await?;
            return Ok(Some(format!("an earlier rollout has left a canary behind: {why}")));
        }
        let asked = Parts::of_variant(variant, stable)?;
        if Parts::noted(canary, ASKED).is_some_and(|noted| noted != asked) {
            let message =
                format!("{place} was made to run something else than this rollout asks for now");
            return Err(PortError::new(FailureKind::Invalid, message));
        }
        if Parts::noted(canary, RUNS).is_some_and(|noted| asked.as_in(canary) != Some(noted)) {
            let message =
                format!("somebody has changed what {place} runs since this rollout made it");
            return Err(PortError::new(FailureKind::Invalid, message));
        }
        Ok(None)
    }
}

/// Checks that a Deployment did not become the stable one by an earlier swap.
fn not_stable_already(call: &Call, canary: &Deployment) -> Result<(), PortError> {
    match canary.annotation(TOOK_OVER) {
        Some(rollout) if rollout != call.rollout.as_str() => Err(PortError::new(
            FailureKind::Invalid,
            format!(
                "{} became the stable one in rollout {rollout}: name it as stable now, or take its annotation \
                 {TOOK_OVER} away",
                canary.place()
            ),
        )),
        _ => Ok(()),
    }
}
