//! A rollout followed to its end.

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use canary_core::driver::{DriverError, Finished, Handle, Shutdown};
use canary_core::policy::{GateKind, GateSpec, Otherwise, Policy};
use canary_core::record::Record;
use canary_core::rollout::{Answer, Status, Waiting};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use super::{Job, People, Stop, in_words};
use crate::terminal::{Screen, Story, judged};

/// How a rollout was left.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "it is over or it is not")]
pub enum End {
    /// It is over.
    Finished(Box<Finished>),
    /// It goes on elsewhere, or can be taken up.
    Left,
}

impl End {
    /// Returns the exit status: 0 promoted, 3 taken back, 4 left.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Finished(finished) if finished.outcome().is_promoted() => 0,
            Self::Finished(_) => 3,
            Self::Left => 4,
        }
    }

    /// Says how it ended, writes the report as a page beside the state and forgets the job.
    ///
    /// A disk that does not take the page changes nothing of how it ended, so that is a warning.
    pub fn conclude(&self, state: &Path, screen: &mut Screen) {
        let Self::Finished(finished) = self else { return };
        let report = finished.report();
        screen.say(&format!("\n{}.", report.sentence()));
        let Some(rollout) = &report.rollout else { return };
        Job::forget(state, rollout);
        let page = state.join(format!("{rollout}.md"));
        let shown = page.display();
        screen.say(&match fs::write(&page, report.to_markdown()) {
            Ok(()) => format!("Report: {shown}"),
            Err(error) => format!("warning: cannot write {shown}: {error}"),
        });
    }
}

/// A rollout that was started or taken up.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever begins one has all of it")]
pub struct Begun {
    /// The rollout.
    pub handle: Handle,
    /// The policy that it goes by.
    pub policy: Policy,
    /// What it tells.
    pub records: UnboundedReceiver<Record>,
    /// What tells the program to stop, since before the rollout began.
    pub stop: Stop,
}

/// Follows a rollout: shows it, puts its questions to people, and takes the canary back when told to stop.
///
/// Told so twice, it leaves everything as it is, to be resumed from `state`.
pub async fn follow(begun: Begun, screen: &mut Screen, people: &Arc<People>, state: &Path) -> End {
    let Begun { handle, policy, mut records, mut stop } = begun;
    let (handle, policy) = (&handle, &policy);
    let mut status = handle.status();
    let (questions, aborts) = (JoinSet::new(), JoinSet::new());
    let mut seat = Seat { handle, policy, people, state, questions, aborts, asked: None };
    let mut story = Story::default();
    // Where somebody watches, nothing scrolls by while they are asked; a log goes on.
    let watched = screen.is_live();
    let mut ticks = ticks(screen, policy);
    let mut told = false;
    let mut finished = pin!(handle.finished());
    let finished = loop {
        tokio::select! {
            Some(record) = records.recv() => {
                story.tell(&record).into_iter().for_each(|line| screen.say(&line));
            }
            _ = ticks.tick(), if !watched || seat.asked.is_none() => {
                screen.show(&judged(&status.borrow(), policy));
            }
            Ok(()) = status.changed() => {
                let status = status.borrow_and_update().clone();
                if seat.ask(&status, screen) {
                    ticks = self::ticks(screen, policy);
                }
            }
            Some(Ok(done)) = seat.questions.join_next() => seat.did(done, screen),
            Some(Ok(done)) = seat.aborts.join_next() => seat.did(done, screen),
            heard = stop.heard() => {
                if told {
                    screen.say(&format!("{heard} again: the rollout is left as it is"));
                    break handle.shutdown(Shutdown::LeaveToBeResumed).await.and_then(|ended| ended.ok_or(DriverError::Stopped));
                }
                told = true;
                screen.say(&format!("{heard}: taking the canary back; once more to leave everything as it is"));
                seat.abort(heard);
            }
            finished = &mut finished => break finished,
        }
    };
    while let Ok(record) = records.try_recv() {
        story.tell(&record).into_iter().for_each(|line| screen.say(&line));
    }
    match finished {
        Ok(finished) => End::Finished(Box::new(finished)),
        Err(why) => {
            let weight = handle.status().borrow().weight;
            screen.say(&format!(
                "{}: {why}. The canary had {weight} when it was last seen here.",
                handle.id()
            ));
            // Where it goes on elsewhere, whoever took it up would take it away from there.
            if why != DriverError::Fenced {
                screen.say(&seat.elsewhere("To go on", ""));
            }
            End::Left
        }
    }
}

