//! Unit-tests a policy, offline.

use canary_core::policy::Policy;
use canary_core::simulate::{Service, Simulation};
use canary_core::value::Weight;

#[test]
fn one_percent_of_failures_never_reaches_half_the_users() {
    let policy = Policy::from_yaml(include_str!("../policies/checkout.yaml")).unwrap();
    let report = Simulation::of(&policy)
        .traffic(200.0) // requests per second
        .stable(Service::healthy().errors(0.001))
        .canary(Service::healthy().errors(0.01))
        .seed(7)
        .run();
    report.assert_rolled_back_by("errors"); // prints what happened if it fails
    assert!(report.highest_weight() < Weight::percent(50));
    assert!(report.canary_errors_served() < 60);
}
