//! What a step of the machine costs, and what a whole simulated rollout does.

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use canary_benches::{LOOKS, Machine, counting, counting_and_timing, policy, simulation, ten};
use canary_core::rollout::Event;
use criterion::{BatchSize, Criterion, Throughput};

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    steps(&mut criterion)?;
    rollouts(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// Measures steps that change no phase, in the middle of a stage.
fn steps(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let mut group = criterion.benchmark_group("step");
    let four = Machine::before_judging(policy(counting())?)?;

    let mut idle = four.clone().idle();
    group.bench_function("tick, nothing due", |bencher| {
        bencher.iter(|| idle.rollout.step(black_box(Event::Tick), idle.now));
    });
    let due = four.clone().when_due();
    group.bench_function("tick, a look due", |bencher| {
        let step = |machine: &mut Machine| machine.rollout.step(Event::Tick, machine.now);
        bencher.iter_batched_ref(|| due.clone(), step, BatchSize::PerIteration);
    });
    for (name, machine) in [
        ("measurements, 4 checks", four),
        ("measurements, 10 checks", Machine::before_judging(policy(ten())?)?),
    ] {
        group.bench_function(name, |bencher| {
            let take_in = |machine: &mut Machine| {
                let event = machine.queue.pop_front();
                event.map(|event| machine.rollout.step(event, machine.now))
            };
            bencher.iter_batched_ref(|| machine.clone(), take_in, BatchSize::PerIteration);
        });
    }
    group.finish();
    Ok(())
}

/// Measures whole rollouts in virtual time, from the begin to the promotion.
fn rollouts(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let mut group = criterion.benchmark_group("rollout");
    group.throughput(Throughput::Elements(LOOKS));
    for (name, checks) in [("counts", counting()), ("counts and latency", counting_and_timing())] {
        let simulation = simulation(&policy(checks)?);
        group.bench_function(name, |bencher| bencher.iter(|| simulation.run()));
    }
    group.finish();
    Ok(())
}
