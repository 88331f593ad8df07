//! What a program that runs rollouts must be allowed to do.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::events::EventsOn;
use crate::selector::RouteKind;

/// Lists what must be allowed: the one table from which the Role is written and against which it is checked.
///
/// ```
/// use canary_kube::{Account, HTTP_ROUTE, Permissions};
///
/// let account = Account::service("canary", "bot");
/// let permissions = Permissions::new()
///     .route(&HTTP_ROUTE, "shop", "web")
///     .readiness("shop")
///     .store("canary")
///     .leases("canary");
/// // For `kubectl apply -f -`:
/// println!("{}", permissions.manifest("canary-bot", &account));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Permissions {
    list: Vec<Permission>,
}

/// Allows some verbs on one resource in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permission {
    /// Where; empty for all namespaces, which takes a ClusterRole.
    pub namespace: String,
    /// The API group, empty for the core one.
    pub group: String,
    /// The plural, as in URLs.
    pub resource: String,
    /// The only object that is meant, unless it is all of them.
    pub name: Option<String>,
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// What for, in a few words.
    pub why: &'static str,
}

impl Permission {
    /// Allows these verbs on every object of a resource in a namespace.
    #[must_use]
    pub fn new(
        namespace: impl Into<String>,
        group: impl Into<String>,
        resource: impl Into<String>,
        verbs: &'static [&'static str],
        why: &'static str,
    ) -> Self {
        let (namespace, group, resource) = (namespace.into(), group.into(), resource.into());
        Self { namespace, group, resource, name: None, verbs, why }
    }

    /// Allows it on the object of this name only, which the verbs `create` and `list` know nothing of.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// Names who is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Account {
    /// A service account: what runs in a pod.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A person, by the name that the cluster knows them by.
    User(String),
}

impl Account {
    /// Names a service account.
    #[must_use]
    pub fn service(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Service { namespace: namespace.into(), name: name.into() }
    }

    /// Returns the user that it acts as: what to [impersonate](crate::Connection::impersonate).
    #[must_use]
    pub fn user(&self) -> String {
        match self {
            Self::Service { namespace, name } => {
                format!("system:serviceaccount:{namespace}:{name}")
            }
            Self::User(name) => name.clone(),
        }
    }

    fn subject(&self) -> Value {
        match self {
            Self::Service { namespace, name } => {
                json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
            }
            Self::User(name) => {
                json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name })
            }
        }
    }
}

impl Permissions {
    /// Begins with nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what no method here knows.
    pub fn and(mut self, permission: Permission) -> Self {
        self.list.push(permission);
        self
    }

    /// Allows what [`RouteWeights`](crate::RouteWeights) does with one route.
    pub fn route(self, kind: &RouteKind, namespace: &str, name: &str) -> Self {
        const WHY: &str = "moves the weights of this route";
        let route = Permission::new(namespace, kind.group, kind.plural, &["get", "patch"], WHY);
        self.and(route.named(name))
    }

    /// Allows what a [`RouteWatch`](crate::RouteWatch) does beside, in one namespace or in all of them.
    ///
    /// Only for those who have one: it reads every object of the kind there, which
    /// [`route`](Self::route) alone does not allow.
    pub fn route_watch(self, kind: &RouteKind, namespace: Option<&str>) -> Self {
        const VERBS: &[&str] = &["list", "watch"];
        let why = "looks at the routes of many rollouts with one watch";
        self.and(Permission::new(namespace.unwrap_or(""), kind.group, kind.plural, VERBS, why))
    }

    /// Allows what [`ConfigMapStore`](crate::ConfigMapStore) does.
    ///
    /// A namespace of its own is best: RBAC cannot tell the store's ConfigMaps from others.
    pub fn store(self, namespace: &str) -> Self {
        const VERBS: &[&str] = &["create", "get", "list", "patch"];
        self.and(Permission::new(namespace, "", "configmaps", VERBS, "keeps rollouts"))
    }

    /// Allows what [`Leadership`](crate::Leadership) does.
    pub fn leases(self, namespace: &str) -> Self {
        const VERBS: &[&str] = &["create", "list", "patch"];
        let why = "shares rollouts with other replicas";
        self.and(Permission::new(namespace, "coordination.k8s.io", "leases", VERBS, why))
    }

    /// Allows what [`Events`](crate::Events) on this object do.
    pub fn events(self, on: &EventsOn) -> Self {
        let EventsOn { kind, namespace, name } = on;
        let why = "tells what happens as Kubernetes Events";
        let create = Permission::new(namespace, "events.k8s.io", "events", &["create"], why);
        let why = "names the object in its Events";
        let get = Permission::new(namespace, &kind.group, &kind.plural, &["get"], why);
        self.and(create).and(get.named(name))
    }

