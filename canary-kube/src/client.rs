//! A Kubernetes client that leaves every decision to the rollout.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Tells why no client could be made.
#[derive(Debug, thiserror::Error)]
#[error("no Kubernetes client can be made")]
pub struct ClientError(#[source] kube::Error);

/// Connects as the environment says: `KUBECONFIG`, then `~/.kube/config`, then the pod's service account.
///
/// The client tries each request once, because the rollout decides about retries: the Kubernetes client's own
/// would repeat a write that was answered with 503 up to fifteen times while an abort waits. A client made
/// elsewhere works too, if its `Config::default_retry` is off. Must be called within a tokio runtime.
///
/// # Errors
/// [`ClientError`] where none of these holds a usable configuration.
pub async fn client() -> Result<Client, ClientError> {
    let config = Config::infer().await.map_err(kube::Error::InferConfig);
    config.and_then(build).map_err(ClientError)
}

/// Connects as this kubeconfig file says, in its current context.
///
/// The client tries each request once, as that of [`client()`]. Must be called within a tokio runtime.
///
/// # Errors
/// [`ClientError`] where the file is missing or holds no usable configuration.
pub async fn client_from(kubeconfig: impl AsRef<Path>) -> Result<Client, ClientError> {
    let config = read(kubeconfig.as_ref()).await;
    config.and_then(build).map_err(ClientError)
}

async fn read(path: &Path) -> Result<Config, kube::Error> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

fn build(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    Client::try_from(config)
}
