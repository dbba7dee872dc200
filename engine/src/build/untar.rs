//! `ADD` of a local archive: recognised by its content, unpacked below the destination directory.
//!
//! The destination directory is the root of the archive: absolute names, `..` and symbolic links are resolved
//! inside of it. What is in an entry's place is replaced, unless both are directories.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use tar::EntryType;

use super::attributes::{Owner, dress_directory, dress_special, own, set_times, set_xattrs, times};
use super::copier;
use super::tree::{self, Found, Tree, View};

type Entry<'e> = tar::Entry<'e, Box<dyn Read>>;

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum UntarError {
    /// It ends too early or is not well formed.
    #[error("cannot read the tar archive: {0}")]
    Read(io::Error),
    /// An entry could not be made.
    #[error("cannot unpack `{name}` of the tar archive: {source}")]
    Entry { name: String, source: io::Error },
}

/// The archive in a file, decompressed, or `None` when it is none. An archive is what has a
/// readable first tar header.
pub(super) fn open(file: std::fs::File) -> io::Result<Option<Box<dyn Read>>> {
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
pub(super) fn decompress(mut input: BufReader<std::fs::File>) -> io::Result<Option<Box<dyn Read>>> {
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
    let mut archive = tar::Archive::new(archive);
    // Times of directories are set when nothing is written into them any more.
    let mut directories: Vec<(OwnedFd, i64)> = Vec::new();
    for entry in archive.entries().map_err(UntarError::Read)? {
        let mut entry = entry.map_err(UntarError::Read)?;
        let name = OsStr::from_bytes(&entry.path_bytes()).to_owned();
        match one(&root, &mut entry, &name, owner, &mut directories) {
            Ok(()) => {}
            // A short read is the archive's fault.
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(UntarError::Read(source));
            }
            Err(source) => {
                let name = name.to_string_lossy().chars().take(200).collect();
                return Err(UntarError::Entry { name, source });
            }
        }
    }
    for (directory, seconds) in directories {
        set_times(directory.as_fd(), &times(seconds, 0)).map_err(UntarError::Read)?;
    }
    Ok(())
}

/// What an entry's header says of what it describes.
struct Described {
    kind: EntryType,
    mode: u32,
    owner: Owner,
    /// Of its last change.
    seconds: i64,
    device: u64,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Described {
    fn read(entry: &mut Entry<'_>, owner: Option<Owner>) -> io::Result<Self> {
        let header = entry.header();
        let narrow = |id: u64| {
            u32::try_from(id)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "owner out of range"))
        };
        let number = |number: io::Result<Option<u32>>| number.ok().flatten().unwrap_or(0);
        Ok(Self {
            kind: header.entry_type(),
            mode: header.mode()? & 0o7777,
            owner: match owner {
                Some(owner) => owner,
                None => (narrow(header.uid()?)?, narrow(header.gid()?)?),
            },
            seconds: i64::try_from(header.mtime()?).unwrap_or(0),
            device: rustix::fs::makedev(
                number(header.device_major()),
                number(header.device_minor()),
            ),
            xattrs: xattrs(entry)?,
        })
    }
}

/// Extended attributes, but not overlay's own: those would make a layer lie.
fn xattrs(entry: &mut Entry<'_>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let extensions = entry.pax_extensions()?.into_iter().flatten();
    Ok(extensions
        .filter_map(Result::ok)
        .filter_map(|pax| {
            let name = pax.key_bytes().strip_prefix(b"SCHILY.xattr.")?;
            Some((name.to_vec(), pax.value_bytes().to_vec()))
        })
        .filter(|(name, _)| {
            !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
        })
        .collect())
}

