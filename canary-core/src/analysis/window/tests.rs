//! Which windows are let in, and that none of the others moves any evidence.

use proptest::prelude::*;

use super::*;
use crate::analysis::evidence::Processes;
use crate::analysis::fixtures::{counts, sides};
use crate::analysis::{
    EvidenceLimits, EvidenceState, NonInferiorityLimits, NonInferiorityState, PodEvidence,
    RatioSequence, Starts, TailState,
};
use crate::value::Buckets;

fn window(after: u64, until: u64) -> Window {
    Window::new(Timestamp::from_millis(after), Timestamp::from_millis(until))
}

#[test]
fn what_cannot_be_is_no_tick() {
    let some = BySide { stable: counts(10, 1), canary: counts(10, 1) };
    assert!(Tick::new(window(0, 15), some).is_ok());
    let empty = Err(Refused::Empty { at: Timestamp::from_millis(15) });
    assert_eq!(Tick::new(window(15, 15), some), empty);
    let invalid = Err(Refused::Invalid(InvalidReading::MoreBadThanTotal { total: 10, bad: 11 }));
    for side in crate::value::Side::BOTH {
        let mut impossible = some;
        let counts = match side {
            crate::value::Side::Stable => &mut impossible.stable,
            crate::value::Side::Canary => &mut impossible.canary,
        };
        counts.bad = 11;
        assert_eq!(Tick::new(window(15, 30), impossible), invalid);
    }
}

#[test]
fn a_window_that_is_refused_changes_nothing() {
    let mut streak = Streak::default();
    assert_eq!(streak.admit(window(0, 15)), Ok(Duration::ZERO));
    let before = streak;
    let at = Timestamp::from_millis(15);
    assert_eq!(streak.admit(window(15, 15)), Err(Refused::Empty { at }));
    let covered = window(14, 30);
    assert_eq!(streak.admit(covered), Err(Refused::Overlap { covered, until: at }));
    assert_eq!(streak, before);
    // Gaps are well, and no live time.
    assert_eq!(streak.admit(window(40, 50)), Ok(Duration::from_millis(15)));
    assert_eq!(streak.admit(window(50, 51)), Ok(Duration::from_millis(25)));
}

/// All that takes windows in, as it is fed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Fed {
    state: EvidenceState,
    all: EvidenceState,
    pods: PodEvidence,
    ratio: RatioSequence,
    as_good: NonInferiorityState,
    tail: Option<TailState>,
}

fn limits() -> EvidenceLimits {
    EvidenceLimits::new(1.25, 0.01, Starts { spacing_ms: 40, later: 3 }).unwrap()
}

fn buckets(n: u64, slow: u64) -> Buckets {
    Buckets::new(vec![100.0], vec![n - slow, slow]).unwrap()
}

impl Fed {
    fn new() -> Self {
        let tail = TailState::fix(&buckets(1_000, 100), window(0, 0));
        Self { tail, ..Self::default() }
    }

    /// Feeds one window, and tells whether it was let in: by all of them, or by none.
    fn add(&mut self, covered: Window, (n_c, k_c, n_b, k_b): (u64, u64, u64, u64)) -> bool {
        let BySide { stable, canary } = sides((n_c, k_c, n_b, k_b));
        let slow = (buckets(n_b, k_b), buckets(n_c, k_c));
        let slow = BySide { stable: &slow.0, canary: &slow.1 };
        let tail = self.tail.as_mut().unwrap().add(&limits(), covered, slow).is_ok();
        let Ok(tick) = Tick::new(covered, BySide { stable, canary }) else { return tail };
        let pod = "pod-1".into();
        let worse = NonInferiorityLimits::new(2.0, 0.05).unwrap();
        let let_in = [
            self.state.add(&limits(), tick).is_ok(),
            self.pods.add(&limits(), &mut self.all, tick, [(&pod, canary)]).is_ok(),
            self.ratio.add(tick).is_ok(),
            self.as_good.add(&worse, tick).is_ok(),
        ];
        assert_eq!(let_in, [tail; 4], "{covered:?}");
        tail
    }
}

proptest! {
    /// Windows cut anyhow, repeated, overlapping, out of order: the evidence is that of the disjoint ones.
    #[test]
    fn no_request_is_ever_counted_twice(
        windows in prop::collection::vec(
            (0_u64..100, 0_u64..20, (1_u64..500, 0_u64..9, 1_u64..500, 0_u64..9), 1_usize..3), 1..40,
        ),
    ) {
        let (mut fed, mut clean) = (Fed::new(), Fed::new());
        let (mut processes, mut live, mut counted) = (Processes::default(), Duration::ZERO, [false; 120]);
        for (after, length, (n_c, k_c, n_b, k_b), times) in windows {
            let covered = window(after, after + length);
            let requests = (n_c.max(k_c), k_c, n_b.max(k_b), k_b);
            let instants = after as usize..(after + length) as usize;
            // Nothing of it, and nothing later, was counted before.
            let new = length > 0 && !counted[instants.start..].contains(&true);
            if new {
                counted[instants].fill(true);
                processes.add(&limits(), sides(requests), live);
                live += covered.length();
                prop_assert!(clean.add(covered, requests));
            }
            for time in 0..times {
                prop_assert_eq!(fed.add(covered, requests), new && time == 0);
            }
        }
        prop_assert_eq!(fed.state.evidence(), processes.evidence());
        prop_assert_eq!(fed.all, fed.state);
        prop_assert_eq!(fed, clean);
    }
}
