//! A store of files: one folder for each target, replaced atomically under a lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::first;
use super::slots::{self, Head, Kept, Slots};
use crate::policy::PolicySpec;
use crate::ports::{Claim, Past, PortError, StateStore, Stored};
use crate::rollout::Snapshot;
use crate::value::{FailureKind, Revision, Target};

/// Keeps rollouts in files below one folder, over crashes and for several processes of one machine.
///
/// Each target has a folder (`/` in its name becomes `~`) with `policy-N.json`, written once for each rollout, and
/// `state-0.jsonl` and `state-1.jsonl`, to which states are written in turn and flushed to disk: a crash in the middle of
/// one leaves the one before it. A lock file keeps processes from writing at the same time; a network file system must
/// honour such locks.
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

/// Holds what `policy-N.json` says.
#[derive(Clone, Serialize, Deserialize)]
struct PolicyFile {
    claim: Revision,
    policy: Arc<PolicySpec>,
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

    fn place(&self, target: &Target) -> Place {
        Place { folder: self.folder.join(target.as_str().replace('/', "~")) }
    }

    /// Runs a change of one target on a thread that may wait for the disk.
    async fn with<T: Send + 'static>(
        &self,
        target: &Target,
        work: impl Fn(&Place) -> Result<T, PortError> + Send + Sync + 'static,
    ) -> Result<T, PortError> {
        let place = self.place(target);
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
        let place = self.place(target);
        // Nothing is made for a target of which nothing is kept.
        if !self.on_a_thread(move || Ok(place.slots().exist())).await? {
            return Ok(None);
        }
        self.with(target, Place::load).await
    }

    async fn claim(
        &self,
        target: &Target,
        claim: &Claim,
        expect: Option<Revision>,
    ) -> Result<Revision, PortError> {
        let (text, first) = (json(&claim.state)?, first(claim));
        let kept = PolicyFile {
            claim: Revision::default(),
            policy: Arc::clone(&claim.policy),
            holder: claim.holder.clone(),
            version: claim.version.clone(),
            past: claim.past.clone(),
        };
        self.with(target, move |place| {
            let now = place.state()?.map(|(head, _)| head.revision);
            if now != expect {
                return Err(place.conflict());
            }
            let revision = now.unwrap_or(first).next();
            // The policy goes first under a name of its own: a crash before the state is
            // replaced leaves the old state with its old policy.
            place.write_policy(&PolicyFile { claim: revision, ..kept.clone() })?;
            place.write_state(revision, revision, &text)?;
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
        let text = json(state)?;
        self.with(target, move |place| {
            let claim = place.claim_at(expect)?.ok_or_else(|| place.conflict())?;
            let revision = expect.next();
            place.write_state(revision, claim, &text)?;
            Ok(revision)
        })
        .await
    }

    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError> {
        self.with(target, move |place| match place.claim_at(expect)? {
            Some(_) => Ok(()),
            None => Err(place.conflict()),
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
    let Some(entries) = slots::if_found(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut targets = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A folder of somebody else's is none of ours; one without a state was never claimed.
        let (name, path) = (entry.file_name().to_string_lossy().replace('~', "/"), entry.path());
        if let Ok(target) = Target::new(name)
            && (Slots { folder: &path }).exist()
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
        let file = || File::options().create(true).truncate(false).write(true).open(&path);
        let open = || -> io::Result<Option<File>> {
            let file = match file() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&self.folder)?;
                    file()?
                }
                opened => opened?,
            };
            match file.try_lock() {
                Ok(()) => Ok(Some(file)),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(error),
            }
        };
        open().map_err(|error| failed("lock", &path, error))
    }

    fn slots(&self) -> Slots<'_> {
        Slots { folder: &self.folder }
    }

    fn load(&self) -> Result<Option<Stored>, PortError> {
        let Some((head, state)) = self.state()? else {
            return Ok(None);
        };
        let path = self.policy_path(head.claim);
        let policy = slots::if_found(fs::read(&path));
        let policy = policy.map_err(|error| failed("read", &path, error))?.ok_or_else(|| {
            let message = format!("{} is missing beside its state", path.display());
            PortError::new(FailureKind::Invalid, message)
        })?;
        let kept: PolicyFile = serde_json::from_slice(&policy)
            .map_err(|error| unreadable(&path).with_source(error))?;
        let state = serde_json::from_slice(&state)
            .map_err(|error| unreadable(&self.folder).with_source(error))?;
        let claim = Claim::new(kept.policy, state)
            .by(kept.holder)
            .of_version(kept.version)
            .after(kept.past);
        Ok(Some(Stored::new(claim, head.revision)))
    }

    fn state(&self) -> Result<Option<(Head, Vec<u8>)>, PortError> {
        let kept = self.slots().read().map_err(|error| failed("read", &self.folder, error))?;
        match kept {
            Kept::Is(kept) => Ok(Some(kept)),
            Kept::Nothing => Ok(None),
            Kept::Broken(path) => Err(unreadable(&path)),
        }
    }

    /// Reads which claim the state of this revision belongs to, `None` where another revision is kept.
    fn claim_at(&self, expect: Revision) -> Result<Option<Revision>, PortError> {
        let last = self.slots().last_is(expect);
        if let Some(head) = last.map_err(|error| failed("read", &self.folder, error))? {
            return Ok(Some(head.claim));
        }
        // A file that was not written to its end counts for nothing, whatever its head says.
        Ok(self.state()?.filter(|(head, _)| head.revision == expect).map(|(head, _)| head.claim))
    }

    fn policy_path(&self, claim: Revision) -> PathBuf {
        self.folder.join(policy_name(claim))
    }

    fn write_policy(&self, policy: &PolicyFile) -> Result<(), PortError> {
        let path = self.policy_path(policy.claim);
        slots::replace(&path, &json(policy)?).map_err(|error| failed("write", &path, error))
    }

    fn write_state(
        &self,
        revision: Revision,
        claim: Revision,
        text: &[u8],
    ) -> Result<(), PortError> {
        let written = self.slots().write(revision, claim, text);
        written.map_err(|error| failed("write", &self.folder, error))
    }

    /// Removes policies of earlier rollouts; what cannot be removed does no harm.
    fn forget_policies_but(&self, claim: Revision) {
        let keep = policy_name(claim);
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

fn policy_name(claim: Revision) -> String {
    format!("policy-{claim}.json")
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, PortError> {
    serde_json::to_vec(value).map_err(|error| {
        PortError::new(FailureKind::Internal, "it cannot be written as JSON").with_source(error)
    })
}

fn unreadable(path: &Path) -> PortError {
    let message = format!("{} holds no rollout that this library can read", path.display());
    PortError::new(FailureKind::Invalid, message)
}

fn failed(what: &str, path: &Path, error: io::Error) -> PortError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => FailureKind::Denied,
        _ => FailureKind::Unavailable,
    };
    PortError::new(kind, format!("could not {what} {}", path.display())).with_source(error)
}
