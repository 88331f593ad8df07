//! What a driver has under way, and whom it owes an answer.

use std::collections::HashMap;

use tokio::sync::oneshot;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::DriverError;
use super::execute::Ports;
use super::looks;
use crate::ports::{Call, PortError};
use crate::rollout::{Action, Answer, Event, Reply};
use crate::value::{CommandId, EffectId, Failure, FailureKind};

/// Follows what is under way.
#[derive(Debug, Default)]
pub(super) struct Work {
    tasks: JoinSet<Answered>,
    /// What each task is for, so that one that panics is answered for.
    jobs: HashMap<Id, Job>,
    /// The calls by effect and try: one that was cancelled may end after the next one began.
    running: HashMap<(EffectId, u32), AbortHandle>,
    asked: HashMap<CommandId, Vec<oneshot::Sender<Answer>>>,
    look: Option<AbortHandle>,
    /// Whether a look at the route has ended since somebody asked.
    looked: bool,
}

#[derive(Clone, Debug)]
enum Job {
    Save { rev: u64 },
    Call { id: EffectId, attempt: u32, action: Action },
    Look,
}

#[derive(Debug)]
enum Answered {
    Saved { rev: u64, result: Result<(), PortError> },
    Replied { id: EffectId, attempt: u32, reply: Reply },
    Looked(Option<Event>),
}

impl Work {
    /// Runs a save.
    pub(super) fn save(
        &mut self,
        rev: u64,
        saving: impl Future<Output = Result<(), PortError>> + Send + 'static,
    ) {
        self.begin(Job::Save { rev }, async move { Answered::Saved { rev, result: saving.await } });
    }

    /// Runs a call.
    pub(super) fn call(&mut self, ports: Ports, call: Call, action: Action) {
        let (id, attempt) = (call.id, call.attempt);
        let job = Job::Call { id, attempt, action: action.clone() };
        let abort = self.begin(job, async move {
            let reply = ports.execute(&call, action).await;
            Answered::Replied { id, attempt, reply }
        });
        self.running.insert((id, attempt), abort);
    }

    /// Looks at the route.
    pub(super) fn look(&mut self, ports: Ports, call: Call) {
        let look = async move { Answered::Looked(looks::look(&*ports.router, &call).await) };
        self.look = Some(self.begin(Job::Look, look));
    }

    /// Tells whether a look at the route has ended since this was last asked.
    pub(super) const fn looked(&mut self) -> bool {
        std::mem::replace(&mut self.looked, false)
    }

    fn begin(
        &mut self,
        job: Job,
        task: impl Future<Output = Answered> + Send + 'static,
    ) -> AbortHandle {
        let abort = self.tasks.spawn(task);
        self.jobs.insert(abort.id(), job);
        abort
    }

    /// Drops every call of an effect.
    pub(super) fn cancel(&mut self, id: EffectId) {
        self.running.retain(|(running, _), call| {
            if *running == id {
                call.abort();
            }
            *running != id
        });
    }

    /// Remembers where the answer to a command goes.
    pub(super) fn owe(&mut self, command: &CommandId, answer: oneshot::Sender<Answer>) {
        self.asked.entry(command.clone()).or_default().push(answer);
    }

    /// Answers a command.
    pub(super) fn answer(&mut self, command: &CommandId, answer: &Answer) {
        for sender in self.asked.remove(command).into_iter().flatten() {
            // Whoever asked may have gone.
            let _ = sender.send(answer.clone());
        }
    }

    /// Waits for the next answer and turns it into an event, `None` where it is nothing to the machine.
    ///
    /// Pending where nothing is under way. A fenced holder stops.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, DriverError> {
        match self.tasks.join_next_with_id().await {
            Some(done) => self.answered(done),
            None => std::future::pending().await,
        }
    }

    /// Drops every call, and waits for the save that is under way.
    pub(super) async fn finish_saves(&mut self) {
        let calls = self.running.drain().map(|(_, call)| call);
        calls.chain(self.look.take()).for_each(|call| call.abort());
        while self.tasks.join_next().await.is_some() {}
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
            Answered::Replied { reply, .. } if reply.is_fenced() => Err(DriverError::Fenced),
            Answered::Looked(event) => {
                self.looked = true;
                self.look = None;
                Ok(event)
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
            Self::Look => Answered::Looked(None),
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
