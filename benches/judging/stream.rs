//! What happens to a service while its canary is judged.

use serde::Serialize;

/// The error rate of a service with nothing the matter.
pub const BASE: f64 = 0.001;

/// Says whether the canary is as good as stable.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// It is: to take it back is wrong.
    Null,
    /// It is worse from some time on.
    Bad,
}

/// Says what else happens, to both sides alike.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Trouble {
    /// Nothing: each request fails by itself.
    None,
    /// The base error rate rises tenfold over the thirty minutes.
    Ramp,
    /// The base error rate wanders: each tick by a factor whose logarithm has a standard deviation of 0.15.
    Drift,
    /// A fifth of all requests fails for six to ten minutes.
    Outage,
    /// Errors come in clusters of this mean size (geometric), within one pod and tick.
    Clusters(f64),
    /// Each pod's error rate is drawn anew at each tick: exponential, the same mean.
    PodNoise,
    /// One of the pods, any of the twenty, fails a tenth of its requests for a minute.
    BadPod,
    /// Each side's error rate is drawn anew at each tick: exponential, the same mean (a CV of 1).
    SideNoise,
    /// One scrape of a pod in twenty fails, and its requests are seen with the next.
    Gaps,
    /// At one tick in fifty a pod's counters begin anew, and what it had counted since its last scrape is lost.
    Resets,
    /// The canary gets 1.2 times the requests that its weight says.
    Split,
}

/// Describes one row of the comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stream {
    /// What it is called.
    pub name: &'static str,
    /// Whether the canary is innocent.
    pub kind: Kind,
    /// Requests per second, both sides together.
    pub rps: f64,
    /// The canary's error rate: from the onset on, or beside a base rate of 0.1 %.
    pub canary_error_rate: f64,
    /// When the canary turns bad.
    pub onset_minutes: Option<usize>,
    /// What else happens.
    pub trouble: Trouble,
}

impl Stream {
    /// Makes a stream with an innocent canary.
    #[must_use]
    pub const fn null(name: &'static str, rps: f64, trouble: Trouble) -> Self {
        let kind = Kind::Null;
        Self { name, kind, rps, canary_error_rate: BASE, onset_minutes: None, trouble }
    }

    /// Makes a stream whose canary turns bad.
    #[must_use]
    pub const fn bad(rps: f64, canary_error_rate: f64, minute: usize) -> Self {
        let name = if minute == 0 { "bad from the start" } else { "turns bad" };
        let (kind, onset_minutes) = (Kind::Bad, Some(minute));
        Self { name, kind, rps, canary_error_rate, onset_minutes, trouble: Trouble::None }
    }

    /// Tells whether what our rule takes for innocent holds at every tick: while one side alone has a bad pod or
    /// a bad moment, its error rate *is* higher.
    #[must_use]
    pub const fn holds(&self) -> bool {
        !matches!(self.trouble, Trouble::BadPod | Trouble::SideNoise)
    }
}

/// Lists all rows: innocent canaries first, then bad ones by when they turn bad.
#[must_use]
pub fn streams() -> Vec<Stream> {
    let independent = [10.0, 100.0, 1_000.0, 10_000.0]
        .map(|rps| Stream::null("independent errors", rps, Trouble::None));
    let at_the_edge = |name, rps, trouble| Stream {
        canary_error_rate: 1.25 * BASE,
        ..Stream::null(name, rps, trouble)
    };
    let edge =
        [100.0, 1_000.0, 10_000.0].map(|rps| at_the_edge("edge of innocence", rps, Trouble::None));
    let at_1k = [
        ("base rate ramps", Trouble::Ramp),
        ("base rate drifts", Trouble::Drift),
        ("shared outage", Trouble::Outage),
        ("clusters of 5", Trouble::Clusters(5.0)),
        ("clusters of 20", Trouble::Clusters(20.0)),
        ("clusters of 100", Trouble::Clusters(100.0)),
        ("noisy pods", Trouble::PodNoise),
        ("one bad pod", Trouble::BadPod),
        ("noisy sides", Trouble::SideNoise),
        ("scrape gaps", Trouble::Gaps),
        ("counter resets", Trouble::Resets),
    ]
    .map(|(name, trouble)| Stream::null(name, 1_000.0, trouble));
    let low = Stream::null("low traffic", 1.0, Trouble::None);
    let from_the_start = [
        (10.0, 0.01),
        (10.0, 0.05),
        (100.0, 0.003),
        (100.0, 0.01),
        (100.0, 0.05),
        (1_000.0, 0.003),
        (1_000.0, 0.01),
        (1_000.0, 0.05),
        (10_000.0, 0.01),
    ]
    .map(|(rps, rate)| Stream::bad(rps, rate, 0));
    let late = [(100.0, 0.01), (100.0, 0.05), (1_000.0, 0.003), (1_000.0, 0.01), (1_000.0, 0.05)];
    let late =
        [15, 20, 22, 25].map(|minute| late.map(|(rps, rate)| Stream::bad(rps, rate, minute)));

    let mut all = vec![low];
    all.extend(independent);
    all.extend(edge);
    all.push(at_the_edge("edge, uneven split", 1_000.0, Trouble::Split));
    all.extend(at_1k);
    all.extend(from_the_start);
    all.extend(late.into_iter().flatten());
    all
}
