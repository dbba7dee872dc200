//! A layer's directory to its archive, always the same bytes for the same tree.
//!
//! Members are sorted by name, whiteouts before other members of a directory, directories
//! before their content; owners by number only, times in whole seconds, PAX records only
//! where ustar's fields are too small. Hard links inside the tree stay hard links: the first
//! name is the file. Holes are written as zeros, sockets are left out. A file that changes
//! while it is read is an error, as is a name that begins with `.wh.`: no archive could tell it
//! from a whiteout.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::mpsc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::tar::{Entry, Kind, TarTime, show};
use super::tree::is_whiteout;
use super::{DiffId, LayerError, merged};
use crate::content::Digest;

const BLOCK: usize = 512;
/// What eleven octal digits hold.
const FIELD_LIMIT: u64 = 0o777_7777_7777;
const ID_LIMIT: u64 = 0o777_7777;

/// How a tree is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct TarOptions {
    /// Later times become this one, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub clamp_mtime: Option<i64>,
    /// Leave out overlayfs' signs of deletion instead of writing whiteouts: an export of what
    /// is there, not a layer.
    pub flat: bool,
}

/// Writes archives member by member.
pub struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// A writer at the beginning of an archive.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Begins a member. Exactly [`Entry::size`] bytes of data must follow through
    /// [`TarWriter::data`], then [`TarWriter::pad`].
    pub fn header(&mut self, entry: &Entry) -> io::Result<()> {
        let mut records = Vec::new();
        let link = match &entry.kind {
            Kind::HardLink(target) | Kind::Symlink(target) => target.as_slice(),
            _ => &[],
        };
        if entry.path.len() > 100 {
            record(&mut records, b"path", &entry.path);
        }
        if link.len() > 100 {
            record(&mut records, b"linkpath", link);
        }
        let mut big = |key: &str, value: u64, limit: u64| {
            if value > limit {
                record(&mut records, key.as_bytes(), value.to_string().as_bytes());
                return 0;
            }
            value
        };
        let uid = big("uid", entry.uid.into(), ID_LIMIT);
        let gid = big("gid", entry.gid.into(), ID_LIMIT);
        let size = big("size", entry.size, FIELD_LIMIT);
        let mtime = match u64::try_from(entry.mtime.seconds) {
            Ok(seconds) => big("mtime", seconds, FIELD_LIMIT),
            Err(_) => {
                record(
                    &mut records,
                    b"mtime",
                    entry.mtime.seconds.to_string().as_bytes(),
                );
                0
            }
        };
        for (name, value) in &entry.xattrs {
            record(
                &mut records,
                &[b"SCHILY.xattr.", name.as_slice()].concat(),
                value,
            );
        }
        if !records.is_empty() {
            let block = ustar(
                b"PaxHeaders.0/entry",
                b'x',
                0o644,
                (0, 0),
                records.len() as u64,
                0,
                b"",
                (0, 0),
            );
            self.out.write_all(&block)?;
            self.out.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let (kind, device) = match entry.kind {
            Kind::File => (b'0', (0, 0)),
            Kind::HardLink(_) => (b'1', (0, 0)),
            Kind::Symlink(_) => (b'2', (0, 0)),
            Kind::Char { major, minor } => (b'3', (major, minor)),
            Kind::Block { major, minor } => (b'4', (major, minor)),
            Kind::Directory => (b'5', (0, 0)),
            Kind::Fifo => (b'6', (0, 0)),
        };
        self.out.write_all(&ustar(
            &entry.path,
            kind,
            entry.mode,
            (uid, gid),
            size,
            mtime,
            link,
            device,
        ))
    }

    /// Data of the present member.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Fills the last block of a member of `size` bytes.
    pub fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = (size % BLOCK as u64) as usize;
        if rest > 0 {
            self.out.write_all(&[0; BLOCK][rest..])?;
        }
        Ok(())
    }

    /// A whole member from memory.
    pub fn member(&mut self, path: &str, mode: u32, mtime: i64, bytes: &[u8]) -> io::Result<()> {
        self.header(&plain(path, Kind::File, mode, mtime, bytes.len() as u64))?;
        self.data(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// A directory.
    pub fn directory(&mut self, path: &str, mode: u32, mtime: i64) -> io::Result<()> {
        self.header(&plain(path, Kind::Directory, mode, mtime, 0))
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }
}

/// A root-owned entry without attributes.
pub(crate) fn plain(path: &str, kind: Kind, mode: u32, mtime: i64, size: u64) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: TarTime {
            seconds: mtime,
            nanoseconds: 0,
        },
        size,
        xattrs: Vec::new(),
        sparse: None,
    }
}

