//! What the numbers say: evidence against the canary, the hard limit, one comparison of two sides, a health score.
//!
//! [`Evidence`] may be looked at after every tick, as often as one likes: the
//! probability that it ever convicts an innocent canary is bounded for the
//! whole rollout.

mod bet;
mod combine;
mod dispersion;
mod evidence;
mod explain;
#[cfg(test)]
mod fixtures;
mod hard_limit;
mod limits;
mod log;
mod mann_whitney;
mod noninferiority;
mod objective;
mod plan;
mod pods;
mod proportions;
mod score;
mod sequence;
mod special;
mod starts;
mod tail;
mod window;

pub use combine::{CombinedLimits, CombinedState};
pub use dispersion::Dispersion;
pub use evidence::{Evidence, EvidenceLimits, EvidenceState};
pub use explain::Explained;
pub use hard_limit::hard_limit;
pub use limits::InvalidLimits;
pub use mann_whitney::MannWhitney;
pub use noninferiority::{NonInferiority, NonInferiorityLimits, NonInferiorityState};
pub use objective::{Objective, SharpestAt, rate_bounds};
pub use plan::{Needed, PlanTraffic, PlannedStage, SeenIn, StageTraffic, rounded_up};
pub use pods::{OnePod, PodEvidence};
pub use proportions::worse_by_chance;
pub use score::{grade, health_score};
pub use sequence::{RatioBounds, RatioSequence};
pub use starts::Starts;
pub use tail::{Slow, TailState};
pub use window::{Refused, Tick};
