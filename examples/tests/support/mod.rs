//! Runs the `policy` example as its users do.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Finds the example that `cargo test` built together with this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let program = examples.join("policy").with_extension(std::env::consts::EXE_EXTENSION);
    // With `--tests`, `--all-targets` or `--test policy` cargo builds no example, and leaves an old one.
    let shown = program.display();
    assert!(program.exists(), "no {shown}: run `cargo build -p canary-examples --example policy`");
    program
}

pub(crate) fn run(arguments: &[&str]) -> Ran {
    Command::new(program()).args(arguments).output().unwrap().into()
}

pub(crate) fn run_with_input(arguments: &[&str], input: &str) -> Ran {
    let piped = Stdio::piped;
    let mut child = Command::new(program())
        .args(arguments)
        .stdin(piped())
        .stdout(piped())
        .stderr(piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn said(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in texts {
            assert!(self.out.contains(text) || self.err.contains(text), "no `{text}` in {self:#?}");
        }
    }
}

/// Writes a policy into a file that lives as long as what is returned.
pub(crate) fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.yaml");
    std::fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap().to_owned();
    (directory, name)
}
