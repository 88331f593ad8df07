//! Draws the requests of one rollout, tick by tick.

use std::ops::Range;
use std::time::Duration;

use canary_core::value::{BySide, Counts};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::SeedableRng;
use rand_distr::{Distribution, Exp1, Geometric, Poisson, StandardNormal, StandardUniform};

use super::stream::{BASE, Stream, Trouble};
use super::{Requests, TICKS_A_MINUTE};

/// How long a tick is.
pub const TICK: Duration = Duration::from_secs(15);

/// How many there are: ten minutes at each of 5 %, 25 % and 50 %.
pub const TICKS: usize = 120;

const PODS: usize = 20;
const PODS_F: f64 = 20.0;
/// How many of the pods are the canary's, stage by stage.
const CANARY_PODS: [usize; 3] = [1, 5, 10];

const OUTAGE_RATE: f64 = 0.2;
const BAD_POD_RATE: f64 = 0.1;

/// Draws what both sides served, and what a perfectly prompt source sees of it.
#[derive(Debug)]
pub struct World {
    stream: Stream,
    rng: ChaCha8Rng,
    tick: usize,
    /// The base error rate.
    base: f64,
    /// When the outage or the bad pod is.
    when: Range<usize>,
    bad_pod: usize,
    /// What of each pod has not been scraped yet.
    unseen: [Requests; PODS],
}

impl World {
    /// Begins one run of a stream; the same seed, stream and run give the same requests.
    #[must_use]
    pub fn new(stream: Stream, seed: u64, run: u64) -> Self {
        let mut rng = ChaCha8Rng::from_seed(key(&stream, seed, run));
        let from = below(&mut rng, TICKS - 10 * TICKS_A_MINUTE);
        let length = match stream.trouble {
            Trouble::BadPod => TICKS_A_MINUTE,
            _ => 6 * TICKS_A_MINUTE + below(&mut rng, 4 * TICKS_A_MINUTE + 1),
        };
        let bad_pod = below(&mut rng, PODS);
        let (when, unseen) = (from..from + length, [Requests::default(); PODS]);
        Self { stream, rng, tick: 0, base: BASE, when, bad_pod, unseen }
    }

    /// Draws the next tick.
    pub fn next_tick(&mut self) -> Requests {
        self.move_base();
        let noise = BySide::from_fn(|_| self.noise(Trouble::SideNoise));
        let canary_pods = CANARY_PODS[self.tick * CANARY_PODS.len() / TICKS];
        let mut seen = Requests::default();
        for pod in 0..PODS {
            let is_canary = pod < canary_pods;
            let noise = if is_canary { noise.canary } else { noise.stable };
            let mean = self.requests(is_canary, canary_pods);
            let rate = noise * self.noise(Trouble::PodNoise) * self.error_rate(pod, is_canary);
            let served = self.serve(mean, rate.min(1.0));
            let scraped = self.scrape(pod, is_canary, served);
            if is_canary { seen.canary.add(scraped) } else { seen.stable.add(scraped) }
        }
        self.tick += 1;
        seen
    }

    fn move_base(&mut self) {
        #[expect(clippy::cast_precision_loss, reason = "there are 120 ticks")]
        match self.stream.trouble {
            Trouble::Ramp => self.base = BASE * 10_f64.powf(self.tick as f64 / (TICKS - 1) as f64),
            Trouble::Drift => {
                let step: f64 = StandardNormal.sample(&mut self.rng);
                self.base *= (0.15 * step).exp();
            }
            Trouble::Outage => {
                self.base = if self.when.contains(&self.tick) { OUTAGE_RATE } else { BASE };
            }
            _ => {}
        }
    }

    /// Draws a factor of mean 1, if this is the stream's trouble.
    fn noise(&mut self, of: Trouble) -> f64 {
        if self.stream.trouble == of { Exp1.sample(&mut self.rng) } else { 1.0 }
    }

    /// Returns how many requests a pod is sent on average in one tick.
    fn requests(&self, is_canary: bool, canary_pods: usize) -> f64 {
        let even = self.stream.rps * TICK.as_secs_f64() / PODS_F;
        if self.stream.trouble != Trouble::Split {
            return even;
        }
        #[expect(clippy::cast_precision_loss, reason = "there are twenty pods")]
        let canary_pods = canary_pods as f64;
        let stables = (PODS_F - 1.2 * canary_pods) / (PODS_F - canary_pods);
        even * if is_canary { 1.2 } else { stables }
    }

    fn error_rate(&self, pod: usize, is_canary: bool) -> f64 {
        let Stream { canary_error_rate, onset_minutes, trouble, .. } = self.stream;
        if trouble == Trouble::BadPod && pod == self.bad_pod && self.when.contains(&self.tick) {
            return BAD_POD_RATE;
        }
        match onset_minutes {
            _ if !is_canary => self.base,
            Some(minute) if self.tick < minute * TICKS_A_MINUTE => self.base,
            Some(_) => canary_error_rate,
            None => self.base * (canary_error_rate / BASE),
        }
    }

    fn serve(&mut self, mean: f64, rate: f64) -> Counts {
        let bad = match self.stream.trouble {
            Trouble::Clusters(size) => {
                let more = Geometric::new(1.0 / size);
                let clusters = self.poisson(mean * rate / size);
                let sizes =
                    (0..clusters).map(|_| 1 + more.map_or(0, |more| more.sample(&mut self.rng)));
                sizes.sum()
            }
            _ => self.poisson(mean * rate),
        };
        counts(self.poisson(mean * (1.0 - rate)), bad)
    }

    /// Returns what is seen of what a pod has served.
    fn scrape(&mut self, pod: usize, is_canary: bool, served: Counts) -> Counts {
        let trouble = self.stream.trouble;
        match trouble {
            Trouble::Gaps => {
                let fails = self.uniform() < 0.05;
                let unseen = &mut self.unseen[pod];
                let unseen = if is_canary { &mut unseen.canary } else { &mut unseen.stable };
                unseen.add(served);
                if fails { Counts::default() } else { std::mem::take(unseen) }
            }
            Trouble::Resets if self.uniform() < 0.02 => {
                let since = self.uniform();
                let good = self.some_of(served.total - served.bad, since);
                counts(good, self.some_of(served.bad, since))
            }
            _ => served,
        }
    }

    /// Draws how many of `n` are left where each is with this probability.
    fn some_of(&mut self, n: u64, probability: f64) -> u64 {
        (0..n).map(|_| u64::from(self.uniform() < probability)).sum()
    }

    fn uniform(&mut self) -> f64 {
        StandardUniform.sample(&mut self.rng)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it draws whole numbers from 0 on"
    )]
    fn poisson(&mut self, mean: f64) -> u64 {
        Poisson::new(mean).map_or(0, |counts| counts.sample(&mut self.rng) as u64)
    }
}

fn counts(good: u64, bad: u64) -> Counts {
    Counts::new(good + bad, bad).unwrap_or_default()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are a hundred ticks and twenty pods"
)]
fn below(rng: &mut ChaCha8Rng, end: usize) -> usize {
    let drawn: f64 = StandardUniform.sample(rng);
    (drawn * end as f64) as usize
}

/// Names a run, so that no row of the comparison depends on which others there are.
fn key(stream: &Stream, seed: u64, run: u64) -> [u8; 32] {
    let onset = stream.onset_minutes.map_or(u64::MAX, |minute| minute as u64);
    let words = [stream.rps.to_bits(), stream.canary_error_rate.to_bits(), onset];
    // FNV-1a: it has to tell a few dozen rows apart.
    let hash = words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .chain(stream.name.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, hash, run, 0]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    key
}
