//! A policy file of any content is read or refused; one that is read can be stored and simulated.
#![no_main]

use std::time::Duration;

use canary_core::policy::{Policy, PolicySpec};
use canary_core::simulate::Simulation;
use libfuzzer_sys::fuzz_target;

/// How much virtual time a simulated rollout gets: enough for several stages, little enough to try many.
const LIMIT: Duration = Duration::from_secs(3_600);

fuzz_target!(|text: &str| {
    let policy = match Policy::from_yaml(text) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(!error.problems().is_empty());
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let stored = serde_json::to_string(policy.spec()).expect("a policy can be stored");
    let spec: PolicySpec = serde_json::from_str(&stored).expect("and read again");
    assert_eq!(Policy::from_spec(spec).expect("what was valid stays so"), policy);
    // A look every few milliseconds would take the whole time.
    if policy.every() >= Duration::from_secs(1) {
        let report = Simulation::of(&policy).limit(LIMIT).run();
        assert!(!report.to_markdown().is_empty());
    }
});
