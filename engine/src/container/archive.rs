//! A container's files from outside: for `cp`, configs and syncs, running or not.
//!
//! Every step goes by descriptor below the container's root and follows no link on the way
//! but within that root, so a container that swaps a directory for a link while we walk gets
//! its own files copied, never the machine's (CVE-2018-15664).

mod walk;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{Classify, ErrorKind};
use crate::layer::{ExtractOptions, LayerError, extract};
use crate::mount::{
    Below, CgroupView, MountError, Overlays, RootMount, Trees, attach, detached_root,
    in_private_namespace, mapped_root, place,
};
use crate::runtime::NsRoot;
use crate::sys::user_namespace;

use walk::{Reach, Walk, append, append_children, mount_of};

/// Directories in one another that no honest tree has.
const DEPTH: usize = 256;

/// Why files of a container cannot be reached.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ArchiveError {
    #[error("`{path}` does not exist in the container")]
    NotFound { path: String },
    #[error("cannot {doing} `{path}` in the container")]
    Path {
        doing: &'static str,
        path: String,
        source: io::Error,
    },
    #[error("the root of the container cannot be opened")]
    Root { source: io::Error },
    #[error("the root of the container cannot be mounted")]
    Mount { source: MountError },
    #[error("the archive cannot be unpacked into `{path}`")]
    Unpack { path: String, source: LayerError },
    #[error("the archive cannot be written")]
    Write { source: io::Error },
    #[error("the content of volume `{name}` and its archive")]
    Volume { name: String, source: LayerError },
}

impl Classify for ArchiveError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Path { source, .. } | Self::Root { source } | Self::Write { source } => {
                Classify::kind(source)
            }
            Self::Mount { .. } => ErrorKind::Internal,
            Self::Unpack { source, .. } | Self::Volume { source, .. } => source.kind(),
        }
    }
}

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// What it points to, within the container.
    Follow,
    /// The link itself.
    Keep,
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathType {
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// A container's file system.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    /// What the root of its user namespace is for us, if it has one of its own: then what its files belong to is not
    /// what they belong to for us.
    ids: Option<NsRoot>,
    /// Where its mounts are, and as long as which they are.
    _namespace: Option<OwnedFd>,
}

