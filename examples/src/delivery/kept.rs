//! A job kept beside its rollout, for whoever takes that up: on the same cluster.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use canary_core::value::RolloutId;
use canary_kube::Connection;
use kube::Client;

use super::Job;
use super::address::shown;

impl Job {
    /// Notes where the API server is, for whoever goes on from somewhere else.
    ///
    /// # Errors
    /// Where there is no way to it.
    pub async fn located(&self) -> anyhow::Result<Self> {
        Ok(Self { server: Some(self.leads_to().await?), ..self.clone() })
    }

    /// Connects to the cluster.
    ///
    /// # Errors
    /// Where there is no way to it, or it leads to another cluster than [noted](Self::located).
    pub async fn connect(&self) -> anyhow::Result<Client> {
        let now = self.leads_to().await?;
        if let Some(server) = self.server.as_ref().filter(|server| **server != now) {
            anyhow::bail!(
                "it began on the cluster at {server}, and the way there leads to {now} now: choose the context of the \
                 first one"
            );
        }
        Ok(self.connection().client().await?)
    }

    /// Asks the cluster for its version, the least that can be asked.
    ///
    /// # Errors
    /// Where nobody answers: what is tried next would say so about each of its parts.
    pub async fn reach(&self, client: &Client) -> anyhow::Result<()> {
        match client.apiserver_version().await {
            // One that says no is there.
            Ok(_) | Err(kube::Error::Api(_)) => Ok(()),
            Err(error) => {
                let context = self.context.as_ref().map(|name| format!(" (context {name})"));
                let (at, context) = (self.leads_to().await?, context.unwrap_or_default());
                let what = format!("the API server at {at}{context} cannot be reached");
                Err(anyhow::Error::new(error).context(what))
            }
        }
    }

    fn connection(&self) -> Connection {
        let mut connection = Connection::new();
        if let Some(file) = &self.kubeconfig {
            connection = connection.kubeconfig(file);
        }
        if let Some(context) = &self.context {
            connection = connection.context(context);
        }
        connection
    }

    async fn leads_to(&self) -> anyhow::Result<String> {
        Ok(shown(&self.connection().server().await?.to_string()))
    }

    /// Writes it beside the state of a rollout, so that whoever takes that up knows what it is about; there may be a
    /// password in it, so nobody else may read it.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn save(&self, state: &Path, rollout: &RolloutId) -> anyhow::Result<()> {
        let file = file(state, rollout);
        let absolute = |file: &Option<PathBuf>| file.as_ref().map(std::path::absolute).transpose();
        let text = serde_json::to_string_pretty(&Self {
            kubeconfig: absolute(&self.kubeconfig)?,
            prometheus_token_file: absolute(&self.prometheus_token_file)?,
            prometheus_ca: absolute(&self.prometheus_ca)?,
            ..self.clone()
        })?;
        let write = || {
            fs::create_dir_all(file.with_file_name(""))?;
            let mut options = File::options();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&file)?.write_all(text.as_bytes())
        };
        write().with_context(|| format!("cannot write {}", file.display()))
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// Where there is nothing, or something else.
    pub fn read(state: &Path, rollout: &RolloutId) -> anyhow::Result<Self> {
        let file = file(state, rollout);
        let text = fs::read_to_string(&file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} says no job", file.display()))
    }

    /// Removes what [`save`](Self::save) wrote, once the rollout has ended.
    pub fn forget(state: &Path, rollout: &RolloutId) {
        // One that stays is in nobody's way.
        let _: io::Result<()> = fs::remove_file(file(state, rollout));
    }
}

fn file(state: &Path, rollout: &RolloutId) -> PathBuf {
    state.join("jobs").join(format!("{rollout}.json"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::super::job::tests::job;
    use super::*;

    #[test]
    fn a_password_is_for_its_owner_alone() {
        let (state, rollout) = (tempfile::tempdir().unwrap(), "web-1".parse().unwrap());
        let job = job(&json!({ "prometheus": "ftp://ana:secret@prometheus" }));
        job.save(state.path(), &rollout).unwrap();
        let mode = file(state.path(), &rollout).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Job::read(state.path(), &rollout).unwrap(), job);

        let error = format!("{:#}", job.metrics().unwrap_err());
        assert!(
            error.contains("--prometheus ftp://prometheus") && !error.contains("secret"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_cluster_that_is_not_there_is_told_once_and_by_its_address() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let way = json!({
            "clusters": [{ "name": "one", "cluster": { "server": "http://127.0.0.1:1" } }],
            "contexts": [{ "name": "one", "context": { "cluster": "one", "user": "" } }],
        });
        fs::write(&file, way.to_string()).unwrap();
        let job = job(&json!({ "kubeconfig": file.path(), "context": "one" }));
        let error = job.reach(&job.connect().await.unwrap()).await.unwrap_err();
        let told = crate::delivery::in_full(&error);
        let begin = "the API server at http://127.0.0.1:1/ (context one) cannot be reached: ";
        assert!(told.starts_with(begin) && told.contains("refused"), "{told}");
    }

    #[tokio::test]
    async fn it_goes_on_where_it_began_and_nowhere_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lead_to = |server: &str| {
            let way = json!({
                "clusters": [{ "name": "one", "cluster": { "server": server } }],
                "contexts": [{ "name": "one", "context": { "cluster": "one", "user": "" } }],
                "current-context": "one",
            });
            fs::write(&file, way.to_string()).unwrap();
        };
        lead_to("http://127.0.0.1:1");
        let job = job(&json!({ "kubeconfig": file.path() })).located().await.unwrap();
        job.connect().await.unwrap();
        lead_to("http://127.0.0.1:2");
        let error = job.connect().await.err().unwrap().to_string();
        assert!(
            error.contains("at http://127.0.0.1:1/") && error.contains("to http://127.0.0.1:2/"),
            "{error}"
        );
    }
}