/// A root-owned regular file, readable by all, without a time.
pub(crate) fn plain_file(path: &str, size: u64) -> Entry {
    plain(path, Kind::File, 0o644, 0, size)
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(length.to_string().bytes());
    records.push(b' ');
    records.extend(key);
    records.push(b'=');
    records.extend(value);
    records.push(b'\n');
}

#[expect(
    clippy::too_many_arguments,
    reason = "the fields of one header block, in its order"
)]
fn ustar(
    path: &[u8],
    kind: u8,
    mode: u32,
    owner: (u64, u64),
    size: u64,
    mtime: u64,
    link: &[u8],
    device: (u32, u32),
) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let octal = |field: &mut [u8], value: u64| {
        let digits = field.len() - 1;
        field[..digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
    };
    let text = |field: &mut [u8], value: &[u8]| {
        let length = value.len().min(field.len());
        field[..length].copy_from_slice(&value[..length]);
    };
    text(&mut block[..100], path);
    octal(&mut block[100..108], mode.into());
    octal(&mut block[108..116], owner.0);
    octal(&mut block[116..124], owner.1);
    octal(&mut block[124..136], size);
    octal(&mut block[136..148], mtime);
    block[156] = kind;
    text(&mut block[157..257], link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], device.0.into());
    octal(&mut block[337..345], device.1.into());
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
    block[154] = 0;
    block
}

/// Writes the archive of a layer's directory. Gives the bytes of its regular files.
pub fn write_tar<W: Write>(
    directory: &Path,
    out: W,
    options: &TarOptions,
) -> Result<u64, LayerError> {
    write_merged(&[directory], out, options)
}

/// The same for a layer in several directories, topmost first: the lower ones show through, and
/// what an upper one deletes of them is just not there.
pub(super) fn write_merged<W: Write, P: AsRef<Path>>(
    directories: &[P],
    out: W,
    options: &TarOptions,
) -> Result<u64, LayerError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut roots = Vec::with_capacity(directories.len());
    for directory in directories {
        let directory = directory.as_ref();
        let root = rustix::fs::openat(CWD, directory, flags, Mode::empty())
            .map_err(LayerError::errno("open", directory))?;
        roots.push(root);
    }
    let Some(top) = roots.first() else {
        return Ok(0);
    };
    let mut walk = Walk {
        writer: TarWriter::new(out),
        options: *options,
        links: HashMap::new(),
        buffer: vec![0; 128 << 10],
        size: 0,
    };
    let stat = rustix::fs::fstat(top).map_err(|errno| LayerError::Read(errno.into()))?;
    // The root's own entry only when it says something.
    if stat.st_mode & 0o7777 != 0o755 || stat.st_uid != 0 || stat.st_gid != 0 {
        let entry = walk.entry(b"./".to_vec(), Kind::Directory, &stat, Vec::new());
        walk.writer.header(&entry).map_err(LayerError::Write)?;
    }
    let roots: Vec<BorrowedFd<'_>> = roots.iter().map(AsFd::as_fd).collect();
    walk.directory(&roots, b"")?;
    walk.writer.finish().map_err(LayerError::Write)?;
    Ok(walk.size)
}

