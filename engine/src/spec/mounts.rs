//! What is mounted into a container.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Absolute path in the container.
    pub target: String,
    /// What appears there.
    pub kind: MountKind,
    /// No writes.
    pub read_only: bool,
}

/// Kinds of mounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// Details.
        options: BindOptions,
    },
    /// A volume of the engine.
    Volume {
        /// Its name; `None` makes an anonymous volume that is removed with the container.
        name: Option<String>,
        /// Do not copy the image's content into a new, empty volume.
        no_copy: bool,
        /// Mount only this directory of the volume.
        subpath: Option<String>,
        /// Labels for a volume made here.
        labels: BTreeMap<String, String>,
    },
    /// Memory.
    Tmpfs(TmpfsOptions),
    /// The root of another image, read-only.
    Image {
        /// Its reference.
        reference: String,
        /// Mount only this directory of it.
        subpath: Option<String>,
    },
}

/// Options of a bind mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindOptions {
    /// Make a missing source as a directory.
    pub create_source: bool,
    /// Mount without the mounts below the source.
    pub non_recursive: bool,
    /// Of a read-only bind: what is mounted below the source stays as it is, and is not read-only too.
    #[serde(default)]
    pub writable_below: bool,
    /// How later mounts travel between host and container.
    pub propagation: Propagation,
    /// Show files of the source's owner as the container's user's, and give what that user makes to the owner.
    #[serde(default)]
    pub idmap: bool,
}

/// Mount propagation (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the kernel's own terms")]
pub enum Propagation {
    #[default]
    RPrivate,
    Private,
    RShared,
    Shared,
    RSlave,
    Slave,
}

/// Options of a tmpfs mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TmpfsOptions {
    /// Bytes; `None` is the kernel's default of half the memory.
    pub size: Option<u64>,
    /// Permission bits of the root; default 1777.
    pub mode: Option<u32>,
    /// Owner of the root.
    pub uid: Option<u32>,
    /// Group of the root.
    pub gid: Option<u32>,
    /// Allow executing files; Docker's default is `noexec`.
    pub exec: bool,
    /// Further options of tmpfs(5), as written: `nr_inodes=1k`, `noatime`, `suid` …
    pub more: Vec<String>,
}
