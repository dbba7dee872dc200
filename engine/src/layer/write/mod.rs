//! A layer's directory to its archive, always the same bytes for the same tree.
//!
//! Members are sorted by name, whiteouts before other members of a directory, directories
//! before their content; owners by number only, times in whole seconds, PAX records only
//! where ustar's fields are too small. Hard links inside the tree stay hard links: the first
//! name is the file. Holes are written as zeros, sockets are left out. A file that changes
//! while it is read is an error, as is a name that begins with `.wh.`: no archive could tell it
//! from a whiteout.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use sha2::{Digest as _, Sha256};

use super::checkpoints::Fingerprint;
use super::tar::{Entry, Kind, TarTime, TarWriter, plain, show};
use super::tree::is_whiteout;
use super::{LayerError, merged};
use members::{Folder, Opened};
use sink::Plain;
pub(super) use sink::Sink;
pub use trees::write_trees;

mod members;
mod sink;
mod trees;

/// How a tree is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct TarOptions {
    /// Later times become this one, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub clamp_mtime: Option<i64>,
    /// Not a layer: names and devices that mean deletion in one are what they are, and times are whole.
    pub plain: bool,
}

/// Writes the archive of a layer's directory. Gives the bytes of its regular files.
pub fn write_tar<W: Write>(
    directory: &Path,
    out: W,
    options: &TarOptions,
) -> Result<u64, LayerError> {
    write_merged(&[directory], out, options)
}

fn open(directory: &Path) -> Result<OwnedFd, LayerError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, directory, flags, Mode::empty())
        .map_err(LayerError::errno("open", directory))
}

/// Writes the archive of a layer in several directories, topmost first: the lower ones show through, and
/// what an upper one deletes of them is just not there.
pub(super) fn write_merged<W: Write, P: AsRef<Path>>(
    directories: &[P],
    out: W,
    options: &TarOptions,
) -> Result<u64, LayerError> {
    write_to(directories, &mut Plain(out), options)
}

/// Writes the archive of merged directories to a sink. Gives the bytes of its regular files.
pub(super) fn write_to<S: Sink, P: AsRef<Path>>(
    directories: &[P],
    sink: &mut S,
    options: &TarOptions,
) -> Result<u64, LayerError> {
    let mut roots = Vec::with_capacity(directories.len());
    for directory in directories {
        roots.push(open(directory.as_ref())?);
    }
    let Some(top) = roots.first() else {
        return Ok(0);
    };
    let mut walk = Walk::new(sink, options);
    let stat = rustix::fs::fstat(top).map_err(|errno| LayerError::Read(errno.into()))?;
    // The root's own entry only when it says something.
    if stat.st_mode & 0o7777 != 0o755 || stat.st_uid != 0 || stat.st_gid != 0 {
        let entry = walk.entry(b"./".to_vec(), Kind::Directory, &stat, Vec::new());
        walk.header(&entry)?;
    }
    let folders: Vec<Folder<'_>> = roots
        .iter()
        .enumerate()
        .map(|(number, root)| Folder {
            fd: root.as_fd(),
            over: number + 1 == roots.len(),
        })
        .collect();
    walk.directory(&folders, b"")?;
    walk.finish()
}

struct Walk<'s, S> {
    writer: TarWriter<&'s mut S>,
    options: TarOptions,
    /// First name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
    size: u64,
}

impl<'s, S: Sink> Walk<'s, S> {
    fn new(sink: &'s mut S, options: &TarOptions) -> Self {
        Self {
            writer: TarWriter::new(sink),
            options: *options,
            links: HashMap::new(),
            buffer: vec![0; 128 << 10],
            size: 0,
        }
    }

    /// Writes a member that is nothing but its header, unless the sink knows it.
    fn header(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let wanted = !self.writer.out().compares() || {
            let print = Fingerprint::of_bytes(&header_bytes(entry)?, None);
            self.writer
                .out()
                .member(&print)
                .map_err(LayerError::Write)?
        };
        match wanted {
            true => self.writer.header(entry).map_err(LayerError::Write),
            false => Ok(()),
        }
    }

    fn finish(mut self) -> Result<u64, LayerError> {
        let ended = self.writer.out().end();
        ended
            .and_then(|()| self.writer.finish().map(drop))
            .map_err(LayerError::Write)?;
        Ok(self.size)
    }

