//! What the numbers say: evidence against the canary, the hard limit, one comparison of two sides, a health score.
//!
//! [`Evidence`] may be looked at after every tick, as often as one likes: the
//! probability that it ever convicts an innocent canary is bounded for the
//! whole rollout.

mod bet;
mod evidence;
#[cfg(test)]
mod fixtures;
mod hard_limit;
mod log;
mod noninferiority;
mod objective;
mod proportions;
mod score;
mod sequence;
mod special;
mod starts;
mod window;

pub use evidence::{Evidence, EvidenceLimits, EvidenceState};
pub use hard_limit::hard_limit;
pub use noninferiority::{NonInferiority, NonInferiorityLimits, NonInferiorityState};
pub use objective::{Objective, SharpestAt, rate_bounds};
pub use proportions::worse_by_chance;
pub use score::{grade, health_score};
pub use sequence::{RatioBounds, RatioSequence};
pub use starts::Starts;
pub use window::{Refused, Streak, Tick};
