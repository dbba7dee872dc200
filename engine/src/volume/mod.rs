//! Named and anonymous volumes.
//!
//! A volume is a directory `volumes/<name>` with its record and, for the plain local driver,
//! its content in `_data`. With driver options it stands for a bind (`type=none,o=bind,device=…`)
//! for memory (`type=tmpfs`), or for a file system on a device or a server (`type=nfs`, `type=ext4` …), which
//! the container that uses it mounts for itself. Other drivers are refused by name.
//! Who uses a volume is the business of `container`, which asks before it removes one.

mod options;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::CWD;
use serde::{Deserialize, Serialize};

use crate::error::{Classify, ErrorKind};
use crate::state::{
    ContainerId, Durability, IdError, Name, Paths, StateError, Trash, create_private_dir,
    read_record, write_record,
};

pub use options::{Backing, FileSystem};

const VERSION: u32 = 1;

/// What can go wrong with a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// There is none.
    #[error("no such volume: {0}")]
    NotFound(String),
    /// Somebody uses it.
    #[error("volume `{name}` is in use by {}", users.join(", "))]
    InUse {
        /// Which volume.
        name: String,
        /// The containers.
        users: Vec<String>,
    },
    /// It exists and is made otherwise.
    #[error("volume `{name}` exists with another {what}; remove it first or choose another name")]
    Differs {
        /// Which volume.
        name: String,
        /// What is different.
        what: &'static str,
    },
    /// A driver, an option, or what cannot be done with a volume of its kind.
    #[error("volume `{name}`: {reason}")]
    Unsupported {
        /// Which volume.
        name: String,
        /// What is not supported, and what is.
        reason: String,
    },
    /// An archive for it, while it has content.
    #[error(
        "volume `{0}` is not empty; replace its content with `--replace`, or choose another name"
    )]
    NotEmpty(String),
    /// The name is not allowed.
    #[error(transparent)]
    Name(#[from] IdError),
    /// Its record or directory.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Classify for VolumeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::InUse { .. } | Self::Differs { .. } | Self::NotEmpty(_) => ErrorKind::Conflict,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Name(error) => error.kind(),
            Self::State(error) => error.kind(),
        }
    }
}

/// A volume to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Its name; `None` picks one of 64 digits.
    pub name: Option<String>,
    /// `local` or nothing.
    pub driver: Option<String>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Goes with the container it is made for.
    pub anonymous: bool,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: Name,
    /// When it was made.
    pub created: Timestamp,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Made for a container without a name of its own.
    pub anonymous: bool,
    /// What is behind it.
    pub backing: Backing,
}

impl Volume {
    /// The host directory with its content; `None` for what only containers mount.
    pub fn source(&self, store: &VolumeStore) -> Option<PathBuf> {
        match &self.backing {
            Backing::Directory => Some(store.data(&self.name)),
            Backing::Bind { device, .. } => Some(device.clone()),
            Backing::Tmpfs { .. } | Backing::Mounted(_) => None,
        }
    }

    /// What each container mounts for itself, if it is not a host directory.
    pub fn file_system(&self) -> Option<FileSystem> {
        match &self.backing {
            Backing::Directory | Backing::Bind { .. } => None,
            Backing::Tmpfs { options } => Some(FileSystem {
                kind: "tmpfs".to_owned(),
                device: "tmpfs".to_owned(),
                options: [
                    &["nosuid".to_owned(), "nodev".to_owned()],
                    options.as_slice(),
                ]
                .concat(),
            }),
            Backing::Mounted(file_system) => Some(file_system.clone()),
        }
    }
}

/// All volumes of one root.
#[derive(Clone, Debug)]
pub struct VolumeStore {
    dir: PathBuf,
    trash: Trash,
}

impl VolumeStore {
    /// Of these paths; does nothing yet.
    pub fn open(paths: &Paths) -> Self {
        Self {
            dir: paths.volumes(),
            trash: paths.trash(),
        }
    }

    /// Where `docker volume inspect` says the content is.
    pub fn data(&self, name: &Name) -> PathBuf {
        self.dir.join(name.as_str()).join("_data")
    }

    fn record(&self, name: &Name) -> PathBuf {
        self.dir.join(name.as_str()).join("volume.json")
    }

    /// Makes a volume; one that is there already and fits is returned as it is.
    pub fn create(&self, spec: &VolumeSpec) -> Result<Volume, VolumeError> {
        let name: Name = match &spec.name {
            Some(name) => name.parse()?,
            None => ContainerId::random()
                .map_err(crate::state::failed("name a volume in", &self.dir))?
                .as_str()
                .parse()?,
        };
        if let Some(driver) = spec.driver.as_deref().filter(|driver| *driver != "local") {
            return Err(VolumeError::Unsupported {
                name: name.to_string(),
                reason: format!("driver `{driver}` is not supported; there is only `local`"),
            });
        }
        let backing = Backing::from_options(name.as_str(), &spec.options)?;
        if let Some(volume) = self.find(&name)? {
            return if volume.options == spec.options {
                Ok(volume)
            } else {
                Err(VolumeError::Differs {
                    name: name.to_string(),
                    what: "set of driver options",
                })
            };
        }
        let volume = Volume {
            name,
            created: Timestamp::now(),
            options: spec.options.clone(),
            labels: spec.labels.clone(),
            anonymous: spec.anonymous,
            backing,
        };
        // The record comes last: a directory without one is a creation that died, and is completed here.
        create_private_dir(&self.dir)?;
        create_private_dir(&self.dir.join(volume.name.as_str()))?;
        let data = self.data(&volume.name);
        match fs::create_dir(&data) {
            Ok(()) => open_to_all(&data)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(crate::state::failed("make", &data)(error).into()),
        }
        crate::state::crash_point("volume.directory");
        let durability = if volume.anonymous {
            Durability::Process
        } else {
            Durability::Power
        };
        write_record(&self.record(&volume.name), VERSION, &volume, durability)?;
        Ok(volume)
    }

