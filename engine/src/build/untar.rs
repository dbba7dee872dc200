//! `ADD` of a local archive: recognised by its content, unpacked below the destination directory.
//!
//! The destination directory is the root of the archive: absolute names, `..` and symbolic links are resolved
//! inside of it. What is in an entry's place is replaced, unless both are directories.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, Timestamps};
use rustix::io::Errno;

use super::attributes::{Owner, dress_directory, dress_special, own, set_times, set_xattrs, times};
use super::copier;
use super::tree::{self, Found, Tree, View};
use crate::layer::{Entry, Kind, LayerError, Limits, Reader, fill};

/// An archive that is read.
type Archive = Reader<BufReader<Box<dyn Read>>>;

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum UntarError {
    /// It ends too early or is not well formed, or a file's content could not be written.
    #[error("cannot read the tar archive: {0}")]
    Read(#[from] LayerError),
    /// The time of a directory could not be set.
    #[error("cannot finish what the tar archive brought: {0}")]
    Finish(io::Error),
    /// An entry could not be made.
    #[error("cannot unpack `{name}` of the tar archive: {source}")]
    Entry { name: String, source: io::Error },
}

/// The archive in a file, decompressed, or `None` when it is none. An archive is what has a
/// readable first tar header.
pub(super) fn open(file: File) -> io::Result<Option<Box<dyn Read>>> {
    let mut again = file.try_clone()?;
    let Some(mut probe) = decompress(BufReader::new(file))? else {
        return Ok(None);
    };
    let mut header = [0u8; 512];
    if probe.read_exact(&mut header).is_err() || !is_header(&header) {
        return Ok(None);
    }
    drop(probe);
    io::Seek::rewind(&mut again)?;
    decompress(BufReader::with_capacity(1 << 16, again))
}

/// Undoes the compression that the first bytes tell; `None` for a file that is empty.
pub(super) fn decompress(mut input: BufReader<File>) -> io::Result<Option<Box<dyn Read>>> {
    let start = input.fill_buf()?;
    Ok(Some(match start {
        [] => return Ok(None),
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(lzma_rust2::XzReader::new(input, true)),
        _ => Box::new(input),
    }))
}

/// Whether a block is a tar header: its checksum fits (tar(5): the sum of its bytes, those of the checksum as blanks).
fn is_header(block: &[u8; 512]) -> bool {
    let field: String = block[148..156]
        .iter()
        .map(|byte| *byte as char)
        .filter(|c| !matches!(c, ' ' | '\0'))
        .collect();
    let Ok(expected) = u32::from_str_radix(&field, 8) else {
        return false;
    };
    let sum = |block: &[u8]| block.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..148]) + 8 * 32 + sum(&block[156..]) == expected
}

/// Unpacks an archive below `dir`. `owner` replaces every entry's owner.
pub(super) fn unpack(
    archive: Box<dyn Read>,
    dir: OwnedFd,
    owner: Option<Owner>,
) -> Result<(), UntarError> {
    let root = Tree::new(dir, View::Image);
    let archive = BufReader::with_capacity(1 << 16, archive);
    let mut archive = Reader::new(archive, Limits::default());
    // Times of directories are set when nothing is written into them any more.
    let mut directories: Vec<(OwnedFd, Timestamps)> = Vec::new();
    while let Some(mut entry) = archive.next()? {
        if let Some((uid, gid)) = owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        // Overlay's own attributes would make a layer lie.
        entry.xattrs.retain(|(name, _)| {
            !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
        });
        let file = one(&root, &entry, &mut directories).map_err(|source| {
            let name = String::from_utf8_lossy(&entry.path);
            let name = name.chars().take(200).collect();
            UntarError::Entry { name, source }
        })?;
        if let Some(file) = file {
            content(&mut archive, &entry, &file)?;
        }
    }
    for (directory, times) in directories {
        set_times(directory.as_fd(), &times).map_err(UntarError::Finish)?;
    }
    Ok(())
}

/// Fills a file, and then dresses it: writing changes its time and its set-id bits.
fn content(archive: &mut Archive, entry: &Entry, file: &File) -> Result<(), UntarError> {
    fill(&mut vec![0; 64 << 10], file, entry, archive)?;
    let dress = || {
        own(file.as_fd(), owner_of(entry))?;
        set_xattrs(file.as_fd(), &entry.xattrs)?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
        set_times(file.as_fd(), &times_of(entry))
    };
    dress().map_err(|source| UntarError::Entry {
        name: String::from_utf8_lossy(&entry.path)
            .chars()
            .take(200)
            .collect(),
        source,
    })
}

fn owner_of(entry: &Entry) -> Owner {
    (entry.uid, entry.gid)
}

fn times_of(entry: &Entry) -> Timestamps {
    times(entry.mtime.seconds, entry.mtime.nanoseconds.into())
}

