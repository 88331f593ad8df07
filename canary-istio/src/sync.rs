//! Whether the proxies took a change over, as the control plane knows it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::value::{FailureKind, RolloutId, Traffic, Version};
use canary_kube::port_error;
use kube::client::Body;
use kube::{Client, Config};
use serde::Deserialize;

/// How often the control plane is asked.
const EVERY: Duration = Duration::from_millis(50);

/// How many looks in a row must find every proxy up to date: pushes to many proxies do not all begin at once.
const LOOKS: u32 = 2;

/// How much of a call's time may go by until the proxies have taken a change over, one part of so many.
const PART: u32 = 2;

/// Asks istiod which routes it has sent to its proxies, and which of them they took.
///
/// That a VirtualService was accepted by the API server does not say that requests follow it: istiod collects
/// changes for a tenth of a second at rest and for up to ten seconds while much else changes, and a proxy rejects
/// a whole set of routes for one that makes no sense. With a probe a rollout's records say which it was, and its
/// settle time begins when requests do follow.
///
/// ```no_run
/// use canary_istio::{SyncProbe, VirtualServiceRouter};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = canary_istio::client().await?;
/// let router = VirtualServiceRouter::new(client, "shop", "checkout").subsets("stable", "canary");
/// let router = SyncProbe::new("http://istiod.istio-system:15014")?.watch(router);
/// # Ok(())
/// # }
/// ```
///
/// Each replica of istiod knows its own proxies only, so where there are several the answer is about those of the one
/// that is asked.
#[derive(Clone)]
pub struct SyncProbe {
    client: Client,
    /// As it may be shown.
    address: String,
}

impl fmt::Debug for SyncProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncProbe").field("address", &self.address).finish_non_exhaustive()
    }
}

impl SyncProbe {
    /// Asks at this address, scheme and port of istiod's monitoring or debug server; nothing is asked yet.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Invalid` where it is no address.
    pub fn new(address: impl Into<String>) -> Result<Self, PortError> {
        let address = address.into();
        let uri: http::Uri = address.parse().map_err(|error| no_address(&address, error))?;
        let mut config = Config::new(uri);
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| no_address(&address, error))?;
        Ok(Self { client, address: shown(&address).to_owned() })
    }

    /// Watches what a router raises.
    #[must_use]
    pub fn watch<R: TrafficRouter>(self, router: R) -> Watched<R> {
        Watched { router, probe: self }
    }

    /// Reads how far every proxy is.
    async fn look(&self) -> Result<Look, PortError> {
        let request = http::Request::get("/debug/syncz").body(Body::empty());
        let request = request.map_err(|error| {
            PortError::new(FailureKind::Internal, "no request").with_source(error)
        })?;
        let answer = self.client.send(request).await.map_err(port_error)?;
        let status = answer.status();
        if !status.is_success() {
            let message = format!("istiod at {} answered {status}", self.address);
            return Err(PortError::new(FailureKind::Unavailable, message));
        }
        let body = answer.into_body().collect_bytes().await.map_err(port_error)?;
        let proxies: Vec<Proxy> = serde_json::from_slice(&body).map_err(|error| {
            let message = format!("istiod at {} answered something else", self.address);
            PortError::new(FailureKind::Invalid, message).with_source(error)
        })?;
        Ok(Look(proxies.into_iter().map(|proxy| (proxy.proxy, proxy.routes)).collect()))
    }

    /// Waits until the proxies took over what was changed after `before`, for as long as this.
    ///
    /// `None` where that cannot be told; `Some(false)` where a proxy was sent routes and did not take them.
    async fn settled(&self, before: &Look, patience: Duration) -> Option<bool> {
        let mut last = None;
        let mut found = 0;
        let looking = async {
            while found < LOOKS {
                tokio::time::sleep(EVERY).await;
                if let Ok(look) = self.look().await {
                    let settled = look.settled(before);
                    found = if settled == Some(true) { found + 1 } else { 0 };
                    last = settled;
                }
            }
        };
        match tokio::time::timeout(patience, looking).await {
            Ok(()) => Some(true),
            // Of proxies that have only just taken it, nobody knows whether they are all.
            Err(_) => last.filter(|settled| !settled),
        }
    }
}

fn no_address(address: &str, error: impl std::error::Error + Send + Sync + 'static) -> PortError {
    let message = format!("`{}` is no address of istiod", shown(address));
    PortError::new(FailureKind::Invalid, message).with_source(error)
}