impl Tree {
    /// Of a running container, with everything that is mounted in it.
    pub fn of_process(pid: i32, ids: Option<NsRoot>) -> Result<Self, ArchiveError> {
        let path = format!("/proc/{pid}/root");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| ArchiveError::Root {
                source: errno.into(),
            })?;
        Ok(Self {
            root,
            ids,
            _namespace: None,
        })
    }

    /// Of a container that does not run: its root without its mounts, in no mount table.
    pub fn of_root(root: &RootMount) -> Result<Self, ArchiveError> {
        let root = detached_root(root).map_err(|source| ArchiveError::Mount { source })?;
        Ok(Self {
            root,
            ids: None,
            _namespace: None,
        })
    }

    /// The same with these mounts in it, in a mount namespace that nobody else sees.
    pub fn with_mounts(root: &RootMount, mounts: &[Mount]) -> Result<Self, ArchiveError> {
        if mounts.is_empty() {
            return Self::of_root(root);
        }
        in_private_namespace(|| assemble(root, mounts))
            .map_err(|source| ArchiveError::Mount { source })
            .flatten()
    }

    /// Does what makes files, as the container's own root would.
    fn make<T>(
        &self,
        doing: &'static str,
        path: &str,
        f: impl FnOnce() -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let Some(root) = self.ids else {
            return f();
        };
        user_namespace::in_the_name_of(root.uid, root.gid, f).map_err(|source| {
            ArchiveError::Path {
                doing,
                path: path.to_owned(),
                source,
            }
        })?
    }

    fn below(&self) -> Below<'_> {
        Below::new(self.root.as_fd())
    }

    /// What is there.
    pub fn kind(&self, path: &str) -> Result<Option<PathType>, ArchiveError> {
        match self.open(path, LastLink::Follow) {
            Ok((_, stat)) => Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => PathType::Directory,
                _ => PathType::File,
            })),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(failed("look at", path)(errno)),
        }
    }

    fn open(&self, path: &str, link: LastLink) -> Result<(OwnedFd, Stat), Errno> {
        let mut flags = OFlags::PATH;
        if link == LastLink::Keep {
            flags |= OFlags::NOFOLLOW;
        }
        let fd = self.below().open(relative(path), flags)?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok((fd, stat))
    }

    /// Writes a path, with everything below it, as a tar archive whose entries begin with the
    /// path's last name, or `.` for the root and for a path that ends with `.`.
    pub fn get(&self, path: &str, link: LastLink, out: &mut dyn Write) -> Result<(), ArchiveError> {
        let (fd, stat) = self.open(path, link).map_err(failed("read", path))?;
        let mut archive = tar::Builder::new(out);
        let reach = self
            .reach(&fd, &stat)
            .map_err(|errno| failed("read", path)(errno))?;
        let walk = Walk {
            reach,
            ids: self.ids,
        };
        append(&mut archive, fd, &stat, last_name(path), walk, 0)
            .and_then(|()| archive.finish())
            .map_err(|source| ArchiveError::Write { source })
    }

    /// How far a walk from here goes.
    fn reach(&self, fd: &OwnedFd, stat: &Stat) -> Result<Reach, Errno> {
        let root = rustix::fs::fstat(&self.root)?;
        let is_root = (root.st_dev, root.st_ino) == (stat.st_dev, stat.st_ino);
        Ok(match is_root {
            true => Reach::Root(mount_of(fd)?),
            false => Reach::Everything,
        })
    }

    /// Writes the whole root as a tar archive, without what is mounted in it.
    pub fn export(&self, out: &mut dyn Write) -> Result<(), ArchiveError> {
        let failed = |source| ArchiveError::Write { source };
        let mut archive = tar::Builder::new(out);
        let root = mount_of(&self.root).map_err(|errno| failed(errno.into()))?;
        let walk = Walk {
            reach: Reach::Mount(root),
            ids: self.ids,
        };
        append_children(&mut archive, &self.root, Path::new(""), walk, 1)
            .and_then(|()| archive.finish())
            .map_err(failed)
    }

    /// Unpacks a tar archive, compressed or not, into a directory that exists.
    pub fn put(&self, directory: &str, archive: &mut dyn Read) -> Result<(), ArchiveError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = self
            .below()
            .open(relative(directory), flags)
            .map_err(failed("write to", directory))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let options = ExtractOptions {
            first: self.ids.map(|root| (root.uid, root.gid)),
            ..ExtractOptions::default()
        };
        self.make("write to", directory, || {
            extract(archive, &path, &options)
                .map(drop)
                .map_err(|source| ArchiveError::Unpack {
                    path: directory.to_owned(),
                    source,
                })
        })
    }

    /// Makes a directory, and those before it, if missing.
    pub fn make_directory(&self, path: &str) -> Result<(), ArchiveError> {
        self.make("make", path, || {
            let made = self.below().directory(relative(path));
            made.map(drop).map_err(failed("make", path))
        })
    }

    /// Deletes a path with everything below it; a missing one is fine.
    pub fn delete(&self, path: &str) -> Result<(), ArchiveError> {
        let relative = relative(path);
        let Some(name) = relative.file_name() else {
            return Err(failed("delete", path)(Errno::BUSY));
        };
        let parent = relative.parent().unwrap_or(Path::new(""));
        let parent = match self
            .below()
            .open(parent, OFlags::RDONLY | OFlags::DIRECTORY)
        {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other.map_err(failed("delete", path))?,
        };
        remove(parent.as_fd(), name, 0).map_err(failed("delete", path))
    }
}

/// In a mount namespace of our own, which lives on with the tree.
fn assemble(root: &RootMount, mounts: &[Mount]) -> Result<Tree, ArchiveError> {
    let mount_error = |source| ArchiveError::Mount { source };
    let root_error = |source: io::Error| ArchiveError::Root { source };
    let made = Trees::of_engine(mounts, None).map_err(mount_error)?;
    let binds = Trees::of_binds(mounts, Overlays::Inside).map_err(mount_error)?;
    let root = mapped_root(root, None).map_err(mount_error)?;
    // On top of everything: where it is does not matter, only that it is somewhere.
    let top = crate::mount::open_root(Path::new("/")).map_err(|errno| root_error(errno.into()))?;
    place(root.as_fd(), top.as_fd()).map_err(|errno| root_error(errno.into()))?;
    for index in 0..mounts.len() {
        let below = Below::new(root.as_fd());
        let trees = [&made, &binds];
        attach(below, mounts, index, trees, &CgroupView::default()).map_err(mount_error)?;
    }
    let namespace = File::open("/proc/thread-self/ns/mnt").map_err(root_error)?;
    Ok(Tree {
        root,
        ids: None,
        _namespace: Some(namespace.into()),
    })
}

