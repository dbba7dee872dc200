//! Copying a tree: source and destination are walked at once, by descriptors.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, Stat};

use super::{Copier, CopyError, clear, copy_xattrs, create, failed};
use crate::build::attributes::{dress_special, own, set_times, times_of};
use crate::build::digest::{self, Fields};
use crate::build::former::{Mark, Unfit};
use crate::build::ignore::Patterns;
use crate::build::tree::{self, Entry, Tree, View};
use crate::layer::holes;

/// What is copied from, and what of it is left out.
pub(super) struct Source<'s> {
    pub(super) tree: &'s Tree,
    pub(super) exclude: &'s Patterns,
}

/// A directory of the source.
pub(super) struct Folder<'s> {
    pub(super) fd: BorrowedFd<'s>,
    /// Its place in the source.
    pub(super) path: &'s OsStr,
    /// Its path relative to the selection, for `--exclude`.
    pub(super) shown: &'s OsStr,
}

/// An entry of a directory of the source.
pub(super) struct Item<'s> {
    pub(super) dir: BorrowedFd<'s>,
    pub(super) entry: &'s Entry,
    /// As in [`Folder`].
    pub(super) path: &'s OsStr,
    pub(super) shown: &'s OsStr,
}

/// Where an entry goes: a directory, the name there, and the path of both.
pub(super) struct Target<'t> {
    pub(super) dir: BorrowedFd<'t>,
    pub(super) name: &'t OsStr,
    pub(super) at: &'t OsStr,
}

impl Copier<'_, '_> {
    /// Copies what is in a directory into another.
    pub(super) fn children(
        &mut self,
        source: &Source<'_>,
        folder: &Folder<'_>,
        to: BorrowedFd<'_>,
        at: &OsStr,
    ) -> Result<(), CopyError> {
        let exclude = source.exclude;
        let skip =
            |shown: &OsStr| !exclude.is_empty() && exclude.excludes(&shown.to_string_lossy());
        for entry in tree::entries(folder.fd).map_err(failed("read", folder.path))? {
            let path = tree::join(folder.path, &entry.name);
            let shown = tree::join(folder.shown, &entry.name);
            let visible = digest::visible(source.tree, &entry, &path, &shown, &skip, folder.fd);
            if visible.map_err(failed("read", &path))? {
                let item = Item {
                    dir: folder.fd,
                    entry: &entry,
                    path: &path,
                    shown: &shown,
                };
                let target = Target {
                    dir: to,
                    name: &entry.name,
                    at: &tree::join(at, &entry.name),
                };
                self.entry(source, &item, &target)?;
            }
        }
        Ok(())
    }

    /// Copies one entry, with everything in it.
    pub(super) fn entry(
        &mut self,
        source: &Source<'_>,
        item: &Item<'_>,
        target: &Target<'_>,
    ) -> Result<(), CopyError> {
        let stat = &item.entry.stat;
        let kind = item.entry.kind();
        if kind == FileType::Directory {
            return self.directory_entry(source, item, target);
        }
        if kind == FileType::Socket || self.track(source.tree, item, target.at)? {
            return Ok(());
        }
        clear(target.dir, target.name, target.at)?;
        if stat.st_nlink > 1 && self.link(stat, target)? {
            return Ok(());
        }
        match kind {
            FileType::RegularFile => self.file(source.tree, item, target)?,
            kind => self.special(kind, source.tree, item, target)?,
        }
        if stat.st_nlink > 1 {
            let dir = target.dir.try_clone_to_owned();
            let dir = dir.map_err(failed("link", target.at))?;
            let key = (stat.st_dev, stat.st_ino);
            self.links.insert(key, (dir, target.name.to_owned()));
        }
        Ok(())
    }

    fn directory_entry(
        &mut self,
        source: &Source<'_>,
        item: &Item<'_>,
        target: &Target<'_>,
    ) -> Result<(), CopyError> {
        let Target { dir, name, at } = *target;
        let stat = &item.entry.stat;
        let inner =
            tree::open_dir(item.dir, &item.entry.name).map_err(failed("read", item.path))?;
        let there = self.track_directory(stat, at)?;
        let made = self.subdirectory(dir, name, at)?;
        if !there {
            self.dress_directory(source.tree, inner.as_fd(), stat, made.as_fd(), at)?;
        }
        let folder = Folder {
            fd: inner.as_fd(),
            path: item.path,
            shown: item.shown,
        };
        self.children(source, &folder, made.as_fd(), at)?;
        match rustix::fs::fstat(&made) {
            Ok(now) if is_of_same_time(&now, stat) => Ok(()),
            _ => set_times(made.as_fd(), &times_of(stat)).map_err(failed("change", at)),
        }
    }

    /// Makes a file a further name of one that was copied before; `false` when it is the first.
    fn link(&self, stat: &Stat, target: &Target<'_>) -> Result<bool, CopyError> {
        let Some((dir, name)) = self.links.get(&(stat.st_dev, stat.st_ino)) else {
            return Ok(false);
        };
        rustix::fs::linkat(dir, name, target.dir, target.name, AtFlags::empty())
            .map(|()| true)
            .map_err(|errno| failed("link", target.at)(errno.into()))
    }