    /// Allows what the gate [`ReadyPods`](crate::ReadyPods) asks.
    pub fn readiness(self, namespace: &str) -> Self {
        let why = "sees whether the versions' pods are ready";
        self.and(Permission::new(namespace, "apps", "deployments", &["get"], why))
            .and(Permission::new(namespace, "", "pods", &["list"], why))
    }

    /// Allows what [`Deployments`](crate::Deployments) does with the two versions.
    pub fn deployments(self, namespace: &str) -> Self {
        const VERBS: &[&str] = &["create", "delete", "get", "patch"];
        let why = "makes, scales, promotes and removes versions";
        self.and(Permission::new(namespace, "apps", "deployments", VERBS, why)).and(
            Permission::new(
                namespace,
                "",
                "pods",
                &["list"],
                "says what keeps pods from being ready",
            ),
        )
    }

    /// Allows [`Deployments`](crate::Deployments) to
    /// [hold autoscalers](crate::Deployments::hold_autoscalers).
    pub fn autoscalers(self, namespace: &str) -> Self {
        const VERBS: &[&str] = &["list", "patch"];
        let why = "keeps stable as large as it is while a rollout runs";
        let (group, resource) = ("autoscaling", "horizontalpodautoscalers");
        self.and(Permission::new(namespace, group, resource, VERBS, why))
    }

    /// Allows what [`Preflight`](crate::Preflight) asks about Services.
    pub fn services(self, namespace: &str) -> Self {
        let why = "sees before a start whether requests would find a pod";
        self.and(Permission::new(namespace, "", "services", &["get"], why)).and(Permission::new(
            namespace,
            "discovery.k8s.io",
            "endpointslices",
            &["list"],
            why,
        ))
    }

    /// Returns all of them, as they were added.
    #[must_use]
    pub fn list(&self) -> &[Permission] {
        &self.list
    }

    /// Returns a Role and a RoleBinding of this name for each namespace, a ClusterRole and a ClusterRoleBinding for what
    /// is allowed in all of them.
    #[must_use]
    pub fn objects(&self, name: &str, account: &Account) -> Vec<Value> {
        const RBAC: &str = "rbac.authorization.k8s.io";
        let api_version = format!("{RBAC}/v1");
        let objects = self.by_namespace().into_iter().flat_map(|(namespace, permissions)| {
            let everywhere = namespace.is_empty();
            let (role, binding) = if everywhere {
                ("ClusterRole", "ClusterRoleBinding")
            } else {
                ("Role", "RoleBinding")
            };
            let mut metadata = json!({ "name": name });
            if !everywhere {
                metadata["namespace"] = json!(namespace);
            }
            let rules: Vec<_> = permissions.into_iter().map(rule).collect();
            [
                json!({
                    "apiVersion": api_version, "kind": role, "metadata": metadata, "rules": rules,
                }),
                json!({
                    "apiVersion": api_version, "kind": binding, "metadata": metadata,
                    "roleRef": { "apiGroup": RBAC, "kind": role, "name": name },
                    "subjects": [account.subject()],
                }),
            ]
        });
        objects.collect()
    }

    /// Writes the [objects](Self::objects) as YAML for people to read, each rule with what it is for.
    #[must_use]
    pub fn manifest(&self, name: &str, account: &Account) -> String {
        let mut text = String::new();
        let mut why = self.by_namespace().into_values().flatten().map(|permission| permission.why);
        for object in self.objects(name, account) {
            text.push_str("---\n");
            // JSON values are YAML values; writing to a text cannot fail.
            for key in ["apiVersion", "kind", "metadata", "roleRef", "subjects"] {
                if let Some(value) = object.get(key) {
                    let _ = writeln!(text, "{key}: {value}");
                }
            }
            let Some(rules) = object["rules"].as_array() else { continue };
            text.push_str("rules:\n");
            for rule in rules {
                let _ = writeln!(text, "# {}\n- {rule}", why.next().unwrap_or_default());
            }
        }
        text
    }

    fn by_namespace(&self) -> BTreeMap<&str, Vec<&Permission>> {
        let mut sorted = BTreeMap::<_, Vec<_>>::new();
        for permission in &self.list {
            sorted.entry(permission.namespace.as_str()).or_default().push(permission);
        }
        sorted
    }
}

fn rule(permission: &Permission) -> Value {
    let Permission { group, resource, name, verbs, .. } = permission;
    let mut rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    if let Some(name) = name {
        rule["resourceNames"] = json!([name]);
    }
    rule
}
