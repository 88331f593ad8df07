//! Drives a rollout against the world with tokio.
//!
//! ```
//! # use canary_core::testing::MemoryRouter;
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use canary_core::driver::Driver;
//! use canary_core::policy::Policy;
//! use canary_core::value::Weight;
//!
//! // A plan without checks needs no metrics.
//! let policy = Policy::builder("shop")
//!     .stage("half", Weight::percent(50), Duration::from_secs(30))
//!     .stage("full", Weight::FULL, Duration::from_secs(30))
//!     .without_hard_limit()
//!     .build()?;
//! let rollout = Driver::builder(policy)
//!     .router(MemoryRouter::new())
//!     .observe(|record| println!("{record}"))
//!     .start("shop-42".parse()?)
//!     .await?;
//! let finished = rollout.finished().await?;
//! assert!(finished.outcome().is_promoted());
//! # Ok(())
//! # }
//! ```

mod apart;
mod before;
mod begin;
mod builder;
mod clock;
mod error;
mod execute;
mod fleet;
mod handle;
#[cfg(feature = "json")]
mod journal;
mod looks;
mod needs;
mod observers;
mod outbox;
mod runner;
mod saver;
mod sources;
mod threads;
mod work;

pub use builder::{Driver, DriverBuilder, Kept};
pub use clock::Clock;
pub use error::{DriverError, MissingGate, StartError, WrongQuery};
pub use fleet::Fleet;
pub use handle::{Finished, Handle, Shutdown};
