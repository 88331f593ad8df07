//! Whether requests would find a pod.

use std::fmt;

use async_trait::async_trait;
use canary_core::ports::PortError;
use canary_core::value::{FailureKind, Side};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{Api, ListParams};

use super::{Check, Finding};
use crate::calls::{PATIENCE, within};

/// Looks at the Service of a side.
pub(super) struct Destination {
    pub(super) client: Client,
    pub(super) side: Side,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, namespace, name, .. } = self;
        write!(f, "Destination({side}, {namespace}/{name})")
    }
}

#[async_trait]
impl Check for Destination {
    fn about(&self) -> String {
        format!("Service {}/{} ({})", self.namespace, self.name, self.side)
    }

    async fn findings(&self) -> Vec<Finding> {
        match self.ready().await {
            Ok((0, known)) => {
                let what = format!("no pod behind it is ready, of {known} known");
                let advice = "compare its selector with the pods' labels, and look at their probes";
                vec![Finding::error(self.about(), what).advice(advice)]
            }
            Ok(_) => Vec::new(),
            Err(error) if error.kind() == FailureKind::NotFound => {
                let finding = Finding::error(self.about(), "it does not exist");
                vec![finding.advice("create it, or correct its name")]
            }
            Err(error) => vec![Finding::error(self.about(), error.to_string())],
        }
    }
}

impl Destination {
    /// Counts the endpoints that take requests, and all that are known.
    async fn ready(&self) -> Result<(usize, usize), PortError> {
        let services = Api::<Service>::namespaced(self.client.clone(), &self.namespace);
        within(PATIENCE, services.get(&self.name)).await?;
        let slices = Api::<EndpointSlice>::namespaced(self.client.clone(), &self.namespace);
        let of_it =
            ListParams::default().labels(&format!("kubernetes.io/service-name={}", self.name));
        let slices = within(PATIENCE, slices.list(&of_it)).await?;
        let endpoints: Vec<_> =
            slices.items.into_iter().flat_map(|slice| slice.endpoints).collect();
        let ready = endpoints.iter().filter(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            // Unsaid means ready, as the API has it.
            conditions.and_then(|conditions| conditions.ready).unwrap_or(true)
        });
        Ok((ready.count(), endpoints.len()))
    }
}
