//! Journals that were cut off, damaged, or cannot be written.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use canary_core::driver::{Driver, DriverBuilder};
use canary_core::journal::{JournalError, replay};
use canary_core::policy::Policy;
use canary_core::store::MemoryStore;
use canary_core::testing::{MemoryRouter, Recorder};
use canary_core::value::Weight;

/// Collects what is written to it.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

fn builder() -> DriverBuilder {
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), Duration::from_secs(60))
        .stage("full", Weight::FULL, Duration::from_secs(60))
        .without_hard_limit()
        .build()
        .unwrap();
    Driver::builder(policy).router(MemoryRouter::new())
}

/// Writes the journals of a holder that stops in the first stage and of the one that takes over.
async fn two_holders() -> (Vec<u8>, Vec<u8>) {
    let (store, route) = (MemoryStore::new(), MemoryRouter::new());
    let writing =
        |sink: &Sink| builder().router(route.clone()).store(store.clone()).journal(sink.clone());
    let (first, second) = (Sink::default(), Sink::default());
    let handle = writing(&first).start("shop-1".parse().unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    handle.stop();
    handle.finished().await.unwrap_err();
    let handle = writing(&second).resume().await.unwrap().unwrap();
    handle.finished().await.unwrap();
    (first.bytes(), second.bytes())
}

/// Leaves out the last line.
fn without_last_line(journal: &[u8]) -> &[u8] {
    let end = journal.trim_ascii_end();
    &end[..=end.iter().rposition(|byte| *byte == b'\n').unwrap()]
}

#[tokio::test(start_paused = true)]
async fn a_line_that_was_cut_off_spoils_no_journal() {
    let (first, second) = two_holders().await;
    let kept = without_last_line(&first);
    let whole = [kept, &second].concat();
    let records = replay(&whole[..]).unwrap();
    assert!(records.last().unwrap().to_string().ends_with("promoted"));
    // One byte less is a whole line without its end.
    for length in kept.len()..first.len() - 1 {
        let cut = &first[..length];
        assert_eq!(replay(cut).unwrap(), replay(kept).unwrap(), "cut at byte {length}");
        let both = [cut, &second].concat();
        assert_eq!(replay(&both[..]).unwrap(), records, "cut at byte {length}");
    }
    let anew = [&first[..first.len() - 9], &first].concat();
    let twice = [replay(kept).unwrap(), replay(&first[..]).unwrap()].concat();
    assert_eq!(replay(&anew[..]).unwrap(), twice);
    let in_a_letter = [kept, "{\"é".as_bytes().split_last().unwrap().1, &second].concat();
    assert_eq!(replay(&in_a_letter[..]).unwrap(), records);
}

#[tokio::test(start_paused = true)]
async fn any_number_of_holders_may_die_in_the_middle_of_a_line() {
    let (first, second) = two_holders().await;
    let records = replay(&[without_last_line(&first), &second].concat()[..]).unwrap();
    // Each of these began a journal of its own and died in its first line.
    let begin: Vec<u8> = second.trim_ascii_start().to_vec();
    let dead = |length: usize| [b"\n".as_slice(), &begin[..length]].concat();
    let cut = &first[..first.len() - 9];
    for lengths in [vec![1], vec![5, 40], vec![12, 1, 300]] {
        let dead: Vec<u8> = lengths.into_iter().flat_map(dead).collect();
        let whole = [cut, &dead, &second].concat();
        assert_eq!(replay(&whole[..]).unwrap(), records);
        let kept = replay(without_last_line(&first)).unwrap();
        assert_eq!(replay(&[cut, &dead].concat()[..]).unwrap(), kept, "nobody went on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_whole_but_makes_no_sense_is_told() {
    let (first, _) = two_holders().await;
    let line = first.iter().filter(|byte| **byte == b'\n').count() + 1;
    let event = &first[without_last_line(&first).len()..];
    for rest in [b"".as_slice(), b"{}\n", event] {
        let damaged = [&first, b"{\"ev\n".as_slice(), rest].concat();
        match replay(&damaged[..]) {
            Err(JournalError::Line { line: found, .. }) => assert_eq!(found, line),
            other => panic!("{other:?}"),
        }
    }
}

/// A disk that never comes back.
struct Blocked;

impl Write for Blocked {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        loop {
            std::thread::park();
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A disk that hangs until the test lets it go.
#[derive(Clone, Default)]
struct Hangs {
    sink: Sink,
    free: Arc<(Mutex<bool>, Condvar)>,
}

impl Write for Hangs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let (free, changed) = &*self.free;
        drop(changed.wait_while(free.lock().unwrap(), |free| !*free).unwrap());
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_keep_up_says_so_and_is_not_replayed_beyond_that() {
    let (recorder, hangs) = (Recorder::new(), Hangs::default());
    let handle = builder()
        .observer(recorder.clone())
        .journal(hangs.clone())
        .start("shop-1".parse().unwrap())
        .await
        .unwrap();
    let ana = "ana".parse().unwrap();
    for _ in 0..600 {
        handle.pause(&ana).await.unwrap();
        handle.resume(&ana).await.unwrap();
    }
    *hangs.free.0.lock().unwrap() = true;
    hangs.free.1.notify_all();
    let lost = |journal: &[u8]| journal.windows(7).any(|text| text == b"\"lost\":");
    while !lost(&hangs.sink.bytes()) {
        tokio::task::yield_now().await;
    }
    let told = recorder.records();
    handle.abort("enough", &ana).await.unwrap();
    handle.finished().await.unwrap();
    let journal = hangs.sink.bytes();
    let line = journal.trim_ascii_end().split(|byte| *byte == b'\n').count();
    match replay(&journal[..]) {
        Err(JournalError::Lost { line: found, lines }) => assert!(found == line && lines > 0),
        other => panic!("{other:?}"),
    }
    // What stands before the gap is what was told.
    let before = replay(without_last_line(&journal)).unwrap();
    assert!(before.len() > 500 && told.starts_with(&before));
    // And what a later holder wrote into the same file does not hide it.
    let later = [&journal[..], &two_holders().await.1].concat();
    assert!(matches!(replay(&later[..]), Err(JournalError::Lost { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_blocks_does_not_keep_the_rollout_from_ending() {
    let recorder = Recorder::new();
    let handle = builder()
        .observer(recorder.clone())
        .journal(Blocked)
        .start("shop-1".parse().unwrap())
        .await
        .unwrap();
    assert!(handle.finished().await.unwrap().outcome().is_promoted());
    assert!(recorder.records().last().unwrap().to_string().ends_with("promoted"));
}
