//! Opening and making paths below a container's root, whatever the image put there.
//!
//! Every path is resolved by the kernel with the container's root as `/` (openat2,
//! RESOLVE_IN_ROOT): a symbolic link cannot lead out, not even one that is swapped while we
//! look. Callers get a descriptor and go on with that, never with the path again.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, Result};

/// Symbolic links followed before we give up, as the kernel does.
const MAX_LINKS: usize = 40;

/// A directory that is the root for all paths resolved through it.
#[derive(Clone, Copy, Debug)]
pub struct Below<'fd> {
    root: BorrowedFd<'fd>,
}

/// What to make at the end of a path that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaf {
    Directory,
    File,
}

impl<'fd> Below<'fd> {
    /// Everything below this directory.
    pub fn new(root: BorrowedFd<'fd>) -> Self {
        Self { root }
    }

    /// The root itself.
    pub fn root(&self) -> BorrowedFd<'fd> {
        self.root
    }

    /// Opens what is there. Symbolic links are followed within the root; magic links never.
    pub fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd> {
        self.resolve(path, flags, ResolveFlags::empty())
    }

    /// Opens what is there; any symbolic link on the way is `ELOOP`. For /proc, /sys and /dev, which an image
    /// must not move somewhere else.
    pub fn open_strictly(&self, path: &Path, flags: OFlags) -> Result<OwnedFd> {
        self.resolve(path, flags, ResolveFlags::NO_SYMLINKS)
    }

    fn resolve(&self, path: &Path, flags: OFlags, more: ResolveFlags) -> Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        // An empty path is not the root for openat2, `.` is.
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        // EAGAIN: something on the way was renamed or mounted meanwhile, and the kernel cannot tell whether we
        // left the root. An attacker can cause it for ever, so the attempts are counted.
        for _ in 0..64 {
            match openat2(
                self.root,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            ) {
                Err(Errno::AGAIN | Errno::INTR) => continue,
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens a directory (`O_PATH`) and makes what is missing on the way.
    pub fn directory(&self, path: &Path) -> Result<OwnedFd> {
        match self.open(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => self.make(path, Leaf::Directory),
            other => other,
        }
    }

    /// As [`Below::directory`], but a symbolic link on the way is refused.
    pub fn directory_strictly(&self, path: &Path) -> Result<OwnedFd> {
        match self.open_strictly(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {
                self.make(path, Leaf::Directory)?;
                self.open_strictly(path, OFlags::PATH | OFlags::DIRECTORY)
            }
            other => other,
        }
    }

    /// Opens a file of any type (`O_PATH`), or makes an empty one and the directories before it.
    pub fn file(&self, path: &Path) -> Result<OwnedFd> {
        match self.open(path, OFlags::PATH) {
            Err(Errno::NOENT) => self.make(path, Leaf::File),
            other => other,
        }
    }

    /// Opens the directory that holds `path`, made if missing, and gives the last name.
    pub fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = self.directory(path.parent().unwrap_or(Path::new("")))?;
        Ok((parent, name))
    }

    /// Walks the path by hand and makes what is missing. Links are read and spliced in here, because
    /// an image's link may point to what does not exist yet (`/etc/resolv.conf -> ../run/…`).
    /// Each step reopens the resolved part, which has no links any more, below the root.
    fn make(&self, path: &Path, leaf: Leaf) -> Result<OwnedFd> {
        let mut pending: VecDeque<OsString> = names(path);
        let mut resolved = PathBuf::new();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            let parent = self.open_strictly(&resolved, OFlags::PATH | OFlags::DIRECTORY)?;
            let last = pending.is_empty();
            match rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Symlink => {
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(Errno::LOOP);
                        }
                        let target = rustix::fs::readlinkat(&parent, &name, Vec::new())?;
                        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                        if target.is_absolute() {
                            resolved.clear();
                        }
                        for name in names(&target).into_iter().rev() {
                            pending.push_front(name);
                        }
                        continue;
                    }
                    FileType::Directory => {}
                    _ if last && leaf == Leaf::File => {}
                    _ => return Err(Errno::NOTDIR),
                },
                Err(Errno::NOENT) if last && leaf == Leaf::File => {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let mode = Mode::from_raw_mode(0o644);
                    exists_is_fine(
                        rustix::fs::openat(&parent, &name, flags | OFlags::WRONLY, mode).map(drop),
                    )?;
                }
                Err(Errno::NOENT) => {
                    let mode = Mode::from_raw_mode(0o755);
                    exists_is_fine(rustix::fs::mkdirat(&parent, &name, mode))?;
                }
                Err(error) => return Err(error),
            }
            resolved.push(&name);
        }
        let flags = match leaf {
            Leaf::Directory => OFlags::PATH | OFlags::DIRECTORY,
            Leaf::File => OFlags::PATH,
        };
        self.open_strictly(&resolved, flags)
    }

    /// Reads a file, refusing more than `limit` bytes and anything that is not a regular file.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        use std::io::Read;
        // O_NONBLOCK: an image may have a FIFO there, whose open would wait for ever.
        let file = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL);
        }
        let mut bytes = Vec::new();
        std::fs::File::from(file)
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if bytes.len() as u64 > limit {
            return Err(Errno::FBIG);
        }
        Ok(bytes)
    }
}

