//! Our runtime as other programs drive one: bundles, the life cycle of the OCI runtime specification, state on disk.
//!
//! [`create`] reads a bundle's `config.json` and prepares its container, which from then on needs nobody: its first process
//! waits at a socket until [`start`] comes by. [`state`] looks at that process and that socket, so no crash between two
//! steps leaves a lie; [`delete`] undoes whatever there is. Standard streams are the caller's, or a terminal
//! whose master goes to the caller's console socket.
//!
//! What the specification knows and this runtime does not do is refused by its name when the container is created. Nothing
//! here knows images, networks or supervisors.

mod attend;
mod bundle;
mod console;
mod create;
mod end;
mod error;
mod events;
mod example;
mod exec;
mod features;
mod start;
mod store;
mod update;
mod userns;

pub use attend::PassedOn;
pub use create::{Attachment, CreateOptions, Created, create};
pub use end::{Force, delete, kill, kill_all, pause, resume};
pub use error::OciError;
pub use events::{Watch, watch};
pub use example::{For, write_example};
pub use exec::{ExecOptions, exec};
pub use features::{SPEC_VERSION, features};
pub use start::start;
pub use store::{Status, Store, Summary, list, processes, state};
pub use update::{read_resources, update};

use crate::sys::Executable;

/// Goes on in an executable that a container can never write to; returns at once when this is one. The process must
/// have no second thread, and no descriptor of its own that it still needs.
pub fn seal() -> Result<(), OciError> {
    Executable::seal_ourselves().map_err(|source| OciError::Seal { source })
}

/// Checks that the caller has given this many descriptors after the standard ones. One of our own in their
/// place would be a way out of the container.
pub fn check_preserved(count: u32) -> Result<(), OciError> {
    match (3..3 + count).find(|&number| !crate::sys::process::is_inherited(number)) {
        None => Ok(()),
        Some(number) => Err(OciError::Preserved { number }),
    }
}
