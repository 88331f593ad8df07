//! Every way from one phase to another.

/// Lists every way from one phase to another: from, to, and what takes it.
///
/// The machine changes its phase in one place, which holds to this list.
pub const TRANSITIONS: [(&str, &str, &str); 28] = [
    ("starting", "opening", "the route is ours"),
    ("starting", "entering", "promote fully"),
    ("opening", "starting", "taken over"),
    ("opening", "entering", "gates open, canary ready"),
    ("opening", "holding", "gates open, the first stage has no traffic of its own"),
    ("entering", "entering", "taken over, retry, promote fully"),
    ("entering", "holding", "traffic accepted"),
    ("holding", "entering", "next stage, drift, taken over, retry, promote fully"),
    ("holding", "holding", "next stage with the same traffic"),
    ("holding", "promoting", "last stage held, gates open"),
    ("promoting", "promoting", "the new version is the stable one"),
    ("promoting", "closing", "traffic as it shall stay"),
    ("closing", "retiring", "gates open"),
    ("closing", "releasing", "gates open, no workload"),
    ("starting", "rolling_back", "abort, router fails"),
    ("opening", "rolling_back", "abort, gate, not ready, no progress"),
    ("entering", "rolling_back", "abort, check, router fails, not ready"),
    ("holding", "rolling_back", "abort, check, gate, silence, no progress"),
    ("promoting", "rolling_back", "abort, check, router fails, workload fails"),
    ("closing", "rolling_back", "abort, check, gate"),
    ("retiring", "rolling_back", "abort or traffic taken away before the old version goes"),
    ("releasing", "closing", "taken over, no workload"),
    ("releasing", "rolling_back", "abort, no workload"),
    ("rolling_back", "rolling_back", "0 % accepted"),
    ("rolling_back", "retiring", "nothing reaches the canary"),
    ("rolling_back", "releasing", "nothing reaches the canary, no workload"),
    ("retiring", "releasing", "the version is gone, or cannot be removed"),
    ("releasing", "ended", "marks taken off"),
];

/// Tells whether the list has a way from one phase to another.
pub(super) fn leads(from: &str, to: &str) -> bool {
    TRANSITIONS.iter().any(|(a, b, _)| *a == from && *b == to)
}
