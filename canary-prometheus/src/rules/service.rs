//! Whom the rules are about.

use std::fmt;
use std::str::FromStr;

use canary_core::value::Side;

/// Says who counts the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mesh {
    /// Istio's standard metrics, as the called side reports them.
    Istio,
    /// Linkerd's proxy metrics, inbound.
    Linkerd,
}

impl Mesh {
    /// Returns its name: `istio` or `linkerd`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::Linkerd => "linkerd",
        }
    }
}

impl fmt::Display for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells that a text names no mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mesh: istio or linkerd")]
pub struct UnknownMesh(String);

impl FromStr for Mesh {
    type Err = UnknownMesh;

    fn from_str(text: &str) -> Result<Self, UnknownMesh> {
        match text {
            "istio" => Ok(Self::Istio),
            "linkerd" => Ok(Self::Linkerd),
            _ => Err(UnknownMesh(text.chars().take(80).collect())),
        }
    }
}

/// Tells that a text cannot be the name of something in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {why}")]
pub struct InvalidService {
    what: &'static str,
    text: String,
    why: &'static str,
}

/// Names a service, and the Deployments that run its two versions.
///
/// Its rollouts are found under the target `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub(crate) mesh: Mesh,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) stable: String,
    pub(crate) canary: String,
    pub(crate) runbook: Option<String>,
}

impl Service {
    /// Names a service whose Deployments are called `name` and `name-canary`.
    ///
    /// # Errors
    /// [`InvalidService`] unless both are names of Kubernetes: 1 to 63 lower-case letters, digits and `-`.
    pub fn new(
        mesh: Mesh,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Result<Self, InvalidService> {
        let (namespace, name) = (namespace.into(), name.into());
        check_label("namespace", &namespace)?;
        check_label("service", &name)?;
        let (stable, canary) = (name.clone(), format!("{name}-canary"));
        Ok(Self { mesh, namespace, name, stable, canary, runbook: None })
    }

    /// Names the Deployments of the two versions.
    ///
    /// # Errors
    /// [`InvalidService`] unless both are names of Kubernetes, dots included, and differ.
    pub fn deployments(
        self,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> Result<Self, InvalidService> {
        let (stable, canary) = (stable.into(), canary.into());
        for name in [&stable, &canary] {
            let what = "Deployment";
            if name.len() > 253 {
                return Err(invalid(what, name, "it has more than 253 characters"));
            }
            name.split('.').try_for_each(|part| {
                check_label(what, part).map_err(|error| invalid(what, name, error.why))
            })?;
        }
        if stable == canary {
            return Err(invalid("Deployment of the canary", &canary, "it is the one of stable"));
        }
        Ok(Self { stable, canary, ..self })
    }

    /// Links each alert to a runbook: the alert's name is put behind this, as an anchor.
    #[must_use]
    pub fn runbook(mut self, link: impl Into<String>) -> Self {
        self.runbook = Some(link.into());
        self
    }

    /// Returns the Deployment of a side.
    pub(crate) fn deployment(&self, side: Side) -> &str {
        match side {
            Side::Stable => &self.stable,
            Side::Canary => &self.canary,
        }
    }

    /// Returns the same with Grafana's variables in place of the names.
    ///
    /// A Deployment that is called like the service and something behind it follows the variable.
    pub(crate) fn as_variables(&self) -> Self {
        let follow = |deployment: &str| match deployment.strip_prefix(&self.name) {
            Some(rest) => format!("${{service}}{rest}"),
            None => deployment.to_owned(),
        };
        Self {
            namespace: "${namespace}".into(),
            name: "${service}".into(),
            stable: follow(&self.stable),
            canary: follow(&self.canary),
            ..self.clone()
        }
    }
}

fn invalid(what: &'static str, text: &str, why: &'static str) -> InvalidService {
    InvalidService { what, text: text.chars().take(300).collect(), why }
}

/// Checks a label as DNS has it; so nothing in it means anything in PromQL, and only the dot between two means something
/// in a regular expression.
fn check_label(what: &'static str, text: &str) -> Result<(), InvalidService> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let why = if text.is_empty() {
        "it is empty"
    } else if text.len() > 63 {
        "it has more than 63 characters"
    } else if !text.chars().all(plain) {
        "only lower-case letters, digits and `-` may stand in it"
    } else if text.starts_with('-') || text.ends_with('-') {
        "it begins or ends with `-`"
    } else {
        return Ok(());
    };
    Err(invalid(what, text, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_change_a_query_is_no_name() {
        for bad in ["", "Shop", "a\"b", "a\\b", "a\nb", "a{b", "$a", "a.b", "-a", "a-", "ä"] {
            let error = Service::new(Mesh::Istio, bad, "checkout").unwrap_err();
            assert!(error.to_string().contains("is no namespace"), "{error}");
            assert!(Service::new(Mesh::Istio, "shop", bad).is_err(), "{bad}");
        }
        assert!(Service::new(Mesh::Istio, "a".repeat(64), "a").is_err());
    }

    #[test]
    fn deployments_may_have_dots_and_must_differ() {
        let service = Service::new(Mesh::Linkerd, "shop", "checkout").unwrap();
        assert!(service.clone().deployments("checkout", "checkout.v2").is_ok());
        for (stable, canary) in [("checkout", "checkout"), ("a..b", "c"), ("a", "b|c")] {
            assert!(service.clone().deployments(stable, canary).is_err(), "{stable} {canary}");
        }
    }

    #[test]
    fn what_is_called_like_the_service_follows_its_variable() {
        let service = Service::new(Mesh::Istio, "shop", "checkout").unwrap();
        let own = service.as_variables();
        assert_eq!((own.stable.as_str(), own.canary.as_str()), ("${service}", "${service}-canary"));
        let other = service.deployments("blue", "green").unwrap().as_variables();
        assert_eq!((other.stable.as_str(), other.canary.as_str()), ("blue", "green"));
    }
}
