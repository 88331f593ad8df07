//! What one holds of a rollout that is being driven.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use super::DriverError;
use crate::record::Outcome;
use crate::report::Report;
use crate::rollout::{Answer, Command, CommandKind, Status};
use crate::value::{Actor, CommandId, Epoch, GateName, InvalidName, RolloutId};

/// A command on its way, with where its answer goes.
pub(super) type Envelope = (Command, oneshot::Sender<Answer>);

/// What became of the driver, once it is done.
pub(super) type Done = Option<Result<Finished, DriverError>>;

/// Steers and watches a rollout; clones steer the same one.
///
/// Dropping it changes nothing: the rollout goes on.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) id: RolloutId,
    pub(super) epoch: Epoch,
    pub(super) commands: mpsc::Sender<Envelope>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) done: watch::Receiver<Done>,
    pub(super) stop: Arc<watch::Sender<bool>>,
    pub(super) given: Arc<AtomicU64>,
}

impl Handle {
    /// Returns the rollout's id.
    #[must_use]
    pub const fn id(&self) -> &RolloutId {
        &self.id
    }

    /// Returns where the rollout stands, and can be waited on for changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Lets weight and clock stand; checks go on and may still take the canary back.
    ///
    /// Once the rollout has ended, the answer is [`Answer::Impossible`] and names the outcome.
    ///
    /// # Errors
    /// [`DriverError`] if the rollout is no longer driven here though it has not ended.
    pub async fn pause(&self, actor: &Actor) -> Result<Answer, DriverError> {
        self.give(actor, CommandKind::Pause).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    pub async fn resume(&self, actor: &Actor) -> Result<Answer, DriverError> {
        self.give(actor, CommandKind::Resume).await
    }

    /// Opens a gate that waits for approval.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    pub async fn approve(&self, gate: GateName, actor: &Actor) -> Result<Answer, DriverError> {
        self.give(actor, CommandKind::Approve { gate }).await
    }

    /// Takes the canary back.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    pub async fn abort(
        &self,
        reason: impl Into<String>,
        actor: &Actor,
    ) -> Result<Answer, DriverError> {
        self.give(actor, CommandKind::Abort { reason: reason.into() }).await
    }

    /// Gives a command with an id of the caller's, so that a repeat is known as one.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    pub async fn command(&self, command: Command) -> Result<Answer, DriverError> {
        let (answer, answered) = oneshot::channel();
        if self.commands.send((command, answer)).await.is_err() {
            return self.over();
        }
        answered.await.or_else(|_| self.over())
    }

    async fn give(&self, actor: &Actor, kind: CommandKind) -> Result<Answer, DriverError> {
        let id = self.next_id().map_err(|_| DriverError::Stopped)?;
        self.command(Command::new(id, actor.clone(), kind)).await
    }

    /// Makes an id that no other holder's command has.
    fn next_id(&self) -> Result<CommandId, InvalidName> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        CommandId::new(format!("handle-{}-{number}", self.epoch))
    }

    /// Answers a command that came too late, as the machine itself does.
    fn over(&self) -> Result<Answer, DriverError> {
        match &*self.done.borrow() {
            Some(Ok(finished)) => {
                Ok(Answer::Impossible { why: format!("the rollout is over: {}", finished.outcome) })
            }
            Some(Err(error)) => Err(error.clone()),
            None => Err(DriverError::Stopped),
        }
    }

    /// Waits until the rollout has ended and everything about it is saved and told.
    ///
    /// # Errors
    /// [`DriverError`] if it is no longer driven here before that.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time; the rollout goes on.
    pub async fn finished(&self) -> Result<Finished, DriverError> {
        let mut done = self.done.clone();
        match done.wait_for(Option::is_some).await {
            Ok(done) => done.clone().unwrap_or(Err(DriverError::Stopped)),
            Err(_) => Err(DriverError::Stopped),
        }
    }

    /// Stops driving at once and leaves the rollout to be resumed: traffic stays as it is.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// Holds a rollout's end.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub(super) outcome: Outcome,
    pub(super) report: Report,
}

impl Finished {
    /// Returns how it ended.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Returns what happened.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }
}
