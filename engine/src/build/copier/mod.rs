//! Putting files into a root: for `COPY`, `ADD`, `WORKDIR`, heredocs, mounts and outputs.
//!
//! The destination is a [`Tree`] as well: an overlay whose writable directory becomes the layer, or a bare
//! directory for `--link`. Links in the destination path are followed inside the root (`place`); links met inside a
//! copied directory are replaced or refused, never followed (`walk`).

mod place;
mod walk;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{self, Owner, own};
use super::chmod::Change;
use super::digest;
use super::former::Tracker;
use super::ignore::Patterns;
use super::select::Selected;
use super::tree::{self, Tree, View};
use walk::{Folder, Item, Source, Target};

/// What the copies get instead of what they had.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    /// `--chown`.
    pub(super) owner: Option<Owner>,
    /// `--chmod`.
    pub(super) mode: Option<Change>,
    /// Time of what is made here (SOURCE_DATE_EPOCH); `None` is now.
    pub(super) created: Option<i64>,
}

/// Why something could not be put there.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// A directory onto something else.
    #[error("cannot copy a directory to `/{0}`: it is not a directory")]
    NotADirectory(String),
    /// The step cannot be done over its former layer.
    #[error("the step is to be done anew")]
    Unfit,
    /// Something else onto a directory.
    #[error("cannot replace the directory `/{0}` with a file")]
    IsADirectory(String),
    /// Anything else.
    #[error("cannot {action} `/{path}`: {source}")]
    Io {
        action: &'static str,
        path: String,
        source: io::Error,
    },
}

impl Attributes {
    /// Owner of what is made and copied from nowhere.
    fn new_owner(&self) -> Owner {
        self.owner.unwrap_or((0, 0))
    }

    /// Mode of a directory that is made on the way: `--chmod` gives it its permissions when it is octal.
    fn new_directory(&self) -> u32 {
        match self.mode {
            Some(Change::Octal(mode)) => mode & 0o777,
            Some(Change::Symbolic(_)) | None => 0o755,
        }
    }

    fn changed(&self, mode: u32, directory: bool) -> u32 {
        self.mode
            .as_ref()
            .map_or(mode, |change| change.apply(mode, directory))
    }
}

fn failed(action: &'static str, path: &OsStr) -> impl FnOnce(io::Error) -> CopyError {
    let path = path.to_string_lossy().into_owned();
    move |source| CopyError::Io {
        action,
        path,
        source,
    }
}

/// One instruction's worth of copying.
pub(super) struct Copier<'a, 't> {
    pub(super) to: &'a Tree,
    pub(super) attributes: &'a Attributes,
    /// Files with several names that were copied already: where each went.
    links: HashMap<(u64, u64), (OwnedFd, OsString)>,
    /// Notes what goes where, and spares what is there from the step's former layer.
    tracker: Option<&'a mut Tracker<'t>>,
}

impl<'a, 't> Copier<'a, 't> {
    /// Begins.
    pub(super) fn new(to: &'a Tree, attributes: &'a Attributes) -> Self {
        Self {
            to,
            attributes,
            links: HashMap::new(),
            tracker: None,
        }
    }

    /// Lets somebody note what goes where.
    pub(super) fn tracked(mut self, tracker: Option<&'a mut Tracker<'t>>) -> Self {
        self.tracker = tracker;
        self
    }

    /// Copies one selection to a path. `into` says that it must be a directory.
    pub(super) fn copy(
        &mut self,
        from: &Tree,
        selected: &Selected,
        path: &str,
        into: bool,
        exclude: &Patterns,
    ) -> Result<(), CopyError> {
        let source = Source {
            tree: from,
            exclude,
        };
        match &selected.entry {
            Some(_) => {
                let (dir, name, at) = self.file_place(selected.name(), path, into)?;
                let target = Target {
                    dir: dir.as_fd(),
                    name: &name,
                    at: &at,
                };
                self.selected(&source, selected, OsStr::new(""), &target)
            }
            None => {
                let (dir, at) = self.directory_place(path)?;
                let name = OsStr::new("");
                let target = Target {
                    dir: dir.as_fd(),
                    name,
                    at: &at,
                };
                self.selected(&source, selected, name, &target)
            }
        }
    }

    /// Copies one selection below a directory with the directories of its own path (`--parents`), but for the
    /// first `skip` of them.
    pub(super) fn copy_with_parents(
        &mut self,
        from: &Tree,
        selected: &Selected,
        skip: usize,
        path: &str,
        exclude: &Patterns,
    ) -> Result<(), CopyError> {
        let source = Source {
            tree: from,
            exclude,
        };
        let shown = selected.below(skip);
        let left = selected.is_left(from, &shown, exclude);
        if !left.map_err(failed("read", &selected.path))? {
            return Ok(());
        }
        let (mut dir, mut at) = self.directory_place(path)?;
        let parts: Vec<&OsStr> = selected
            .named
            .as_bytes()
            .split(|byte| *byte == b'/')
            .map(OsStr::from_bytes)
            .collect();
        let directories = parts.len() - usize::from(selected.entry.is_some());
        let mut below = OsString::new();
        for (number, part) in parts.iter().take(directories).enumerate() {
            below = tree::join(&below, part);
            if number < skip || part.is_empty() {
                continue;
            }
            at = tree::join(&at, part);
            let place = from.locate(&below).map_err(failed("read", &below))?;
            let stat = rustix::fs::fstat(&place.dir)
                .map_err(|errno| failed("read", &below)(errno.into()))?;
            let made = self.subdirectory(dir.as_fd(), part, &at)?;
            self.dress_directory(from, place.dir.as_fd(), &stat, made.as_fd(), &at)?;
            dir = made;
        }
        let name = match selected.entry {
            Some(_) => selected.name(),
            None => OsStr::new(""),
        };
        let at = match selected.entry {
            Some(_) => tree::join(&at, name),
            None => at,
        };
        self.selected(
            &source,
            selected,
            &shown,
            &Target {
                dir: dir.as_fd(),
                name,
                at: &at,
            },
        )
    }