/// Makes one entry; a file is given back empty. Directories get their times later: they are kept in `directories`.
fn one(
    root: &Tree,
    entry: &Entry,
    directories: &mut Vec<(OwnedFd, Timestamps)>,
) -> io::Result<Option<File>> {
    let path = inside(OsStr::from_bytes(&entry.path));
    let (parent, last) = split(&path);
    if last.is_empty() || last == ".." {
        // The root of the archive: the destination keeps what it has.
        return Ok(None);
    }
    let dir = parent_directory(root, parent)?;
    if entry.kind == Kind::Directory {
        let made = directory(dir.as_fd(), last, entry)?;
        directories.push((made, times_of(entry)));
        return Ok(None);
    }
    clear(dir.as_fd(), last)?;
    let device = |major, minor| rustix::fs::makedev(major, minor);
    match &entry.kind {
        Kind::File => return copier::create(dir.as_fd(), last).map(Some),
        Kind::HardLink(target) => hard_link(root, dir.as_fd(), last, entry, target)?,
        Kind::Symlink(target) => {
            rustix::fs::symlinkat(OsStr::from_bytes(target), &dir, last)?;
            dress_special(dir.as_fd(), last, owner_of(entry), None, &times_of(entry))?;
        }
        Kind::Char { major, minor } => {
            let device = device(*major, *minor);
            node(dir.as_fd(), last, FileType::CharacterDevice, device, entry)?;
        }
        Kind::Block { major, minor } => {
            let device = device(*major, *minor);
            node(dir.as_fd(), last, FileType::BlockDevice, device, entry)?;
        }
        Kind::Fifo => node(dir.as_fd(), last, FileType::Fifo, 0, entry)?,
        Kind::Directory => {}
    }
    Ok(None)
}

/// A name as a path below the destination, without `..`.
fn inside(name: &OsStr) -> OsString {
    match name.to_str() {
        Some(text) => OsString::from(super::values::clean(&format!("/{text}"))),
        // Names that are not UTF-8 are rare and need no cleaning by text.
        None => name.to_owned(),
    }
}

/// Directory and last component.
fn split(path: &OsStr) -> (&OsStr, &OsStr) {
    let bytes = path.as_bytes();
    let bytes = bytes.strip_prefix(b"/").unwrap_or(bytes);
    let (parent, last) = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&bytes[..0], bytes),
    };
    (OsStr::from_bytes(parent), OsStr::from_bytes(last))
}

/// Makes a directory, or takes the one that is there.
fn directory(dir: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> io::Result<OwnedFd> {
    let make = || rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755));
    match make() {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
                make()?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    let made = tree::open_dir(dir, name)?;
    dress_directory(made.as_fd(), owner_of(entry), entry.mode)?;
    set_xattrs(made.as_fd(), &entry.xattrs)?;
    Ok(made)
}

/// A further name of an entry before it. The entry's own attributes go to the file that both names share.
fn hard_link(
    root: &Tree,
    dir: BorrowedFd<'_>,
    name: &OsStr,
    entry: &Entry,
    target: &[u8],
) -> io::Result<()> {
    let target = super::values::clean(&format!("/{}", String::from_utf8_lossy(target)));
    let (parent, target) = split(OsStr::new(&target));
    let place = root.locate(parent)?;
    if !matches!(place.found, Found::Directory) {
        return Err(io::ErrorKind::NotFound.into());
    }
    rustix::fs::linkat(&place.dir, target, dir, name, AtFlags::empty())?;
    let linked = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let symlink = FileType::from_raw_mode(linked.st_mode) == FileType::Symlink;
    let mode = (!symlink).then_some(entry.mode);
    dress_special(dir, name, owner_of(entry), mode, &times_of(entry))
}

/// A device or a pipe.
fn node(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    kind: FileType,
    device: u64,
    entry: &Entry,
) -> io::Result<()> {
    rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(entry.mode), device)?;
    dress_special(
        dir,
        name,
        owner_of(entry),
        Some(entry.mode),
        &times_of(entry),
    )
}

/// The directory of an entry; directories that the archive does not list are made. A link that leads to
/// nothing is not: its target may be outside of what the archive may touch.
fn parent_directory(root: &Tree, path: &OsStr) -> io::Result<OwnedFd> {
    let place = root.locate(path)?;
    match place.found {
        Found::Directory => Ok(place.dir),
        Found::Other(..) => Err(Errno::NOTDIR.into()),
        Found::Missing(names) => {
            let literal = tree::join(&place.path, &names.join(OsStr::new("/")));
            let wanted: Vec<&[u8]> = path
                .as_bytes()
                .split(|byte| *byte == b'/')
                .filter(|part| !part.is_empty())
                .collect();
            let reached: Vec<&[u8]> = literal.as_bytes().split(|byte| *byte == b'/').collect();
            // Missing below a real directory: fine. Missing because a link's own target is missing: refused.
            if names.len() > wanted.len()
                || wanted[wanted.len() - names.len()..] != reached[reached.len() - names.len()..]
            {
                return Err(io::ErrorKind::NotFound.into());
            }
            let mut dir = place.dir;
            for name in names {
                rustix::fs::mkdirat(&dir, &name, Mode::from_raw_mode(0o755))?;
                let made = tree::open_dir(dir.as_fd(), &name)?;
                rustix::fs::chmodat(&made, ".", Mode::from_raw_mode(0o755), AtFlags::empty())?;
                dir = made;
            }
            Ok(dir)
        }
    }
}

fn clear(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => remove_tree(dir, name),
        Err(error) => Err(error.into()),
    }
}

/// Removes a directory with everything in it, not through links.
fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let inner = tree::open_dir(dir, name)?;
    for entry in tree::entries(inner.as_fd())? {
        match entry.kind() {
            FileType::Directory => remove_tree(inner.as_fd(), &entry.name)?,
            _ => rustix::fs::unlinkat(&inner, &entry.name, AtFlags::empty())?,
        }
    }
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}
