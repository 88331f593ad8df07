//! What of a VirtualService says which requests are its.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::host::{covers, resolved};

/// The gateway of that name is all the sidecars.
const MESH: &str = "mesh";

/// The greatest weight that makes sense, and the greatest that this library writes.
const GREATEST: u64 = 1_000_000;

/// A VirtualService as another one meets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service<'a>(pub(super) &'a Value);

/// How two of them are in each other's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Both are for these hosts in the mesh, where Istio heeds one of them.
    InMesh(Vec<String>),
    /// Both are for these hosts at these gateways, where Istio puts their routes together.
    AtGateways {
        hosts: Vec<String>,
        gateways: Vec<String>,
        /// Whether both have a route for all requests, and the other's takes them.
        taken: bool,
    },
    /// The other one is for these hosts, for which the first only has a wildcard.
    MoreSpecific(Vec<String>),
}

impl Service<'_> {
    fn text(&self, key: &str) -> &str {
        self.0["metadata"][key].as_str().unwrap_or("")
    }

    pub(super) fn namespace(&self) -> &str {
        self.text("namespace")
    }

    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.namespace(), self.text("name"))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.name() == other.name()
    }

    /// Tells whether it has no hosts of its own, but routes for others' requests.
    pub(super) fn is_delegate(&self) -> bool {
        self.hosts().is_empty()
    }

    /// Tells whether it hands requests over to another one.
    pub(super) fn delegates_to(&self, other: &Self) -> bool {
        list(&self.0["spec"]["http"]).iter().any(|route| {
            let delegate = &route["delegate"];
            let namespace = delegate["namespace"].as_str().unwrap_or_else(|| self.namespace());
            delegate["name"]
                .as_str()
                .is_some_and(|name| other.name() == format!("{namespace}/{name}"))
        })
    }

    /// Says how another one takes requests that are meant for this one.
    pub(super) fn meets(&self, other: &Self) -> Option<Meeting> {
        let shared: Vec<_> = self.gateways().intersection(&other.gateways()).cloned().collect();
        if shared.is_empty() || !self.is_seen_with(other) {
            return None;
        }
        let (ours, theirs) = (self.hosts(), other.hosts());
        let hosts: Vec<_> = ours.intersection(&theirs).cloned().collect();
        if hosts.is_empty() {
            let covered = |host: &&String| ours.iter().any(|ours| covers(ours, host));
            let within: Vec<_> = theirs.iter().filter(covered).cloned().collect();
            return (!within.is_empty()).then_some(Meeting::MoreSpecific(within));
        }
        if shared.iter().any(|gateway| gateway == MESH) {
            return Some(Meeting::InMesh(hosts));
        }
        let both = self.has_route_for_all() && other.has_route_for_all();
        let taken = both && other.age() < self.age();
        Some(Meeting::AtGateways { hosts, gateways: shared, taken })
    }

    /// Returns what Istio sorts them by, the oldest first.
    fn age(&self) -> (&str, String) {
        let whole = format!("{}.{}", self.text("name"), self.namespace());
        (self.text("creationTimestamp"), whole)
    }

    /// Tells whether both are for one proxy's requests, whatever their hosts.
    pub(super) fn shares_a_proxy_with(&self, other: &Self) -> bool {
        !self.gateways().is_disjoint(&other.gateways()) && self.is_seen_with(other)
    }

    /// Says which of its numbers no proxy takes, or worse.
    pub(super) fn strange_numbers(&self) -> Vec<String> {
        let kinds = ["http", "tls", "tcp"].into_iter();
        let routes = kinds.flat_map(|kind| {
            let routes = list(&self.0["spec"][kind]).iter().enumerate();
            routes.map(move |(index, route)| (format!("{kind} route {index}"), route))
        });
        let strange = routes.flat_map(|(which, route)| {
            let entries = list(&route["route"]);
            let weights: Vec<_> = entries.iter().filter_map(|entry| entry.get("weight")).collect();
            let sane = |weight: &Value| weight.as_u64().is_some_and(|weight| weight <= GREATEST);
            let wrong = weights.iter().filter(|weight| !sane(weight));
            let mut said: Vec<_> =
                wrong.map(|weight| format!("the weight {weight} in {which}")).collect();
            let nothing = entries.len() > 1 && weights.iter().all(|weight| **weight == 0);
            if said.is_empty() && nothing {
                said.push(format!("no weight above 0 in {which}"));
            }
            said
        });
        strange.collect()
    }

    fn hosts(&self) -> BTreeSet<String> {
        let hosts = texts(&self.0["spec"]["hosts"]);
        hosts.map(|host| resolved(host, self.namespace()).to_lowercase()).collect()
    }

    /// Lists the gateways as `namespace/name`, and the mesh by its name.
    fn gateways(&self) -> BTreeSet<String> {
        let whole = |gateway: &str| match gateway {
            MESH => MESH.to_owned(),
            whole if whole.contains('/') => whole.to_owned(),
            short => format!("{}/{short}", self.namespace()),
        };
        let named: BTreeSet<_> = texts(&self.0["spec"]["gateways"]).map(whole).collect();
        if named.is_empty() { [MESH.to_owned()].into() } else { named }
    }

    /// Tells whether some namespace sees both.
    fn is_seen_with(&self, other: &Self) -> bool {
        match (self.seen_in(), other.seen_in()) {
            (None, None) => true,
            (None, Some(some)) | (Some(some), None) => !some.is_empty(),
            (Some(ours), Some(theirs)) => !ours.is_disjoint(&theirs),
        }
    }

    /// Lists the namespaces that see it, `None` for all.
    fn seen_in(&self) -> Option<BTreeSet<String>> {
        let to: Vec<_> = texts(&self.0["spec"]["exportTo"]).collect();
        if to.is_empty() || to.contains(&"*") {
            return None;
        }
        let named = to.into_iter().filter(|namespace| *namespace != "~");
        let named =
            named.map(|namespace| if namespace == "." { self.namespace() } else { namespace });
        Some(named.map(str::to_owned).collect())
    }

    fn has_route_for_all(&self) -> bool {
        list(&self.0["spec"]["http"]).iter().any(|route| list(&route["match"]).is_empty())
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).iter().filter_map(Value::as_str)
}
