//! A mount as data, and attaching it by file descriptor below a container's root.
//!
//! [`Mount`] is the language in which `snapshot`, `volume` and `container` tell
//! `runtime` what a container sees; none of them knows another.

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
