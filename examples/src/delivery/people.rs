//! Who answers what a rollout asks.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use canary_core::value::{Actor, InvalidName};
use tokio::sync::{Mutex, mpsc};

use super::complain;

/// Somebody who says yes or no.
#[derive(Debug)]
pub struct People {
    kind: Kind,
    actor: Actor,
}

#[derive(Debug)]
enum Kind {
    /// At standard input; whoever asks first is answered first.
    There(Mutex<Option<Lines>>),
    Said(bool),
}

type Lines = mpsc::UnboundedReceiver<String>;

/// How long a terminal is silent once everything was read that was typed before.
const SILENCE: Duration = Duration::from_millis(50);

impl People {
    /// Asks at standard input, which is read from the first question on.
    ///
    /// So a program in the background of a terminal is stopped there, and not before.
    ///
    /// # Errors
    /// As for [`said`](Self::said).
    pub fn at_stdin() -> Result<Self, InvalidName> {
        Self::of(Kind::There(Mutex::default()))
    }

    /// Has the answer to everything already.
    ///
    /// # Errors
    /// Where rollouts do not take the name under which they are told.
    pub fn said(yes: bool) -> Result<Self, InvalidName> {
        Self::of(Kind::Said(yes))
    }

    fn of(kind: Kind) -> Result<Self, InvalidName> {
        Ok(Self { kind, actor: Actor::new("terminal")? })
    }

    /// Returns in whose name a rollout is told what to do.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Asks a question; `None` where nobody is there who could answer.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time: the next question then has the next answer.
    pub async fn ask(&self, question: &str) -> Option<bool> {
        let lines = match &self.kind {
            Kind::Said(yes) => return Some(*yes),
            Kind::There(lines) => lines,
        };
        let mut lines = lines.lock().await;
        let lines = lines.get_or_insert_with(read);
        if io::stdin().is_terminal() {
            pass_over(lines).await;
        }
        complain(&format!("{question} (yes or no)"));
        while let Some(line) = lines.recv().await {
            match line.trim().to_lowercase().as_str() {
                "y" | "yes" => return Some(true),
                "n" | "no" => return Some(false),
                _ => complain("Please type yes or no."),
            }
        }
        None
    }
}

/// Reads standard input on a thread of its own, which nothing waits for: there may never come a line.
fn read() -> Lines {
    let (line, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        io::stdin().lines().map_while(Result::ok).try_for_each(|read| line.send(read))
    });
    lines
}

/// Passes over what was typed before the question was there to be read; from a pipe, answers come in advance.
async fn pass_over(lines: &mut Lines) {
    while let Ok(Some(_)) = tokio::time::timeout(SILENCE, lines.recv()).await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_typed_before_the_question_answers_nothing() {
        let (typed, mut lines) = mpsc::unbounded_channel();
        typed.send("yes".to_owned()).unwrap();
        typed.send("yes".to_owned()).unwrap();
        pass_over(&mut lines).await;
        typed.send("no".to_owned()).unwrap();
        assert_eq!(lines.recv().await.as_deref(), Some("no"));
        drop(typed);
        pass_over(&mut lines).await;
    }
}
