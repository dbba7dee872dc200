//! Containers on disk, and what each of them is doing.
//!
//! Below the store's directory each container has one of its own: `lock`, held during every operation that changes
//! something; `container.json`, what was created; `start`, the socket at which its first process waits.
//! What it does is never written down: it is read off that process and that socket.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::runtime::{ContainerState, Spec, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::cgroup::{Cgroup, Layout};
use crate::runtime::NsRoot;
use crate::state::{Durability, Lock, read_record, write_record};
use crate::sys::ProcessRef;

use super::OciError;

/// Version of the record.
const VERSION: u32 = 1;

/// Name of the socket.
pub(super) const START: &str = "start";

/// Where containers are kept.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What is kept of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) created: Timestamp,
    /// The user who created it.
    pub(super) owner: u32,
    /// As it was then; what becomes of the file later is of no concern.
    pub(super) spec: Spec,
    /// Relative to each hierarchy's root.
    pub(super) cgroup: String,
    /// What the root of its user namespace is outside, if it has one of its own.
    #[serde(default)]
    pub(super) userns: Option<NsRoot>,
    /// Its first process, as soon as it waits.
    pub(super) init: Option<ProcessRef>,
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Waits for its start.
    Created,
    /// Its program runs.
    Running,
    /// Frozen.
    Paused,
    /// Its program has ended, or never began.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// A container in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// Its first process; 0 when there is none.
    pub pid: i32,
    /// What it does.
    pub status: Status,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Its root.
    pub rootfs: PathBuf,
    /// When it was made.
    pub created: Timestamp,
    /// The user who made it.
    pub owner: u32,
}

/// A container's directory, with its lock held.
pub(super) struct Held {
    pub(super) dir: PathBuf,
    _lock: Lock,
}

impl Store {
    /// At this directory, which is made when it is needed.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Takes a new id. What a creation that was killed has left under it is for [`super::delete`].
    pub(super) fn reserve(&self, id: &str) -> Result<Held, OciError> {
        check_id(id)?;
        make_private(&self.root)?;
        let dir = self.root.join(id);
        make_private(&dir)?;
        let exists = || OciError::Exists { id: id.to_owned() };
        let lock = Lock::try_exclusive(&dir.join("lock"))?.ok_or_else(exists)?;
        let held = Held { dir, _lock: lock };
        if !held.is_current()? || read_record::<Record>(&held.record(), VERSION)?.is_some() {
            return Err(exists());
        }
        Ok(held)
    }

    /// Takes an existing container for a change, waiting for others to end theirs.
    pub(super) fn hold(&self, id: &str) -> Result<Held, OciError> {
        let dir = self.existing(id)?;
        let lock = Lock::exclusive(&dir.join("lock"))?;
        let held = Held { dir, _lock: lock };
        if !held.is_current()? {
            return Err(not_found(id));
        }
        Ok(held)
    }

    /// What is kept of a container; `None` for the rest of a creation that was killed early.
    pub(super) fn read(&self, id: &str) -> Result<Option<Record>, OciError> {
        let dir = self.existing(id)?;
        Ok(read_record(&dir.join("container.json"), VERSION)?)
    }

    /// The record of a container that has one, and what it does.
    pub(super) fn look(&self, id: &str) -> Result<(Record, Status), OciError> {
        let record = self.read(id)?.ok_or_else(|| not_found(id))?;
        let status = self.status(&record)?;
        Ok((record, status))
    }

    /// What a container does.
    pub(super) fn status(&self, record: &Record) -> Result<Status, OciError> {
        let dir = self.root.join(&record.id);
        let Some(init) = record.init else {
            // Who creates it holds the lock.
            let busy = Lock::is_held(&dir.join("lock"))?;
            return Ok(if busy {
                Status::Creating
            } else {
                Status::Stopped
            });
        };
        if living(init).is_none() {
            return Ok(Status::Stopped);
        }
        if crate::runtime::is_waiting(&dir, START) {
            return Ok(Status::Created);
        }
        if record.open_cgroup()?.is_frozen().unwrap_or(false) {
            return Ok(Status::Paused);
        }
        Ok(Status::Running)
    }

    fn existing(&self, id: &str) -> Result<PathBuf, OciError> {
        check_id(id)?;
        let dir = self.root.join(id);
        if dir.is_dir() {
            Ok(dir)
        } else {
            Err(not_found(id))
        }
    }

    /// Every container's id, sorted.
    fn ids(&self) -> Result<Vec<String>, OciError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(OciError::File {
                    action: "read",
                    path: self.root.clone(),
                    source,
                });
            }
        };
        let mut ids: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|id| check_id(id).is_ok())
            .collect();
        ids.sort();
        Ok(ids)
    }
}

impl Held {
    pub(super) fn record(&self) -> PathBuf {
        self.dir.join("container.json")
    }

