//! What one holds of a rollout that is being driven.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use super::DriverError;
use crate::record::Outcome;
use crate::report::Report;
use crate::rollout::{Answer, Command, CommandKind, Status};
use crate::value::{Actor, CommandId, Epoch, GateName, InvalidName, RolloutId, StageRef, Target};

/// A command on its way, with where its answer goes.
pub(super) type Envelope = Box<(Command, oneshot::Sender<Answer>)>;

/// What became of the driver, once it is done.
pub(super) type Done = Option<Result<Finished, DriverError>>;

/// Says whether and how a driver stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// What is being saved is saved first.
    Gently,
    AtOnce,
}

/// Says what becomes of a rollout whose program ends before it does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// Traffic stays as it is, and the next holder takes the rollout up.
    LeaveToBeResumed,
    /// The canary is taken back first.
    TakeBack {
        /// In whose name.
        actor: Actor,
        /// Why.
        reason: String,
    },
}

/// Steers and watches a rollout; clones steer the same one.
///
/// Dropping it, and every clone, changes nothing: the rollout goes on until it ends, the process does, or the tokio
/// runtime is dropped. What is under way is cut off then, as in a crash, and can be resumed from the store;
/// [`shutdown`](Self::shutdown) ends it in order.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) id: RolloutId,
    pub(super) target: Target,
    pub(super) epoch: Epoch,
    pub(super) commands: mpsc::Sender<Envelope>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) done: watch::Receiver<Done>,
    pub(super) stop: Arc<watch::Sender<Stop>>,
    pub(super) given: Arc<AtomicU64>,
}

impl Handle {
    /// Returns the rollout's id.
    #[must_use]
    pub const fn id(&self) -> &RolloutId {
        &self.id
    }