/// The digest of the archive of directories merged as [`write_merged`] does, and the bytes of its
/// regular files.
pub(super) fn digest_merged<P: AsRef<Path>>(
    directories: &[P],
    options: &TarOptions,
) -> Result<(DiffId, u64), LayerError> {
    let (sent, received) = mpsc::sync_channel::<Vec<u8>>(PIPE_DEPTH);
    let (back, spare) = mpsc::sync_channel::<Vec<u8>>(PIPE_DEPTH + 2);
    std::thread::scope(|scope| {
        // Reading and hashing take about as long as each other: they take turns on no core.
        let hashing = scope.spawn(move || {
            let mut hasher = Sha256::new();
            for bytes in received {
                hasher.update(&bytes);
                let _ = back.try_send(bytes);
            }
            Digest::from_hasher(hasher)
        });
        let mut pipe = Pipe {
            filling: Vec::with_capacity(PIPE_CHUNK),
            sent,
            spare,
        };
        let written = write_merged(directories, &mut pipe, options);
        let flushed = pipe.flush();
        drop(pipe);
        let digest = hashing
            .join()
            .map_err(|_| LayerError::Read(io::Error::other("the hashing thread ended")))?;
        flushed.map_err(LayerError::Write)?;
        Ok((digest, written?))
    })
}

/// The digest of the archive of one directory, and the bytes of its regular files.
pub fn digest_tree(directory: &Path, options: &TarOptions) -> Result<(DiffId, u64), LayerError> {
    digest_merged(&[directory], options)
}

const PIPE_CHUNK: usize = 256 << 10;
const PIPE_DEPTH: usize = 4;

/// Collects small writes into chunks for the thread that hashes them.
struct Pipe {
    filling: Vec<u8>,
    sent: mpsc::SyncSender<Vec<u8>>,
    /// Chunks that came back, to be filled again.
    spare: mpsc::Receiver<Vec<u8>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.filling.extend_from_slice(bytes);
        if self.filling.len() >= PIPE_CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut next = self
            .spare
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(PIPE_CHUNK));
        next.clear();
        let full = std::mem::replace(&mut self.filling, next);
        self.sent
            .send(full)
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// An entry of one of the trees that are merged.
struct Member {
    name: Vec<u8>,
    stat: Stat,
    /// Which tree, 0 is the topmost.
    tree: usize,
}

struct Walk<W> {
    writer: TarWriter<W>,
    options: TarOptions,
    /// First name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
    size: u64,
}

