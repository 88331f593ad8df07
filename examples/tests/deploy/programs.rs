//! Programs that were built together with the test, and what they say.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::NamedTempFile;

/// A program that runs; its standard error is shown when it has ended.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
    said: String,
    complaints: NamedTempFile,
}

/// What a program came to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    /// What stands on its standard error.
    pub(crate) complained: String,
}

/// Begins to call an example.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
    let program: PathBuf = program.with_extension(std::env::consts::EXE_EXTENSION);
    let shown = program.display();
    assert!(
        program.exists(),
        "no {shown}: run `cargo build -p canary-examples --features mesh --example {name}`"
    );
    Command::new(program)
}

/// Starts it, with nobody at its standard input.
pub(crate) fn start(command: &mut Command) -> Program {
    let complaints = NamedTempFile::new().unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(complaints.reopen().unwrap());
    let mut child = command.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    Program { child, out, said: String::new(), complaints }
}

impl Program {
    /// Waits until it has said this.
    pub(crate) fn until(&mut self, text: &str) {
        while !self.said.contains(text) {
            let before = self.said.len();
            let read = self.out.read_line(&mut self.said).unwrap();
            print!("{}", &self.said[before..]);
            assert!(read > 0, "it ended and never said `{text}`:\n{}", self.said);
        }
    }

    /// Sends it a signal: `INT`, `KILL`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it has ended.
    pub(crate) fn end(mut self) -> Ended {
        let before = self.said.len();
        self.out.read_to_string(&mut self.said).unwrap();
        print!("{}", &self.said[before..]);
        let said = std::mem::take(&mut self.said);
        let code = self.child.wait().unwrap().code();
        let complained = fs::read_to_string(&self.complaints).unwrap();
        eprint!("{complained}");
        Ended { code, said, complained }
    }
}

/// Ends with a test that failed.
impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended by itself cannot be ended again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn came_to(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code));
        for text in said {
            assert!(self.said.contains(text), "it did not say `{text}`");
        }
    }

    /// Checks that it failed, and said so.
    #[track_caller]
    pub(crate) fn failed_with(&self, code: i32, complaint: &str) {
        assert_eq!(self.code, Some(code));
        assert!(self.complained.contains(complaint), "it did not complain `{complaint}`");
    }
}
