//! Lets all judges see the same rollouts.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::row::Outcome;
use super::{Contender, Row, Stream, TICKS, TICKS_A_MINUTE, World};

/// How many rollouts a thread takes at once.
const BATCH: usize = 25;

/// Runs every stream this many times before every judge, on this many threads; `progress` is told which
/// share of the work is done.
///
/// The rows come stream by stream, and do not depend on the number of threads.
#[must_use]
pub fn compare(
    streams: &[Stream],
    contenders: &[Contender],
    (runs, seed): (usize, u64),
    threads: NonZeroUsize,
    progress: &(dyn Fn(f64) + Sync),
) -> Vec<Row> {
    let batches = runs.div_ceil(BATCH);
    let jobs = streams.len() * batches;
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![vec![None; runs]; streams.len()]);
    let work = || {
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job >= jobs {
                return;
            }
            let (stream, first) = (job / batches, job % batches * BATCH);
            for run in first..runs.min(first + BATCH) {
                let judged = judge(&streams[stream], contenders, seed, run as u64);
                if let Ok(mut outcomes) = outcomes.lock() {
                    outcomes[stream][run] = Some(judged);
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
            progress((job + 1) as f64 / jobs as f64);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(work);
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_default();
    let rows = streams.iter().zip(outcomes).flat_map(|(stream, judged)| {
        contenders.iter().enumerate().map(move |(i, contender)| {
            let outcomes: Vec<_> = judged.iter().flatten().map(|all| all[i]).collect();
            Row::of(stream, contender.name, &outcomes)
        })
    });
    rows.collect()
}

/// Lets every judge see one rollout.
fn judge(stream: &Stream, contenders: &[Contender], seed: u64, run: u64) -> Vec<Outcome> {
    let onset = stream.onset_minutes.map_or(0, |minute| minute * TICKS_A_MINUTE);
    let mut world = World::new(*stream, seed, run);
    let mut judges: Vec<_> = contenders.iter().map(|contender| (contender.make)(stream)).collect();
    let mut outcomes = vec![Outcome { ticks: None, errors: 0 }; judges.len()];
    for tick in 0..TICKS {
        let seen = world.next_tick();
        for (judge, outcome) in judges.iter_mut().zip(&mut outcomes) {
            if outcome.ticks.is_some() {
                continue;
            }
            if tick >= onset {
                outcome.errors += seen.canary.bad;
            }
            if judge.look(seen) {
                outcome.ticks = Some(tick + 1);
            }
        }
    }
    outcomes
}