/// The names of a path, without `/` and `.`; `..` stays.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::from_bytes(b"..").to_owned()),
            _ => None,
        })
        .collect()
}

/// Somebody else made it first: the reopening that follows looks at what it is.
fn exists_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// A root directory opened for [`Below`].
pub fn open_root(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

impl AsFd for Below<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn check(test: impl FnOnce(&Path, Below<'_>)) {
        let outside = tempfile::tempdir().expect("temporary directory");
        let root = outside.path().join("root");
        std::fs::create_dir(&root).expect("root");
        let fd = open_root(&root).expect("opens");
        test(outside.path(), Below::new(fd.as_fd()));
    }

    #[test]
    fn links_out_of_the_root_stay_inside() {
        check(|outside, below| {
            symlink("/etc", outside.join("root/absolute")).expect("link");
            symlink("../../..", outside.join("root/up")).expect("link");
            below.directory(Path::new("/absolute/new")).expect("made");
            below.directory(Path::new("/up/climbed")).expect("made");
            assert!(outside.join("root/etc/new").is_dir());
            assert!(outside.join("root/climbed").is_dir());
            assert!(!Path::new("/etc/new").exists());
        });
    }

    #[test]
    fn a_dangling_link_is_completed_inside_the_root() {
        check(|outside, below| {
            std::fs::create_dir(outside.join("root/etc")).expect("dir");
            symlink(
                "../run/systemd/stub.conf",
                outside.join("root/etc/resolv.conf"),
            )
            .expect("link");
            below.file(Path::new("/etc/resolv.conf")).expect("made");
            assert!(outside.join("root/run/systemd/stub.conf").is_file());
        });
    }

    #[test]
    fn strict_paths_refuse_links() {
        check(|outside, below| {
            symlink("/tmp", outside.join("root/proc")).expect("link");
            assert_eq!(
                below.directory_strictly(Path::new("/proc")).err(),
                Some(Errno::LOOP)
            );
        });
    }

    #[test]
    fn circles_end() {
        check(|outside, below| {
            symlink("b", outside.join("root/a")).expect("link");
            symlink("a", outside.join("root/b")).expect("link");
            assert_eq!(below.directory(Path::new("/a/x")).err(), Some(Errno::LOOP));
        });
    }

    #[test]
    fn reading_is_bounded_and_only_of_files() {
        check(|outside, below| {
            std::fs::write(outside.join("root/big"), [0; 11]).expect("written");
            let read = |name: &str| below.read(Path::new(name), 10).err();
            assert_eq!(read("/big"), Some(Errno::FBIG));
            assert_eq!(read("/"), Some(Errno::INVAL));
            assert_eq!(read("/none"), Some(Errno::NOENT));
            rustix::fs::mknodat(
                below.root(),
                "fifo",
                FileType::Fifo,
                Mode::from_raw_mode(0o600),
                0,
            )
            .expect("made");
            assert_eq!(read("/fifo"), Some(Errno::INVAL));
        });
    }
}
