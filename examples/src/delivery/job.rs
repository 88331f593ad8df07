//! What is delivered, and where to.

use std::path::PathBuf;

use canary_core::value::{BySide, Side, Target};
use canary_istio::{DESTINATION_RULE, VIRTUAL_SERVICE};
use canary_kube::{HTTP_ROUTE, Permission, Permissions, RouteKind};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// Says what is delivered where: options on the command line, and a file beside the rollout's state.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "whoever delivers says all of it")]
pub struct Job {
    /// The service: its Deployment, its Service and its route have this name unless said otherwise
    #[arg(value_parser = name)]
    pub service: String,
    /// The image of the new version
    #[arg(value_parser = image)]
    pub image: String,
    /// The namespace of all of them
    #[arg(long, short, default_value = "default", value_parser = name)]
    pub namespace: String,
    /// Whose routes split the traffic: VirtualServices, or Gateway API HTTPRoutes
    #[arg(long, value_enum, default_value = "istio")]
    pub mesh: Mesh,
    /// The VirtualService or HTTPRoute
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Its two destinations: subsets on Istio (`stable,canary`), Services on Linkerd (`SERVICE-stable,SERVICE-canary`)
    #[arg(long, value_name = "STABLE,CANARY", value_parser = two_names)]
    pub destinations: Option<BySide<String>>,
    /// The Deployment of what runs now; the canary's is SERVICE-canary
    #[arg(long, value_name = "NAME")]
    pub deployment: Option<String>,
    /// The container that gets the image, where there are several
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Let HorizontalPodAutoscalers shrink stable while the canary has its traffic; the way back then waits for them
    #[arg(long)]
    #[serde(default)]
    pub leave_autoscalers: bool,
    /// The Prometheus that knows the mesh's metrics
    #[arg(long, value_name = "URL", default_value = "http://localhost:9090")]
    pub prometheus: String,
    /// A file with the token that Prometheus asks for; it is read for each query
    #[arg(long, value_name = "FILE")]
    #[serde(default)]
    pub prometheus_token_file: Option<PathBuf>,
    /// The tenant whose data is meant, of a Mimir, Cortex or Thanos
    #[arg(long, value_name = "NAME")]
    #[serde(default)]
    pub prometheus_tenant: Option<String>,
    /// Certificates (PEM) that have signed Prometheus's, beside those that the machine trusts
    #[arg(long, value_name = "FILE")]
    #[serde(default)]
    pub prometheus_ca: Option<PathBuf>,
    /// The service speaks gRPC: its failures are told by the gRPC status, as Linkerd does anyhow
    #[arg(long)]
    #[serde(default)]
    pub grpc: bool,
    /// Which of Istio's proxies tells of a request: the sidecar of who took it or of who sent it, or a waypoint (ambient)
    #[arg(long, value_enum, default_value = "destination")]
    #[serde(default)]
    pub reporter: Reporter,
    /// Istio's control plane, to be asked whether the proxies follow: `http://localhost:15014`
    #[arg(long, value_name = "URL")]
    pub istiod: Option<String>,
    /// The way to the cluster; as the environment says unless given
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Where that way led to when the rollout began: it goes on there and nowhere else
    #[arg(skip)]
    #[serde(default)]
    pub server: Option<String>,
}

/// Names a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "each has its router")]
pub enum Mesh {
    /// Istio, by VirtualServices.
    Istio,
    /// Linkerd, by HTTPRoutes.
    Linkerd,
}

/// Names whose count of requests is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "each has its metrics")]
pub enum Reporter {
    /// The sidecar of the pod that took it.
    #[default]
    Destination,
    /// The sidecar or gateway that sent it.
    Source,
    /// The waypoint between them, in ambient mode.
    Waypoint,
}

fn two_names(text: &str) -> Result<BySide<String>, String> {
    match text.split(',').collect::<Vec<_>>()[..] {
        [stable, canary] if !stable.is_empty() && !canary.is_empty() && stable != canary => {
            Ok(BySide { stable: stable.to_owned(), canary: canary.to_owned() })
        }
        _ => Err("expected two names, stable's and the canary's: `v1,v2`".to_owned()),
    }
}

