//! Putting files into a root: `COPY`, `ADD`, `WORKDIR`, heredoc files.
//!
//! The destination is a [`Tree`] as well: an overlay whose writable directory becomes the layer, or a bare
//! directory for `--link`. Links in the destination path are followed inside the root; links met inside a
//! copied directory are replaced or refused, never followed.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::chmod::Change;
use super::digest::{self, Fields};
use super::former::{Mark, Tracker, Unfit};
use super::ignore::Patterns;
use super::select::Selected;
use super::tree::{self, Entry, Found, Place, Tree, View};

/// What the copies get instead of what they had.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    /// `--chown`.
    pub(super) owner: Option<(u32, u32)>,
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

/// Where sources go.
pub(super) struct Destination {
    place: Place,
    /// A directory, there or to be made; otherwise the name of a file.
    directory: bool,
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

    /// Looks at the destination. `into` says that it must be a directory.
    pub(super) fn destination(&self, path: &str, into: bool) -> Result<Destination, CopyError> {
        let place = self
            .to
            .locate(OsStr::new(path))
            .map_err(failed("reach", OsStr::new(path)))?;
        let directory = into || path.ends_with('/') || matches!(place.found, Found::Directory);
        Ok(Destination { place, directory })
    }

    /// Copies one selection to a path.
    pub(super) fn copy(
        &mut self,
        from: &Tree,
        selected: &Selected,
        path: &str,
        into: bool,
        exclude: &Patterns,
    ) -> Result<(), CopyError> {
        let destination = self.destination(path, into)?;
        match &selected.entry {
            Some(entry) => {
                let (dir, name, at) = self.file_place(destination, selected.name(), path)?;
                self.entry(
                    from,
                    selected.dir.as_fd(),
                    entry,
                    &selected.path,
                    OsStr::new(""),
                    dir.as_fd(),
                    &name,
                    &at,
                    exclude,
                )
            }
            None => {
                let dir = self.directory_place(destination.place, path)?;
                let (dir, at) = dir;
                self.children(
                    from,
                    selected.dir.as_fd(),
                    &selected.path,
                    OsStr::new(""),
                    dir.as_fd(),
                    &at,
                    exclude,
                )
            }
        }
    }

