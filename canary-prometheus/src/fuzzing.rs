//! What is fuzzed: whatever a server answers, it is read or refused, and what is read adds up.
//!
//! Compiled for the fuzz target alone.

use canary_core::value::{BySide, Timestamp, Window};

use crate::LatencyUnit;
use crate::api::answer::Envelope;
use crate::delta::{self, Cover};
use crate::read::{self, Found};
use crate::tracks::Labelling;
use crate::union;

/// Reads an answer in every way there is.
///
/// # Panics
/// If what was read does not add up.
pub fn answer(bytes: &[u8]) {
    let Ok(Ok(answer)) = serde_json::from_slice(bytes).map(Envelope::into_answer) else { return };
    drop(read::number(&answer.data));
    drop(union::apart(answer.clone(), 2));
    let after = Timestamp::from_millis(1_700_000_030_000);
    let found = [
        read::counters(answer.data.clone(), after),
        read::histograms(answer.data.clone(), LatencyUnit::Seconds, after),
        read::histograms(answer.data, LatencyUnit::Milliseconds, after),
    ];
    let replica = Some("replica".to_owned());
    for found in found.into_iter().flatten() {
        add_up(&found, &Labelling::default(), after);
        add_up(&found, &Labelling { replica: replica.clone(), ..Labelling::default() }, after);
    }
}

fn add_up(found: &Found, labelling: &Labelling, after: Timestamp) {
    let mut series = found.series.clone();
    labelling.begin_at_zero(&mut [&mut series]);
    let pod = labelling.pod_label(&[&series]);
    let tracks = labelling.tracks(series, pod).all;
    let window = |from: u64, to: u64| {
        let at = |ms| Timestamp::from_millis(after.as_millis() + ms);
        Window::new(at(from), at(to))
    };
    let rises = |window| delta::tally(&tracks, window).rises.unwrap_or_default();
    let (whole, first, second) =
        (rises(window(0, 30_000)), rises(window(0, 14_000)), rises(window(14_000, 30_000)));
    for (i, rise) in whole.iter().enumerate() {
        let part = |part: &[u64]| part.get(i).copied().unwrap_or(0);
        assert_eq!(*rise, part(&first).saturating_add(part(&second)));
    }
    drop(read::per_bucket(&whole));
    let main = BySide { stable: &*tracks, canary: &[][..] };
    if let Cover::Known(known) = delta::cover(window(0, 30_000), main, &[]) {
        assert!(known.after == after && known.until > after);
    }
}
