//! A directory as a root: walking inside it, following symbolic links inside it, never leaving it.
//!
//! Every step opens one name relative to a directory that is already open, without following; links are
//! read and walked by hand, `..` goes back to a directory that was passed. So a tree that changes meanwhile
//! cannot lead out of its root. The build context, a stage's files and the destination are all such trees.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::digest::Index;
use super::ignore::Patterns;

/// Links followed on the way to one path (the reference's limit).
const MAX_LINKS: usize = 255;

/// A root directory and how its entries are to be seen.
pub(super) struct Tree {
    root: OwnedFd,
    /// Paths that are not there.
    pub(super) ignore: Patterns,
    /// What is copied out of it.
    pub(super) view: View,
    /// Digests of files by their status.
    pub(super) index: Option<Arc<Index>>,
}

/// Whose files these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The user's: owners become 0:0, extended attributes are dropped.
    Context,
    /// An image's: everything is kept.
    Image,
}

/// Where a path leads.
pub(super) struct Place {
    /// The last directory that exists on the way.
    pub(super) dir: OwnedFd,
    /// Its real path below the root, without slashes around it; empty is the root.
    pub(super) path: OsString,
    /// What is there.
    pub(super) found: Found,
}

/// What a path leads to.
pub(super) enum Found {
    /// `dir` itself.
    Directory,
    /// An entry of `dir` that is no directory (and no link: those were followed).
    Other(OsString, Box<Stat>),
    /// Nothing: these names are missing below `dir`.
    Missing(Vec<OsString>),
}

impl Tree {
    /// A directory of the machine.
    pub(super) fn open(path: &Path, view: View) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::new(
            rustix::fs::open(path, flags, Mode::empty())?,
            view,
        ))
    }

    /// A directory that is open.
    pub(super) fn new(root: OwnedFd, view: View) -> Self {
        Self {
            root,
            ignore: Patterns::default(),
            view,
            index: None,
        }
    }

    /// The root.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Follows a path, the last component included.
    pub(super) fn locate(&self, path: &OsStr) -> io::Result<Place> {
        let mut todo: Vec<OsString> = components(path).rev().collect();
        let mut passed: Vec<(OsString, OwnedFd)> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                passed.pop();
                continue;
            }
            let here = passed
                .last()
                .map_or(self.root.as_fd(), |(_, fd)| fd.as_fd());
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = match rustix::fs::openat(here, &name, flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => {
                    let mut missing = vec![name];
                    for name in todo.into_iter().rev() {
                        // `..` of a directory that is not there yet.
                        if name == ".." {
                            missing.pop();
                        } else {
                            missing.push(name);
                        }
                    }
                    return self.place(
                        passed,
                        if missing.is_empty() {
                            Found::Directory
                        } else {
                            Found::Missing(missing)
                        },
                    );
                }
                Err(error) => return Err(error.into()),
            };
            let stat = rustix::fs::fstat(&fd)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => passed.push((name, fd)),
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = OsString::from_vec(
                        rustix::fs::readlinkat(&fd, "", Vec::new())?.into_bytes(),
                    );
                    if target.as_bytes().starts_with(b"/") {
                        passed.clear();
                    }
                    todo.extend(components(&target).rev());
                }
                _ if todo.is_empty() => {
                    return self.place(passed, Found::Other(name, Box::new(stat)));
                }
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        self.place(passed, Found::Directory)
    }

    fn place(&self, mut passed: Vec<(OsString, OwnedFd)>, found: Found) -> io::Result<Place> {
        let names: Vec<&[u8]> = passed.iter().map(|(name, _)| name.as_bytes()).collect();
        let path = OsString::from_vec(names.join(&b'/'));
        let dir = match passed.pop() {
            Some((_, fd)) => fd,
            None => self.root.try_clone()?,
        };
        Ok(Place { dir, path, found })
    }

    /// Reads a small file below the root; `None` when there is none.
    pub(super) fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let place = match self.locate(OsStr::new(path)) {
            Ok(place) => place,
            Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match place.found {
            Found::Missing(_) => Ok(None),
            Found::Directory => Err(Errno::ISDIR.into()),
            Found::Other(name, _) => {
                let mut file = open_file(place.dir.as_fd(), &name)?;
                let mut bytes = Vec::new();
                io::Read::read_to_end(&mut file, &mut bytes)?;
                Ok(Some(bytes))
            }
        }
    }

    /// Whether an entry is to be seen; `path` is relative to the root.
    pub(super) fn sees(&self, path: &OsStr) -> bool {
        self.ignore.is_empty() || !self.ignore.excludes(&path.to_string_lossy())
    }

    /// Whether a directory that is not seen itself may hold something that is.
    pub(super) fn enters(&self, path: &OsStr) -> bool {
        self.ignore.may_keep_below(&path.to_string_lossy())
    }
}

/// Whether a path is there, ignored or not.
pub(super) fn exists(tree: &Tree, path: &str) -> bool {
    tree.locate(OsStr::new(path))
        .is_ok_and(|place| !matches!(place.found, Found::Missing(_)))
}

/// An entry of a directory.
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) stat: Stat,
}

impl Entry {
    /// Its type.
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// The entries of a directory, sorted by name.
pub(super) fn entries(dir: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let readable = rustix::fs::openat(
        dir,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&readable)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort_unstable();
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        match rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => entries.push(Entry { name, stat }),
            // Gone between the two calls.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(entries)
}

/// A directory below another, not through a link.
pub(super) fn open_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// A regular file for reading, not through a link.
pub(super) fn open_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?.into())
}

/// `base/name`, or `name` at the root.
pub(super) fn join(base: &OsStr, name: &OsStr) -> OsString {
    if base.is_empty() {
        return name.to_owned();
    }
    let mut path = base.to_owned();
    path.push("/");
    path.push(name);
    path
}

fn components(path: &OsStr) -> impl DoubleEndedIterator<Item = OsString> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsStr::from_bytes(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/f"), "f").unwrap();
        symlink("../../../../a/f", root.join("a/b/up")).unwrap();
        symlink("/a", root.join("abs")).unwrap();
        symlink("nowhere/x", root.join("dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let tree = Tree::open(root, View::Context).unwrap();
        assert_eq!(tree.read("a/b/up").unwrap().unwrap(), b"f");
        assert_eq!(tree.read("/abs/../../a/f").unwrap().unwrap(), b"f");
        assert!(tree.read("none").unwrap().is_none());
        let place = tree.locate(OsStr::new("dangling")).unwrap();
        assert!(matches!(place.found, Found::Missing(names) if names == ["nowhere", "x"]));
        assert!(tree.locate(OsStr::new("loop")).is_err());
        assert!(tree.locate(OsStr::new("a/f/x")).is_err());
    }
}
