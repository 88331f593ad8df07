//! The loop that drives one rollout.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::execute::Ports;
use super::handle::{Done, Envelope, Finished};
use super::{Clock, DriverError};
use crate::ports::{Observer, PortError};
use crate::rollout::{Action, Answer, Effect, Event, Reply, Rollout, Status};
use crate::value::{CommandId, EffectId, Failure, FailureKind};

/// Drives one rollout: hands events to the machine and carries its effects out.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) rollout: Rollout,
    pub(super) ports: Ports,
    pub(super) clock: Clock,
    pub(super) observers: Vec<Arc<dyn Observer>>,
    #[cfg(feature = "json")]
    pub(super) journal: Option<super::journal::Journal>,
    pub(super) commands: mpsc::Receiver<Envelope>,
    pub(super) status: watch::Sender<Status>,
    pub(super) done: watch::Sender<Done>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) work: Work,
}

/// Follows what is under way.
#[derive(Debug, Default)]
pub(super) struct Work {
    tasks: JoinSet<Answered>,
    /// What each task is for, so that one that panics is answered for.
    jobs: HashMap<Id, Job>,
    /// The calls by effect and try: one that was cancelled may end after the next one began.
    running: HashMap<(EffectId, u32), AbortHandle>,
    asked: HashMap<CommandId, Vec<oneshot::Sender<Answer>>>,
}

#[derive(Clone, Debug)]
enum Job {
    Save { rev: u64 },
    Call { id: EffectId, attempt: u32, action: Action },
}

#[derive(Debug)]
enum Answered {
    Saved { rev: u64, result: Result<(), PortError> },
    Replied { id: EffectId, attempt: u32, reply: Reply },
}

impl Runner {
    /// Drives the rollout to its end, or until it is fenced or stopped.
    pub(super) async fn run(mut self, first: Vec<Effect>) {
        let driven = AssertUnwindSafe(self.drive(first)).catch_unwind().await;
        let result = driven.unwrap_or(Err(DriverError::Panicked));
        #[cfg(feature = "json")]
        if let Some(journal) = self.journal.take() {
            journal.close().await;
        }
        self.done.send_replace(Some(result));
    }

    async fn drive(&mut self, first: Vec<Effect>) -> Result<Finished, DriverError> {
        self.carry_out(first);
        loop {
            if self.rollout.is_settled()
                && let Some(outcome) = self.rollout.outcome()
            {
                return Ok(Finished {
                    outcome: outcome.clone(),
                    report: self.rollout.report().clone(),
                });
            }
            if let Some(event) = self.next_event().await? {
                self.take(event);
            }
        }
    }

    /// Waits for whatever happens next, `None` where it is nothing to the machine.
    async fn next_event(&mut self) -> Result<Option<Event>, DriverError> {
        let deadline = self.rollout.deadline().map(|at| self.clock.instant(at));
        let sleep = async {
            match deadline {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // Dropped handles stop nothing: only a `true` does.
            Ok(_) = self.stop.wait_for(|stop| *stop) => Err(DriverError::Stopped),
            Some((command, answer)) = self.commands.recv() => {
                self.work.asked.entry(command.id.clone()).or_default().push(answer);
                Ok(Some(Event::Command(command)))
            }
            Some(done) = self.work.tasks.join_next_with_id() => self.work.answered(done),
            () = sleep => Ok(Some(Event::Tick)),
        }
    }

    /// Hands an event to the machine and does what it wants.
    fn take(&mut self, event: Event) {
        let now = self.clock.now();
        #[cfg(feature = "json")]
        if let Some(journal) = &self.journal {
            journal.write(crate::journal::Line::Event { at: now, event: event.clone() });
        }
        let effects = self.rollout.step(event, now);
        self.carry_out(effects);
        let status = self.rollout.status(now);
        let was_stuck = self.status.borrow().stuck;
        if status.stuck && !was_stuck {
            // Said here as well, since records wait for a store, which may be down with the router.
            tracing::error!(rollout = %status.rollout, weight = %status.weight, "the canary cannot be taken back");
        }
        self.status.send_replace(status);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist { rev } => self.save(rev),
                Effect::Run { call, action } => {
                    let job =
                        Job::Call { id: call.id, attempt: call.attempt, action: action.clone() };
                    let (ports, id, attempt) = (self.ports.clone(), call.id, call.attempt);
                    let abort = self.work.begin(job, async move {
                        let reply = ports.execute(&call, action).await;
                        Answered::Replied { id, attempt, reply }
                    });
                    self.work.running.insert((id, attempt), abort);
                }
                Effect::Cancel(id) => self.work.cancel(id),
                Effect::Notify(record) => {
                    for observer in &self.observers {
                        // An observer that panics harms nothing but itself.
                        if catch_unwind(AssertUnwindSafe(|| observer.notice(&record))).is_err() {
                            tracing::warn!(record = record.number, "an observer panicked");
                        }
                    }
                }
                Effect::Answer { command, answer } => {
                    for sender in self.work.asked.remove(&command).into_iter().flatten() {
                        // Whoever asked may have gone.
                        let _ = sender.send(answer.clone());
                    }
                }
            }
        }
    }

    fn save(&mut self, rev: u64) {
        let (saver, state) = (self.ports.saver.clone(), self.rollout.snapshot());
        self.work.begin(Job::Save { rev }, async move {
            Answered::Saved { rev, result: saver.save(&state).await }
        });
    }
}

impl Work {
    fn begin(
        &mut self,
        job: Job,
        task: impl Future<Output = Answered> + Send + 'static,
    ) -> AbortHandle {
        let abort = self.tasks.spawn(task);
        self.jobs.insert(abort.id(), job);
        abort
    }

    fn cancel(&mut self, id: EffectId) {
        self.running.retain(|(running, _), call| {
            if *running == id {
                call.abort();
            }
            *running != id
        });
    }

    /// Turns a task's end into an event, `None` for one that was cancelled; a fenced holder stops.
    fn answered(
        &mut self,
        done: Result<(Id, Answered), JoinError>,
    ) -> Result<Option<Event>, DriverError> {
        let answered = match done {
            Ok((task, answered)) => {
                self.jobs.remove(&task);
                answered
            }
            Err(error) => match self.jobs.remove(&error.id()) {
                Some(job) if !error.is_cancelled() => job.panicked(),
                _ => return Ok(None),
            },
        };
        match answered {
            Answered::Saved { result: Err(error), .. } if error.kind() == FailureKind::Conflict => {
                Err(DriverError::Fenced)
            }
            Answered::Saved { rev, result } => {
                Ok(Some(Event::Persisted { rev, result: result.map_err(PortError::into_failure) }))
            }
            Answered::Replied { reply: Reply::Applied(Err(failure)), .. }
                if failure.kind == FailureKind::Fenced =>
            {
                Err(DriverError::Fenced)
            }
            Answered::Replied { id, attempt, reply } => {
                self.running.remove(&(id, attempt));
                Ok(Some(Event::Reply { id, attempt, reply }))
            }
        }
    }
}

impl Job {
    /// Answers for a task that panicked.
    fn panicked(self) -> Answered {
        match self {
            Self::Save { rev } => {
                let error = PortError::new(FailureKind::Internal, "the store: it panicked");
                Answered::Saved { rev, result: Err(error) }
            }
            Self::Call { id, attempt, action } => {
                let failure = Failure::new(FailureKind::Internal, "it panicked");
                Answered::Replied { id, attempt, reply: action.failed(failure) }
            }
        }
    }
}
