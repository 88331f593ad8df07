//! Counts requests and latency of both sides.

use std::collections::BTreeMap;
use std::sync::Arc;

use canary_core::ports::PortError;
use canary_core::value::{Buckets, BySide, Counts, Measured, PodCounts, Reading, Side, Window};

use crate::delta::{self, Cover, Track, Young};
use crate::error::{in_context, invalid};
use crate::fetch::{Fetch, Fetched};
use crate::read::{self, LeftOut};
use crate::remarks::Notes;
use crate::source::{Counted, Of};
use crate::tracks::{Labelling, Tracks};

/// Holds what is known of one side.
struct Known {
    main: Tracks,
    bad: Tracks,
    bounds: Arc<[f64]>,
    left_out: LeftOut,
    remarks: Vec<String>,
}

impl Known {
    fn new(fetched: Fetched, labelling: &Labelling) -> Self {
        let Fetched { mut main, mut bad, remarks } = fetched;
        labelling.begin_at_zero(&mut [&mut main.series, &mut bad.series]);
        let mut left_out = main.left_out;
        left_out.add(bad.left_out);
        let pod = labelling.pod_label(&[&main.series, &bad.series]);
        Self {
            main: labelling.tracks(main.series, pod),
            bad: labelling.tracks(bad.series, pod),
            bounds: main.bounds,
            left_out,
            remarks,
        }
    }
}

/// Answers a query for counts of requests or of latency.
pub(crate) async fn measure(fetch: &Fetch<'_>) -> Result<Measured, PortError> {
    let Counted { of, pace, .. } = fetch.ask;
    let BySide { stable, canary } = fetch.both(pace).await?;
    let labelling = &fetch.tick.source.labelling;
    let sides =
        BySide { stable: Known::new(stable, labelling), canary: Known::new(canary, labelling) };
    let main = BySide { stable: &*sides.stable.main.all, canary: &*sides.canary.main.all };
    let bad = [&*sides.stable.bad.all, &*sides.canary.bad.all];
    if let Some(interval) = delta::longest_interval(main.stable.iter().chain(main.canary)) {
        pace.learn(interval);
    }
    let mut notes = Notes::default();
    for side in Side::BOTH {
        notes.add(sides.get(side).remarks.iter().cloned());
    }
    notes.tell_young(BySide::from_fn(|side| Young::of(main.get(side), fetch.window)));
    let measured = match delta::cover(fetch.window, main, &bad) {
        Cover::Pending => Measured::pending(fetch.window.after),
        Cover::Nothing => Measured::new(fetch.window, Reading::NoData, Reading::NoData),
        Cover::Known(window) => {
            let mut read = |side| {
                let known = sides.get(side);
                let read = match of {
                    Of::Requests { .. } => requests(side, known, window, &mut notes),
                    Of::Latency { .. } => latency(side, known, window, &mut notes),
                };
                let about = format!("{} of {side}", fetch.signal);
                read.map_err(|why| in_context(&about, invalid(why)))
            };
            let measured = Measured::new(window, read(Side::Stable)?, read(Side::Canary)?);
            match of {
                Of::Latency { .. } => measured,
                Of::Requests { .. } => Side::BOTH.into_iter().fold(measured, |measured, side| {
                    measured.with_pods(side, pods(sides.get(side), window))
                }),
            }
        }
    };
    Ok(notes.into_sentences().fold(measured, Measured::note))
}

fn requests(
    side: Side,
    known: &Known,
    window: Window,
    notes: &mut Notes,
) -> Result<Reading, String> {
    let total = delta::tally(&known.main.all, window);
    let bad = delta::tally(&known.bad.all, window);
    notes.tell_steps(side, total.remarks);
    notes.tell_left_out(side, known.left_out);
    match total.rises {
        None => Ok(Reading::NoData),
        Some(total) => counts(&total, &bad.rises.unwrap_or_default()).map(Reading::Counts),
    }
}

fn counts(total: &[u64], bad: &[u64]) -> Result<Counts, String> {
    let sum = |rises: &[u64]| rises.iter().fold(0_u64, |sum, rise| sum.saturating_add(*rise));
    Counts::new(sum(total), sum(bad)).map_err(|error| error.to_string())
}

fn latency(
    side: Side,
    known: &Known,
    window: Window,
    notes: &mut Notes,
) -> Result<Reading, String> {
    let tally = delta::tally(&known.main.all, window);
    notes.tell_steps(side, tally.remarks);
    notes.tell_left_out(side, known.left_out);
    let Some(cumulative) = tally.rises else { return Ok(Reading::NoData) };
    let (counts, repaired) = read::per_bucket(&cumulative);
    if repaired {
        let why =
            "a bucket rose by less than a smaller one in it and is taken to have risen as much";
        notes.add([format!("{side}: {why}")]);
    }
    let buckets = Buckets::new(Arc::clone(&known.bounds), counts);
    Ok(Reading::Buckets(buckets.map_err(|error| error.to_string())?))
}

/// Counts each pod's requests, where the series tell the pods apart.
///
/// A pod whose bad requests are not among its requests, as where two exporters count them, is left out: pods explain
/// a decision and make none.
fn pods(known: &Known, window: Window) -> Vec<PodCounts> {
    let mut pods = BTreeMap::<&Arc<str>, [Vec<&Track>; 2]>::new();
    for (part, tracks) in [&known.main, &known.bad].into_iter().enumerate() {
        for (pod, track) in tracks.pods.iter().zip(&tracks.all) {
            pods.entry(pod).or_default()[part].push(track);
        }
    }
    let counted = pods.into_iter().filter_map(|(pod, tracks)| {
        let [total, bad] = tracks.map(|tracks| delta::tally(tracks, window).rises);
        Some(PodCounts::new(Arc::clone(pod), counts(&total?, &bad.unwrap_or_default()).ok()?))
    });
    counted.collect()
}
