//! Whether everything is allowed.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};

use super::{Check, Finding};
use crate::calls::{PATIENCE, within};
use crate::permissions::{Permission, Permissions};

/// How many questions are asked at a time.
const AT_ONCE: usize = 8;

/// Asks the API server whether all of these is allowed.
pub(super) struct Allowed {
    pub(super) client: Client,
    pub(super) permissions: Permissions,
}

impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowed").field("permissions", &self.permissions).finish_non_exhaustive()
    }
}

#[async_trait]
impl Check for Allowed {
    fn about(&self) -> String {
        "permissions".to_owned()
    }

    async fn findings(&self) -> Vec<Finding> {
        let list = self.permissions.list().iter();
        let asked: Vec<_> = list
            .flat_map(|permission| permission.verbs.iter().map(move |verb| (permission, *verb)))
            .map(|(permission, verb)| self.ask(permission, verb))
            .collect();
        let mut found: Vec<_> =
            stream::iter(asked).buffered(AT_ONCE).filter_map(std::future::ready).collect().await;
        found.dedup();
        found
    }
}

impl Allowed {
    async fn ask(&self, permission: &Permission, verb: &'static str) -> Option<Finding> {
        let Permission { namespace, group, resource, name, why, .. } = permission;
        let attributes = ResourceAttributes {
            namespace: Some(namespace.clone()),
            group: Some(group.clone()),
            resource: Some(resource.clone()),
            name: name.clone(),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let api = Api::<SelfSubjectAccessReview>::all(self.client.clone());
        let patience: Duration = PATIENCE;
        let answer = within(patience, api.create(&PostParams::default(), &review)).await;
        let status = match answer {
            Ok(review) => review.status.unwrap_or_default(),
            Err(error) => {
                let what = format!("what is allowed cannot be asked: {error}");
                return Some(Finding::error(self.about(), what));
            }
        };
        if status.allowed {
            return None;
        }
        let plural =
            if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
        let object = name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let place = if namespace.is_empty() { "all namespaces" } else { namespace };
        let what = format!("may not {verb} {plural}{object} in {place}, which {why}");
        let advice = "apply a Role that allows it (`Permissions::manifest`), or have somebody apply it who may";
        Some(Finding::error(self.about(), what).advice(advice))
    }
}
