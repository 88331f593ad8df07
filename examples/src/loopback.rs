//! Two versions of a service on loopback, and a proxy in front of both.

use std::io;

use canary_core::driver::Clock;
use canary_core::value::BySide;

use crate::counters::Counters;
use crate::proxy::Proxy;
use crate::service::{Behaviour, Service};
use crate::split::Split;

/// Everything that a rollout on loopback needs of the world.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "each example takes what it needs")]
pub struct Loopback {
    /// The time that all of it goes by.
    pub clock: Clock,
    /// What moves the traffic.
    pub split: Split,
    /// What tells how the two versions are doing.
    pub counters: Counters,
    /// The two versions.
    pub services: BySide<Service>,
    /// Where the users' requests arrive.
    pub proxy: Proxy,
}

impl Loopback {
    /// Starts the two versions, then the proxy; everything goes to stable.
    ///
    /// # Errors
    /// If loopback cannot be listened on.
    pub async fn start(behaviours: BySide<Behaviour>) -> io::Result<Self> {
        let clock = Clock::system();
        let split = Split::new(clock);
        let counters = Counters::new(clock);
        let services = BySide {
            stable: Service::start(behaviours.stable).await?,
            canary: Service::start(behaviours.canary).await?,
        };
        let upstreams = BySide::from_fn(|side| services.get(side).address());
        let proxy = Proxy::start(upstreams, split.clone(), counters.clone()).await?;
        Ok(Self { clock, split, counters, services, proxy })
    }
}