/// Reads what may be the name of a Service or a namespace.
fn name(text: &str) -> Result<String, String> {
    let may_stand = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = text.starts_with('-') || text.ends_with('-');
    if text.is_empty() || text.len() > 63 || ends || !text.chars().all(may_stand) {
        return Err("expected a name as Kubernetes has them: `auth-service`".to_owned());
    }
    Ok(text.to_owned())
}

fn image(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("expected an image such as `ghcr.io/orion/auth:v2.0.0`".to_owned());
    }
    Ok(text.to_owned())
}

impl Job {
    /// Returns what is rolled out: whoever moves the same route is in its way.
    ///
    /// # Errors
    /// Where the names are none.
    pub fn target(&self) -> anyhow::Result<Target> {
        Ok(format!("{}/{}", self.namespace, self.route()).parse()?)
    }

    /// Returns the route's name.
    #[must_use]
    pub fn route(&self) -> &str {
        self.route.as_deref().unwrap_or(&self.service)
    }

    /// Writes `VirtualService shop/web`.
    #[must_use]
    pub fn route_in_words(&self) -> String {
        format!("{} {}/{}", self.route_kind().kind, self.namespace, self.route())
    }

    /// Returns the names of both Deployments.
    #[must_use]
    pub fn deployments(&self) -> BySide<String> {
        let stable = self.deployment.as_ref().unwrap_or(&self.service).clone();
        BySide { stable, canary: format!("{}-canary", self.service) }
    }

    /// Returns what the route calls the two versions.
    #[must_use]
    pub fn destinations(&self) -> BySide<String> {
        let service = &self.service;
        self.destinations.clone().unwrap_or_else(|| match self.mesh {
            Mesh::Istio => BySide { stable: "stable".to_owned(), canary: "canary".to_owned() },
            Mesh::Linkerd => BySide::from_fn(|side: Side| format!("{service}-{}", side.as_str())),
        })
    }

    const fn route_kind(&self) -> RouteKind {
        match self.mesh {
            Mesh::Istio => VIRTUAL_SERVICE,
            Mesh::Linkerd => HTTP_ROUTE,
        }
    }

    /// Lists what must be allowed.
    pub fn permissions(&self) -> Permissions {
        let namespace = &self.namespace;
        let all = Permissions::new()
            .route(&self.route_kind(), namespace, self.route())
            .deployments(namespace)
            .services(namespace);
        let all = if self.leave_autoscalers { all } else { all.autoscalers(namespace) };
        match self.mesh {
            Mesh::Istio => {
                let RouteKind { group, plural, .. } = DESTINATION_RULE;
                let why = "sees before a start whether both subsets are there";
                let rule = Permission::new(namespace, group, plural, &["get"], why);
                all.and(rule.named(self.route()))
            }
            Mesh::Linkerd => all,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns a job with these fields.
    pub(crate) fn job(more: &Value) -> Job {
        let mut job = json!({ "service": "web", "image": "web:v2", "namespace": "shop", "mesh": "istio", "prometheus": "http://p" });
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn what_is_no_name_is_refused_before_anything_is_asked() {
        for text in ["", "Auth", "auth service", "-auth", "auth-", "shop/auth", &"a".repeat(64)] {
            assert!(name(text).is_err(), "{text}");
        }
        assert_eq!(name("auth-2").unwrap(), "auth-2");
        for text in ["", "auth v2", "auth:v2\n"] {
            assert!(image(text).is_err(), "{text:?}");
        }
        assert!(image("ghcr.io/orion/auth@sha256:ab").is_ok());
        for text in ["v1", "v1,", ",v2", "v1,v1", "v1,v2,v3"] {
            assert!(two_names(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_holds_autoscalers_must_be_allowed_to() {
        let asks = |more| {
            let all = job(&more).permissions();
            all.list().iter().any(|one| one.resource == "horizontalpodautoscalers")
        };
        assert!(asks(json!({})));
        assert!(!asks(json!({ "leave_autoscalers": true })));
    }
}
