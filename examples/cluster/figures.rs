//! What comes out: numbers, as a table or as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use canary_core::value::Timestamp;
use serde_json::{Value, json};

use crate::course::{Course, Noted};

/// Up to here a look is on time.
const ON_TIME: Duration = Duration::from_millis(100);

/// Shows how some spans of time are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) least: Duration,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    pub(crate) most: Duration,
}

impl Spread {
    /// Returns nothing where there is nothing.
    pub(crate) fn of(mut spans: Vec<Duration>) -> Option<Self> {
        spans.sort_unstable();
        let at =
            |percent: usize| spans.get((spans.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Self { least: at(0)?, median: at(50)?, p99: at(99)?, most: at(100)? })
    }

    fn json(&self) -> Value {
        json!({
            "min_ms": millis(self.least), "median_ms": millis(self.median),
            "p99_ms": millis(self.p99), "max_ms": millis(self.most),
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, median, p99, most] =
            [self.least, self.median, self.p99, self.most].map(|span| span.as_millis());
        write!(f, "{least} / {median} / {p99} / {most}")
    }
}

fn millis(span: Duration) -> u64 {
    canary_core::value::millis(span)
}

/// Shows what rollouts cost while they went on.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) rollouts: u32,
    pub(crate) over: Duration,
    pub(crate) calls: BTreeMap<String, u64>,
    pub(crate) queries: u64,
    pub(crate) cpu: Duration,
    /// KiB before the first rollout, and when this was measured.
    pub(crate) memory: [u64; 2],
    pub(crate) steps: usize,
    pub(crate) looks: Vec<Duration>,
    /// Since the rollouts began.
    pub(crate) failed: usize,
    /// What one of them said.
    pub(crate) failure: Option<String>,
}

impl Cost {
    /// Adds up what the rollouts did between two instants.
    pub(crate) fn add_courses<'a>(
        &mut self,
        courses: impl Iterator<Item = &'a Course>,
        within: [Timestamp; 2],
    ) {
        let [after, until] = within;
        let counts = |at: Timestamp| after < at && at <= until;
        for course in courses {
            let noted = course.noted();
            self.failed += noted.failed;
            self.failure = self.failure.take().or_else(|| noted.failure.clone());
            self.steps += noted.raises.iter().filter(|raise| counts(raise.at)).count();
            self.looks.extend(noted.looks.iter().filter(|look| counts(look.0)).map(|look| look.1));
        }
    }

    /// Returns how often something was for each rollout and minute.
    fn each(&self, count: u64) -> f64 {
        self.per_minute(count) / f64::from(self.rollouts)
    }

    #[expect(clippy::cast_precision_loss, reason = "rates need no 53 bits")]
    fn per_minute(&self, count: u64) -> f64 {
        count as f64 * 60.0 / self.over.as_secs_f64()
    }