    /// Returns what is rolled out.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
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
    /// The command takes effect at once; the answer comes when that is in the store, so it waits for as long as the store
    /// is down.
    ///
    /// # Errors
    /// [`DriverError`] if the rollout is no longer driven here though it has not ended.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time; the command may then have been given all the same. One that is to be given
    /// again without doing it twice needs an id of its own, with [`command`](Self::command).
    pub async fn pause(&self, actor: &Actor) -> Result<Answer, DriverError> {
        self.give(actor, CommandKind::Pause).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// As for [`pause`](Self::pause).
    pub async fn resume(&self, actor: &Actor) -> Result<Answer, DriverError> {
        self.give(actor, CommandKind::Resume).await
    }

    /// Opens a gate that waits for approval, or goes on in spite of a check that asks: `approve("oncall", &ana)`.
    ///
    /// Where nothing of that name asks, the answer is [`Answer::Impossible`] and says what does.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// As for [`pause`](Self::pause).
    pub async fn approve(&self, gate: &str, actor: &Actor) -> Result<Answer, DriverError> {
        match GateName::new(gate) {
            Ok(gate) => self.give(actor, CommandKind::Approve { gate }).await,
            Err(error) => Ok(no_gate(&error)),
        }
    }

    /// Approves as [`approve`](Self::approve) does, but in this stage only: a late one does not open the same gate of
    /// the next.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// As for [`pause`](Self::pause).
    pub async fn approve_at(
        &self,
        stage: StageRef,
        gate: &str,
        actor: &Actor,
    ) -> Result<Answer, DriverError> {
        match GateName::new(gate) {
            Ok(gate) => self.give_at(Some(stage), actor, CommandKind::Approve { gate }).await,
            Err(error) => Ok(no_gate(&error)),
        }
    }

    /// Closes a gate that waits for approval for good, or says that a check that asks is right: the canary is taken
    /// back.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// As for [`pause`](Self::pause).
    pub async fn reject(
        &self,
        gate: &str,
        reason: impl Into<String>,
        actor: &Actor,
    ) -> Result<Answer, DriverError> {
        match GateName::new(gate) {
            Ok(gate) => self.give(actor, CommandKind::Reject { gate, reason: reason.into() }).await,
            Err(error) => Ok(no_gate(&error)),
        }
    }

    /// Takes the rest of this stage's hold as done; what comes next is asked and judged as ever.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// As for [`pause`](Self::pause).
    pub async fn advance(&self, stage: StageRef, actor: &Actor) -> Result<Answer, DriverError> {
        self.give_at(Some(stage), actor, CommandKind::Advance).await
    }

    /// Gives the canary all of the traffic now, whatever checks and gates say.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// As for [`pause`](Self::pause).
    pub async fn promote_full(&self, actor: &Actor) -> Result<Answer, DriverError> {
        self.give(actor, CommandKind::PromoteFull).await
    }

    /// Starts over from the first stage.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// As for [`pause`](Self::pause).
    pub async fn retry(&self, actor: &Actor) -> Result<Answer, DriverError> {
        self.give(actor, CommandKind::Retry).await
    }

    /// Takes the canary back.
    ///
    /// The answer comes when that is in the store or the router has taken the last traffic away, whichever is first: so
    /// a store that is down holds it up no longer than the router.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// The future may be dropped at any time; the canary may then be taken back all the same.
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
    ///
    /// # Cancel safety
    /// The future may be dropped at any time; the command may then have been given all the same. To give it again is
    /// safe, and tells the answer.
    pub async fn command(&self, command: Command) -> Result<Answer, DriverError> {
        let (answer, answered) = oneshot::channel();
        if self.commands.send(Box::new((command, answer))).await.is_err() {
            return self.over();
        }
        answered.await.or_else(|_| self.over())
    }

    async fn give(&self, actor: &Actor, kind: CommandKind) -> Result<Answer, DriverError> {
        self.give_at(None, actor, kind).await
    }

    async fn give_at(
        &self,
        stage: Option<StageRef>,
        actor: &Actor,
        kind: CommandKind,
    ) -> Result<Answer, DriverError> {
        let id = self.next_id().map_err(|_| DriverError::Stopped)?;
        let command = Command::new(id, actor.clone(), kind);
        self.command(match stage {
            Some(stage) => command.at(stage),
            None => command,
        })
        .await
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

    /// Stops driving in order, and waits until that is done; the end if the rollout has come to it.
    ///
    /// Left to be resumed, calls are dropped at once, the save that is under way is waited for, and observers hear what
    /// they were told. That takes milliseconds, and half a minute where the store does not answer. Taken back, it goes on until the canary has nothing any more, however long the
    /// router needs for that; where a promotion is past taking back, until that has ended.
    ///
    /// # Errors
    /// [`DriverError`] if somebody else stopped it, or it was taken over or panicked.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time; the rollout still stops or is taken back.
    pub async fn shutdown(&self, how: Shutdown) -> Result<Option<Finished>, DriverError> {
        match how {
            Shutdown::LeaveToBeResumed => {
                self.stop.send_if_modified(|stop| {
                    let driven = *stop == Stop::No;
                    if driven {
                        *stop = Stop::Gently;
                    }
                    driven
                });
                match self.finished().await {
                    Err(DriverError::Stopped) => Ok(None),
                    ended => ended.map(Some),
                }
            }
            Shutdown::TakeBack { actor, reason } => {
                self.abort(reason, &actor).await?;
                self.gone(&actor).await.map(Some)
            }
        }
    }

    /// Waits until a rollout that has been decided has ended, and lets nothing be kept for a while.
    pub(super) async fn gone(&self, actor: &Actor) -> Result<Finished, DriverError> {
        let mut status = self.status.clone();
        let kept = async { status.wait_for(|status| status.phase == "retiring").await.is_ok() };
        tokio::select! {
            kept = kept => {
                if kept {
                    self.retry(actor).await?;
                }
            }
            ended = self.finished() => return ended,
        }
        self.finished().await
    }

    /// Stops driving at once and leaves the rollout to be resumed, as a crash would: traffic stays as it is.
    pub fn stop(&self) {
        self.stop.send_replace(Stop::AtOnce);
    }
}

/// Answers an approval or a rejection of what cannot be a gate's name.
fn no_gate(error: &InvalidName) -> Answer {
    Answer::Impossible { why: error.to_string() }
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