fn failed(doing: &'static str, path: &str) -> impl Fn(Errno) -> ArchiveError {
    move |errno| match errno {
        Errno::NOENT => ArchiveError::NotFound {
            path: path.to_owned(),
        },
        errno => ArchiveError::Path {
            doing,
            path: path.to_owned(),
            source: errno.into(),
        },
    }
}

fn relative(path: &str) -> &Path {
    Path::new(path.trim_start_matches('/'))
}

/// What the entries of a path's archive begin with.
fn last_name(path: &str) -> &Path {
    // `Path` would give the name before a `.` at the end.
    let contents = path.ends_with("/.");
    let name = relative(path).file_name().filter(|_| !contents);
    Path::new(name.unwrap_or(OsStr::new(".")))
}

fn remove(parent: BorrowedFd<'_>, name: &OsStr, depth: usize) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    if depth > DEPTH {
        return Err(Errno::NAMETOOLONG);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let child = OsStr::from_bytes(entry.file_name().to_bytes());
        if child != "." && child != ".." {
            remove(directory.as_fd(), child, depth + 1)?;
        }
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(dir: &Path) -> Tree {
        Tree {
            root: crate::mount::open_root(dir).unwrap(),
            ids: None,
            _namespace: None,
        }
    }

    #[test]
    fn what_is_put_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/file"), "text").unwrap();
        std::os::unix::fs::symlink("/a/b", dir.path().join("link")).unwrap();
        let tree = tree(dir.path());
        let mut archive = Vec::new();
        // The link resolves within the root, absolute as it is.
        tree.get("/link/file", LastLink::Follow, &mut archive)
            .unwrap();
        tree.put("/a", &mut archive.as_slice()).unwrap();
        assert_eq!(std::fs::read(dir.path().join("a/file")).unwrap(), b"text");

        let mut archive = Vec::new();
        tree.get("/a", LastLink::Follow, &mut archive).unwrap();
        let mut names: Vec<String> = tar::Archive::new(archive.as_slice())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        names.sort();
        assert_eq!(names, ["a/", "a/b/", "a/b/file", "a/file"]);
    }

    /// The names and link targets of a path's archive, sorted.
    fn listed(tree: &Tree, path: &str) -> Vec<(String, String)> {
        let mut archive = Vec::new();
        tree.get(path, LastLink::Keep, &mut archive).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut names: Vec<_> = tar::Archive::new(archive.as_slice())
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let target = entry.link_name_bytes().unwrap_or_default();
                (text(&entry.path_bytes()), text(&target))
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn contents_are_listed_below_a_dot() {
        let dir = tempfile::tempdir().unwrap();
        let long = "n".repeat(150);
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a").join(&long), "").unwrap();
        std::os::unix::fs::symlink(&long, dir.path().join("a/l")).unwrap();
        let tree = tree(dir.path());
        let names = |path| {
            let names = listed(&tree, path).into_iter().map(|(name, _)| name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(names("/a"), ["a/", "a/l", &format!("a/{long}")]);
        assert_eq!(names("/a/."), ["./", "./l", &format!("./{long}")]);
        for root in ["/", "", "/.", "/a/.."] {
            let below = format!("./a/{long}");
            assert_eq!(names(root), ["./", "./a/", "./a/l", &below], "{root}");
        }
        assert_eq!(listed(&tree, "a/l"), [("l".to_owned(), long)]);
    }

    #[test]
    fn links_out_of_the_root_stay_inside() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "host").unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
        let tree = tree(dir.path());
        assert_eq!(tree.kind("/out/secret").unwrap(), None);
        assert!(
            tree.get("/out/secret", LastLink::Follow, &mut Vec::new())
                .is_err()
        );
        tree.delete("/out/secret").unwrap();
        assert!(outside.path().join("secret").exists());
        // Deleting the link deletes the link.
        tree.delete("/out").unwrap();
        assert!(outside.path().join("secret").exists());
        assert!(!dir.path().join("out").exists());
    }

    #[test]
    fn a_directory_is_deleted_with_what_is_below() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("d/e/f")).unwrap();
        std::fs::write(dir.path().join("d/e/f/g"), "").unwrap();
        let tree = tree(dir.path());
        tree.delete("d").unwrap();
        tree.delete("d").unwrap();
        assert!(!dir.path().join("d").exists());
        assert!(tree.delete("/").is_err());
    }
}
