//! A bundle for programs that look into one (OCI runtime-spec `bundle.md`): hooks, and other runtimes.

use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{ContainerState, RootBuilder, State};
use rustix::fs::Mode;

use super::RuntimeError;
use super::error::{invalid, parent};
use super::launch::Launch;

/// The container's root in a bundle.
pub(super) const ROOTFS: &str = "rootfs";

/// Makes a bundle whose root is mounted when the container is prepared, and gives the state that hooks are told.
///
/// # Errors
/// The directory cannot be written.
pub fn make(directory: &Path, launch: &Launch<'_>) -> Result<State, RuntimeError> {
    let mut spec = launch.spec.clone();
    let read_only = spec.root().as_ref().and_then(|root| root.readonly());
    spec.set_root(Some(root(read_only)?));
    let rootfs = directory.join(ROOTFS);
    std::fs::create_dir_all(&rootfs)
        .map_err(|error| parent(format!("make `{}`", rootfs.display()), error))?;
    let text = serde_json::to_vec(&spec)
        .map_err(|error| parent("write the container's specification", error))?;
    write(&directory.join("config.json"), &text)?;
    let mut state = State::default();
    state
        .set_version(spec.version().clone())
        .set_id(launch.id.to_owned())
        .set_status(ContainerState::Creating)
        .set_bundle(PathBuf::from(directory));
    Ok(state)
}

/// The root of a bundle's specification.
pub(super) fn root(read_only: Option<bool>) -> Result<oci_spec::runtime::Root, RuntimeError> {
    RootBuilder::default()
        .path(ROOTFS)
        .readonly(read_only.unwrap_or(false))
        .build()
        .map_err(|error| invalid(error.to_string()))
}

/// Writes a file that nobody else reads, with its directory.
pub(super) fn write(path: &Path, text: &[u8]) -> Result<(), RuntimeError> {
    let make = || {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(path, text)?;
        rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
        Ok(())
    };
    make().map_err(|error: io::Error| parent(format!("write `{}`", path.display()), error))
}