/// Unpacks one entry. Directories get their times later: they are kept in `directories`.
fn one(
    root: &Tree,
    entry: &mut Entry<'_>,
    name: &OsStr,
    owner: Option<Owner>,
    directories: &mut Vec<(OwnedFd, i64)>,
) -> io::Result<()> {
    if matches!(
        entry.header().entry_type(),
        EntryType::XGlobalHeader
            | EntryType::XHeader
            | EntryType::GNULongName
            | EntryType::GNULongLink
    ) {
        return Ok(());
    }
    let described = Described::read(entry, owner)?;
    let path = inside(name);
    let (parent, last) = split(&path);
    if last.is_empty() || last == ".." {
        // The root of the archive: the destination keeps what it has.
        return Ok(());
    }
    let dir = parent_directory(root, parent)?;
    if described.kind == EntryType::Directory {
        let made = directory(dir.as_fd(), last, &described)?;
        directories.push((made, described.seconds));
        return Ok(());
    }
    clear(dir.as_fd(), last)?;
    match described.kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            file(dir.as_fd(), last, entry, &described)
        }
        EntryType::Link => hard_link(root, dir.as_fd(), last, entry, &described),
        EntryType::Symlink => {
            let target = link_target(entry)?;
            rustix::fs::symlinkat(OsStr::from_bytes(&target), &dir, last)?;
            let (owner, times) = (described.owner, times(described.seconds, 0));
            dress_special(dir.as_fd(), last, owner, None, &times)
        }
        EntryType::Char => node(dir.as_fd(), last, FileType::CharacterDevice, &described),
        EntryType::Block => node(dir.as_fd(), last, FileType::BlockDevice, &described),
        EntryType::Fifo => node(dir.as_fd(), last, FileType::Fifo, &described),
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("entry type {other:?}"),
        )),
    }
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

fn link_target(entry: &Entry<'_>) -> io::Result<Vec<u8>> {
    let target = entry.link_name_bytes().ok_or(io::ErrorKind::InvalidData)?;
    Ok(target.into_owned())
}

/// Makes a directory, or takes the one that is there.
fn directory(dir: BorrowedFd<'_>, name: &OsStr, described: &Described) -> io::Result<OwnedFd> {
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
    dress_directory(made.as_fd(), described.owner, described.mode)?;
    set_xattrs(made.as_fd(), &described.xattrs)?;
    Ok(made)
}

fn file(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    entry: &mut Entry<'_>,
    described: &Described,
) -> io::Result<()> {
    let mut file = copier::create(dir, name)?;
    let size = entry.size();
    if io::copy(entry, &mut file)? != size {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "unexpected EOF",
        ));
    }
    own(file.as_fd(), described.owner)?;
    set_xattrs(file.as_fd(), &described.xattrs)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(described.mode))?;
    set_times(file.as_fd(), &times(described.seconds, 0))
}

/// A further name of an entry before it. The entry's own attributes go to the file that both names share.
fn hard_link(
    root: &Tree,
    dir: BorrowedFd<'_>,
    name: &OsStr,
    entry: &Entry<'_>,
    described: &Described,
) -> io::Result<()> {
    let target = link_target(entry)?;
    let target = super::values::clean(&format!("/{}", String::from_utf8_lossy(&target)));
    let (parent, target) = split(OsStr::new(&target));
    let place = root.locate(parent)?;
    if !matches!(place.found, Found::Directory) {
        return Err(io::ErrorKind::NotFound.into());
    }
    rustix::fs::linkat(&place.dir, target, dir, name, AtFlags::empty())?;
    let linked = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let symlink = FileType::from_raw_mode(linked.st_mode) == FileType::Symlink;
    let mode = (!symlink).then_some(described.mode);
    let (owner, times) = (described.owner, times(described.seconds, 0));
    dress_special(dir, name, owner, mode, &times)
}

/// A device or a pipe.
fn node(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    kind: FileType,
    described: &Described,
) -> io::Result<()> {
    let mode = Mode::from_raw_mode(described.mode);
    rustix::fs::mknodat(dir, name, kind, mode, described.device)?;
    let (owner, times) = (described.owner, times(described.seconds, 0));
    dress_special(dir, name, owner, Some(described.mode), &times)
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
