//! What the numbers say: evidence against the canary, the hard limit, one comparison of two sides, a health score.
//!
//! [`Evidence`] may be looked at after every tick, as often as one likes: the
//! probability that it ever convicts an innocent canary is bounded for the
//! whole rollout.

mod bet;
mod evidence;
mod hard_limit;
mod log;
mod proportions;
mod score;
mod starts;
mod window;

pub use evidence::{Evidence, EvidenceLimits, EvidenceState};
pub use hard_limit::hard_limit;
pub use proportions::worse_by_chance;
pub use score::{grade, health_score};
pub use starts::Starts;
pub use window::{Refused, Streak, Tick};
