//! The loop that drives one rollout.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::sync::{mpsc, watch};

use super::execute::Ports;
use super::handle::{Done, Envelope, Finished, Stop};
use super::looks::{self, Looks};
use super::observers::Observers;
use super::work::Work;
use super::{Clock, DriverError};
use crate::rollout::{Effect, Event, Rollout, Status};
use crate::value::{Failure, Timestamp, millis};

/// Drives one rollout: hands events to the machine and carries its effects out.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) rollout: Rollout,
    pub(super) ports: Ports,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
    #[cfg(feature = "json")]
    pub(super) journal: Option<super::journal::Journal>,
    pub(super) commands: mpsc::Receiver<Envelope>,
    pub(super) status: watch::Sender<Status>,
    pub(super) done: watch::Sender<Done>,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) work: Work,
    pub(super) looks: Looks,
    /// Since when the store fails.
    pub(super) store_down: Option<Timestamp>,
}

impl Runner {
    /// Drives the rollout to its end, or until it is fenced or stopped.
    pub(super) async fn run(mut self, first: Vec<Effect>) {
        let driven = AssertUnwindSafe(self.drive(first)).catch_unwind().await;
        let result = driven.unwrap_or(Err(DriverError::Panicked));
        self.observers.have_heard().await;
        #[cfg(feature = "json")]
        if let Some(journal) = &self.journal {
            journal.is_written().await;
        }
        self.done.send_replace(Some(result));
    }

    async fn drive(&mut self, first: Vec<Effect>) -> Result<Finished, DriverError> {
        self.looks.plan(self.clock.instant(self.clock.now()));
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
            // Dropped handles stop nothing: only a word does.
            Ok(stop) = async { self.stop.wait_for(|stop| *stop != Stop::No).await.map(|stop| *stop) } => {
                if stop == Stop::Gently {
                    self.work.finish_saves().await;
                }
                Err(DriverError::Stopped)
            }
            Some(envelope) = self.commands.recv() => {
                let (command, answer) = *envelope;
                self.work.owe(&command.id, answer);
                Ok(Some(Event::Command(command)))
            }
            event = self.work.next() => {
                if self.work.looked() {
                    self.looks.plan(self.clock.instant(self.clock.now()));
                }
                event
            }
            () = self.looks.due() => {
                self.work.look(self.ports.clone(), looks::call(&self.rollout, self.clock));
                Ok(None)
            }
            () = sleep => Ok(Some(Event::Tick)),
        }
    }

    /// Hands an event to the machine and does what it wants.
    fn take(&mut self, event: Event) {
        let now = self.clock.now();
        if let Event::Persisted { result, .. } = &event {
            self.note_store(result.as_ref().err(), now);
        }
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

    /// Says when the store goes down and when it is back: records, which would say so, wait for it.
    fn note_store(&mut self, failure: Option<&Failure>, now: Timestamp) {
        let rollout = self.rollout.id();
        match (failure, self.store_down) {
            (Some(failure), None) => {
                tracing::warn!(%rollout, %failure, "the store fails: the canary can be taken back, but does not grow");
                self.store_down = Some(now);
            }
            (None, Some(since)) => {
                let down_ms = millis(now.since(since));
                tracing::info!(%rollout, down_ms, "the store is back");
                self.store_down = None;
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist { rev } => self.save(rev),
                Effect::Run { call, action } => self.work.call(self.ports.clone(), call, action),
                Effect::Cancel(id) => self.work.cancel(id),
                Effect::Notify(record) => self.observers.tell(&record),
                Effect::Answer { command, answer } => self.work.answer(&command, &answer),
            }
        }
    }

    fn save(&mut self, rev: u64) {
        let (saver, state) = (self.ports.saver.clone(), self.rollout.snapshot());
        let observers = self.observers.clone();
        #[cfg(feature = "json")]
        let journal = self.journal.clone();
        self.work.save(rev, async move {
            observers.have_heard().await;
            #[cfg(feature = "json")]
            if let Some(journal) = journal {
                journal.is_written().await;
            }
            saver.save(state).await
        });
    }
}
