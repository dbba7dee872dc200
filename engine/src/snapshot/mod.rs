//! Layers and a writable directory to the mount that becomes a container's root.
//!
//! A container's directory holds `upper` and `work`; [`root_mount`] says how they and the image's
//! layers stack, and `runtime` mounts that inside the container's own namespace. [`View`] reads
//! an image's or a stopped container's merged content without mounting it anywhere. Nothing here
//! is ever attached to the host's mount table.

mod copy;
mod view;

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

pub use view::View;

use crate::error::{Classify, ErrorKind};
use crate::image::Image;
use crate::layer::LayerError;
use crate::mount::{MountError, Overlay, RootMount};
use crate::sys::user_namespace::owner;

/// Whether a writable directory outlives its container's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is kept: syncs reach the disk.
    Kept,
    /// It is thrown away (`--rm`, build steps): syncs are skipped.
    Volatile,
}

/// What can go wrong with snapshots.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The path does not exist in the image.
    #[error("no `{0}` in the image")]
    NotFound(String),
    /// A file is larger than its reader accepts.
    #[error("`{path}` has more than the {limit} bytes that are accepted")]
    TooLarge {
        /// In the image.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// The layers could not be shown as one.
    #[error("cannot stack the layers of the image")]
    Stack(#[source] MountError),
    /// A copy failed.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl SnapshotError {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl SnapshotError {
    fn errno(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.into();
        move |errno| Self::Io {
            action,
            path,
            source: errno.into(),
        }
    }
}

impl Classify for SnapshotError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::Stack(_) => ErrorKind::Internal,
            Self::Layer(error) => error.kind(),
            Self::Io { source, .. } => Classify::kind(source),
        }
    }
}

/// Copies an upper directory as it is, with what it deletes and hides.
pub fn copy_upper(upper: &Path, to: &Path) -> Result<(), SnapshotError> {
    let open = |path: &Path| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map_err(SnapshotError::errno("open", path))
    };
    let (from, into) = (open(upper)?, open(to)?);
    copy::tree(from.as_fd(), into.as_fd()).map_err(SnapshotError::io("copy", upper))
}

/// Makes a container's writable directories below `directory`; existing ones stay. The root
/// of an overlay shows the upper directory's owner and mode, so those of the image's root
/// are copied.
pub fn prepare(image: &Image, directory: &Path) -> Result<(), SnapshotError> {
    prepare_over(&image.lower(), directory)
}

/// The same over lower directories given topmost first.
pub fn prepare_over(lower: &[PathBuf], directory: &Path) -> Result<(), SnapshotError> {
    for (name, mode) in [("work", 0o700), ("upper", 0o755)] {
        let path = directory.join(name);
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(SnapshotError::io("create", path)(error)),
        }
        let describe = || {
            let top = lower.first().map(fs::metadata).transpose()?;
            match top.filter(|_| name == "upper") {
                Some(top) => {
                    let (uid, gid) = owner(top.uid(), top.gid());
                    chown(&path, Some(uid.as_raw()), Some(gid.as_raw()))?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(top.mode() & 0o7777))
                }
                None => fs::set_permissions(&path, fs::Permissions::from_mode(mode)),
            }
        };
        describe().map_err(SnapshotError::io("describe", &path))?;
    }
    Ok(())
}

/// How a container's root is mounted.
pub fn root_mount(image: &Image, directory: &Path, durability: Durability) -> RootMount {
    root_mount_over(image.lower(), directory, durability)
}

/// The same over lower directories given topmost first.
pub fn root_mount_over(lower: Vec<PathBuf>, directory: &Path, durability: Durability) -> RootMount {
    RootMount::Overlay(Overlay {
        lower,
        upper: Some(directory.join("upper")),
        work: Some(directory.join("work")),
        volatile: durability == Durability::Volatile,
    })
}

/// Bytes on disk of what was written, files with several names counted once.
pub fn usage(directory: &Path) -> Result<u64, SnapshotError> {
    let mut seen = std::collections::HashSet::new();
    let mut bytes = 0;
    let mut next = vec![directory.to_owned()];
    while let Some(folder) = next.pop() {
        let list = match fs::read_dir(&folder) {
            Ok(list) => list,
            // A running container changes what is counted.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(SnapshotError::io("list", folder)(error)),
        };
        for entry in list.filter_map(Result::ok) {
            let Ok(stat) = rustix::fs::statat(CWD, entry.path(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                next.push(entry.path());
            } else if stat.st_nlink == 1 || seen.insert((stat.st_dev, stat.st_ino)) {
                bytes += stat.st_blocks as u64 * 512;
            }
        }
    }
    Ok(bytes)
}
