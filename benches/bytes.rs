//! What a rollout takes in memory while it waits, and what is saved of it.

use std::error::Error;
use std::hint::black_box;

use canary_benches::{Machine, counting, counting_and_timing, policy, ten};

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

/// How many rollouts are held at once, so that what one takes is seen above all else.
const ROLLOUTS: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let _profiler = dhat::Profiler::builder().testing().build();
    println!(
        "{:<22} {:>12} {:>12} {:>14}",
        "rollout in mid-stage", "heap, bytes", "heap, blocks", "saved as JSON"
    );
    for (name, checks) in [
        ("4 checks on counts", counting()),
        ("6, two on latency", counting_and_timing()),
        ("10 checks", ten()),
    ] {
        let idle = Machine::before_judging(policy(checks)?)?.idle().rollout;
        let saved = serde_json::to_vec(&idle.snapshot())?.len();
        let before = dhat::HeapStats::get();
        let held: Vec<_> = (0..ROLLOUTS).map(|_| idle.clone()).collect();
        let after = dhat::HeapStats::get();
        black_box(&held);
        let bytes = (after.curr_bytes - before.curr_bytes) / ROLLOUTS;
        let blocks = (after.curr_blocks - before.curr_blocks) / ROLLOUTS;
        println!("{name:<22} {bytes:>12} {blocks:>12} {saved:>14}");
    }
    Ok(())
}