    /// The volume of this name.
    pub fn get(&self, name: &str) -> Result<Volume, VolumeError> {
        let missing = || VolumeError::NotFound(name.to_owned());
        let parsed: Name = name.parse().map_err(|_| missing())?;
        self.find(&parsed)?.ok_or_else(missing)
    }

    fn find(&self, name: &Name) -> Result<Option<Volume>, VolumeError> {
        Ok(read_record(&self.record(name), VERSION)?)
    }

    /// All of them, by name.
    pub fn list(&self) -> Result<Vec<Volume>, VolumeError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(crate::state::failed("read", &self.dir)(error).into()),
        };
        let mut volumes = Vec::new();
        for entry in entries.flatten() {
            let Some(name) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            volumes.extend(self.find(&name)?);
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// Removes a volume and its content. The caller has made sure that nobody uses it.
    pub fn remove(&self, name: &str) -> Result<(), VolumeError> {
        let volume = self.get(name)?;
        self.trash.put(&self.dir.join(volume.name.as_str()))?;
        Ok(())
    }

    /// Whether its directory has no content yet, so that an image's is to be copied in.
    pub fn is_fresh(&self, volume: &Volume) -> bool {
        volume.backing == Backing::Directory
            && fs::read_dir(self.data(&volume.name))
                .is_ok_and(|mut entries| entries.next().is_none())
    }

    /// Fills a fresh volume: `fill` writes into a directory that then becomes the content as
    /// a whole, so that a copy that died half way leaves an empty volume.
    pub fn fill<E: From<VolumeError>>(
        &self,
        volume: &Volume,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let copy = self.make_copy(volume, fill)?;
        // Fails when another container filled it meanwhile: then theirs stands.
        if fs::rename(&copy, self.data(&volume.name)).is_err() {
            let _ = fs::remove_dir_all(&copy);
        }
        Ok(())
    }

    /// Gives a volume other content, as a whole and at once: what `fill` writes. The caller has made sure that no container
    /// runs with it.
    pub fn replace<E: From<VolumeError>>(
        &self,
        volume: &Volume,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let copy = self.make_copy(volume, fill)?;
        let data = self.data(&volume.name);
        let exchange = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(CWD, &copy, CWD, &data, exchange)
            .map_err(|errno| crate::state::failed("replace", &data)(errno.into()))
            .map_err(VolumeError::from)?;
        crate::state::crash_point("volume.replaced");
        self.trash.put(&copy).map_err(VolumeError::from)?;
        Ok(())
    }

    /// A directory beside the content that `fill` has written; nothing if it failed.
    fn make_copy<E: From<VolumeError>>(
        &self,
        volume: &Volume,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let unique = ContainerId::random()
            .map_err(crate::state::failed("name a copy in", &self.dir))
            .map_err(VolumeError::from)?;
        let copy = self
            .data(&volume.name)
            .with_file_name(format!("_copy-{}", unique.short()));
        fs::create_dir(&copy)
            .map_err(crate::state::failed("make", &copy))
            .map_err(VolumeError::from)?;
        let filled = open_to_all(&copy)
            .map_err(E::from)
            .and_then(|()| fill(&copy));
        if filled.is_err() {
            let _ = fs::remove_dir_all(&copy);
        }
        filled.map(|()| copy)
    }
}

/// Content directories are entered by whatever user a container runs as.
fn open_to_all(path: &Path) -> Result<(), VolumeError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|source| crate::state::failed("open", path)(source).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, VolumeStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = VolumeStore::open(&Paths::below(dir.path()));
        (dir, store)
    }

    fn named(name: &str) -> VolumeSpec {
        VolumeSpec {
            name: Some(name.to_owned()),
            ..VolumeSpec::default()
        }
    }

    #[test]
    fn made_once_found_again_removed() {
        let (_dir, store) = store();
        let made = store.create(&named("data")).unwrap();
        assert_eq!(store.create(&named("data")).unwrap(), made);
        assert_eq!(store.list().unwrap(), std::slice::from_ref(&made));
        assert!(made.source(&store).unwrap().is_dir());
        store.remove("data").unwrap();
        assert!(matches!(store.get("data"), Err(VolumeError::NotFound(_))));
    }

    #[test]
    fn other_drivers_and_names_are_refused() {
        let (_dir, store) = store();
        let nfs = VolumeSpec {
            driver: Some("nfs".into()),
            ..named("data")
        };
        assert_eq!(
            store.create(&nfs).unwrap_err().kind(),
            ErrorKind::Unsupported
        );
        assert_eq!(
            store.create(&named("../x")).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }

    #[test]
    fn a_copy_that_fails_leaves_an_empty_volume() {
        let (_dir, store) = store();
        let volume = store.create(&named("data")).unwrap();
        let failed: Result<(), VolumeError> = store.fill(&volume, |copy| {
            fs::write(copy.join("half"), b"x").unwrap();
            Err(VolumeError::NotFound("image".into()))
        });
        assert!(failed.is_err() && store.is_fresh(&volume));
        store
            .fill::<VolumeError>(&volume, |copy| {
                fs::write(copy.join("whole"), b"x").unwrap();
                Ok(())
            })
            .unwrap();
        assert!(!store.is_fresh(&volume));
        assert!(store.data(&volume.name).join("whole").exists());
    }
}
