//! What a container has changed in its root file system: its upper directory beside what lies below.
//!
//! Left out is what the engine itself puts there for mounts, as Docker does: empty targets, and
//! directories that have changed for nothing else.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::layer::merged;
use crate::mount::{RootMount, open_root};

use super::ContainerError;
use super::record::Record;

/// How a path has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Its content or attributes.
    Modified,
    /// It was not there.
    Added,
    /// It is not there any more.
    Deleted,
}

/// One changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub kind: ChangeKind,
    /// Absolute in the container.
    pub path: PathBuf,
}

/// What mounts and the engine need, whatever the container does.
const ENGINE_PATHS: &[&str] = &[
    "/.dockerenv",
    "/dev",
    "/dev/console",
    "/dev/pts",
    "/dev/shm",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
];

/// Every changed path, in order.
pub fn changes(record: &Record) -> Result<Vec<Change>, ContainerError> {
    let RootMount::Overlay(overlay) = &record.root else {
        return Err(ContainerError::Unsupported {
            option: "`diff`".to_owned(),
            reason: "the container's root is a directory that is not layered".to_owned(),
        });
    };
    let Some(upper) = &overlay.upper else {
        return Ok(Vec::new());
    };
    let failed = |errno: Errno| ContainerError::Host {
        action: "read",
        path: upper.display().to_string(),
        source: errno.into(),
    };
    let mut walk = Walk {
        lower: &overlay.lower,
        ours: ours(record),
        found: Vec::new(),
    };
    let top = open_root(upper).map_err(failed)?;
    walk.directory(&top, Path::new("/")).map_err(failed)?;
    walk.found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

/// Paths that may be there because the engine needed them.
pub fn ours(record: &Record) -> BTreeSet<PathBuf> {
    let targets = record
        .mounts
        .iter()
        .map(|mount| PathBuf::from(&mount.target));
    let fixed = ENGINE_PATHS.iter().map(PathBuf::from);
    let mut all: BTreeSet<PathBuf> = targets.chain(fixed).collect();
    // Targets have directories above them.
    for path in all.clone() {
        all.extend(path.ancestors().skip(1).map(Path::to_owned));
    }
    all.remove(Path::new("/"));
    all
}

struct Walk<'a> {
    lower: &'a [PathBuf],
    ours: BTreeSet<PathBuf>,
    found: Vec<Change>,
}

impl Walk<'_> {
    /// Notes what has changed in a directory; whether anything has.
    fn directory(&mut self, upper: &OwnedFd, path: &Path) -> Result<bool, Errno> {
        let before = self.found.len();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listing = rustix::fs::openat(upper, ".", flags, Mode::empty())?;
        let mut present = BTreeSet::new();
        for entry in Dir::read_from(&listing)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            present.insert(name.to_owned());
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&listing, name, flags, Mode::empty())?;
            let stat = rustix::fs::fstat(&fd)?;
            self.entry(&fd, &stat, &path.join(name))?;
        }
        // By descriptor: the container may change its names while we look.
        let open = PathBuf::from(format!("/proc/self/fd/{}/.", listing.as_raw_fd()));
        if merged::is_opaque(&open) {
            for name in self.names_below(path) {
                if !present.contains(name.as_os_str()) {
                    self.note(ChangeKind::Deleted, &path.join(name));
                }
            }
        }
        Ok(self.found.len() > before)
    }

    fn entry(&mut self, fd: &OwnedFd, stat: &Stat, path: &Path) -> Result<(), Errno> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            if self.below(path).is_some() {
                self.note(ChangeKind::Deleted, path);
            }
            return Ok(());
        }
        let below = self.below(path);
        if kind != FileType::Directory {
            let empty = kind == FileType::RegularFile && stat.st_size == 0;
            match below {
                None if empty && self.ours.contains(path) => {}
                None => self.note(ChangeKind::Added, path),
                Some(_) => self.note(ChangeKind::Modified, path),
            }
            return Ok(());
        }
        let place = self.found.len();
        let changed = self.directory(fd, path)?;
        let ours = self.ours.contains(path);
        let kind = match below {
            None => (changed || !ours).then_some(ChangeKind::Added),
            Some(below) if !below.is_dir() => Some(ChangeKind::Modified),
            Some(below) => {
                let differs = below.mode() != stat.st_mode
                    || (below.uid(), below.gid()) != (stat.st_uid, stat.st_gid)
                    || (!ours && below.mtime() != stat.st_mtime);
                (changed || differs).then_some(ChangeKind::Modified)
            }
        };
        if let Some(kind) = kind {
            let path = path.to_owned();
            self.found.insert(place, Change { kind, path });
        }
        Ok(())
    }

    fn note(&mut self, kind: ChangeKind, path: &Path) {
        let path = path.to_owned();
        self.found.push(Change { kind, path });
    }

    /// What the layers below have there.
    fn below(&self, path: &Path) -> Option<Metadata> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        merged::lookup(self.lower, relative).map(|found| found.metadata)
    }

    /// What the layers below have in a directory.
    fn names_below(&self, path: &Path) -> BTreeSet<OsString> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let mut names = BTreeSet::new();
        for layer in self.lower {
            let entries = std::fs::read_dir(layer.join(relative))
                .into_iter()
                .flatten();
            names.extend(entries.flatten().map(|entry| entry.file_name()));
        }
        names.retain(|name| self.below(&path.join(name)).is_some());
        names
    }
}
