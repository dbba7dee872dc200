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

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
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
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, directory, flags, Mode::empty())
        .map_err(LayerError::errno("open", directory))?;
    write_tar_at(root.as_fd(), b"", out, options)
}

/// The same for a directory that is open; names in the archive begin with `prefix`.
fn write_tar_at<W: Write>(
    root: BorrowedFd<'_>,
    prefix: &[u8],
    out: W,
    options: &TarOptions,
) -> Result<u64, LayerError> {
    let mut walk = Walk {
        writer: TarWriter::new(out),
        options: *options,
        links: HashMap::new(),
        buffer: vec![0; 128 << 10],
        size: 0,
    };
    let stat = rustix::fs::fstat(root).map_err(|errno| LayerError::Read(errno.into()))?;
    // The root's own entry only when it says something.
    if prefix.is_empty() && (stat.st_mode & 0o7777 != 0o755 || stat.st_uid != 0 || stat.st_gid != 0)
    {
        let entry = walk.entry(b"./".to_vec(), Kind::Directory, &stat, Vec::new());
        walk.writer.header(&entry).map_err(LayerError::Write)?;
    }
    walk.directory(root, prefix)?;
    walk.writer.finish().map_err(LayerError::Write)?;
    Ok(walk.size)
}

/// The digest of the archive of a directory, and the bytes of its regular files.
pub fn digest_tree(directory: &Path, options: &TarOptions) -> Result<(DiffId, u64), LayerError> {
    struct Sink(Sha256);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(Sha256::new());
    let size = write_tar(directory, &mut sink, options)?;
    Ok((Digest::from_hasher(sink.0), size))
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
    fn directory(&mut self, directory: BorrowedFd<'_>, prefix: &[u8]) -> Result<(), LayerError> {
        let read = |errno: rustix::io::Errno| LayerError::Unpack {
            entry: show(prefix),
            source: errno.into(),
        };
        let mut members = Vec::new();
        for entry in Dir::read_from(directory).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name().to_bytes().to_vec();
            if matches!(name.as_slice(), b"." | b"..") {
                continue;
            }
            let stat = rustix::fs::statat(directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(read)?;
            members.push((!is_whiteout(&stat), name, stat));
        }
        members.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        for (_, name, stat) in members {
            self.member(directory, prefix, &name, &stat)?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        directory: BorrowedFd<'_>,
        prefix: &[u8],
        name: &[u8],
        stat: &Stat,
    ) -> Result<(), LayerError> {
        let path = [prefix, name].concat();
        let read = |errno: rustix::io::Errno| LayerError::Unpack {
            entry: show(&path),
            source: errno.into(),
        };
        if is_whiteout(stat) {
            if !self.options.flat {
                self.marker([prefix, b".wh.", name].concat(), stat)?;
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
                self.marker([below.as_slice(), b".wh..wh..opq"].concat(), stat)?;
            }
            return self.directory(fd.as_fd(), &below);
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
        let read = |errno: rustix::io::Errno| LayerError::Unpack {
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

    /// An empty file whose name alone speaks.
    fn marker(&mut self, path: Vec<u8>, stat: &Stat) -> Result<(), LayerError> {
        let entry = Entry {
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            ..self.entry(path, Kind::File, stat, Vec::new())
        };
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
