//! A directory into which foreign entries are put, and which they cannot leave.
//!
//! Every path is cleaned first (no `..`, no NUL, kernel limits), then its parent is opened
//! with `openat2(RESOLVE_IN_ROOT)`: symbolic links that the archive itself brought resolve
//! inside the directory. Final components are never followed. Parents' descriptors are kept,
//! since archives list a directory's members together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RawMode, ResolveFlags, Timespec, Timestamps,
    XattrFlags,
};
use rustix::io::Errno;

use super::LayerError;
use super::tar::{Entry, TarTime, show};
use crate::sys::{overlay::opaque, user_namespace};

mod place;

pub(crate) use place::fill;

/// Bytes of a path, as the kernel's PATH_MAX without the final NUL.
const PATH_LIMIT: usize = 4095;
const NAME_LIMIT: usize = 255;
const DEPTH_LIMIT: usize = 512;
const OPEN_DIRECTORIES: usize = 64;

/// Whether an extended attribute travels with a layer.
pub(super) fn keeps_xattr(name: &[u8]) -> bool {
    name == b"security.capability"
        || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

/// A relative path without `.`, empty parts or a leading `/`; the root is empty.
pub(super) fn clean(path: &[u8]) -> Result<Vec<u8>, LayerError> {
    let refuse = |why: &str| {
        Err(LayerError::Refused {
            entry: show(path),
            why: why.to_owned(),
        })
    };
    if path.contains(&0) {
        return refuse("its name holds a NUL byte");
    }
    let parts: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .collect();
    if parts.contains(&b"..".as_slice()) {
        return refuse("`..` could lead out of the directory");
    }
    if parts.len() > DEPTH_LIMIT || parts.iter().any(|part| part.len() > NAME_LIMIT) {
        return refuse("its name exceeds the kernel's limits");
    }
    let cleaned = parts.join(&b'/');
    if cleaned.len() > PATH_LIMIT {
        return refuse("its name exceeds the kernel's limits");
    }
    Ok(cleaned)
}

/// Directory and last component of a cleaned path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// The directory being filled.
pub(super) struct Tree {
    root: Rc<OwnedFd>,
    open: HashMap<Vec<u8>, Rc<OwnedFd>>,
    /// Set at the end: making members changes a directory's own time.
    times: BTreeMap<Vec<u8>, TarTime>,
    /// Parents that no entry described.
    pub implied: BTreeSet<Vec<u8>>,
    owner: Option<(u32, u32)>,
    /// What the ids of entries count from.
    first: (u32, u32),
    buffer: Vec<u8>,
}

impl Tree {
    pub fn open(path: &Path, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let root = rustix::fs::openat(
            CWD,
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self {
            root: Rc::new(root),
            open: HashMap::new(),
            times: BTreeMap::new(),
            implied: BTreeSet::new(),
            owner,
            first: (0, 0),
            buffer: vec![0; 128 << 10],
        })
    }

    /// Has the ids of entries count from these, and not from 0.
    pub fn count_ids_from(&mut self, first: (u32, u32)) {
        self.first = first;
    }

    fn resolve(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(
                &*self.root,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            ) {
                // A rename elsewhere on the machine raced with the look-up.
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
    }

    /// A directory of the tree; missing ones are made as 0755 and remembered as implied.
    pub fn directory(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some(open) = self.open.get(path) {
            return Ok(Rc::clone(open));
        }
        let fd = match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => {
                let (parent, name) = split(path);
                let parent = self.directory(parent)?;
                rustix::fs::mkdirat(&*parent, name, Mode::from_raw_mode(0o755))?;
                rustix::fs::chmodat(&*parent, name, Mode::from_raw_mode(0o755), AtFlags::empty())?;
                if let Some((uid, gid)) = self.owner {
                    own(&parent, name, uid, gid)?;
                }
                self.implied.insert(path.to_vec());
                self.resolve(path, OFlags::PATH | OFlags::DIRECTORY)?
            }
            Err(error) => return Err(error),
        };
        if self.open.len() >= OPEN_DIRECTORIES {
            self.open.clear();
        }
        let fd = Rc::new(fd);
        self.open.insert(path.to_vec(), Rc::clone(&fd));
        Ok(fd)
    }

    fn make_directory(&mut self, path: &[u8], parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let make = || rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700));
        match make() {
            Err(Errno::EXIST) => {}
            result => return result,
        }
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Ok(());
        }
        self.remove(path, parent, name)?;
        make()?;
        // The whiteout hid a lower directory, which must not shine through the new one.
        if is_whiteout(&stat) {
            self.mark_opaque(path)?;
        }
        Ok(())
    }

    fn describe_directory(&mut self, path: &[u8], entry: &Entry) -> Result<(), Errno> {
        let fd = self.readable(path)?;
        let (uid, gid) = self.owner_of(entry);
        describe(fd.as_fd(), entry, uid, gid)?;
        self.implied.remove(path);
        self.times.insert(path.to_vec(), entry.mtime);
        Ok(())
    }

    fn readable(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() {
            b".".as_slice()
        } else {
            path
        };
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Makes a directory hide everything of its name in lower layers.
    pub fn mark_opaque(&mut self, path: &[u8]) -> Result<(), Errno> {
        rustix::fs::fsetxattr(&self.readable(path)?, opaque(), b"y", XattrFlags::empty())
    }

    fn remove(&mut self, path: &[u8], parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let below = [path, b"/"].concat();
        let gone = |known: &[u8]| known == path || known.starts_with(&below);
        self.open.retain(|known, _| !gone(known));
        self.times.retain(|known, _| !gone(known));
        self.implied.retain(|known| !gone(known));
        remove_all(parent.as_fd(), name)
    }

    /// As [`Self::finish`], with a time for directories that no entry described.
    pub fn finish_at(mut self, time: TarTime) -> Result<BTreeSet<Vec<u8>>, LayerError> {
        for path in &self.implied {
            self.times.insert(path.clone(), time);
        }
        self.finish()
    }

    /// Gives directories their times. Nothing may be placed afterwards.
    pub fn finish(self) -> Result<BTreeSet<Vec<u8>>, LayerError> {
        for (path, time) in self.times.iter().rev() {
            let set = self
                .readable(path)
                .and_then(|fd| rustix::fs::futimens(&fd, &stamps(*time)));
            set.map_err(|errno| LayerError::Unpack {
                entry: show(path),
                source: errno.into(),
            })?;
        }
        Ok(self.implied)
    }
}