    pub(super) fn write(&self, record: &Record) -> Result<(), OciError> {
        Ok(write_record(
            &self.record(),
            VERSION,
            record,
            Durability::Process,
        )?)
    }

    /// Gives the id free.
    pub(super) fn remove(self) -> Result<(), OciError> {
        fs::remove_dir_all(&self.dir).map_err(|source| OciError::File {
            action: "remove",
            path: self.dir.clone(),
            source,
        })
    }

    /// Whether the directory is still the one whose lock we have: it may have been removed while we waited.
    fn is_current(&self) -> Result<bool, OciError> {
        let ours = rustix::fs::fstat(&self._lock).map_err(|error| OciError::File {
            action: "look at",
            path: self.dir.join("lock"),
            source: error.into(),
        })?;
        Ok(fs::metadata(self.dir.join("lock")).is_ok_and(|there| there.ino() == ours.st_ino))
    }
}

impl Record {
    pub(super) fn open_cgroup(&self) -> Result<Cgroup, OciError> {
        Ok(Cgroup::open(&Layout::detect()?, &self.cgroup)?)
    }

    /// The state that hooks and callers are told.
    pub(super) fn state(&self, status: ContainerState, pid: Option<i32>) -> State {
        let mut state = State::default();
        state
            .set_version(self.spec.version().clone())
            .set_id(self.id.clone())
            .set_status(status)
            .set_pid(pid)
            .set_bundle(self.bundle.clone())
            .set_annotations(self.spec.annotations().clone().map(HashMap::from_iter));
        state
    }
}

/// The state of a container as the specification writes it; a frozen one is `paused`.
pub fn state(store: &Store, id: &str) -> Result<serde_json::Value, OciError> {
    let (record, status) = store.look(id)?;
    let (known, alive) = match status {
        Status::Creating => (ContainerState::Creating, false),
        Status::Created => (ContainerState::Created, true),
        Status::Running | Status::Paused => (ContainerState::Running, true),
        Status::Stopped => (ContainerState::Stopped, false),
    };
    let pid = record.init.filter(|_| alive).map(|init| init.pid);
    let invalid = |error: serde_json::Error| OciError::Invalid(error.to_string());
    let mut value = serde_json::to_value(record.state(known, pid)).map_err(invalid)?;
    if status == Status::Paused {
        value["status"] = "paused".into();
    }
    Ok(value)
}

/// All containers.
pub fn list(store: &Store) -> Result<Vec<Summary>, OciError> {
    let mut found = Vec::new();
    for id in store.ids()? {
        let (record, status) = match store.look(&id) {
            // Deleted meanwhile, or killed before it was one.
            Err(OciError::NotFound { .. }) => continue,
            other => other?,
        };
        let alive = status != Status::Stopped;
        found.push(Summary {
            pid: record.init.filter(|_| alive).map_or(0, |init| init.pid),
            id,
            status,
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            owner: record.owner,
        });
    }
    Ok(found)
}

/// The processes of a container.
pub fn processes(store: &Store, id: &str) -> Result<Vec<Pid>, OciError> {
    let (record, status) = store.look(id)?;
    if status == Status::Stopped {
        return Ok(Vec::new());
    }
    Ok(record.open_cgroup()?.pids()?)
}

/// A descriptor for a process that has not ended: a zombie has.
pub(super) fn living(process: ProcessRef) -> Option<OwnedFd> {
    let fd = process.open()?;
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let ended = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).is_ok_and(|n| n > 0);
    (!ended).then_some(fd)
}

pub(super) fn not_found(id: &str) -> OciError {
    OciError::NotFound { id: id.to_owned() }
}

/// What may be the name of a directory, a keyring and a cgroup.
fn check_id(id: &str) -> Result<(), OciError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    if id.is_empty() || id.len() > 255 || id == "." || id == ".." || !id.chars().all(good) {
        return Err(OciError::Id { id: id.to_owned() });
    }
    Ok(())
}

/// Makes a directory that nobody else can look into: whoever reaches the socket can start the container.
fn make_private(path: &Path) -> Result<(), OciError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| OciError::File {
            action: "make the directory",
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_directories() {
        for good in ["a", "3f2c-1+x_y.z"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(256)] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_taken_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::new(dir.path().join("deep/er"));
        assert!(matches!(store.hold("a"), Err(OciError::NotFound { .. })));
        let held = store.reserve("a").expect("free");
        assert!(matches!(store.reserve("a"), Err(OciError::Exists { .. })));
        // Nothing was recorded: whoever was killed here leaves the id free.
        drop(held);
        let held = store.reserve("a").expect("free again");
        held.remove().expect("removed");
        assert!(matches!(store.look("a"), Err(OciError::NotFound { .. })));
    }
}
