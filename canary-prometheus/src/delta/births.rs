//! Series that begin in a process which was scraped before.
//!
//! A counter for a label that never occurred is usually not there at all: the series of errors appears with the first
//! error. Its first sample alone says nothing, but its process does: if the process was scraped a moment before and the
//! series was not among its samples, it stood at zero. Without this the first errors of every new pod would be lost,
//! and new pods are what a canary is made of.

use std::collections::{BTreeMap, HashMap};

use canary_core::value::Timestamp;

use super::LINK;
use super::samples::Samples;

/// Lets series begin at zero that appear among samples which were taken together before; the key says which process,
/// as one server scrapes it.
pub(crate) fn begin_at_zero<'a, K: Ord>(series: impl Iterator<Item = (K, &'a mut Samples)>) {
    let mut processes = BTreeMap::<K, Vec<&mut Samples>>::new();
    for (process, samples) in series {
        processes.entry(process).or_default().push(samples);
    }
    for mut siblings in processes.into_values() {
        let oldest = siblings.iter().filter_map(|samples| samples.oldest()).min();
        if siblings.iter().all(|samples| samples.oldest() == oldest) {
            continue;
        }
        let before = scraped_before(&siblings);
        for samples in &mut siblings {
            let first = samples.oldest();
            if let Some(at) = first.and_then(|first| before.get(&first)) {
                samples.begin_at_zero(*at);
            }
        }
    }
}

/// Returns for each scrape that some series was in without interruption the one before it.
fn scraped_before(siblings: &[&mut Samples]) -> HashMap<Timestamp, Timestamp> {
    let mut before = HashMap::new();
    for pair in siblings.iter().flat_map(|samples| samples.times().windows(2)) {
        if pair[1].since(pair[0]) <= LINK {
            let newest = before.entry(pair[1]).or_insert(pair[0]);
            *newest = pair[0].max(*newest);
        }
    }
    before
}