/// Returns an address, or what should have been one, from behind a name and a password in it.
fn shown(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, behind)| behind)
}

/// A router whose raises are watched by a [`SyncProbe`].
///
/// A raise returns once the proxies took it over, after half of the time that the call has at the latest; what
/// lowers waits for nothing.
#[derive(Clone, Debug)]
pub struct Watched<R> {
    router: R,
    probe: SyncProbe,
}

#[async_trait]
impl<R: TrafficRouter> TrafficRouter for Watched<R> {
    fn capabilities(&self) -> Capabilities {
        self.router.capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        self.router.observe(call).await
    }

    async fn holder(&self, call: &Call) -> Result<Option<RolloutId>, PortError> {
        self.router.holder(call).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        if at.is_none() {
            return self.router.apply(call, traffic, at).await;
        }
        let patience = call.deadline.since(call.made) / PART;
        // A control plane that cannot be asked holds no rollout up: then nobody knows.
        let before = tokio::time::timeout(patience / PART, self.probe.look()).await;
        let mut applied = self.router.apply(call, traffic, at).await?;
        if let Ok(Ok(before)) = before {
            applied.effective = self.probe.settled(&before, patience).await;
        }
        Ok(applied)
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        self.router.release(call).await
    }
}

/// One proxy in istiod's answer.
#[derive(Debug, Deserialize)]
struct Proxy {
    proxy: String,
    #[serde(flatten)]
    routes: Routes,
}

/// The last set of routes that a proxy was sent, and the last that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Routes {
    #[serde(default, rename = "route_sent")]
    sent: String,
    #[serde(default, rename = "route_acked")]
    taken: String,
}

/// How far every proxy is, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look(BTreeMap<String, Routes>);

impl Look {
    /// Tells whether what was sent since `before` was taken by all that were sent it, `None` while nothing was sent.
    fn settled(&self, before: &Self) -> Option<bool> {
        let sent_since = |(proxy, routes): &(&String, &Routes)| {
            before.0.get(*proxy).is_some_and(|before| before.sent != routes.sent)
        };
        let mut moved = self.0.iter().filter(sent_since).peekable();
        moved.peek()?;
        Some(moved.all(|(_, routes)| routes.sent == routes.taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(proxies: &[(&str, &str, &str)]) -> Look {
        let routes = |sent: &str, taken: &str| Routes { sent: sent.into(), taken: taken.into() };
        Look(proxies.iter().map(|(name, s, t)| ((*name).to_owned(), routes(s, t))).collect())
    }

    #[test]
    fn a_change_has_settled_once_all_that_were_sent_it_took_it() {
        let before = look(&[("a", "1", "1"), ("b", "1", "1"), ("c", "7", "6")]);
        for (now, settled) in [
            // Not sent to anybody yet: `c` has not taken what came before.
            (vec![("a", "1", "1"), ("b", "1", "1"), ("c", "7", "6")], None),
            (vec![("a", "2", "1"), ("b", "1", "1"), ("c", "7", "6")], Some(false)),
            (vec![("a", "2", "2"), ("b", "2", "1"), ("c", "7", "6")], Some(false)),
            (vec![("a", "2", "2"), ("b", "2", "2"), ("c", "7", "6")], Some(true)),
            // A proxy that came later got it with everything else.
            (vec![("a", "2", "2"), ("d", "2", "")], Some(true)),
        ] {
            assert_eq!(look(&now).settled(&before), settled, "{now:?}");
        }
    }

    #[tokio::test]
    async fn no_password_is_shown() {
        let error = SyncProbe::new("http://ana:se cret@istiod:15014").unwrap_err().to_string();
        assert_eq!(error, "`istiod:15014` is no address of istiod");
        let probe = format!("{:?}", SyncProbe::new("http://ana:secret@istiod:15014").unwrap());
        assert!(probe.contains("istiod:15014") && !probe.contains("secret"), "{probe}");
    }

    #[test]
    fn istiod_s_answer_is_read() {
        let answer = r#"[{"cluster_id":"Kubernetes","proxy":"a.shop","route_sent":"2","route_acked":"1"},{"proxy":"b.shop"}]"#;
        let proxies: Vec<Proxy> = serde_json::from_str(answer).unwrap();
        assert_eq!(proxies[0].routes, Routes { sent: "2".into(), taken: "1".into() });
        assert_eq!(proxies[1].routes, Routes::default());
    }
}