impl<W: Write> Walk<W> {
    /// Writes the members of a directory that lies in one or several trees, topmost first.
    fn directory(&mut self, trees: &[BorrowedFd<'_>], prefix: &[u8]) -> Result<(), LayerError> {
        let read = |errno: Errno| LayerError::Unpack {
            entry: show(prefix),
            source: errno.into(),
        };
        let mut members = Vec::new();
        for (tree, directory) in trees.iter().enumerate() {
            for entry in Dir::read_from(directory).map_err(read)? {
                let entry = entry.map_err(read)?;
                let name = entry.file_name().to_bytes().to_vec();
                if matches!(name.as_slice(), b"." | b"..") {
                    continue;
                }
                let stat =
                    rustix::fs::statat(directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(read)?;
                members.push(Member { name, stat, tree });
            }
        }
        members.sort_by(|a, b| (&a.name, a.tree).cmp(&(&b.name, b.tree)));
        let mut merged: Vec<(bool, &[Member])> = members
            .chunk_by(|a, b| a.name == b.name)
            .map(|same| (!is_whiteout(&same[0].stat), same))
            .collect();
        // A deletion of what a lower tree of the same layer has is no deletion of the layer's.
        merged.retain(|(there, same)| *there || same[0].tree + 1 == trees.len());
        merged.sort_by_key(|(there, _)| *there);
        for (_, same) in merged {
            let below: Vec<BorrowedFd<'_>> = same
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
        trees: &[BorrowedFd<'_>],
        prefix: &[u8],
        name: &[u8],
        stat: &Stat,
    ) -> Result<(), LayerError> {
        let directory = trees[0];
        let path = [prefix, name].concat();
        let read = |errno: Errno| LayerError::Unpack {
            entry: show(&path),
            source: errno.into(),
        };
        if is_whiteout(stat) {
            if !self.options.flat {
                self.marker([prefix, b".wh.", name].concat())?;
            }
            return Ok(());
        }
        if name.starts_with(b".wh.") && !self.options.flat {
            return Err(LayerError::Refused {
                entry: show(&path),
                why: "in a layer, names that begin with `.wh.` mean deleted files".to_owned(),
            });
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(read)?;
            let xattrs = merged::xattrs(&fd).map_err(|source| LayerError::Unpack {
                entry: show(&path),
                source,
            })?;
            let below = [path.as_slice(), b"/"].concat();
            let entry = self.entry(below.clone(), Kind::Directory, stat, xattrs);
            self.writer.header(&entry).map_err(LayerError::Write)?;
            let mut value = [0; 1];
            let opaque = rustix::fs::fgetxattr(&fd, super::tree::OPAQUE, &mut value).is_ok()
                && value == *b"y";
            if opaque && !self.options.flat {
                self.marker([below.as_slice(), b".wh..wh..opq"].concat())?;
            }
            let mut lower = Vec::new();
            for tree in trees.iter().skip(1).take_while(|_| !opaque) {
                match rustix::fs::openat(tree, name, flags, Mode::empty()) {
                    Ok(fd) => lower.push(fd),
                    // Something else in its place below: nothing of that shows through.
                    Err(Errno::NOTDIR | Errno::LOOP) => break,
                    Err(error) => return Err(read(error)),
                }
            }
            let inner: Vec<BorrowedFd<'_>> = std::iter::once(fd.as_fd())
                .chain(lower.iter().map(AsFd::as_fd))
                .collect();
            return self.directory(&inner, &below);
        }
        if kind == FileType::Socket {
            return Ok(());
        }
        if stat.st_nlink > 1 {
            match self.links.entry((stat.st_dev, stat.st_ino)) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    let target = first.get().clone();
                    let entry = Entry {
                        size: 0,
                        ..self.entry(path, Kind::HardLink(target), stat, Vec::new())
                    };
                    return self.writer.header(&entry).map_err(LayerError::Write);
                }
                std::collections::hash_map::Entry::Vacant(slot) => {
                    slot.insert(path.clone());
                }
            }
        }
        let (major, minor) = (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        );
        let kind = match kind {
            FileType::RegularFile => return self.file(directory, name, path, stat),
            FileType::Symlink => Kind::Symlink(
                rustix::fs::readlinkat(directory, name, Vec::new())
                    .map_err(read)?
                    .into_bytes(),
            ),
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
        let entry = Entry {
            size: 0,
            ..self.entry(path, kind, stat, Vec::new())
        };
        self.writer.header(&entry).map_err(LayerError::Write)
    }

    fn file(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: Vec<u8>,
        stat: &Stat,
    ) -> Result<(), LayerError> {
        let shown = show(&path);
        let read = |errno: Errno| LayerError::Unpack {
            entry: shown.clone(),
            source: errno.into(),
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(read)?;
        let xattrs = merged::xattrs(&fd).map_err(|source| LayerError::Unpack {
            entry: shown.clone(),
            source,
        })?;
        let entry = self.entry(path, Kind::File, stat, xattrs);
        self.writer.header(&entry).map_err(LayerError::Write)?;
        let mut left = entry.size;
        while left > 0 {
            let room = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            let count = rustix::io::read(&fd, &mut self.buffer[..room]).map_err(read)?;
            if count == 0 {
                return Err(LayerError::Refused {
                    entry: shown,
                    why: "it became shorter while it was read".to_owned(),
                });
            }
            self.writer
                .data(&self.buffer[..count])
                .map_err(LayerError::Write)?;
            left -= count as u64;
        }
        self.size += entry.size;
        self.writer.pad(entry.size).map_err(LayerError::Write)
    }

    /// An empty file whose name alone speaks. It has no time either: when something was deleted is not
    /// part of a layer, and the same deletions must give the same archive.
    fn marker(&mut self, path: Vec<u8>) -> Result<(), LayerError> {
        let mut entry = plain("", Kind::File, 0, 0, 0);
        entry.path = path;
        self.writer.header(&entry).map_err(LayerError::Write)
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
                nanoseconds: 0,
            },
            xattrs,
            sparse: None,
        }
    }
}
