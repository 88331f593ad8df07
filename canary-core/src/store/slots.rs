//! Two files that take a state in turn, so that a crash in the middle of writing one leaves the other whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::value::{Revision, fnv};

/// The files; a state of an even revision is in the first one.
const NAMES: [&str; 2] = ["state-0.jsonl", "state-1.jsonl"];

/// Files grow by this much, in bytes: one that keeps its size is on disk with its data alone.
const PAGE: usize = 4 << 10;

/// How long the first line may be, in bytes.
const HEAD: usize = 256;

/// Keeps one target's state, of which the last two revisions are on disk.
///
/// The first line of a file says what its second line holds; blank lines follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots<'a> {
    pub(super) folder: &'a Path,
}

/// Says which state a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) revision: Revision,
    /// Which claim's policy it belongs to.
    pub(super) claim: Revision,
    /// How long the state is.
    bytes: usize,
    /// What the state and this head hash to: a file that was not written to its end has another sum.
    sum: u64,
}

/// What is kept: nothing, something, or what nobody can read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept<T> {
    Nothing,
    Is(T),
    /// No file is whole; this is one of them.
    Broken(PathBuf),
}

impl Slots<'_> {
    /// Tells whether anything was ever kept here.
    pub(super) fn exist(self) -> bool {
        self.paths().iter().any(|path| path.is_file())
    }

    /// Reads which state was written last, and the state.
    pub(super) fn read(self) -> io::Result<Kept<(Head, Vec<u8>)>> {
        let mut kept: Kept<(Head, Vec<u8>)> = Kept::Nothing;
        for path in self.paths() {
            let Some(text) = if_found(fs::read(&path))? else { continue };
            match (whole(&text), &kept) {
                (Some(found), Kept::Is((last, _))) if found.0.revision < last.revision => {}
                (Some((head, state)), _) => kept = Kept::Is((head, state.to_vec())),
                (None, Kept::Nothing) => kept = Kept::Broken(path),
                (None, _) => {}
            }
        }
        Ok(kept)
    }

    /// Reads what stands before the last state, where that is of this revision; the state itself is not looked at.
    pub(super) fn last_is(self, revision: Revision) -> io::Result<Option<Head>> {
        let mut last: Option<Head> = None;
        for path in self.paths() {
            let Some(mut file) = if_found(File::open(&path))? else { continue };
            let mut text = [0; HEAD];
            let read = file.read(&mut text)?;
            let Some(head) = text.get(..read).and_then(head) else { return Ok(None) };
            if last.is_none_or(|last| head.revision > last.revision) {
                last = Some(head);
            }
        }
        Ok(last.filter(|head| head.revision == revision))
    }

    /// Writes a state over the last but one; it is on disk afterwards.
    pub(super) fn write(self, revision: Revision, claim: Revision, state: &[u8]) -> io::Result<()> {
        let head = Head { revision, claim, bytes: state.len(), sum: sum(revision, claim, state) };
        let mut text = Vec::with_capacity(state.len() + PAGE);
        serde_json::to_writer(&mut text, &head)?;
        text.push(b'\n');
        text.extend_from_slice(state);
        let path = self.path(revision);
        match if_found(File::options().write(true).open(&path))? {
            Some(mut file) => {
                let before = usize::try_from(file.metadata()?.len()).unwrap_or(0);
                pad(&mut text, before);
                file.write_all(&text)?;
                file.sync_data()
            }
            None => {
                pad(&mut text, 0);
                // Whole from the first: where there is one file only, it is not one that is half written.
                replace(&path, &text)
            }
        }
    }

    fn path(self, revision: Revision) -> PathBuf {
        self.folder.join(NAMES[usize::from(revision.get() % 2 == 1)])
    }

    fn paths(self) -> [PathBuf; 2] {
        NAMES.map(|name| self.folder.join(name))
    }
}

/// Reads the first line of a file.
fn head(text: &[u8]) -> Option<Head> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(line).ok()
}

/// Reads a file that was written to its end.
fn whole(text: &[u8]) -> Option<(Head, &[u8])> {
    let head = head(text)?;
    let begin = text.iter().position(|byte| *byte == b'\n')? + 1;
    let state = text.get(begin..)?.get(..head.bytes)?;
    (head.sum == sum(head.revision, head.claim, state)).then_some((head, state))
}

fn sum(revision: Revision, claim: Revision, state: &[u8]) -> u64 {
    let numbers = [revision.get(), claim.get()];
    fnv(numbers.into_iter().flat_map(u64::to_le_bytes).chain(state.iter().copied()))
}

/// Fills a text up with blank lines, over all of a file that was this long.
fn pad(text: &mut Vec<u8>, before: usize) {
    let room = (text.len() + 1).next_multiple_of(PAGE);
    text.resize(room.max(before), b'\n');
}

/// Replaces a file as a whole: after a crash it is the old one or the new one.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The rename itself is durable only when the folder is.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Takes what is not there for none.
pub(super) fn if_found<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

    use proptest::prelude::*;

    use super::*;

    fn revision(slots: Slots<'_>) -> Option<u64> {
        match slots.read().unwrap() {
            Kept::Is((head, state)) => {
                assert!(state == text(head.revision.get()).as_bytes(), "of {head:?}");
                Some(head.revision.get())
            }
            Kept::Nothing => None,
            Kept::Broken(path) => panic!("{} is broken", path.display()),
        }
    }

    /// A state whose length differs from that of its neighbours.
    fn text(revision: u64) -> String {
        let length = usize::try_from(revision * 2_741 % 9_000).unwrap();
        format!("\"{}\"", "x".repeat(length))
    }

    fn write(slots: Slots<'_>, at: u64) {
        slots.write(Revision::new(at), Revision::new(1), text(at).as_bytes()).unwrap();
    }

    proptest! {
        #[test]
        fn a_write_that_ends_in_the_middle_leaves_the_state_before_it(
            first in 1_u64..5, saves in 1_u64..6, kept in 0_usize..12_000,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let slots = Slots { folder: folder.path() };
            for at in first..=first + saves {
                write(slots, at);
                prop_assert_eq!(revision(slots), Some(at));
                let last = slots.last_is(Revision::new(at)).unwrap();
                prop_assert_eq!(last.map(|head| head.claim), Some(Revision::new(1)));
                prop_assert_eq!(slots.last_is(Revision::new(at.saturating_sub(1))).unwrap(), None);
            }
            let last = first + saves;
            let path = slots.path(Revision::new(last + 1));
            let before = fs::read(&path).unwrap();
            write(slots, last + 1);
            let after = fs::read(&path).unwrap();
            // As many bytes of the new state as this reached the disk.
            let kept = kept.min(after.len());
            let rest = before.get(kept..).unwrap_or_default();
            let torn = [&after[..kept], rest].concat();
            fs::write(&path, &torn).unwrap();
            let expected = last + u64::from(torn.starts_with(after.trim_ascii_end()));
            prop_assert_eq!(revision(slots), Some(expected));
            // What comes next is written over what is torn.
            write(slots, expected + 1);
            prop_assert_eq!(revision(slots), Some(expected + 1));
        }
    }
}
