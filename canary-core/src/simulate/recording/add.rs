//! Puts windows that follow each other together, as a metric source would have answered for all of them at once.

use crate::value::{Measured, PodCounts, Reading, Side, Window};

/// Adds the next window to a sum; false where that cannot be, and nothing is added.
pub(super) fn all(sum: &mut Measured, next: &Measured) -> bool {
    let mut sides = sum.sides.clone();
    if !Side::BOTH.into_iter().all(|side| reading(sides.get_mut(side), next.sides.get(side))) {
        return false;
    }
    sum.sides = sides;
    sum.covered = Window::new(sum.covered.after, next.covered.until);
    for side in Side::BOTH {
        pods(sum.pods.get_mut(side), next.pods.get(side));
    }
    for note in &next.notes {
        if !sum.notes.contains(note) {
            sum.notes.push(note.clone());
        }
    }
    true
}

fn reading(sum: &mut Reading, next: &Reading) -> bool {
    use Reading::{Buckets, Counts, NoData, NotFinite, Value};
    match (&mut *sum, next) {
        (Counts(sum), Counts(next)) => sum.add(*next),
        (Buckets(sum), Buckets(next)) => return sum.add(next),
        // What was counted before a silence stays counted.
        (Counts(_) | Buckets(_), NoData | NotFinite) => {}
        // A number is what it was last.
        (NoData | NotFinite, _) | (Value(_), NoData | NotFinite | Value(_)) => sum.clone_from(next),
        (Counts(_) | Buckets(_), _) | (Value(_), Counts(_) | Buckets(_)) => return false,
    }
    true
}

fn pods(sum: &mut Vec<PodCounts>, next: &[PodCounts]) {
    for pod in next {
        match sum.iter_mut().find(|known| known.name == pod.name) {
            Some(known) => known.counts.add(pod.counts),
            None => sum.push(pod.clone()),
        }
    }
}
