//! A Kubernetes client that leaves every decision to the rollout.

use std::error::Error as _;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Request, Uri};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::sync::Semaphore;
use tower::layer::layer_fn;
use tower::{BoxError, Service};

/// How the API server's log names what calls it.
const AGENT: &str = concat!("canary/", env!("CARGO_PKG_VERSION"));

/// How long it may take to connect.
const CONNECTING: Duration = Duration::from_secs(5);

/// How many requests of one client that read may be under way at once: each takes a connection, of which many rollouts
/// that begin together would open one each.
const READS: usize = 16;

/// How many that write: twice as many as a fleet raises at a time, so that what lowers finds one free.
const WRITES: usize = 64;

/// Tells why no client could be made: which file, context or field of it, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("no way to a cluster: {}", in_words(.0))]
pub struct ClientError(kube::Error);

/// Says what is wrong with a configuration in the words of those who write it.
fn in_words(error: &kube::Error) -> String {
    let inferred = matches!(error, kube::Error::InferConfig(_));
    let below = match error {
        kube::Error::InferKubeconfig(error) => Some(error),
        kube::Error::InferConfig(error) => error.source().and_then(|error| error.downcast_ref()),
        _ => None,
    };
    match below {
        Some(KubeconfigError::ReadConfig(why, file)) if inferred && why.kind() == NotFound => {
            format!(
                "there is neither a kubeconfig at {} nor a pod's service account: name one, or set KUBECONFIG",
                file.display()
            )
        }
        Some(KubeconfigError::ReadConfig(why, file)) => {
            format!("the kubeconfig {} cannot be read: {why}", file.display())
        }
        Some(KubeconfigError::LoadContext(name)) => {
            format!(
                "the kubeconfig has no context `{name}`: `kubectl config get-contexts` lists them"
            )
        }
        Some(KubeconfigError::CurrentContextNotSet) => {
            "the kubeconfig has no current context: name one".to_owned()
        }
        Some(other) => format!("the kubeconfig: {other}"),
        None => error.to_string(),
    }
}

/// Tells that an answer did not begin in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
pub(crate) struct TookTooLong(Duration);

/// Connects as the environment says: `KUBECONFIG`, then `~/.kube/config`, then the pod's service account.
///
/// The same as [`Connection::new`] with nothing said. Must be called within a tokio runtime.
///
/// # Errors
/// [`ClientError`] where none of these holds a usable configuration.
pub async fn client() -> Result<Client, ClientError> {
    Connection::new().client().await
}

/// Connects as this kubeconfig file says, in its current context.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// [`ClientError`] where the file is missing or holds no usable configuration.
pub async fn client_from(kubeconfig: impl AsRef<Path>) -> Result<Client, ClientError> {
    Connection::new().kubeconfig(kubeconfig.as_ref()).client().await
}

/// Says how to connect to a cluster, and as whom.
///
/// The client tries each request once, because the rollout decides about retries: the Kubernetes client's own would repeat
/// a write that was answered with 503 up to fifteen times while an abort waits. A client made elsewhere works too, if its
/// `Config::default_retry` is off. In the API server's log it is called `canary/VERSION`. It has at most 16 reads and 64
/// writes under way at once, watches not counted; the next ones wait for their turn.
///
/// ```no_run
/// # async fn connect() -> Result<(), canary_kube::ClientError> {
/// use canary_kube::Connection;
///
/// let client = Connection::new().context("production").impersonate("canary-bot").client().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Connection {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    user: Option<String>,
    groups: Vec<String>,
    patience: Duration,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// Connects as the environment says: `KUBECONFIG`, then `~/.kube/config`, then the pod's service account.
    pub const fn new() -> Self {
        let patience = Duration::from_secs(30);
        Self { kubeconfig: None, context: None, user: None, groups: Vec::new(), patience }
    }

    /// Connects as this file says.
    pub fn kubeconfig(mut self, path: impl Into<PathBuf>) -> Self {
        self.kubeconfig = Some(path.into());
        self
    }

    /// Takes this context of the kubeconfig in place of its current one; a pod's service account has none.
    pub fn context(mut self, name: impl Into<String>) -> Self {
        self.context = Some(name.into());
        self
    }

    /// Acts as this user: `system:serviceaccount:NAMESPACE:NAME` for a service account.
    ///
    /// Who connects must be allowed to impersonate them.
    pub fn impersonate(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Acts as a member of these groups, beside the user that is impersonated.
    pub fn groups(mut self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.groups.extend(groups.into_iter().map(Into::into));
        self
    }

    /// Gives a request up whose answer does not begin within this time; 30 s unless said.
    ///
    /// Calls of a rollout have deadlines of their own, mostly shorter ones. A watch is no such request.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Makes the client; nothing is asked of the server yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError`] where there is no usable configuration, or no such context in it.
    pub async fn client(self) -> Result<Client, ClientError> {
        let config = self.config().await.map_err(ClientError)?;
        self.build(config).map_err(ClientError)
    }

    /// Says where the API server is; nothing is asked of it.
    ///
    /// # Errors
    /// As of [`client`](Self::client).
    pub async fn server(&self) -> Result<Uri, ClientError> {
        Ok(self.config().await.map_err(ClientError)?.cluster_url)
    }

    async fn config(&self) -> Result<Config, kube::Error> {
        let options = KubeConfigOptions { context: self.context.clone(), ..Default::default() };
        Ok(match &self.kubeconfig {
            Some(path) => {
                Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?
            }
            None if self.context.is_some() => Config::from_kubeconfig(&options).await?,
            None => Config::infer().await.map_err(kube::Error::InferConfig)?,
        })
    }

    fn build(self, mut config: Config) -> Result<Client, kube::Error> {
        config.default_retry = false;
        config.connect_timeout = Some(CONNECTING);
        config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
        if self.user.is_some() {
            config.auth_info.impersonate = self.user;
        }
        if !self.groups.is_empty() {
            config.auth_info.impersonate_groups = Some(self.groups);
        }
        let patience = self.patience;
        let slots = |most| Arc::new(Semaphore::new(most));
        let (reads, writes) = (slots(READS), slots(WRITES));
        let layer = layer_fn(move |server| Patient {
            server,
            patience,
            reads: Arc::clone(&reads),
            writes: Arc::clone(&writes),
        });
        Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
    }
}

/// Sends so many requests at a time, and gives those up that take too long.
struct Patient<S> {
    server: S,
    patience: Duration,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

impl<S> Service<Request<Body>> for Patient<S>
where
    S: Service<Request<Body>, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = futures::future::BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        self.server.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let streams = request.uri().query().is_some_and(|query| {
            query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "follow=true"))
        });
        let slots = if request.method().is_safe() { &self.reads } else { &self.writes };
        let slots = Arc::clone(slots);
        // It is sent once it is polled.
        let (answer, patience) = (self.server.call(request), self.patience);
        Box::pin(async move {
            if streams {
                return answer.await;
            }
            let in_turn = async {
                // Never closed; if it were, nothing would be bounded.
                let _slot = slots.acquire().await;
                answer.await
            };
            let answer = tokio::time::timeout(patience, in_turn).await;
            answer.unwrap_or_else(|_| Err(Box::new(TookTooLong(patience))))
        })
    }
}
