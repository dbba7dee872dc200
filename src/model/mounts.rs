//! Mounts of a service: volumes, binds, tmpfs, images, configs and secrets.

use serde::{Deserialize, Serialize};

use super::record::{Omit, record};
use super::scalar::{Bytes, FileMode};
use super::service::StringMap;

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the specification's own names")]
pub enum MountType {
    Bind,
    #[default]
    Volume,
    Tmpfs,
    Cluster,
    Npipe,
    Image,
}

impl Omit for MountType {
    fn omit(&self) -> bool {
        false
    }
}

record! {
    /// A mount.
    Mount {
        /// What is mounted.
        r#type: MountType,
        /// Absolute path, key of a top-level volume, image reference; empty: anonymous.
        source: String,
        /// Absolute, clean path in the container.
        target: String,
        /// Whether it is read-only.
        read_only: bool,
        /// Ignored on Linux.
        consistency: String,
        /// Settings of a bind mount.
        bind: Option<BindOptions>,
        /// Settings of a volume.
        volume: Option<VolumeOptions>,
        /// Settings of a tmpfs.
        tmpfs: Option<TmpfsOptions>,
        /// Settings of an image mount.
        image: Option<ImageOptions>,
    }
}

record! {
    /// Settings of a bind mount.
    BindOptions {
        /// `z` or `Z`.
        selinux: String,
        /// Mount propagation.
        propagation: String,
        /// Whether a missing source is created.
        create_host_path: bool,
        /// `enabled`, `disabled`, `writable`, `readonly`.
        recursive: String,
    }
}

record! {
    /// Settings of a volume mount.
    VolumeOptions {
        /// Labels of an anonymous volume.
        labels: StringMap,
        /// Whether image content is not copied into a new volume.
        nocopy: bool,
        /// Directory of the volume that is mounted.
        subpath: String,
    }
}

record! {
    /// Settings of a tmpfs.
    TmpfsOptions {
        /// Size; 0 is unlimited.
        size: Bytes,
        /// Permission bits.
        mode: u32,
    }
}

record! {
    /// Settings of an image mount.
    ImageOptions {
        /// Directory of the image that is mounted.
        subpath: String,
    }
}

record! {
    /// A config or secret in a service.
    FileMount {
        /// Key of the top-level element.
        source: String,
        /// Path in the container.
        target: String,
        /// Owner.
        uid: String,
        /// Group.
        gid: String,
        /// Permission bits.
        mode: Option<FileMode>,
    }
}
