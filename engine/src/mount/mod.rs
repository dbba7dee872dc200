//! A mount as data, and attaching it by file descriptor below a container's root.
//!
//! [`RootMount`] is the language in which `snapshot` and `container` tell `runtime` what a container's root is; none of them
//! knows another. Everything else arrives as mounts of the OCI specification. [`Below`] resolves paths inside a root that
//! belongs to an image, so to a stranger; no other code here opens one by path.
//! SELinux labels are refused by name.

mod attach;
mod below;
mod copy_up;
mod devices;
mod graft;
mod options;
mod protect;
mod root;

pub use attach::{CgroupHierarchy, CgroupView, Overlays, Trees, attach, place};
pub use below::{Below, open_root};
pub use devices::{attach_console, make_devices};
pub use options::{MOUNTS_OF, READ_ONLY_HERE, names as option_names, propagation};
pub use protect::{expand as expand_pattern, mask, protect};
pub use root::{detached_root, in_private_namespace, mapped_root};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The root file system of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootMount {
    /// An overlay of layers under a writable directory.
    Overlay(Overlay),
    /// A directory as it is.
    Directory {
        /// The directory.
        path: PathBuf,
        /// No writes.
        read_only: bool,
    },
}

/// An overlay mount (Documentation/filesystems/overlayfs.rst).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Read-only layers, topmost first.
    pub lower: Vec<PathBuf>,
    /// Writable directory; `None` makes the mount read-only.
    pub upper: Option<PathBuf>,
    /// Overlay's work directory, on the same file system as `upper`.
    pub work: Option<PathBuf>,
    /// Skip every sync: for roots that nobody keeps (`--rm`, build steps).
    pub volatile: bool,
}

/// What went wrong with a mount.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// An option we do not know, or that contradicts another.
    #[error("mount option `{option}` of `{destination}` is not supported: {reason}")]
    Option {
        /// As written.
        option: String,
        /// Of which mount.
        destination: String,
        /// Why not.
        reason: &'static str,
    },
    /// A directory over a file, or the other way round.
    #[error("`{destination}`: {what}; look at the source `{source_path}`")]
    Type {
        /// Where it should go.
        destination: String,
        /// Which of both.
        what: &'static str,
        /// What should be mounted.
        source_path: String,
    },
    /// A step of the mount.
    #[error("cannot {action} `{subject}`")]
    Step {
        /// What was tried.
        action: &'static str,
        /// On what.
        subject: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl MountError {
    pub(crate) fn step(
        action: &'static str,
        subject: impl Into<String>,
        source: impl Into<std::io::Error>,
    ) -> Self {
        Self::Step {
            action,
            subject: subject.into(),
            source: source.into(),
        }
    }
}

impl crate::error::Classify for MountError {
    fn kind(&self) -> crate::error::ErrorKind {
        match self {
            Self::Option { .. } | Self::Type { .. } => crate::error::ErrorKind::Invalid,
            Self::Step { source, .. } => crate::error::Classify::kind(source),
        }
    }
}