    /// Copies one selection below a directory with the directories of its own path (`--parents`).
    pub(super) fn copy_with_parents(
        &mut self,
        from: &Tree,
        selected: &Selected,
        skip: usize,
        path: &str,
        exclude: &Patterns,
    ) -> Result<(), CopyError> {
        let place = self
            .to
            .locate(OsStr::new(path))
            .map_err(failed("reach", OsStr::new(path)))?;
        let (mut dir, mut at) = self.directory_place(place, path)?;
        let parts: Vec<&OsStr> = selected
            .named
            .as_bytes()
            .split(|byte| *byte == b'/')
            .map(OsStr::from_bytes)
            .collect();
        let directories = if selected.entry.is_some() {
            parts.len() - 1
        } else {
            parts.len()
        };
        let mut below = OsString::new();
        for (number, part) in parts.iter().take(directories).enumerate() {
            below = tree::join(&below, part);
            if number < skip || part.is_empty() {
                continue;
            }
            at = tree::join(&at, part);
            let source = from.locate(&below).map_err(failed("read", &below))?;
            let stat =
                rustix::fs::fstat(&source.dir).map_err(|e| failed("read", &below)(e.into()))?;
            let made = self.subdirectory(dir.as_fd(), part, &at)?;
            self.dress_directory(from, source.dir.as_fd(), &stat, made.as_fd(), &at)?;
            dir = made;
        }
        match &selected.entry {
            Some(entry) => {
                let name = selected.name().to_owned();
                at = tree::join(&at, &name);
                self.entry(
                    from,
                    selected.dir.as_fd(),
                    entry,
                    &selected.path,
                    OsStr::new(""),
                    dir.as_fd(),
                    &name,
                    &at,
                    exclude,
                )
            }
            None => self.children(
                from,
                selected.dir.as_fd(),
                &selected.path,
                OsStr::new(""),
                dir.as_fd(),
                &at,
                exclude,
            ),
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
        fill: &mut dyn FnMut(&mut std::fs::File) -> io::Result<()>,
    ) -> Result<(), CopyError> {
        let destination = self.destination(path, into)?;
        let (dir, name, at) = self.file_place(destination, OsStr::new(name), path)?;
        self.clear(dir.as_fd(), &name, &at)?;
        let mut file = create(dir.as_fd(), &name).map_err(failed("create", &at))?;
        fill(&mut file).map_err(failed("write", &at))?;
        let (uid, gid) = self.attributes.owner.unwrap_or((0, 0));
        let mode = self
            .attributes
            .mode
            .as_ref()
            .map_or(mode, |change| change.apply(mode, false));
        finish_file(&file, uid, gid, mode, mtime.or(self.attributes.created))
            .map_err(failed("write", &at))
    }

    /// Makes a directory and its parents, each with the given owner; existing ones stay as they are.
    pub(super) fn make_directory(&mut self, path: &str) -> Result<OwnedFd, CopyError> {
        let place = self
            .to
            .locate(OsStr::new(path))
            .map_err(failed("reach", OsStr::new(path)))?;
        Ok(self.directory_place(place, path)?.0)
    }

    /// The directory and name where a single file goes; makes what is missing on the way.
    fn file_place(
        &self,
        destination: Destination,
        name: &OsStr,
        path: &str,
    ) -> Result<(OwnedFd, OsString, OsString), CopyError> {
        let Destination { place, directory } = destination;
        if directory {
            let (dir, at) = self.directory_place(place, path)?;
            let at = tree::join(&at, name);
            return Ok((dir, name.to_owned(), at));
        }
        match place.found {
            Found::Directory => Err(CopyError::IsADirectory(
                place.path.to_string_lossy().into_owned(),
            )),
            Found::Other(last, _) => {
                let at = tree::join(&place.path, &last);
                Ok((place.dir, last, at))
            }
            Found::Missing(mut names) => {
                let last = names.pop().unwrap_or_default();
                let (dir, at) = self.make_missing(place.dir, place.path, &names)?;
                let at = tree::join(&at, &last);
                Ok((dir, last, at))
            }
        }
    }

    fn directory_place(&self, place: Place, path: &str) -> Result<(OwnedFd, OsString), CopyError> {
        match place.found {
            Found::Directory => Ok((place.dir, place.path)),
            Found::Other(..) => Err(CopyError::NotADirectory(path.trim_matches('/').to_owned())),
            Found::Missing(names) => self.make_missing(place.dir, place.path, &names),
        }
    }

    fn make_missing(
        &self,
        dir: OwnedFd,
        path: OsString,
        names: &[OsString],
    ) -> Result<(OwnedFd, OsString), CopyError> {
        let (mut dir, mut at) = (dir, path);
        let (uid, gid) = self.attributes.owner.unwrap_or((0, 0));
        let mode = self
            .attributes
            .mode
            .as_ref()
            .map_or(0o755, |change| change.apply(0o755, true));
        for name in names {
            at = tree::join(&at, name);
            make_dir(dir.as_fd(), name).map_err(failed("create", &at))?;
            let made = tree::open_dir(dir.as_fd(), name).map_err(failed("create", &at))?;
            dress(made.as_fd(), uid, gid, Some(mode)).map_err(failed("create", &at))?;
            if let Some(created) = self.attributes.created {
                set_times(made.as_fd(), created, 0).map_err(failed("create", &at))?;
            }
            dir = made;
        }
        Ok((dir, at))
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
        let (uid, gid) = self.owner(from, stat);
        let mode = self.mode(stat, true);
        dress(made, uid, gid, Some(mode)).map_err(failed("change", at))?;
        if from.view == View::Image {
            copy_xattrs(source, OsStr::new("."), made).map_err(failed("change", at))?;
        }
        Ok(())
    }

    fn owner(&self, from: &Tree, stat: &Stat) -> (u32, u32) {
        self.attributes.owner.unwrap_or(match from.view {
            View::Context => (0, 0),
            View::Image => (stat.st_uid, stat.st_gid),
        })
    }

    fn mode(&self, stat: &Stat, directory: bool) -> u32 {
        let mode = stat.st_mode & 0o7777;
        self.attributes
            .mode
            .as_ref()
            .map_or(mode, |change| change.apply(mode, directory))
    }

    /// Copies what is in a directory. `path` is its place in the source, `shown` its path relative to the
    /// selection (for `--exclude`), `at` its place in the destination.
    #[expect(
        clippy::too_many_arguments,
        reason = "a recursion over source and destination at once"
    )]
    fn children(
        &mut self,
        from: &Tree,
        source: BorrowedFd<'_>,
        path: &OsStr,
        shown: &OsStr,
        dir: BorrowedFd<'_>,
        at: &OsStr,
        exclude: &Patterns,
    ) -> Result<(), CopyError> {
        let skip =
            |shown: &OsStr| !exclude.is_empty() && exclude.excludes(&shown.to_string_lossy());
        for entry in tree::entries(source).map_err(failed("read", path))? {
            let inner = tree::join(path, &entry.name);
            let shown = tree::join(shown, &entry.name);
            if digest::visible(from, &entry, &inner, &shown, &skip, source)
                .map_err(failed("read", &inner))?
            {
                let at = tree::join(at, &entry.name);
                self.entry(
                    from,
                    source,
                    &entry,
                    &inner,
                    &shown,
                    dir,
                    &entry.name,
                    &at,
                    exclude,
                )?;
            }
        }
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a recursion over source and destination at once"
    )]
    fn entry(
        &mut self,
        from: &Tree,
        source: BorrowedFd<'_>,
        entry: &Entry,
        path: &OsStr,
        shown: &OsStr,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        at: &OsStr,
        exclude: &Patterns,
    ) -> Result<(), CopyError> {
        let kind = entry.kind();
        if kind == FileType::Directory {
            let inner = tree::open_dir(source, &entry.name).map_err(failed("read", path))?;
            let there = self.track_directory(&entry.stat, at)?;
            let made = self.subdirectory(dir, name, at)?;
            if !there {
                self.dress_directory(from, inner.as_fd(), &entry.stat, made.as_fd(), at)?;
            }
            self.children(from, inner.as_fd(), path, shown, made.as_fd(), at, exclude)?;
            return match rustix::fs::fstat(&made) {
                Ok(now) if is_of_same_time(&now, &entry.stat) => Ok(()),
                _ => copy_times(made.as_fd(), &entry.stat).map_err(failed("change", at)),
            };
        }
        if kind == FileType::Socket || self.track(from, source, entry, path, at)? {
            return Ok(());
        }
        self.clear(dir, name, at)?;
        let key = (entry.stat.st_dev, entry.stat.st_ino);
        let several = entry.stat.st_nlink > 1;
        if several && let Some((first_dir, first)) = self.links.get(&key) {
            return rustix::fs::linkat(first_dir, first, dir, name, AtFlags::empty())
                .map_err(|e| failed("link", at)(e.into()));
        }
        let (uid, gid) = self.owner(from, &entry.stat);
        let mode = self.mode(&entry.stat, false);
        match kind {
            FileType::RegularFile => {
                let mut input =
                    tree::open_file(source, &entry.name).map_err(failed("read", path))?;
                let mut output = create(dir, name).map_err(failed("create", at))?;
                io::copy(&mut input, &mut output).map_err(failed("write", at))?;
                if self.tracker.is_some() {
                    self.recheck(&input, entry).map_err(failed("read", path))?;
                }
                dress(output.as_fd(), uid, gid, None).map_err(failed("change", at))?;
                if from.view == View::Image {
                    copy_xattrs(source, &entry.name, output.as_fd())
                        .map_err(failed("change", at))?;
                }
                rustix::fs::fchmod(&output, Mode::from_raw_mode(mode))
                    .map_err(|e| failed("change", at)(e.into()))?;
                copy_times(output.as_fd(), &entry.stat).map_err(failed("change", at))?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(source, &entry.name, Vec::new())
                    .map_err(|e| failed("read", path)(e.into()))?;
                rustix::fs::symlinkat(target, dir, name)
                    .map_err(|e| failed("create", at)(e.into()))?;
                self.dress_special(dir, name, uid, gid, None, &entry.stat)
                    .map_err(failed("change", at))?;
            }
            kind => {
                rustix::fs::mknodat(
                    dir,
                    name,
                    kind,
                    Mode::from_raw_mode(mode),
                    entry.stat.st_rdev,
                )
                .map_err(|e| failed("create", at)(e.into()))?;
                self.dress_special(dir, name, uid, gid, Some(mode), &entry.stat)
                    .map_err(failed("change", at))?;
            }
        }
        if several {
            let dir = dir.try_clone_to_owned().map_err(failed("link", at))?;
            self.links.insert(key, (dir, name.to_owned()));
        }
        Ok(())
    }

    /// Notes a file, link or device; `true` when it is there from the former layer.
    fn track(
        &mut self,
        from: &Tree,
        source: BorrowedFd<'_>,
        entry: &Entry,
        path: &OsStr,
        at: &OsStr,
    ) -> Result<bool, CopyError> {
        let mode = self.mode(&entry.stat, false);
        let Some(tracker) = &mut self.tracker else {
            return Ok(false);
        };
        let kind = entry.kind();
        let mode = kind.as_raw_mode() | mode;
        let hash = match (kind, &from.index) {
            (FileType::RegularFile, Some(index)) if entry.stat.st_nlink == 1 => {
                index.file(source, entry).map_err(failed("read", path))?
            }
            (FileType::Symlink, _) => {
                let target = rustix::fs::readlinkat(source, &entry.name, Vec::new())
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

    fn dress_special(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        uid: u32,
        gid: u32,
        mode: Option<u32>,
        stat: &Stat,
    ) -> io::Result<()> {
        rustix::fs::chownat(
            dir,
            name,
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        if let Some(mode) = mode {
            rustix::fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        rustix::fs::utimensat(dir, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    /// Takes away what is in a file's place; a directory is not.
    fn clear(&self, dir: BorrowedFd<'_>, name: &OsStr, at: &OsStr) -> Result<(), CopyError> {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Err(CopyError::IsADirectory(at.to_string_lossy().into_owned())),
            Err(error) => Err(failed("replace", at)(error.into())),
        }
    }
}

fn create(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<std::fs::File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?.into())
}

fn make_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755))?)
}

