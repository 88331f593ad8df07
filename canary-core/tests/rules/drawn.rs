//! `docs/machine.md`: what it draws is what the code does.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use canary_core::policy::Drift;
use canary_core::rollout::TRANSITIONS;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::moves::{Move, moves};
use crate::plans::plans;
use crate::world::World;

/// Writes the page from the table in the code.
fn page() -> String {
    let mut page = String::from(
        "# The machine\n\n\
         Drawn from the table in the code (`canary_core::rollout::TRANSITIONS`), which the machine holds to: it changes \
         its phase in one\nplace only. A test compares this page with the table, and random runs with both. To write it \
         anew:\n`CANARY_WRITE_DOCS=1 cargo test -p canary-core --test rules drawn`.\n\n\
         ```mermaid\nstateDiagram-v2\n    [*] --> starting\n",
    );
    for (from, to, why) in TRANSITIONS {
        writeln!(page, "    {from} --> {to}: {why}").unwrap();
    }
    page.push_str("    ended --> [*]\n```\n\n| from | to | what takes it |\n|---|---|---|\n");
    for (from, to, why) in TRANSITIONS {
        writeln!(page, "| {from} | {to} | {why} |").unwrap();
    }
    page
}

#[test]
fn the_page_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/machine.md");
    if std::env::var_os("CANARY_WRITE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let drawn = std::fs::read_to_string(&path).unwrap();
    assert_eq!(drawn, page(), "write it anew: see the page's first lines");
}

#[test]
fn every_way_is_taken_and_no_other() {
    let mut runner = TestRunner::deterministic();
    let strategy = (plans(), proptest::collection::vec(moves(), 1..60));
    let mut taken: BTreeSet<(&str, &str)> = BTreeSet::new();
    let listed: BTreeSet<(&str, &str)> =
        TRANSITIONS.iter().map(|(from, to, _)| (*from, *to)).collect();
    for run in (0_u8..200).cycle().take(3_000) {
        let (mut plan, moves) = strategy.new_tree(&mut runner).unwrap().current();
        // Chance alone hardly ever sends the first stage's traffic before its turn.
        let early = run % 10 == 0;
        if early {
            plan.spec.drift = Drift::Accept;
        }
        let mut world = World::start(&plan);
        if early {
            Move::Flow(run % 7).make(&mut world);
            world.drift(plan.spec.stages[0].weight);
            world.see();
        }
        for next in moves {
            next.make(&mut world);
        }
        world.finish();
        for (from, to) in std::mem::take(&mut world.book.ways) {
            assert!(leads(from, to, 4), "no way leads from {from} to {to}");
            taken.insert((from, to));
        }
        if taken.is_superset(&listed) {
            return;
        }
    }
    let never: Vec<_> = listed.difference(&taken).collect();
    panic!("never taken: {never:?}");
}

/// Tells whether the table leads there: one step may go through several phases at once.
fn leads(from: &str, to: &str, steps: u32) -> bool {
    let next = |(a, b, _): &&(&str, &'static str, &str)| {
        *a == from && (*b == to || (steps > 1 && *b != from && leads(b, to, steps - 1)))
    };
    TRANSITIONS.iter().any(|way| next(&way))
}
