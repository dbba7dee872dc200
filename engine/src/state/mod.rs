//! Paths below the root, atomic records, locks, ids and names.
//!
//! Disk is the truth: a record is written to a temporary file and renamed, by the one
//! writer it has; readers need no lock. What lives as long as a boot is kept below
//! [`Paths::run`] and is derived; [`boot_id`] tells a stale leftover from the present.
//! Start with [`Paths`]. Nothing here knows what a container is.

mod boot;
mod crash;
mod id;
mod lock;
mod names;
mod paths;
mod record;
mod trash;

pub use boot::boot_id;
pub use crash::crash_point;
pub use id::{ContainerId, IdError, Name};
pub use lock::Lock;
pub use names::Names;
pub use paths::{Paths, create_private_dir};
pub use record::{
    Durability, read_boot_record, read_record, remove_file, touch, write_file, write_record,
};
pub use trash::Trash;

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Classify, ErrorKind};

/// What can go wrong with state on disk.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or directory could not be used.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A record is not what this version writes.
    #[error("record `{}` is damaged", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// A record was written by another version.
    #[error("record `{}` has version {found}, this program knows {known}", path.display())]
    Version {
        /// The record.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The name belongs to somebody else.
    #[error("the name `{name}` is in use by container {owner}")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        owner: String,
    },
}

impl Classify for StateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } => Classify::kind(source),
            Self::Damaged { .. } | Self::Version { .. } => ErrorKind::Internal,
            Self::NameTaken { .. } => ErrorKind::Conflict,
        }
    }
}

/// Attaches what was tried, and on what, to an I/O error.
pub(crate) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> StateError + use<> {
    let path = path.to_owned();
    move |source| StateError::File {
        action,
        path,
        source,
    }
}