/// Owner, then mode: a change of owner clears the set-user-id bits. The descriptor may be `O_PATH`.
fn dress(fd: BorrowedFd<'_>, uid: u32, gid: u32, mode: Option<u32>) -> io::Result<()> {
    rustix::fs::chownat(
        fd,
        "",
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        AtFlags::EMPTY_PATH,
    )?;
    if let Some(mode) = mode {
        // `.` works for `O_PATH` directories, which fchmod refuses.
        rustix::fs::chmodat(fd, ".", Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    Ok(())
}

fn finish_file(
    file: &std::fs::File,
    uid: u32,
    gid: u32,
    mode: u32,
    mtime: Option<i64>,
) -> io::Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
    if let Some(seconds) = mtime {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        rustix::fs::futimens(
            file,
            &Timestamps {
                last_access: time,
                last_modification: time,
            },
        )?;
    }
    Ok(())
}

fn is_of_same_time(a: &Stat, b: &Stat) -> bool {
    (a.st_mtime, a.st_mtime_nsec) == (b.st_mtime, b.st_mtime_nsec)
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec as i64,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn copy_times(fd: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    set_times(fd, stat.st_mtime, stat.st_mtime_nsec as i64)
}

pub(super) fn set_times(fd: BorrowedFd<'_>, seconds: i64, nanoseconds: i64) -> io::Result<()> {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    // `/proc/self/fd` serves files and `O_PATH` directories alike.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::utimensat(
        rustix::fs::CWD,
        path,
        &times,
        AtFlags::empty(),
    )?)
}

fn copy_xattrs(dir: BorrowedFd<'_>, name: &OsStr, to: BorrowedFd<'_>) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", to.as_raw_fd());
    for (name, value) in digest::xattrs(dir, name)? {
        match rustix::fs::setxattr(
            path.as_str(),
            name.as_slice(),
            &value,
            rustix::fs::XattrFlags::empty(),
        ) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
