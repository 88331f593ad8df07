//! What counters rose by from sample to sample, seen by one server or by several.
//!
//! Two servers that scrape the same process see one counter at different instants. So their samples are put in one
//! order and the counter's *level* is followed: the highest value that any of them saw since its last reset. The clocks
//! of two servers differ a little, so a value below the level is no reset; only a fall within what *one* server saw is.
//! What tells of a reset that another server has told of already, or of the time before it, does not reset again.

use std::time::Duration;

use canary_core::value::Timestamp;

use super::LINK;
use super::samples::Samples;

/// How far the clocks of two servers that scrape the same process may lie apart.
const SKEW: Duration = Duration::from_secs(10);

/// Holds the steps of a track in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    ends: Vec<End>,
    /// `width` of them for each step.
    rises: Vec<u64>,
    width: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    at: Timestamp,
    length: Duration,
    reset: bool,
}

/// Is what counters rose by between two samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    /// The later sample's time.
    pub(super) at: Timestamp,
    /// The time since the sample before, of the same server where it has one.
    pub(super) length: Duration,
    pub(super) reset: bool,
    pub(super) rises: &'a [u64],
}

impl Steps {
    pub(super) fn iter(&self) -> impl Iterator<Item = Step<'_>> {
        // A track of no counters at all has no samples either.
        self.ends
            .iter()
            .zip(self.rises.chunks_exact(self.width.max(1)))
            .map(|(&End { at, length, reset }, rises)| Step { at, length, reset, rises })
    }

    /// Follows the counters through the samples of all servers.
    pub(super) fn of(replicas: &[Samples]) -> Self {
        let mut order: Vec<_> = (replicas.iter().enumerate())
            .flat_map(|(server, samples)| {
                samples.times().iter().enumerate().map(move |(n, at)| (*at, server, n))
            })
            .collect();
        if replicas.len() > 1 {
            order.sort_unstable();
        }
        let mut level = Level::new(replicas);
        let mut steps = Self { width: level.values.len(), ..Self::default() };
        steps.ends.reserve(order.len());
        for (at, server, n) in order {
            let Some((length, reset)) = level.see(at, server, n, &mut steps.rises) else {
                continue;
            };
            steps.ends.push(End { at, length, reset });
        }
        steps
    }
}

/// Follows what the counters stand at.
struct Level<'a> {
    replicas: &'a [Samples],
    values: Vec<u64>,
    /// When they were seen last, by any server.
    seen: Option<Timestamp>,
    /// By server, the last of its samples that was followed.
    last: Vec<Option<usize>>,
    /// When a reset was told of last.
    reset: Option<Timestamp>,
}

impl<'a> Level<'a> {
    fn new(replicas: &'a [Samples]) -> Self {
        let width = replicas.first().map_or(0, Samples::width);
        Self {
            replicas,
            values: vec![0; width],
            seen: None,
            last: vec![None; replicas.len()],
            reset: None,
        }
    }

    /// Takes a sample; writes what the counters rose by and returns how long that took and whether they were reset,
    /// or nothing where the sample only starts the clock.
    fn see(
        &mut self,
        at: Timestamp,
        server: usize,
        n: usize,
        rises: &mut Vec<u64>,
    ) -> Option<(Duration, bool)> {
        let now = self.replicas[server].values(n);
        let before = self.seen.replace(at).filter(|before| at.since(*before) <= LINK);
        let own = self.last[server].map(|n| {
            let samples = &self.replicas[server];
            (samples.times()[n], samples.values(n))
        });
        let Some(before) = before else {
            self.values.copy_from_slice(now);
            self.last.fill(None);
            self.last[server] = Some(n);
            self.reset = None;
            return None;
        };
        let fell = own.is_some_and(|(_, was)| was.iter().zip(now).any(|(was, is)| is < was));
        let told = own.and_then(|(then, _)| self.reset.filter(|reset| *reset > then));
        let length = at.since(own.map_or(before, |(then, _)| then));
        if let Some(reset) = told
            && !fell
            && at.since(reset) <= SKEW
        {
            // This server's clock is ahead: it saw the counter before the reset.
            rises.extend(now.iter().map(|_| 0));
            return Some((length, false));
        }
        self.last[server] = Some(n);
        if fell && told.is_none() {
            self.reset = Some(at);
            self.values.copy_from_slice(now);
            rises.extend_from_slice(now);
            return Some((length, true));
        }
        for (level, is) in self.values.iter_mut().zip(now) {
            rises.push(is.saturating_sub(*level));
            *level = (*level).max(*is);
        }
        Some((length, false))
    }
}
