//! All rules at once, after every step of random runs.

use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::book;
use crate::moves::{Move, moves};
use crate::plans::{Plan, cases, plans};
use crate::world::World;

/// Knows only the plan: any move may follow any other, and the world holds the machine to the rules.
#[derive(Debug)]
struct Any;

impl ReferenceStateMachine for Any {
    type State = Plan;
    type Transition = Move;

    fn init_state() -> BoxedStrategy<Plan> {
        plans().boxed()
    }

    fn transitions(_: &Plan) -> BoxedStrategy<Move> {
        moves().boxed()
    }

    fn apply(plan: Plan, _: &Move) -> Plan {
        plan
    }
}

#[derive(Debug)]
struct Machine;

impl StateMachineTest for Machine {
    type SystemUnderTest = World;
    type Reference = Any;

    fn init_test(plan: &Plan) -> World {
        World::start(plan)
    }

    fn apply(mut world: World, _: &Plan, next: Move) -> World {
        next.make(&mut world);
        world
    }

    fn teardown(mut world: World, _: Plan) {
        world.finish();
        book::at_the_end(&world);
    }
}

prop_state_machine! {
    #![proptest_config(cases(192))]

    #[test]
    fn every_rule_holds_after_every_step(sequential 1..60 => Machine);
}
