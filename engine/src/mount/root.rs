//! The root file system of a container as a detached mount.
//!
//! An overlay is configured layer by layer (`lowerdir+`, Linux 6.5), so neither the page-size limit
//! of mount(2) nor characters in paths matter. Older kernels get mount(2)'s single string, made of short names
//! in /proc/self/fd.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};

use crate::sys::mount::{MountAttr, Reach, mount_setattr};

use super::{MountError, Overlay, RootMount};

/// fsconfig takes strings below this length.
const FSCONFIG_LIMIT: usize = 255;

/// Makes the mount; it is attached nowhere and vanishes with its descriptor.
pub fn detached_root(root: &RootMount) -> Result<OwnedFd, MountError> {
    match root {
        RootMount::Overlay(overlay) => detached_overlay(overlay),
        RootMount::Directory { path, read_only } => {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            let tree =
                open_tree(CWD, path, flags).map_err(|error| step("open the root", path, error))?;
            let mut attr = MountAttr::propagate(libc::MS_PRIVATE);
            if *read_only {
                attr.set = MountAttrFlags::MOUNT_ATTR_RDONLY;
            }
            mount_setattr(tree.as_fd(), attr, Reach::Recursive)
                .map_err(|error| step("set the attributes of the root", path, error))?;
            Ok(tree)
        }
    }
}

fn step(action: &'static str, path: &Path, error: impl Into<std::io::Error>) -> MountError {
    MountError::step(action, path.display().to_string(), error)
}

/// Makes an overlay; also used for `overlay` mounts below the root.
pub(super) fn detached_overlay(overlay: &Overlay) -> Result<OwnedFd, MountError> {
    match configure(overlay, Lower::OneByOne) {
        Err(MountError::Step { source, .. })
            if Errno::from_io_error(&source) == Some(Errno::INVAL) =>
        {
            configure(overlay, Lower::Joined)
        }
        other => other,
    }
}

/// How the kernel is told about the lower layers.
#[derive(Clone, Copy)]
enum Lower {
    OneByOne,
    Joined,
}

fn configure(overlay: &Overlay, lower: Lower) -> Result<OwnedFd, MountError> {
    let failed = |action, error: Errno| MountError::step(action, "overlay", error);
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|error| failed("open the file system", error))?;
    fsconfig_set_string(&fs, "source", "overlay").map_err(|error| failed("configure", error))?;
    let mut names = Names::default();
    let mut views = Vec::new();
    let layers = overlay
        .lower
        .iter()
        .map(|layer| {
            if !contains_another(layer, &overlay.lower) {
                return Ok(layer.clone());
            }
            let view = view_of(layer)?;
            let name = PathBuf::from(format!("/proc/self/fd/{}", view.as_raw_fd()));
            views.push(view);
            Ok(name)
        })
        .collect::<Result<Vec<_>, MountError>>()?;
    match lower {
        Lower::OneByOne => {
            for layer in &layers {
                let name = names.of(layer)?;
                fsconfig_set_string(&fs, "lowerdir+", &name)
                    .map_err(|error| step("use the layer", layer, error))?;
            }
        }
        Lower::Joined => {
            let joined = layers
                .iter()
                .map(|layer| names.short(layer))
                .collect::<Result<Vec<_>, _>>()?
                .join(":");
            fsconfig_set_string(&fs, "lowerdir", &joined)
                .map_err(|error| failed("use the layers of", error))?;
        }
    }
    for (key, path) in [("upperdir", &overlay.upper), ("workdir", &overlay.work)] {
        if let Some(path) = path {
            fsconfig_set_string(&fs, key, &names.of(path)?)
                .map_err(|error| step("use the writable directory", path, error))?;
        }
    }
    // An index would tie the upper directory to this very set of lower file handles.
    fsconfig_set_string(&fs, "index", "off").map_err(|error| failed("configure", error))?;
    if overlay.volatile && overlay.upper.is_some() {
        fsconfig_set_flag(&fs, "volatile").map_err(|error| failed("set `volatile` of", error))?;
    }
    fsconfig_create(&fs).map_err(|error| {
        let subject = overlay
            .upper
            .as_deref()
            .or(overlay.lower.first().map(|l| l.as_path()));
        step(
            "mount the overlay of",
            subject.unwrap_or(Path::new("")),
            error,
        )
    })?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .map_err(|error| failed("mount", error))
}

/// Whether a layer is an ancestor of another one on the same file system: overlayfs refuses such a pair, because
/// a change of the inner one would change the outer one too (`ELOOP`). The view of the
/// machine's own `/` under a mask layer, which lies somewhere below `/`, is this case.
fn contains_another(layer: &Path, layers: &[PathBuf]) -> bool {
    let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev).ok();
    layers
        .iter()
        .any(|other| other != layer && other.starts_with(layer) && device(other) == device(layer))
}

/// The layer seen through a read-only overlay of its own, which is another file system with other inodes. An
/// overlay without an upper directory needs two layers: an empty memory file system is the second.
fn view_of(layer: &Path) -> Result<OwnedFd, MountError> {
    let failed = |error: Errno| step("make a view of the layer", layer, error);
    let empty = || {
        let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&fs, "size", "4k")?;
        fsconfig_create(&fs)?;
        let attr = MountAttrFlags::MOUNT_ATTR_RDONLY;
        fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attr)
    };
    let empty = empty().map_err(failed)?;
    configure(
        &Overlay {
            lower: vec![
                format!("/proc/self/fd/{}", empty.as_raw_fd()).into(),
                layer.to_owned(),
            ],
            ..Overlay::default()
        },
        Lower::OneByOne,
    )
}

/// Names of directories for the kernel's parser; keeps the descriptors behind short ones open.
#[derive(Default)]
struct Names {
    open: Vec<OwnedFd>,
}

impl Names {
    /// The path itself where the parser takes it literally.
    fn of(&mut self, path: &Path) -> Result<String, MountError> {
        match path.to_str() {
            Some(text) if text.len() < FSCONFIG_LIMIT && !text.contains('\\') => {
                Ok(text.to_owned())
            }
            _ => self.short(path),
        }
    }

    /// A name by descriptor: short, and free of the parser's special characters.
    fn short(&mut self, path: &Path) -> Result<String, MountError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| step("open the layer", path, error))?;
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        self.open.push(fd);
        Ok(name)
    }
}
