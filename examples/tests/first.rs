//! The first policy test of docs/testing-policies.md.

use canary_core::policy::Policy;
use canary_core::simulate::{Service, Simulation};
use canary_core::value::Weight;

const POLICY: &str = "
version: 1
name: checkout
stages:
  - { name: tenth, weight: 10%,  hold: 30m }
  - { name: half,  weight: 50%,  hold: 60m }
  - { name: full,  weight: 100%, hold: 10m }
checks:
  - { name: errors, worse_than_stable: 1.25x }
";

#[test]
fn a_bad_canary_never_reaches_half_of_the_users() {
    let policy = Policy::from_yaml(POLICY).unwrap();
    let bad = Service::healthy().errors(0.02); // one request in fifty
    let report = Simulation::of(&policy).traffic(200.0).canary(bad).seed(7).run();
    report.assert_rolled_back_by("errors");
    report.assert_never_above(Weight::percent(10));
    assert!(report.canary_errors_served() < 100);
}