    /// Copies a selection to a place: a file, or of a directory what is in it. `shown` is its path for `--exclude`.
    fn selected(
        &mut self,
        source: &Source<'_>,
        selected: &Selected,
        shown: &OsStr,
        target: &Target<'_>,
    ) -> Result<(), CopyError> {
        let (fd, path) = (selected.dir.as_fd(), &*selected.path);
        match &selected.entry {
            Some(entry) => {
                let item = Item {
                    dir: fd,
                    entry,
                    path,
                    shown,
                };
                self.entry(source, &item, target)
            }
            None => self.children(source, &Folder { fd, path, shown }, target.dir, target.at),
        }
    }

    /// Writes a file with given bytes.
    pub(super) fn write(
        &mut self,
        name: &str,
        mode: u32,
        mtime: Option<i64>,
        path: &str,
        into: bool,
        fill: &mut dyn FnMut(&mut File) -> io::Result<()>,
    ) -> Result<(), CopyError> {
        let (dir, name, at) = self.file_place(OsStr::new(name), path, into)?;
        clear(dir.as_fd(), &name, &at)?;
        let mut file = create(dir.as_fd(), &name).map_err(failed("create", &at))?;
        let mut finish = |file: &mut File| {
            fill(file)?;
            let mode = self.attributes.changed(mode, false);
            own(file.as_fd(), self.attributes.new_owner())?;
            rustix::fs::fchmod(&*file, Mode::from_raw_mode(mode))?;
            match mtime.or(self.attributes.created) {
                Some(seconds) => {
                    attributes::set_times(file.as_fd(), &attributes::times(seconds, 0))
                }
                None => Ok(()),
            }
        };
        finish(&mut file).map_err(failed("write", &at))
    }

    /// Makes a directory and its parents, each with the given owner; existing ones stay as they are.
    pub(super) fn make_directory(&mut self, path: &str) -> Result<OwnedFd, CopyError> {
        let place = self.place(path)?;
        Ok(self.directory(place, path, 0o755)?.0)
    }

    /// A directory below another that is there or is made now.
    fn subdirectory(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        at: &OsStr,
    ) -> Result<OwnedFd, CopyError> {
        match make_dir(dir, name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("create", at)(error)),
        }
        tree::open_dir(dir, name).map_err(|error| match error.raw_os_error() {
            Some(code)
                if code == Errno::NOTDIR.raw_os_error() || code == Errno::LOOP.raw_os_error() =>
            {
                CopyError::NotADirectory(at.to_string_lossy().into_owned())
            }
            _ => failed("open", at)(error),
        })
    }

    /// Gives a directory the attributes of its source.
    fn dress_directory(
        &self,
        from: &Tree,
        source: BorrowedFd<'_>,
        stat: &Stat,
        made: BorrowedFd<'_>,
        at: &OsStr,
    ) -> Result<(), CopyError> {
        let owner = self.owner(from, stat);
        let mode = self.mode(stat, true);
        attributes::dress_directory(made, owner, mode).map_err(failed("change", at))?;
        if from.view == View::Image {
            copy_xattrs(source, OsStr::new("."), made).map_err(failed("change", at))?;
        }
        Ok(())
    }

    fn owner(&self, from: &Tree, stat: &Stat) -> Owner {
        self.attributes.owner.unwrap_or(match from.view {
            View::Context => (0, 0),
            View::Image => (stat.st_uid, stat.st_gid),
        })
    }

    fn mode(&self, stat: &Stat, directory: bool) -> u32 {
        self.attributes.changed(stat.st_mode & 0o7777, directory)
    }
}

/// Takes away what is in a file's place; a directory is not.
fn clear(dir: BorrowedFd<'_>, name: &OsStr, at: &OsStr) -> Result<(), CopyError> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Err(CopyError::IsADirectory(at.to_string_lossy().into_owned())),
        Err(error) => Err(failed("replace", at)(error.into())),
    }
}

/// A new file that nobody else may read yet.
pub(super) fn create(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?.into())
}

fn make_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755))?)
}

fn copy_xattrs(dir: BorrowedFd<'_>, name: &OsStr, to: BorrowedFd<'_>) -> io::Result<()> {
    attributes::set_xattrs(to, &digest::xattrs(dir, name)?)
}
