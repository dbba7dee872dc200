//! Looking through a stack of layer directories as overlayfs would, without mounting it.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, RawMode, Timespec, Timestamps, XattrFlags};

use super::LayerError;
use super::tree::keeps_xattr;
pub(crate) use crate::sys::overlay::{is_deletion, is_opaque};
use crate::sys::user_namespace::owner;

/// Where an entry of the merged view lies.
pub(crate) struct Found {
    /// In the topmost layer that has it.
    pub path: PathBuf,
    /// Of the entry itself, symbolic links not followed.
    pub metadata: Metadata,
}

/// Finds a relative path in layers given topmost first. Symbolic links are not followed: in
/// an overlay a link in a parent's place hides every directory below it.
pub(crate) fn lookup(layers: &[PathBuf], relative: &Path) -> Option<Found> {
    'layers: for layer in layers {
        let mut path = layer.clone();
        let mut opaque = false;
        let mut parts = relative.components().peekable();
        if parts.peek().is_none() {
            let metadata = fs::symlink_metadata(&path).ok()?;
            return Some(Found { path, metadata });
        }
        while let Some(part) = parts.next() {
            path.push(part);
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                if opaque {
                    return None;
                }
                continue 'layers;
            };
            if is_deletion(&metadata) {
                return None;
            }
            if parts.peek().is_none() {
                return Some(Found { path, metadata });
            }
            if !metadata.is_dir() {
                return None;
            }
            opaque = opaque || is_opaque(&path);
        }
    }
    None
}

/// Names in the merged root.
pub(crate) fn names(layers: &[PathBuf]) -> Result<BTreeSet<Vec<u8>>, LayerError> {
    let (mut names, mut hidden) = (BTreeSet::new(), BTreeSet::new());
    for layer in layers {
        for entry in fs::read_dir(layer).map_err(LayerError::io("list", layer))? {
            let entry = entry.map_err(LayerError::io("list", layer))?;
            let name = entry.file_name().as_bytes().to_vec();
            let metadata = entry
                .metadata()
                .map_err(LayerError::io("stat", entry.path()))?;
            if is_deletion(&metadata) {
                hidden.insert(name);
            } else if !hidden.contains(&name) {
                names.insert(name);
            }
        }
    }
    Ok(names)
}

/// Gives a directory owner, mode, attributes and time of another.
pub(crate) fn copy_attributes(from: &Path, to: &Path) -> Result<(), LayerError> {
    let metadata = fs::symlink_metadata(from).map_err(LayerError::io("stat", from))?;
    let failed = |errno: rustix::io::Errno| LayerError::errno("describe", to)(errno);
    let fd = fs::File::open(to).map_err(LayerError::io("open", to))?;
    let (uid, gid) = owner(metadata.uid(), metadata.gid());
    rustix::fs::fchown(&fd, Some(uid), Some(gid)).map_err(failed)?;
    rustix::fs::fchmod(
        &fd,
        Mode::from_raw_mode((metadata.mode() & 0o7777) as RawMode),
    )
    .map_err(failed)?;
    let source = fs::File::open(from).map_err(LayerError::io("open", from))?;
    for (name, value) in xattrs(&source).map_err(LayerError::io("read attributes of", from))? {
        rustix::fs::fsetxattr(&fd, name.as_slice(), &value, XattrFlags::empty()).map_err(failed)?;
    }
    let time = Timespec {
        tv_sec: metadata.mtime(),
        tv_nsec: metadata.mtime_nsec(),
    };
    rustix::fs::futimens(
        &fd,
        &Timestamps {
            last_access: time,
            last_modification: time,
        },
    )
    .map_err(failed)
}

/// The extended attributes that travel with a layer, sorted by name.
pub(crate) fn xattrs(fd: impl std::os::fd::AsFd) -> std::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    use rustix::io::Errno;
    let mut names = [0_u8; 1024];
    let mut large;
    let mut list: &mut [u8] = &mut names;
    let length = loop {
        match rustix::fs::flistxattr(&fd, &mut *list) {
            Ok(length) => break length,
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(Errno::RANGE) if list.len() < 64 << 10 => {
                large = vec![0; 64 << 10];
                list = &mut large;
            }
            Err(errno) => return Err(errno.into()),
        }
    };
    let mut found = Vec::new();
    for name in list[..length]
        .split(|byte| *byte == 0)
        .filter(|name| keeps_xattr(name))
    {
        let mut value = vec![0; 64 << 10];
        let size = rustix::fs::fgetxattr(&fd, name, value.as_mut_slice())?;
        value.truncate(size);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}