    #[expect(clippy::cast_precision_loss, reason = "rates need no 53 bits")]
    fn on_time(&self) -> f64 {
        let on_time = self.looks.iter().filter(|late| **late < ON_TIME).count();
        on_time as f64 / self.looks.len().max(1) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes need no 53 bits")]
    fn mebibytes(&self) -> [f64; 2] {
        self.memory.map(|kib| kib as f64 / 1024.0)
    }

    pub(crate) fn json(&self) -> Value {
        let by_call: BTreeMap<_, _> =
            self.calls.iter().map(|(name, count)| (name, self.each(*count))).collect();
        let [idle, busy] = self.mebibytes();
        json!({
            "rollouts": self.rollouts,
            "seconds": self.over.as_secs_f64(),
            "steps_per_rollout_and_minute": self.each(self.steps as u64),
            "calls_per_rollout_and_minute": self.each(self.calls.values().sum()),
            "by_call": by_call,
            "calls_failed": self.failed,
            "queries_per_rollout_and_minute": self.each(self.queries),
            "cpu_seconds_per_minute": self.cpu.as_secs_f64() * 60.0 / self.over.as_secs_f64(),
            "memory_mib": { "idle": idle, "more": busy - idle },
            "looks": self.looks.len(),
            "looks_on_time": self.on_time(),
            "looks_late": Spread::of(self.looks.clone()).map(|spread| spread.json()),
        })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [idle, busy] = self.memory_line();
        writeln!(f, "{} rollouts over {:.0} s", self.rollouts, self.over.as_secs_f64())?;
        writeln!(f, "  for each rollout and minute")?;
        writeln!(f, "    steps                 {:>9.2}", self.each(self.steps as u64))?;
        writeln!(f, "    calls to the API      {:>9.2}", self.each(self.calls.values().sum()))?;
        for (name, count) in &self.calls {
            writeln!(f, "      {name:<22}{:>7.2}", self.each(*count))?;
        }
        writeln!(f, "    queries               {:>9.2}", self.each(self.queries))?;
        if let Some(failure) = &self.failure {
            writeln!(f, "  calls that failed, ever   {:>7}: {failure}", self.failed)?;
        }
        let cpu = self.cpu.as_secs_f64() * 60.0 / self.over.as_secs_f64();
        writeln!(f, "  CPU seconds a minute    {cpu:>9.2}")?;
        writeln!(f, "  MiB over the idle {idle:<6}{:>9.1}", busy)?;
        writeln!(f, "  looks                   {:>9}", self.looks.len())?;
        write!(
            f,
            "    less than {} ms late {:>9.2} %",
            ON_TIME.as_millis(),
            self.on_time() * 100.0
        )?;
        if let Some(spread) = Spread::of(self.looks.clone()) {
            write!(f, "\n    ms late, min / median / 99 % / max: {spread}")?;
        }
        Ok(())
    }
}

impl Cost {
    /// Returns the idle process's memory as it is shown, and what came on top of it.
    fn memory_line(&self) -> [f64; 2] {
        let [idle, busy] = self.mebibytes();
        [(idle * 10.0).round() / 10.0, busy - idle]
    }
}

/// Shows how bad canaries were taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Back {
    pub(crate) rollouts: usize,
    /// Since the metric turned bad, until the API server had taken the last traffic away.
    pub(crate) since_bad: Vec<Duration>,
    pub(crate) since_decided: Vec<Duration>,
    /// How many weights rose on numbers that were asked for after the metric had turned bad.
    pub(crate) rose: usize,
}

impl Back {
    pub(crate) fn of<'a>(courses: impl Iterator<Item = &'a Course>, bad: Timestamp) -> Self {
        let mut back =
            Self { rollouts: 0, since_bad: Vec::new(), since_decided: Vec::new(), rose: 0 };
        for course in courses {
            let noted: &Noted = &course.noted();
            back.rollouts += 1;
            back.rose +=
                noted.raises.iter().filter(|raise| raise.asked.is_some_and(|at| at > bad)).count();
            if let (Some(decided), Some(emptied)) = (noted.decided, noted.emptied) {
                back.since_bad.push(emptied.since(bad));
                back.since_decided.push(emptied.since(decided));
            }
        }
        back
    }

    pub(crate) fn json(&self) -> Value {
        let json = |spans: &Vec<_>| Spread::of(spans.clone()).map(|spread| spread.json());
        json!({
            "rollouts": self.rollouts,
            "taken_back": self.since_bad.len(),
            "bad_to_weight_0": json(&self.since_bad),
            "decided_to_weight_0": json(&self.since_decided),
            "weights_that_rose": self.rose,
        })
    }
}

impl fmt::Display for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} taken back", self.since_bad.len(), self.rollouts)?;
        if let (Some(bad), Some(decided)) =
            (Spread::of(self.since_bad.clone()), Spread::of(self.since_decided.clone()))
        {
            writeln!(f, "  ms, min / median / 99 % / max")?;
            writeln!(f, "    metric bad to weight 0 accepted: {bad}")?;
            writeln!(f, "    decided to weight 0 accepted:    {decided}")?;
        }
        write!(f, "  weights that rose meanwhile: {}", self.rose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_the_values_that_were_seen() {
        let ms = Duration::from_millis;
        assert_eq!(Spread::of(Vec::new()), None);
        let spread = Spread::of((1..=200).rev().map(ms).collect());
        assert_eq!(
            spread,
            Some(Spread { least: ms(1), median: ms(100), p99: ms(198), most: ms(200) })
        );
        let one = Spread { least: ms(7), median: ms(7), p99: ms(7), most: ms(7) };
        assert_eq!(Spread::of(vec![ms(7)]), Some(one));
    }
}
