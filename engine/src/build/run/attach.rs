//! The mounts of a `RUN`, in its own process: what must be merged or written first, and how the runtime is told of it.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, MountBuilder};
use rustix::mount::{MountFlags, MoveMountFlags};

use super::document::{Access, RunMount, RunSpec};
use super::role::{RunError, errno, io};
use crate::build::overlay;

/// What is mounted over the root, in order.
pub(super) fn mounts(spec: &RunSpec) -> Result<Vec<Mount>, RunError> {
    let mut secrets = None;
    let mut mounts = Vec::with_capacity(spec.mounts.len());
    for (number, mount) in spec.mounts.iter().enumerate() {
        mounts.push(match mount {
            RunMount::Bind {
                source,
                below,
                target,
                access,
            } => bind(source, below, target, *access)?,
            RunMount::Layers {
                lower,
                directory,
                below,
                target,
                access,
            } => {
                let source = merged(lower, directory, *access)?;
                bind(&source, below, target, *access)?
            }
            RunMount::Tmpfs { target, size } => {
                let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
                options.extend(size.map(|size| format!("size={size}")));
                mount_of(target, "tmpfs", "tmpfs", options)?
            }
            RunMount::File {
                target,
                content,
                mode,
                uid,
                gid,
            } => {
                let directory = match &secrets {
                    Some(directory) => directory,
                    None => &*secrets.insert(memory_directory(&spec.scratch)?),
                };
                let path = directory.join(number.to_string());
                write_secret(&path, content, *mode, (*uid, *gid)).map_err(io("write a secret"))?;
                bind(&path, "", target, Access::ReadOnly)?
            }
        });
    }
    Ok(mounts)
}

/// The directory that shows the layers: the only one itself, or where they are merged.
fn merged(lower: &[PathBuf], directory: &Path, access: Access) -> Result<PathBuf, RunError> {
    let (upper, work) = (directory.join("upper"), directory.join("work"));
    let writable = (access == Access::ReadWrite).then_some((upper.as_path(), work.as_path()));
    if let ([only], None) = (lower, writable) {
        return Ok(only.clone());
    }
    let at = directory.join("at");
    let merged = overlay::mount(lower, writable).map_err(io("mount layers"))?;
    rustix::mount::move_mount(
        &merged,
        "",
        rustix::fs::CWD,
        &at,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .map_err(errno("mount layers"))?;
    Ok(at)
}

fn write_secret(
    path: &Path,
    content: &[u8],
    mode: u32,
    (uid, gid): (u32, u32),
) -> std::io::Result<()> {
    std::fs::write(path, content)?;
    chown(path, Some(uid), Some(gid))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// A tmpfs for things that must never be on disk.
fn memory_directory(scratch: &Path) -> Result<PathBuf, RunError> {
    let path = scratch.join("memory");
    std::fs::create_dir(&path).map_err(io("make a directory"))?;
    rustix::mount::mount("tmpfs", &path, "tmpfs", MountFlags::empty(), c"mode=0711")
        .map_err(errno("mount a tmpfs"))?;
    Ok(path)
}

/// A mount of a path of the machine.
pub(super) fn bind(
    source: &Path,
    below: &str,
    target: &str,
    access: Access,
) -> Result<Mount, RunError> {
    let mut options = vec!["rbind".to_owned(), "rprivate".to_owned()];
    options.push(
        if access == Access::ReadOnly {
            "ro"
        } else {
            "rw"
        }
        .to_owned(),
    );
    if !below.is_empty() {
        options.push(format!("subpath={below}"));
    }
    mount_of(target, "bind", &source.to_string_lossy(), options)
}

fn mount_of(
    target: &str,
    kind: &str,
    source: &str,
    options: Vec<String>,
) -> Result<Mount, RunError> {
    MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(source)
        .options(options)
        .build()
        .map_err(RunError::Oci)
}