/// overlayfs' sign that a lower entry is deleted.
pub(super) fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn own(parent: &OwnedFd, name: &[u8], uid: u32, gid: u32) -> Result<(), Errno> {
    let (uid, gid) = user_namespace::owner(uid, gid);
    rustix::fs::chownat(
        parent,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

fn touch(parent: &OwnedFd, name: &[u8], time: TarTime) -> Result<(), Errno> {
    rustix::fs::utimensat(parent, name, &stamps(time), AtFlags::SYMLINK_NOFOLLOW)
}

fn stamps(time: TarTime) -> Timestamps {
    let time = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Owner first: changing it clears set-id bits and capabilities.
fn describe(fd: BorrowedFd<'_>, entry: &Entry, uid: u32, gid: u32) -> Result<(), Errno> {
    let (uid, gid) = user_namespace::owner(uid, gid);
    rustix::fs::fchown(fd, Some(uid), Some(gid))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode as RawMode))?;
    for (name, value) in entry.xattrs.iter().filter(|(name, _)| keeps_xattr(name)) {
        match rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
            // File systems without user attributes keep everything else.
            Err(Errno::NOTSUP) if name.starts_with(b"user.") => {}
            result => result?,
        }
    }
    rustix::fs::futimens(fd, &stamps(entry.mtime))
}

/// Removes a name and, of a directory, everything below. Follows nothing.
pub(super) fn remove_all(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        result => return result,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let names: Vec<Vec<u8>> = Dir::read_from(&directory)?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_bytes().to_vec())
        .filter(|name| !matches!(name.as_slice(), b"." | b".."))
        .collect();
    for name in names {
        remove_all(directory.as_fd(), &name)?;
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_paths_and_refuses_ways_out() {
        for (path, cleaned) in [
            ("./a//b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            (".", ""),
            ("", ""),
            ("a/./b", "a/b"),
            ("..a/b..", "..a/b.."),
        ] {
            assert_eq!(clean(path.as_bytes()).unwrap(), cleaned.as_bytes());
        }
        for bad in [
            "..",
            "a/..",
            "../x",
            "a/../../x",
            "a\0b",
            &"x".repeat(256),
            &"a/".repeat(600),
        ] {
            assert!(clean(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