/// Returns when to show how things stand: all the time, or in lines that come with the looks at the metrics.
fn ticks(screen: &Screen, policy: &Policy) -> Interval {
    let every = Duration::from_millis(policy.spec().every_ms);
    let mut ticks = tokio::time::interval(if screen.is_live() { screen.pace() } else { every });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.reset();
    ticks
}

/// Where somebody sits who follows a rollout.
struct Seat<'a> {
    handle: &'a Handle,
    policy: &'a Policy,
    people: &'a Arc<People>,
    state: &'a Path,
    /// What is asked and answered now.
    questions: JoinSet<Done>,
    aborts: JoinSet<Done>,
    /// What somebody is asked.
    asked: Option<Question>,
}

/// What a rollout asks people.
struct Question {
    name: String,
    /// What is asked.
    what: String,
    /// What becomes of it if nobody says anything.
    unanswered: String,
}

/// What came of a command.
enum Done {
    Answered(Result<Answer, DriverError>),
    Nobody,
}

impl Seat<'_> {
    /// Takes the canary back.
    fn abort(&mut self, why: &'static str) {
        let (handle, people) = (self.handle.clone(), Arc::clone(self.people));
        self.aborts.spawn(async move { Done::Answered(handle.abort(why, people.actor()).await) });
    }

    /// Puts a new question to people; tells whether there is one.
    fn ask(&mut self, status: &Status, screen: &mut Screen) -> bool {
        let question = self.question(status);
        let name = |question: &Option<Question>| question.as_ref().map(|one| one.name.clone());
        if name(&question) == name(&self.asked) {
            return false;
        }
        self.asked = question;
        // A question that nobody needs an answer to any more.
        self.questions.abort_all();
        let Some(Question { name, what, unanswered }) = &self.asked else { return false };
        let (name, question) = (name.clone(), format!("{what} {}.", sentence(unanswered)));
        screen.make_plain();
        let (handle, people) = (self.handle.clone(), Arc::clone(self.people));
        self.questions.spawn(async move {
            let Some(yes) = people.ask(&question).await else { return Done::Nobody };
            Done::Answered(if yes {
                handle.approve(&name, people.actor()).await
            } else {
                handle.reject(&name, "somebody said no", people.actor()).await
            })
        });
        true
    }

    /// Returns what a rollout asks people.
    fn question(&self, status: &Status) -> Option<Question> {
        let (target, weight) = (self.handle.target(), status.weight);
        match &status.waiting {
            Waiting::Gate(gate) if self.policy.gate(gate).kind == GateKind::Approval => {
                let promotes = self.policy.spec().promotion.gates.contains(gate);
                let what = if promotes { "promote" } else { "go on with" };
                let what = format!("{gate}: {what} {target}? The canary has {weight}.");
                let unanswered = unanswered(&self.policy.gate(gate));
                Some(Question { name: gate.to_string(), what, unanswered })
            }
            Waiting::Question(check) => {
                let go_on = format!("go on with {target} all the same?");
                let what = format!("{check} fails: {go_on} The canary has {weight}.");
                let unanswered = "it waits until somebody answers".to_owned();
                Some(Question { name: check.clone(), what, unanswered })
            }
            _ => None,
        }
    }

    /// Tells what came of a command, where the records do not.
    fn did(&self, done: Done, screen: &mut Screen) {
        match done {
            Done::Answered(Ok(Answer::Impossible { why })) => {
                screen.say(&format!("too late: {why}"))
            }
            Done::Nobody => {
                let unanswered = self.asked.as_ref().map_or("", |asked| &asked.unanswered);
                let waits = "Nobody is at standard input, so it waits, and its checks go on";
                let waits = format!("{waits}; {unanswered}. To answer");
                screen.say(&self.elsewhere(&waits, " --answer yes|no"));
            }
            // The records tell, or the question is not asked any more.
            _ => {}
        }
    }

    fn elsewhere(&self, what: &str, option: &str) -> String {
        let (target, state) = (self.handle.target(), self.state.display());
        format!("{what}: resume {target} --state {state}{option}")
    }
}

/// Says what becomes of a rollout whose gate nobody opens.
fn unanswered(gate: &GateSpec) -> String {
    match (gate.timeout_ms.map(Duration::from_millis), gate.otherwise) {
        (None, _) => "it waits until somebody answers".to_owned(),
        (Some(time), Otherwise::Open) => {
            format!("unanswered for {}, it goes on by itself", in_words(time))
        }
        (Some(time), _) => format!("unanswered for {}, it is taken back", in_words(time)),
    }
}

/// Begins a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
