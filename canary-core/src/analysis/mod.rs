//! What the numbers say: evidence against the canary, and the hard limit.
//!
//! [`Evidence`] may be looked at after every tick, as often as one likes: the
//! probability that it ever convicts an innocent canary is bounded for the
//! whole rollout.

mod evidence;
mod hard_limit;
mod log;
mod starts;

pub use evidence::{Evidence, EvidenceLimits, EvidenceState, Tick};
pub use hard_limit::hard_limit;
pub use starts::Starts;
