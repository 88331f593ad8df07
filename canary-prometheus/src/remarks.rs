//! What a person should know of the numbers: sentences for the record.

use std::collections::BTreeSet;

use canary_core::value::{BySide, Side};

use crate::delta::{Remarks, Young};
use crate::read::LeftOut;

/// Collects sentences, each once.
#[derive(Debug, Default)]
pub(crate) struct Notes(BTreeSet<String>);

impl Notes {
    pub(crate) fn add(&mut self, notes: impl IntoIterator<Item = String>) {
        self.0.extend(notes);
    }

    pub(crate) fn into_sentences(self) -> impl Iterator<Item = String> {
        self.0.into_iter()
    }

    /// Tells what the steps of a side were like.
    pub(crate) fn tell_steps(&mut self, side: Side, remarks: Remarks) {
        self.tell(side, remarks.resets, "counter", "was reset", "were reset");
        let longest = remarks.longest.as_secs_f64();
        let missed = |verb| format!("{verb} not scraped for up to {longest:.1} s");
        self.tell(side, remarks.gaps, "series", &missed("was"), &missed("were"));
    }

    /// Tells why there is nothing to count.
    pub(crate) fn tell_young(&mut self, young: BySide<Option<Young>>) {
        let why = "not scraped yet, without requests so far, or not what the query selects";
        if [young.stable, young.canary] == [Some(Young::Unseen); 2] {
            self.0.insert(format!("no series of either side ({why})"));
            return;
        }
        for side in Side::BOTH {
            self.0.extend(match young.get(side) {
                None => None,
                Some(Young::Unseen) => Some(format!("{side}: no series ({why})")),
                Some(Young::SeenOnce(_)) => {
                    Some(format!("{side}: scraped once so far, where counting begins"))
                }
            });
        }
    }

    /// Tells what could not be used.
    pub(crate) fn tell_left_out(&mut self, side: Side, left_out: LeftOut) {
        let of = |count, which: &str| {
            (count, format!("{which} was left out"), format!("{which} were left out"))
        };
        for (count, one, several) in [
            of(left_out.stale, "that is no number"),
            of(left_out.doubled, "at the time of another"),
            of(left_out.partial, "of an incomplete histogram"),
        ] {
            self.tell(side, count, "sample", &one, &several);
        }
    }

    fn tell(&mut self, side: Side, count: usize, what: &str, one: &str, several: &str) {
        let plural = if what == "series" { "" } else { "s" };
        self.0.extend(match count {
            0 => None,
            1 => Some(format!("{side}: 1 {what} {one}")),
            n => Some(format!("{side}: {n} {what}{plural} {several}")),
        });
    }
}
