//! A store of files: one folder for each target, replaced atomically under a lock.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::first;
use crate::policy::PolicySpec;
use crate::ports::{Claim, Past, PortError, StateStore, Stored};
use crate::rollout::Snapshot;
use crate::value::{FailureKind, Revision, Target};

/// Keeps rollouts in files below one folder, over crashes and for several processes of one machine.
///
/// Each target has a folder (`/` in its name becomes `~`) with `policy-N.json`, written once for each rollout, and
/// `state.json`, replaced at each save: written beside it, flushed to disk, renamed. A lock file keeps
/// processes from writing at the same time; a network file system must honour such locks.
///
/// Clones share the threads on which they wait for the disk, eight at most: a disk that hangs blocks no more than those.
/// So one store for many rollouts is better than one for each.
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: Arc<PathBuf>,
    threads: Arc<Semaphore>,
}

/// How many threads may wait for the disk.
const THREADS: usize = 8;

/// How long until a lock that somebody else has is tried again: they have it for as long as it takes to write a file.
const AGAIN: Duration = Duration::from_millis(10);

/// Holds what `state.json` says.
#[derive(Serialize, Deserialize)]
struct StateFile {
    revision: Revision,
    /// Which claim's policy it belongs to.
    claim: Revision,
    state: Snapshot,
}

/// Holds what `policy-N.json` says.
#[derive(Serialize, Deserialize)]
struct PolicyFile {
    claim: Revision,
    policy: PolicySpec,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    holder: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    past: Vec<Past>,
}

impl FileStore {
    /// Keeps rollouts below this folder, which is made when it is first needed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Arc::new(folder.into()), threads: Arc::new(Semaphore::new(THREADS)) }
    }

    /// Runs a change of one target on a thread that may wait for the disk.
    async fn with<T: Send + 'static>(
        &self,
        target: &Target,
        work: impl Fn(&Place) -> Result<T, PortError> + Send + Sync + 'static,
    ) -> Result<T, PortError> {
        let place = Place { folder: self.folder.join(target.as_str().replace('/', "~")) };
        let work = Arc::new(move || match place.lock()? {
            Some(_lock) => work(&place).map(Some),
            None => Ok(None),
        });
        loop {
            let work = Arc::clone(&work);
            if let Some(done) = self.on_a_thread(move || work()).await? {
                return Ok(done);
            }
            // Not on the thread: whoever gives up waiting would leave it behind, blocked.
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let died = |error: Box<dyn std::error::Error + Send + Sync>| {
            PortError::new(FailureKind::Internal, "the file store's thread died").with_source(error)
        };
        let thread = Arc::clone(&self.threads).acquire_owned().await;
        let thread = thread.map_err(|error| died(error.into()))?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Free when the disk has answered, whether anybody still waits for it or not.
            drop(thread);
            done
        });
        done.await.unwrap_or_else(|error| Err(died(error.into())))
    }
}

#[async_trait]
impl StateStore for FileStore {
    async fn load(&self, target: &Target) -> Result<Option<Stored>, PortError> {
        self.with(target, Place::load).await
    }

    async fn claim(
        &self,
        target: &Target,
        claim: &Claim,
        expect: Option<Revision>,
    ) -> Result<Revision, PortError> {
        let claim = claim.clone();
        self.with(target, move |place| {
            let now = place.state()?.map(|file| file.revision);
            if now != expect {
                return Err(place.conflict());
            }
            let revision = now.unwrap_or_else(|| first(&claim)).next();
            let Claim { policy, state, holder, version, past } = claim.clone();
            // The policy goes first under a name of its own: a crash before the state is
            // replaced leaves the old state with its old policy.
            let policy = PolicyFile { claim: revision, policy, holder, version, past };
            place.write(&place.policy_name(revision), &policy)?;
            place.write("state.json", &StateFile { revision, claim: revision, state })?;
            place.forget_policies_but(revision);
            Ok(revision)
        })
        .await
    }

    async fn save(
        &self,
        target: &Target,
        state: &Snapshot,
        expect: Revision,
    ) -> Result<Revision, PortError> {
        let state = state.clone();
        self.with(target, move |place| {
            let claim = match place.state()? {
                Some(file) if file.revision == expect => file.claim,
                _ => return Err(place.conflict()),
            };
            let revision = expect.next();
            let state = state.clone();
            place.write("state.json", &StateFile { revision, claim, state })?;
            Ok(revision)
        })
        .await
    }

    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError> {
        self.with(target, move |place| match place.state()? {
            Some(file) if file.revision == expect => Ok(()),
            _ => Err(place.conflict()),
        })
        .await
    }

    async fn targets(&self) -> Result<Vec<Target>, PortError> {
        let folder = Arc::clone(&self.folder);
        self.on_a_thread(move || targets(&folder).map_err(|error| failed("list", &folder, error)))
            .await
    }
}

/// Reads off a store's folders what it keeps.
fn targets(folder: &Path) -> io::Result<Vec<Target>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut targets = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A folder of somebody else's is none of ours; one without a state was never claimed.
        let name = entry.file_name().to_string_lossy().replace('~', "/");
        if let Ok(target) = Target::new(name)
            && entry.path().join("state.json").is_file()
        {
            targets.push(target);
        }
    }
    targets.sort();
    Ok(targets)
}

/// Names one target's folder.
struct Place {
    folder: PathBuf,
}

impl Place {
    /// Takes the lock, `None` where somebody else has it.
    fn lock(&self) -> Result<Option<File>, PortError> {
        let path = self.folder.join("lock");
        let open = || -> io::Result<Option<File>> {
            fs::create_dir_all(&self.folder)?;
            let file = File::options().create(true).truncate(false).write(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => Ok(Some(file)),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(error),
            }
        };
        open().map_err(|error| failed("lock", &path, error))
    }

    fn load(&self) -> Result<Option<Stored>, PortError> {
        let Some(file) = self.state()? else {
            return Ok(None);
        };
        let name = self.policy_name(file.claim);
        let kept: PolicyFile = self.read(&name)?.ok_or_else(|| {
            PortError::new(
                FailureKind::Invalid,
                format!("{} is missing beside its state", self.folder.join(name).display()),
            )
        })?;
        let claim = Claim::new(kept.policy, file.state)
            .by(kept.holder)
            .of_version(kept.version)
            .after(kept.past);
        Ok(Some(Stored::new(claim, file.revision)))
    }

    fn state(&self) -> Result<Option<StateFile>, PortError> {
        self.read("state.json")
    }

    fn policy_name(&self, claim: Revision) -> String {
        format!("policy-{claim}.json")
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, PortError> {
        let path = self.folder.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            let message = format!("{} holds no rollout that this library can read", path.display());
            PortError::new(FailureKind::Invalid, message).with_source(error)
        })
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), PortError> {
        let (path, beside) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let replace = || -> io::Result<()> {
            let mut file = File::create(&beside)?;
            file.write_all(&serde_json::to_vec(value)?)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            // The rename itself is durable only when the folder is.
            File::open(&self.folder)?.sync_all()
        };
        replace().map_err(|error| failed("write", &path, error))
    }

    /// Removes policies of earlier rollouts; what cannot be removed does no harm.
    fn forget_policies_but(&self, claim: Revision) {
        let keep = self.policy_name(claim);
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("policy-") && name != keep.as_str() {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn conflict(&self) -> PortError {
        let message = format!("somebody else has written {}", self.folder.display());
        PortError::new(FailureKind::Conflict, message)
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> PortError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => FailureKind::Denied,
        _ => FailureKind::Unavailable,
    };
    PortError::new(kind, format!("could not {what} {}", path.display())).with_source(error)
}
