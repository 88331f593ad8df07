//! What tells a program to stop.

use std::fs;
use std::io;
use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears when the program is told to stop: by Ctrl-C, by whoever cancels a CI job, by a terminal that goes away.
#[derive(Debug)]
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where the program is to outlive its terminal.
    hang_up: Option<Signal>,
    /// What was heard and is still to be told.
    kept: Option<&'static str>,
}

impl Stop {
    /// Listens from now on; none of these ends the program by itself any more.
    ///
    /// # Errors
    /// Where the system does not tell of signals.
    pub fn listen() -> io::Result<Self> {
        // That is not Linux, or there is no `/proc`: then nobody knows.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hang_up = (!outlives_its_terminal(&status)).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: hang_up.transpose()?,
            kept: None,
        })
    }

    /// Waits until the program is told to stop, and returns what told it.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time: what comes meanwhile is heard next.
    pub async fn heard(&mut self) -> &'static str {
        let Self { interrupt, terminate, hang_up, kept } = self;
        if let Some(kept) = kept.take() {
            return kept;
        }
        let hung_up = async {
            match hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => "Ctrl-C",
            _ = terminate.recv() => "SIGTERM",
            _ = hung_up => "SIGHUP",
        }
    }
}

impl Stop {
    /// Does something that should not be left half done: told to stop once, it is [heard](Self::heard) afterwards; told so
    /// twice, `None` comes of it.
    pub async fn unless_told_twice<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let once = tokio::select! {
            done = &mut work => return Some(done),
            heard = self.heard() => heard,
        };
        let done = tokio::select! {
            done = work => Some(done),
            _ = self.heard() => None,
        };
        self.kept = Some(once);
        done
    }
}

/// Tells whether whoever started the program had it ignore that its terminal goes away, as `nohup` does.
fn outlives_its_terminal(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|signals| u64::from_str_radix(signals.trim(), 16).ok());
    ignored.is_some_and(|signals| signals & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_has_started_outlives_its_terminal() {
        let status = |ignored: &str| format!("Name:\tdeploy\nSigIgn:\t{ignored}\nSigCgt:\t1\n");
        assert!(outlives_its_terminal(&status("0000000000001001")));
        assert!(!outlives_its_terminal(&status("0000000000001000")));
        assert!(!outlives_its_terminal(""));
    }

    #[tokio::test]
    async fn what_came_while_nobody_waited_is_heard_too() {
        let mut stop = Stop::listen().unwrap();
        let tell = |signal: &str| {
            let id = std::process::id().to_string();
            let sent = std::process::Command::new("kill").args(["-s", signal, &id]).status();
            assert!(sent.unwrap().success());
        };
        tell("TERM");
        assert_eq!(stop.heard().await, "SIGTERM");
        if stop.hang_up.is_some() {
            tell("HUP");
            assert_eq!(stop.heard().await, "SIGHUP");
        }
        tell("INT");
        assert_eq!(stop.heard().await, "Ctrl-C");

        // What is under way ends first, unless somebody insists.
        tell("TERM");
        let done = stop.unless_told_twice(tokio::task::yield_now()).await;
        assert_eq!((done, stop.heard().await), (Some(()), "SIGTERM"));
        tell("TERM");
        let insisted = stop.unless_told_twice(async {
            tokio::task::yield_now().await;
            tell("INT");
            std::future::pending::<()>().await;
        });
        assert_eq!(insisted.await, None);
    }
}
