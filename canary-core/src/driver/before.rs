//! Makes sure of a few things before a rollout starts.

use std::time::Duration;

use super::begin::{Goal, Parts};
use super::{DriverError, StartError};
use crate::ports::{Call, Claim, PortError, Stored};
use crate::record::Outcome;
use crate::rollout::Phase;
use crate::value::{EffectId, Epoch, RolloutId, Target, Weight};

/// How long the router may take to say whose the route is.
const PATIENCE: Duration = Duration::from_secs(5);

impl Parts {
    /// Makes sure that no rollout is under way on the target, and returns what is kept of the last one.
    pub(super) async fn freed(
        &self,
        target: &Target,
        held: Option<Stored>,
        id: &RolloutId,
    ) -> Result<Option<Stored>, StartError> {
        let Some(held) = held else { return Ok(None) };
        let over = held.claim.past.iter().any(|past| past.rollout == *id);
        let settled = held.claim.state.is_settled();
        if over || (settled && held.claim.state.rollout() == id) {
            return Err(StartError::Over { target: target.clone(), rollout: id.clone() });
        }
        if settled {
            return Ok(Some(held));
        }
        let rollout = held.claim.state.rollout().clone();
        let busy = |rollout| StartError::Busy { target: target.clone(), rollout };
        // The same id again is a repeat, not another rollout.
        let Some(actor) = self.supersede.as_ref().filter(|_| rollout != *id) else {
            return Err(busy(rollout));
        };
        let promoted =
            matches!(held.claim.state.phase(), Phase::Retiring { outcome: Outcome::Promoted, .. });
        let old = self.clone().take_up(held, target.clone(), Goal::TakeBack)?;
        let ended = async {
            // One that was promoted only keeps its old version for a while.
            if !promoted {
                old.abort(format!("superseded by {id}"), actor).await?;
            }
            old.gone(actor).await
        };
        match ended.await {
            Ok(_) => {}
            Err(DriverError::Fenced) => return Err(self.lost_race(target, rollout).await),
            Err(source) => {
                return Err(StartError::NotSuperseded { target: target.clone(), rollout, source });
            }
        }
        match self.load(target).await? {
            Some(held) if !held.claim.state.is_settled() => {
                Err(busy(held.claim.state.rollout().clone()))
            }
            held => Ok(held),
        }
    }

    /// Makes sure that the route is free, and that what is to be made ready as the canary is not what serves.
    ///
    /// A router that does not answer is no reason not to begin: the rollout itself waits for it.
    pub(super) async fn check_route(
        &self,
        target: &Target,
        held: Option<&Stored>,
        id: &RolloutId,
    ) -> Result<(), StartError> {
        let Some(router) = &self.router else { return Ok(()) };
        let now = self.clock_after(None).now();
        let call =
            Call::new(id.clone(), Epoch::default(), EffectId::new(0), 1, now, now + PATIENCE);
        if self.supersede.is_none()
            && let Some(rollout) = in_time(router.holder(&call)).await.flatten()
            && rollout != *id
            && !held.is_some_and(|held| is_over(held, &rollout))
        {
            return Err(StartError::Busy { target: target.clone(), rollout });
        }
        if self.workload.is_some()
            && let Some(seen) = in_time(router.observe(&call)).await
            && seen.traffic.canary == Weight::FULL
        {
            return Err(StartError::Reversed { target: target.clone() });
        }
        Ok(())
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, PortError>>) -> Option<T> {
    tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
}

/// Tells whether a rollout of which there are marks on the route is over: it may have failed to take them off.
fn is_over(held: &Stored, rollout: &RolloutId) -> bool {
    let Claim { state, past, .. } = &held.claim;
    state.rollout() == rollout || past.iter().any(|past| past.rollout == *rollout)
}