    fn file(&mut self, from: &Tree, item: &Item<'_>, target: &Target<'_>) -> Result<(), CopyError> {
        let Item {
            dir, entry, path, ..
        } = *item;
        let at = target.at;
        let mut input = tree::open_file(dir, &entry.name).map_err(failed("read", path))?;
        let mut output = create(target.dir, target.name).map_err(failed("create", at))?;
        // Blocks are of 512 bytes here, whatever the file system's are.
        let sparse = (entry.stat.st_blocks as u64) * 512 < entry.stat.st_size as u64;
        let copied = if sparse {
            holes::copy(&input, &output)
        } else {
            io::copy(&mut input, &mut output).map(drop)
        };
        copied.map_err(failed("write", at))?;
        if self.tracker.is_some() {
            self.recheck(&input, entry).map_err(failed("read", path))?;
        }
        let owner = self.owner(from, &entry.stat);
        let mode = self.mode(&entry.stat, false);
        let finish = || {
            own(output.as_fd(), owner)?;
            if from.view == View::Image {
                copy_xattrs(dir, &entry.name, output.as_fd())?;
            }
            rustix::fs::fchmod(&output, Mode::from_raw_mode(mode))?;
            set_times(output.as_fd(), &times_of(&entry.stat))
        };
        finish().map_err(failed("change", at))
    }

    /// A link, a device or a pipe.
    fn special(
        &self,
        kind: FileType,
        from: &Tree,
        item: &Item<'_>,
        target: &Target<'_>,
    ) -> Result<(), CopyError> {
        let Target { dir, name, at } = *target;
        let stat = &item.entry.stat;
        let mode = self.mode(stat, false);
        let made = if kind == FileType::Symlink {
            let link = rustix::fs::readlinkat(item.dir, &item.entry.name, Vec::new())
                .map_err(|errno| failed("read", item.path)(errno.into()))?;
            rustix::fs::symlinkat(link, dir, name)
        } else {
            rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(mode), stat.st_rdev)
        };
        made.map_err(|errno| failed("create", at)(errno.into()))?;
        let mode = (kind != FileType::Symlink).then_some(mode);
        let owner = self.owner(from, stat);
        dress_special(dir, name, owner, mode, &times_of(stat)).map_err(failed("change", at))
    }

    /// Notes a file, link or device; `true` when it is there from the former layer.
    fn track(&mut self, from: &Tree, item: &Item<'_>, at: &OsStr) -> Result<bool, CopyError> {
        let Item {
            dir, entry, path, ..
        } = *item;
        let mode = self.mode(&entry.stat, false);
        let Some(tracker) = &mut self.tracker else {
            return Ok(false);
        };
        let kind = entry.kind();
        let mode = kind.as_raw_mode() | mode;
        let hash = match (kind, &from.index) {
            (FileType::RegularFile, Some(index)) if entry.stat.st_nlink == 1 => {
                index.file(dir, entry).map_err(failed("read", path))?
            }
            (FileType::Symlink, _) => {
                let target = rustix::fs::readlinkat(dir, &entry.name, Vec::new())
                    .map_err(|e| failed("read", path)(e.into()))?;
                let mut fields = Fields::new("link");
                fields.add(target.as_bytes());
                fields.finish()
            }
            _ => {
                return tracker
                    .other()
                    .map(|()| false)
                    .map_err(|Unfit| CopyError::Unfit);
            }
        };
        let mark = Mark::new(mode, &entry.stat, hash);
        tracker.file(at, mark).map_err(|Unfit| CopyError::Unfit)
    }

    /// The same for a directory.
    fn track_directory(&mut self, stat: &Stat, at: &OsStr) -> Result<bool, CopyError> {
        let mode = FileType::Directory.as_raw_mode() | self.mode(stat, true);
        match &mut self.tracker {
            Some(tracker) => tracker
                .directory(at, Mark::new(mode, stat, [0; 32]))
                .map_err(|Unfit| CopyError::Unfit),
            None => Ok(false),
        }
    }

    /// A file that changed while it was copied is not what its digest says.
    fn recheck(&mut self, input: &std::fs::File, entry: &Entry) -> io::Result<()> {
        let now = rustix::fs::fstat(input)?;
        let same = is_of_same_time(&now, &entry.stat)
            && now.st_size == entry.stat.st_size
            && (now.st_ctime, now.st_ctime_nsec) == (entry.stat.st_ctime, entry.stat.st_ctime_nsec);
        if let Some(tracker) = self.tracker.as_mut().filter(|_| !same) {
            tracker.marks.put_other();
        }
        Ok(())
    }
}

fn is_of_same_time(a: &Stat, b: &Stat) -> bool {
    (a.st_mtime, a.st_mtime_nsec) == (b.st_mtime, b.st_mtime_nsec)
}