    /// Writes the members of a directory that lies in one or several trees, topmost first.
    fn directory(&mut self, trees: &[Folder<'_>], prefix: &[u8]) -> Result<(), LayerError> {
        let list = members::list(trees).map_err(|errno| failed(prefix, errno))?;
        let merged = members::merge(&list, trees.len());
        for same in merged {
            let below: Vec<Folder<'_>> = same
                .iter()
                .take_while(|member| !is_whiteout(&member.stat))
                .map(|member| trees[member.tree])
                .collect();
            let sources = if below.is_empty() {
                &trees[same[0].tree..=same[0].tree]
            } else {
                below.as_slice()
            };
            self.member(sources, prefix, &same[0].name, &same[0].stat)?;
        }
        Ok(())
    }

    /// Writes a member; `trees` are those that have it, topmost first.
    fn member(
        &mut self,
        trees: &[Folder<'_>],
        prefix: &[u8],
        name: &[u8],
        stat: &Stat,
    ) -> Result<(), LayerError> {
        let path = [prefix, name].concat();
        if is_whiteout(stat) && !self.options.plain {
            return self.marker([prefix, b".wh.", name].concat());
        }
        if name.starts_with(b".wh.") && !self.options.plain {
            return Err(LayerError::Refused {
                entry: show(&path),
                why: "in a layer, names that begin with `.wh.` mean deleted files".to_owned(),
            });
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.subdirectory(trees, &path, name, stat),
            FileType::Socket => Ok(()),
            _ if stat.st_nlink > 1 && self.linked(&path, stat)? => Ok(()),
            FileType::RegularFile => self.file(trees[0], name, path, stat),
            kind => self.special(kind, trees[0].fd, name, path, stat),
        }
    }

    /// Writes a directory with everything in it.
    fn subdirectory(
        &mut self,
        trees: &[Folder<'_>],
        path: &[u8],
        name: &[u8],
        stat: &Stat,
    ) -> Result<(), LayerError> {
        let top = Opened::below(trees[0], name).map_err(|errno| failed(path, errno))?;
        let opaque = top.is_opaque();
        let mut opened = vec![top];
        for tree in trees.iter().skip(1).take_while(|_| !opaque) {
            match Opened::below(*tree, name) {
                Ok(lower) => opened.push(lower),
                // Something else in its place below: nothing of that shows through.
                Err(Errno::NOTDIR | Errno::LOOP) => break,
                Err(errno) => return Err(failed(path, errno)),
            }
        }
        let folders: Vec<Folder<'_>> = opened.iter().map(Opened::folder).collect();
        let xattrs = merged::xattrs(folders[0].fd).map_err(|source| LayerError::Unpack {
            entry: show(path),
            source,
        })?;
        let below = [path, b"/"].concat();
        let entry = self.entry(below.clone(), Kind::Directory, stat, xattrs);
        self.header(&entry)?;
        if opaque && !self.options.plain {
            self.marker([below.as_slice(), b".wh..wh..opq"].concat())?;
        }
        self.directory(&folders, &below)
    }

    /// Writes a file of several names as a link, unless this is its first name.
    fn linked(&mut self, path: &[u8], stat: &Stat) -> Result<bool, LayerError> {
        match self.links.entry((stat.st_dev, stat.st_ino)) {
            Slot::Occupied(first) => {
                let kind = Kind::HardLink(first.get().clone());
                self.bare(path.to_vec(), kind, stat)?;
                Ok(true)
            }
            Slot::Vacant(slot) => {
                slot.insert(path.to_vec());
                Ok(false)
            }
        }
    }

    /// Writes a symbolic link, a device or a pipe.
    fn special(
        &mut self,
        kind: FileType,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: Vec<u8>,
        stat: &Stat,
    ) -> Result<(), LayerError> {
        let (major, minor) = (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        );
        let kind = match kind {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new());
                Kind::Symlink(target.map_err(|errno| failed(&path, errno))?.into_bytes())
            }
            FileType::CharacterDevice => Kind::Char { major, minor },
            FileType::BlockDevice => Kind::Block { major, minor },
            FileType::Fifo => Kind::Fifo,
            _ => {
                return Err(LayerError::Refused {
                    entry: show(&path),
                    why: "it is of a type that archives cannot hold".to_owned(),
                });
            }
        };
        self.bare(path, kind, stat)
    }

    /// Writes a member that is nothing but its header.
    fn bare(&mut self, path: Vec<u8>, kind: Kind, stat: &Stat) -> Result<(), LayerError> {
        let entry = Entry {
            size: 0,
            ..self.entry(path, kind, stat, Vec::new())
        };
        self.header(&entry)
    }

    /// Writes a file, unless the sink knows it.
    fn file(
        &mut self,
        folder: Folder<'_>,
        name: &[u8],
        path: Vec<u8>,
        stat: &Stat,
    ) -> Result<(), LayerError> {
        // One of a layer is known without opening it.
        if folder.over && self.writer.out().compares() {
            let print = Fingerprint::of_inode(&path, stat);
            let wanted = self.writer.out().member(&print);
            if !wanted.map_err(LayerError::Write)? {
                self.size += stat.st_size as u64;
                return Ok(());
            }
        }
        let read = |source: std::io::Error| LayerError::Unpack {
            entry: show(&path),
            source,
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = rustix::fs::openat(folder.fd, name, flags, Mode::empty());
        let file = File::from(fd.map_err(|errno| read(errno.into()))?);
        let xattrs = merged::xattrs(&file).map_err(read)?;
        let entry = self.entry(path.clone(), Kind::File, stat, xattrs);
        self.size += entry.size;
        if !folder.over && self.writer.out().compares() {
            let content = content(&file, &mut self.buffer).map_err(read)?;
            let print = Fingerprint::of_bytes(&header_bytes(&entry)?, Some(content));
            let wanted = self.writer.out().member(&print);
            if !wanted.map_err(LayerError::Write)? {
                return Ok(());
            }
        }
        self.writer.header(&entry).map_err(LayerError::Write)?;
        self.data(file, &entry)
    }

    fn data(&mut self, mut file: File, entry: &Entry) -> Result<(), LayerError> {
        let mut left = entry.size;
        while left > 0 {
            let room = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            let count =
                file.read(&mut self.buffer[..room])
                    .map_err(|source| LayerError::Unpack {
                        entry: show(&entry.path),
                        source,
                    })?;
            if count == 0 {
                return Err(LayerError::Refused {
                    entry: show(&entry.path),
                    why: "it became shorter while it was read".to_owned(),
                });
            }
            self.writer
                .data(&self.buffer[..count])
                .map_err(LayerError::Write)?;
            left -= count as u64;
        }
        self.writer.pad(entry.size).map_err(LayerError::Write)
    }

    /// An empty file whose name alone speaks. It has no time either: when something was deleted is not
    /// part of a layer, and the same deletions must give the same archive.
    fn marker(&mut self, path: Vec<u8>) -> Result<(), LayerError> {
        let mut entry = plain("", Kind::File, 0, 0, 0);
        entry.path = path;
        self.header(&entry)
    }

    fn entry(
        &self,
        path: Vec<u8>,
        kind: Kind,
        stat: &Stat,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Entry {
        let seconds = self
            .options
            .clamp_mtime
            .map_or(stat.st_mtime, |limit| limit.min(stat.st_mtime));
        Entry {
            size: if kind == Kind::File {
                stat.st_size as u64
            } else {
                0
            },
            path,
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: TarTime {
                seconds,
                nanoseconds: match self.options.plain {
                    true => stat.st_mtime_nsec as u32,
                    false => 0,
                },
            },
            xattrs,
            sparse: None,
        }
    }
}

fn failed(path: &[u8], errno: Errno) -> LayerError {
    LayerError::Unpack {
        entry: show(path),
        source: errno.into(),
    }
}

fn header_bytes(entry: &Entry) -> Result<Vec<u8>, LayerError> {
    let mut writer = TarWriter::new(Vec::new());
    writer.header(entry).map_err(LayerError::Write)?;
    Ok(std::mem::take(writer.out()))
}

/// The digest of a file's content; it is at its beginning again afterwards.
fn content(mut file: &File, buffer: &mut [u8]) -> std::io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    loop {
        match file.read(buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    file.rewind()?;
    Ok(hasher.finalize().into())
}
