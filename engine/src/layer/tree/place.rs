//! Putting one entry of an archive into the directory.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode};
use rustix::io::Errno;

use super::{PATH_LIMIT, Tree, clean, describe, is_whiteout, own, split, touch};
use crate::layer::tar::{Entry, Kind, Reader, show};
use crate::layer::{LayerError, holes};

/// Where an entry goes.
struct Place<'a> {
    path: &'a [u8],
    /// The directory of the path, and the name there.
    parent: &'a OwnedFd,
    name: &'a [u8],
}

fn unpack(path: &[u8], errno: Errno) -> LayerError {
    LayerError::Unpack {
        entry: show(path),
        source: errno.into(),
    }
}

fn refused(path: &[u8], why: &str) -> LayerError {
    LayerError::Refused {
        entry: show(path),
        why: why.to_owned(),
    }
}

impl Tree {
    /// Puts one entry in its place, replacing what is there; a directory over a directory
    /// only replaces its attributes. Gives the bytes written.
    pub fn place<R: Read>(
        &mut self,
        path: &[u8],
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<u64, LayerError> {
        let failed = |errno| unpack(path, errno);
        if path.is_empty() {
            if entry.kind == Kind::Directory {
                self.describe_directory(path, entry).map_err(failed)?;
            }
            return Ok(0);
        }
        let (directory, name) = split(path);
        let parent = self.directory(directory).map_err(failed)?;
        let place = Place {
            path,
            parent: &parent,
            name,
        };
        match &entry.kind {
            Kind::Directory => self
                .make_directory(path, &parent, name)
                .and_then(|()| self.describe_directory(path, entry)),
            Kind::File => return self.file(&place, entry, reader),
            Kind::HardLink(target) => return self.hard_link(&place, target),
            Kind::Symlink(target) => {
                if target.is_empty() || target.contains(&0) || target.len() > PATH_LIMIT {
                    let why = "its link target is empty, too long or holds a NUL byte";
                    return Err(refused(path, why));
                }
                self.symlink(&place, entry, target)
            }
            Kind::Char { major, minor } => {
                let device = rustix::fs::makedev(*major, *minor);
                self.node(&place, entry, FileType::CharacterDevice, device)
            }
            Kind::Block { major, minor } => {
                let device = rustix::fs::makedev(*major, *minor);
                self.node(&place, entry, FileType::BlockDevice, device)
            }
            Kind::Fifo => self.node(&place, entry, FileType::Fifo, 0),
        }
        .map_err(failed)?;
        Ok(0)
    }

    pub(super) fn owner_of(&self, entry: &Entry) -> (u32, u32) {
        let (uid, gid) = self.first;
        self.owner
            .unwrap_or((entry.uid.saturating_add(uid), entry.gid.saturating_add(gid)))
    }

    fn file<R: Read>(
        &mut self,
        place: &Place<'_>,
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<u64, LayerError> {
        let failed = |errno| unpack(place.path, errno);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let open = || rustix::fs::openat(place.parent, place.name, flags, mode);
        let file = self.replacing(place, open).map_err(failed)?;
        let written = fill(&mut self.buffer, &file, entry, reader)?;
        let (uid, gid) = self.owner_of(entry);
        describe(file.as_fd(), entry, uid, gid).map_err(failed)?;
        Ok(written)
    }

    fn hard_link(&mut self, place: &Place<'_>, target: &[u8]) -> Result<u64, LayerError> {
        let failed = |errno| unpack(place.path, errno);
        let target = clean(target)?;
        let (directory, name) = split(&target);
        // Targets are not made up: a link to nothing is an error.
        let there = if directory.is_empty() {
            Rc::clone(&self.root)
        } else {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            Rc::new(self.resolve(directory, flags).map_err(failed)?)
        };
        if target == place.path {
            return Err(refused(place.path, "it is a hard link to itself"));
        }
        let stat = rustix::fs::statat(&*there, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if is_whiteout(&stat) || FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let why = "it is a hard link to something that is no file";
            return Err(refused(place.path, why));
        }
        self.replacing(place, || {
            let nothing = AtFlags::empty();
            rustix::fs::linkat(&*there, name, place.parent, place.name, nothing)
        })
        .map_err(failed)?;
        Ok(0)
    }

    fn symlink(&mut self, place: &Place<'_>, entry: &Entry, target: &[u8]) -> Result<(), Errno> {
        self.replacing(place, || {
            rustix::fs::symlinkat(target, place.parent, place.name)
        })?;
        let (uid, gid) = self.owner_of(entry);
        own(place.parent, place.name, uid, gid)?;
        touch(place.parent, place.name, entry.mtime)
    }

    /// A device or a pipe.
    fn node(
        &mut self,
        place: &Place<'_>,
        entry: &Entry,
        kind: FileType,
        device: u64,
    ) -> Result<(), Errno> {
        let Place { parent, name, .. } = *place;
        self.replacing(place, || {
            rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device)
        })?;
        let (uid, gid) = self.owner_of(entry);
        own(parent, name, uid, gid)?;
        let mode = Mode::from_raw_mode(entry.mode as RawMode);
        rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
        touch(parent, name, entry.mtime)
    }

    /// Runs `make`; when something has the name already, removes that and runs it again.
    fn replacing<T>(
        &mut self,
        place: &Place<'_>,
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match make() {
            Err(Errno::EXIST) => {
                self.remove(place.path, place.parent, place.name)?;
                make()
            }
            result => result,
        }
    }
}

/// Writes a file's bytes; holes stay holes, whether the archive tells of them or has their zeros.
pub(crate) fn fill<R: Read>(
    buffer: &mut [u8],
    file: impl AsFd,
    entry: &Entry,
    reader: &mut Reader<R>,
) -> Result<u64, LayerError> {
    let failed = |errno| unpack(&entry.path, errno);
    let whole = [(0, entry.size)];
    let pieces = entry.sparse.as_deref().unwrap_or(&whole);
    let (mut written, mut holes) = (0, entry.sparse.is_some());
    for (offset, length) in pieces {
        let (mut at, end) = (*offset, offset + length);
        while at < end {
            let room = usize::try_from(end - at)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let count = reader.read_data(&mut buffer[..room])?;
            if count == 0 {
                return Err(LayerError::Damaged(
                    "it ends in the middle of a file".to_owned(),
                ));
            }
            holes |= holes::write_at(&file, &buffer[..count], at).map_err(failed)?;
            at += count as u64;
            written += count as u64;
        }
    }
    if holes {
        rustix::fs::ftruncate(&file, entry.size).map_err(failed)?;
    }
    Ok(written)
}
