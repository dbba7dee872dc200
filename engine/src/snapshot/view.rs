//! Reading merged content: a detached, read-only overlay that only this process can reach.
//!
//! Paths are resolved inside it (`RESOLVE_IN_ROOT`), so an image's symbolic links cannot lead
//! out. The mount vanishes with its descriptor.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::{SnapshotError, copy};
use crate::mount::{Overlay, RootMount, detached_root};
use crate::sys::mount::{MountAttr, Reach, mount_setattr};

/// The merged content of some layers.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
    /// Dropped after the mount that uses it.
    _filler: Option<Filler>,
}

impl View {
    /// Shows directories as one, topmost first: an image's [`crate::image::Image::lower`], with a
    /// stopped container's upper directory before it to see what was written.
    pub fn open(layers: &[PathBuf]) -> Result<Self, SnapshotError> {
        let mut lower = layers.to_vec();
        let mut filler = None;
        // An overlay without an upper directory needs two lower ones.
        while lower.len() < 2 {
            let made: &Filler = match &filler {
                Some(made) => made,
                None => filler.insert(Filler::make(layers.first().map(PathBuf::as_path))?),
            };
            if layers.is_empty() {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let root = rustix::fs::open(&made.0, flags, Mode::empty())
                    .map_err(SnapshotError::errno("open", &made.0))?;
                return Ok(Self {
                    root,
                    _filler: filler,
                });
            }
            lower.push(made.0.clone());
        }
        let overlay = Overlay {
            lower,
            ..Overlay::default()
        };
        let root = detached_root(&RootMount::Overlay(overlay)).map_err(SnapshotError::Stack)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOSUID;
        mount_setattr(root.as_fd(), MountAttr::set(attributes), Reach::This)
            .map_err(SnapshotError::io("protect", "/"))?;
        Ok(Self {
            root,
            _filler: filler,
        })
    }

    /// The root, for `openat`.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, SnapshotError> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(
                &self.root,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            ) {
                Ok(fd) => return Ok(fd),
                Err(Errno::AGAIN) => {}
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    return Err(SnapshotError::NotFound(path.display().to_string()));
                }
                Err(errno) => return Err(SnapshotError::io("open", path)(errno.into())),
            }
        }
    }

    /// Opens a file for reading. Never blocks on a pipe that the image put there.
    pub fn open_file(&self, path: &str) -> Result<File, SnapshotError> {
        Ok(File::from(self.resolve(
            Path::new(path),
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
        )?))
    }

    /// Reads a small file: `/etc/passwd`.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = Vec::new();
        let file = self.open_file(path)?;
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(SnapshotError::io("read", path))?;
        if bytes.len() as u64 > limit {
            return Err(SnapshotError::TooLarge {
                path: path.to_owned(),
                limit,
            });
        }
        Ok(bytes)
    }

    /// Opens a directory of the view, links followed inside it.
    pub fn open_dir(&self, path: &str) -> Result<OwnedFd, SnapshotError> {
        self.resolve(Path::new(path), OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Copies a directory's content, and its own owner, mode and attributes, into an existing
    /// empty directory: what a new volume shows where the image had something. Gives whether
    /// the image has such a directory.
    pub fn copy_dir(&self, path: &str, to: &Path) -> Result<bool, SnapshotError> {
        let from = match self.open_dir(path) {
            Ok(from) => from,
            Err(SnapshotError::NotFound(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = rustix::fs::openat(CWD, to, flags, Mode::empty())
            .map_err(|errno| SnapshotError::io("open", to)(errno.into()))?;
        copy::tree(from.as_fd(), to.as_fd()).map_err(SnapshotError::io("copy", path))?;
        Ok(true)
    }
}

/// An empty directory on a layer's file system, gone when dropped.
#[derive(Debug)]
struct Filler(PathBuf);

impl Filler {
    fn make(beside: Option<&Path>) -> Result<Self, SnapshotError> {
        // `<root>/layers/<id>/diff`: the layers' directory is the engine's own.
        let folder = beside
            .and_then(|layer| layer.ancestors().nth(2))
            .map_or_else(std::env::temp_dir, Path::to_owned);
        let path = folder.join(format!(".tmp-{:016x}", crate::content::random()));
        std::fs::create_dir(&path).map_err(SnapshotError::io("create", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
