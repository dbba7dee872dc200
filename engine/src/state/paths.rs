//! Every path below the root, in one place.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ContainerId, Names, StateError, Trash, failed};

/// Where the engine keeps things: [`Paths::root`] outlives a reboot, [`Paths::run`] does not need to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    root: PathBuf,
    run: PathBuf,
    hash: String,
}

/// What lies directly below the root.
const PARTS: &[&str] = &[
    "blobs",
    "containers",
    "host",
    "images",
    "ingest",
    "layers",
    "names",
    "networks",
    "refs",
    "trash",
    "volumes",
];

impl Paths {
    /// Makes the directories and closes them to other users, those too that are there already and are open. What
    /// containers write may be set-user-id: whoever reaches it by path could run it (CVE-2021-41091). The root
    /// itself may be anybody's directory and stays as it is.
    pub fn close(&self) -> Result<(), StateError> {
        let parts = PARTS.iter().map(|part| self.at(part));
        for path in parts.chain([self.run.clone()]) {
            // Every command comes here, and nearly always one look is all there is to do.
            match std::fs::metadata(&path) {
                Ok(data) if data.permissions().mode() & 0o077 == 0 => {}
                Ok(_) => std::fs::set_permissions(&path, Permissions::from_mode(0o700))
                    .map_err(failed("close", &path))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => create_private_dir(&path)?,
                Err(error) => return Err(failed("look at", &path)(error)),
            }
        }
        Ok(())
    }

    /// `/var/lib/gantry` and `/run/gantry`.
    pub fn system() -> Self {
        Self::new("/var/lib/gantry".into(), "/run/gantry".into())
    }

    /// Everything below one directory, for `--root`.
    pub fn below(root: &Path) -> Self {
        let run = root.join("run");
        Self::new(root.to_owned(), run)
    }

    /// These two directories; both must be absolute.
    pub fn new(root: PathBuf, run: PathBuf) -> Self {
        let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
        let hash = base16ct::lower::encode_string(&digest[..4]);
        Self { root, run, hash }
    }

    /// What outlives a reboot.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What lives as long as a boot.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Eight hexadecimal digits that tell this root from every other, for names that the whole
    /// machine shares: bridges, cgroups, nftables tables.
    pub fn root_hash(&self) -> &str {
        &self.hash
    }

    /// A directory or file below [`Paths::root`], for modules that keep their own layout there
    /// (`blobs`, `layers`, `images`, `refs`, `networks`).
    pub fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// All containers.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// One container: record, writable layer, logs.
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// Runtime directories of all containers.
    pub fn run_containers(&self) -> PathBuf {
        self.run.join("c")
    }

    /// Runtime directory of one container: lock, control socket, pipes, status.
    pub fn run_container(&self, id: &ContainerId) -> PathBuf {
        self.run_containers().join(id.as_str())
    }

    /// Names of containers.
    pub fn names(&self) -> Names {
        Names::new(self.root.join("names"))
    }

    /// Volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// What is to be deleted.
    pub fn trash(&self) -> Trash {
        Trash::new(self.root.join("trash"))
    }

    /// The journal of events.
    pub fn events(&self) -> PathBuf {
        self.run.join("events.jsonl")
    }

    /// The parent cgroup of this root's containers, relative.
    pub fn cgroup_parent(&self) -> String {
        if self.root == Path::new("/var/lib/gantry") {
            "gantry".to_owned()
        } else {
            format!("gantry-{}", self.hash)
        }
    }
}

/// Makes a directory and its parents. New ones are closed to other users: what containers
/// write there may be set-user-id, and records and sockets are nobody else's business.
pub fn create_private_dir(path: &Path) -> Result<(), StateError> {
    match DirBuilder::new().mode(0o700).recursive(true).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed("make the directory", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_do_not_share_machine_wide_names() {
        let (a, b) = (Paths::below(Path::new("/a")), Paths::below(Path::new("/b")));
        assert_ne!(a.root_hash(), b.root_hash());
        assert_ne!(a.cgroup_parent(), b.cgroup_parent());
        assert_eq!(Paths::system().cgroup_parent(), "gantry");
    }
}
