//! Layers over the machine's own `/`, where the kernel allows no overlay of it.
//!
//! In a user namespace the mounts that came with it are locked together, and what lies below one
//! of them may not be shown. `/` has some below it, its directories mostly have none: so each
//! directory of `/` that no layer hides becomes an overlay of its own, with the same directory of
//! every layer over it, grafted onto the overlay of the layers.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};

use super::root::{Scene, made, step};
use super::{MountError, Overlay, RootMount};
use crate::sys::overlay::is_opaque;

/// Makes the mount of `overlay` as if its lowest layer were `/`; it is attached nowhere.
pub(super) fn over_root(overlay: &Overlay, scene: Scene) -> Result<OwnedFd, MountError> {
    let root = made(&root_mount(overlay.clone()), None, scene)?;
    let mut grafts = Vec::new();
    for name in directories()? {
        if let Some(layers) = showing(overlay, &name) {
            let graft = graft(overlay, &name, layers)?;
            grafts.push((name, made(&graft, None, scene)?));
        }
    }
    let attach = |root: &OwnedFd| {
        grafts.iter().try_for_each(|(name, tree)| {
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(tree, "", root, name, flags)
        })
    };
    let failed = |error: Errno| step("graft directories of `/` onto", Path::new("/"), error);
    match attach(&root) {
        // Before Linux 6.15 nothing is attached to what is not attached itself.
        Err(Errno::INVAL) if scene == Scene::Own => shown(&root, attach).map_err(failed),
        other => other.map(|()| root).map_err(failed),
    }
}

/// Does something to a mount that is attached meanwhile, at a place that is hidden in the present
/// namespace, our own, for a moment; a clone of the outcome is detached and stays.
fn shown(root: &OwnedFd, f: impl FnOnce(&OwnedFd) -> Result<(), Errno>) -> Result<OwnedFd, Errno> {
    let place = Path::new("/proc");
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(root, "", rustix::fs::CWD, place, flags)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = f(root).and_then(|()| open_tree(rustix::fs::CWD, place, flags));
    unmount(place, UnmountFlags::DETACH)?;
    tree
}

/// An overlay of several directories, or the one directory.
fn root_mount(overlay: Overlay) -> RootMount {
    match (&overlay.upper, overlay.lower.as_slice()) {
        (None, [only]) => RootMount::Directory {
            path: only.clone(),
            read_only: true,
        },
        _ => RootMount::Overlay(overlay),
    }
}

/// The directories of `/`, without links to some.
fn directories() -> Result<Vec<PathBuf>, MountError> {
    let failed = |error| step("list", Path::new("/"), error);
    let mut names = Vec::new();
    for entry in fs::read_dir("/").map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.push(PathBuf::from(entry.file_name()));
        }
    }
    names.sort();
    Ok(names)
}

/// The lower layers that have this directory of `/`; `None` when one of the layers hides it, or
/// none has a place for it.
fn showing(overlay: &Overlay, name: &Path) -> Option<Vec<PathBuf>> {
    let mut layers = Vec::new();
    let upper = overlay.upper.iter().map(|upper| (upper, false));
    for (layer, is_lower) in upper.chain(overlay.lower.iter().map(|lower| (lower, true))) {
        let path = layer.join(name);
        let Ok(data) = fs::symlink_metadata(&path) else {
            continue;
        };
        if !data.is_dir() || is_opaque(&path) {
            return None;
        }
        if is_lower {
            layers.push(path);
        }
    }
    (!layers.is_empty()).then_some(layers)
}

/// The mount of one directory of `/`. What is written goes where it would be written without
/// grafts: into the same directory of the upper one.
fn graft(overlay: &Overlay, name: &Path, mut lower: Vec<PathBuf>) -> Result<RootMount, MountError> {
    lower.push(Path::new("/").join(name));
    let mut graft = Overlay {
        lower,
        volatile: overlay.volatile,
        ..Overlay::default()
    };
    if let (Some(upper), Some(work)) = (&overlay.upper, &overlay.work) {
        let mut own_work = work.clone().into_os_string();
        own_work.push("-");
        own_work.push(name);
        let (upper, work) = (upper.join(name), PathBuf::from(own_work));
        for directory in [&upper, &work] {
            // The caller's umask may be anything.
            let made = fs::create_dir(directory)
                .and_then(|()| fs::set_permissions(directory, Permissions::from_mode(0o755)));
            match made {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(step("create", directory, error));
                }
                _ => {}
            }
        }
        graft.upper = Some(upper);
        graft.work = Some(work);
    }
    Ok(root_mount(graft))
}
