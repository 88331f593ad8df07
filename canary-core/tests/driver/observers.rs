//! Observers that are slow or panic harm nobody but themselves.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};

use canary_core::observe::{JsonLines, Memory};
use canary_core::ports::Observer;
use canary_core::record::Record;
use canary_core::store::FileStore;
use canary_core::testing::{MemoryRouter, Recorder};
use canary_core::value::{RolloutId, Traffic, Weight};

use crate::support::{Sink, ana, builder, id, s, until};

/// Blocks its thread until the test lets it go.
#[derive(Clone, Debug, Default)]
struct Stuck {
    free: Arc<(Mutex<bool>, Condvar)>,
    heard: Recorder,
}

impl Stuck {
    fn wait(&self) {
        let (free, changed) = &*self.free;
        drop(changed.wait_while(free.lock().unwrap(), |free| !*free).unwrap());
    }

    fn free(&self) {
        *self.free.0.lock().unwrap() = true;
        self.free.1.notify_all();
    }
}

impl Observer for Stuck {
    fn notice(&self, rollout: &RolloutId, record: &Record) {
        self.wait();
        self.heard.notice(rollout, record);
    }
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.wait();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What an observer panics with: it panics again where it is dropped.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        panic!("a defect");
    }
}

// By the wall clock: tokio's own stands still while a thread is blocked.
#[tokio::test]
async fn an_abort_does_not_wait_for_an_observer_that_is_stuck() {
    let (route, stuck, other) = (MemoryRouter::new(), Stuck::default(), Recorder::new());
    let builder = builder().router(route.clone());
    let builder = builder.observer(stuck.clone()).observer(other.clone());
    let handle = builder.start(id("shop-1")).await.unwrap();
    until(&handle, |status| status.weight == Weight::percent(50)).await;
    handle.abort("bad", &ana()).await.unwrap();
    assert_eq!(route.traffic(), Traffic::all_stable());
    handle.finished().await.unwrap();
    assert!(other.records().last().unwrap().to_string().contains("bad"));
    stuck.free();
    // It hears everything in the end, in order.
    while stuck.heard.records().len() < other.records().len() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stuck.heard.records(), other.records());
}

#[test]
fn observers_that_hang_take_no_thread_from_the_runtime() {
    let stuck = Stuck::default();
    // All that waits for a disk has the one thread.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).max_blocking_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let started = runtime.block_on(async {
        for n in 0..20 {
            let hangs = builder().target(format!("hangs-{n}").parse().unwrap());
            hangs.observer(stuck.clone()).start(id("shop-1")).await.unwrap();
        }
        let other = builder().store(FileStore::new(folder.path())).start(id("shop-1"));
        tokio::time::timeout(s(60), other).await
    });
    stuck.free();
    runtime.shutdown_background();
    started.expect("the file store has a thread").unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_observer_may_spawn_what_it_does_not_want_to_wait_for() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |record: &Record| {
        let (told, number) = (told.clone(), record.number);
        drop(tokio::runtime::Handle::current().spawn(async move { told.send(number) }));
    };
    let handle = builder().observe(tell).start(id("shop-1")).await.unwrap();
    handle.finished().await.unwrap();
    assert_eq!(tells.recv().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_twice_harms_nothing() {
    let recorder = Recorder::new();
    let builder = builder().observe(|_| std::panic::panic_any(Payload));
    let handle = builder.observer(recorder.clone()).start(id("shop-1")).await.unwrap();
    assert!(handle.finished().await.unwrap().outcome().is_promoted());
    assert!(recorder.records().last().unwrap().to_string().ends_with("promoted"));
}

#[tokio::test(start_paused = true)]
async fn the_memory_keeps_the_latest_of_all_rollouts() {
    let memory = Memory::new(10);
    for name in ["shop-1", "shop-2"] {
        let handle = builder().observer(memory.clone()).start(id(name)).await.unwrap();
        handle.finished().await.unwrap();
    }
    let kept = memory.records();
    assert_eq!(kept.len(), 10);
    let second = memory.of(&id("shop-2"));
    assert_eq!(second[0].number, 1);
    assert_eq!(memory.of(&id("shop-1")).len() + second.len(), 10);
    assert_eq!(memory.forgotten(), 2 * second.len() as u64 - 10);
}

#[tokio::test(start_paused = true)]
async fn json_lines_say_which_rollout_and_can_be_read_back() {
    let (sink, recorder) = (Sink::default(), Recorder::new());
    let lines = JsonLines::to(sink.clone());
    let builder = builder().observer(lines.clone()).observer(recorder.clone());
    builder.start(id("shop-1")).await.unwrap().finished().await.unwrap();
    assert!(lines.flush());
    let text = String::from_utf8(sink.bytes()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut lines: Vec<serde_json::Value> = lines.collect();
    assert!(lines.iter().all(|line| line["rollout"] == "shop-1"));
    assert!(lines.iter().all(|line| line["record"]["kind"].is_string()));
    let kinds = recorder.records().into_iter().map(|record| record.content.kind());
    assert!(kinds.eq(lines.iter().map(|line| line["record"]["kind"].as_str().unwrap())));
    let read = lines.iter_mut().map(|line| serde_json::from_value(line["record"].take()).unwrap());
    assert_eq!(read.collect::<Vec<Record>>(), recorder.records());
}

#[tokio::test(start_paused = true)]
async fn lines_that_cannot_be_written_are_counted_and_told() {
    let recorder = Recorder::new();
    let handle = builder().observer(recorder.clone()).start(id("shop-1")).await.unwrap();
    handle.finished().await.unwrap();
    let (record, sink, stuck) = (recorder.records().remove(0), Sink::default(), Stuck::default());
    let lines = JsonLines::to(Both { stuck: stuck.clone(), sink: sink.clone() });
    for _ in 0..3_000 {
        lines.notice(&id("shop-1"), &record);
    }
    let dropped = lines.dropped();
    assert!((3_000 - 1_025..=3_000 - 1_024).contains(&dropped), "{dropped}");
    stuck.free();
    assert!(lines.flush());
    let text = String::from_utf8(sink.bytes()).unwrap();
    assert!(text.lines().any(|line| line == format!("{{\"dropped\":{dropped}}}")), "{text}");
}

/// Writes once it is let go.
struct Both {
    stuck: Stuck,
    sink: Sink,
}

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stuck.write(bytes)?;
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
