//! `ADD` of a local archive: recognised by its content, unpacked below the destination directory.
//!
//! The destination directory is the root of the archive: absolute names, `..` and symbolic links are resolved
//! inside of it. What is in an entry's place is replaced, unless both are directories.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use tar::EntryType;

use super::tree::{self, Found, Tree, View};

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
    if read_full(&mut probe, &mut header).is_err() || !is_header(&header) {
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

fn read_full(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<()> {
    input.read_exact(buffer)
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
    owner: Option<(u32, u32)>,
) -> Result<(), UntarError> {
    let root = Tree::new(dir, View::Image);
    let mut archive = tar::Archive::new(archive);
    // Times of directories are set when nothing is written into them any more.
    let mut directories: Vec<(OwnedFd, i64)> = Vec::new();
    for entry in archive.entries().map_err(UntarError::Read)? {
        let mut entry = entry.map_err(UntarError::Read)?;
        let name = OsStr::from_bytes(&entry.path_bytes()).to_owned();
        let shown = name.to_string_lossy().chars().take(200).collect::<String>();
        match one(&root, &mut entry, &name, owner, &mut directories) {
            Ok(()) => {}
            // A short read is the archive's fault.
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(UntarError::Read(source));
            }
            Err(source) => {
                return Err(UntarError::Entry {
                    name: shown,
                    source,
                });
            }
        }
    }
    for (directory, seconds) in directories {
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        rustix::fs::utimensat(rustix::fs::CWD, path, &times(seconds), AtFlags::empty())
            .map_err(|error| UntarError::Read(error.into()))?;
    }
    Ok(())
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn one(
    root: &Tree,
    entry: &mut tar::Entry<'_, Box<dyn Read>>,
    name: &OsStr,
    owner: Option<(u32, u32)>,
    directories: &mut Vec<(OwnedFd, i64)>,
) -> io::Result<()> {
    let header = entry.header();
    let kind = header.entry_type();
    if matches!(
        kind,
        EntryType::XGlobalHeader
            | EntryType::XHeader
            | EntryType::GNULongName
            | EntryType::GNULongLink
    ) {
        return Ok(());
    }
    let mode = header.mode()? & 0o7777;
    let narrow = |id: u64| {
        u32::try_from(id)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "owner out of range"))
    };
    let (uid, gid) = match owner {
        Some(owner) => owner,
        None => (narrow(header.uid()?)?, narrow(header.gid()?)?),
    };
    let seconds = i64::try_from(header.mtime()?).unwrap_or(0);
    let (major, minor) = (
        header.device_major().ok().flatten(),
        header.device_minor().ok().flatten(),
    );
    let xattrs: Vec<(Vec<u8>, Vec<u8>)> = entry
        .pax_extensions()?
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|pax| {
            let key = pax.key_bytes().strip_prefix(b"SCHILY.xattr.")?;
            Some((key.to_vec(), pax.value_bytes().to_vec()))
        })
        .collect();

    let cleaned = super::values::clean(&format!("/{}", name.to_string_lossy()));
    // Names that are not UTF-8 are rare and need no cleaning by text.
    let path = if name.to_str().is_some() {
        OsString::from(cleaned)
    } else {
        name.to_owned()
    };
    let bytes = path.as_bytes().to_vec();
    let bytes = bytes.strip_prefix(b"/").unwrap_or(&bytes);
    let (parent, last) = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&bytes[..0], bytes),
    };
    if last.is_empty() || last == b".." {
        // The root of the archive: the destination keeps what it has.
        return Ok(());
    }
    let (parent, last) = (OsStr::from_bytes(parent), OsStr::from_bytes(last));
    let dir = parent_directory(root, parent)?;

    if kind == EntryType::Directory {
        match rustix::fs::mkdirat(&dir, last, Mode::from_raw_mode(0o755)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(&dir, last, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    rustix::fs::unlinkat(&dir, last, AtFlags::empty())?;
                    rustix::fs::mkdirat(&dir, last, Mode::from_raw_mode(0o755))?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        let made = tree::open_dir(dir.as_fd(), last)?;
        rustix::fs::chownat(
            &made,
            "",
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
            AtFlags::EMPTY_PATH,
        )?;
        rustix::fs::chmodat(&made, ".", Mode::from_raw_mode(mode), AtFlags::empty())?;
        set_xattrs(made.as_fd(), &xattrs)?;
        directories.push((made, seconds));
        return Ok(());
    }
    clear(dir.as_fd(), last)?;
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = std::fs::File::from(rustix::fs::openat(
                &dir,
                last,
                flags,
                Mode::from_raw_mode(0o600),
            )?);
            let size = entry.size();
            let copied = io::copy(entry, &mut file)?;
            if copied != size {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "unexpected EOF",
                ));
            }
            rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            set_xattrs(file.as_fd(), &xattrs)?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
            rustix::fs::futimens(&file, &times(seconds))?;
            Ok(())
        }
        EntryType::Link => {
            let target = entry
                .link_name_bytes()
                .ok_or(io::ErrorKind::InvalidData)?
                .into_owned();
            let target = super::values::clean(&format!("/{}", String::from_utf8_lossy(&target)));
            let (target_parent, target_name) = target
                .trim_start_matches('/')
                .rsplit_once('/')
                .unwrap_or(("", target.trim_start_matches('/')));
            let place = root.locate(OsStr::new(target_parent))?;
            if !matches!(place.found, Found::Directory) {
                return Err(io::ErrorKind::NotFound.into());
            }
            rustix::fs::linkat(&place.dir, target_name, &dir, last, AtFlags::empty())?;
            // The entry's own attributes go to the file that both names share.
            let linked = rustix::fs::statat(&dir, last, AtFlags::SYMLINK_NOFOLLOW)?;
            let mode =
                (FileType::from_raw_mode(linked.st_mode) != FileType::Symlink).then_some(mode);
            finish_special(dir.as_fd(), last, uid, gid, mode, seconds)
        }
        EntryType::Symlink => {
            let target = entry
                .link_name_bytes()
                .ok_or(io::ErrorKind::InvalidData)?
                .into_owned();
            rustix::fs::symlinkat(OsStr::from_bytes(&target), &dir, last)?;
            finish_special(dir.as_fd(), last, uid, gid, None, seconds)
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo => {
            let kind = match kind {
                EntryType::Char => FileType::CharacterDevice,
                EntryType::Block => FileType::BlockDevice,
                _ => FileType::Fifo,
            };
            let device = rustix::fs::makedev(major.unwrap_or(0), minor.unwrap_or(0));
            rustix::fs::mknodat(&dir, last, kind, Mode::from_raw_mode(mode), device)?;
            finish_special(dir.as_fd(), last, uid, gid, Some(mode), seconds)
        }
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("entry type {other:?}"),
        )),
    }
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
pub(super) fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let inner = tree::open_dir(dir, name)?;
    for entry in tree::entries(inner.as_fd())? {
        match entry.kind() {
            FileType::Directory => remove_tree(inner.as_fd(), &entry.name)?,
            _ => rustix::fs::unlinkat(&inner, &entry.name, AtFlags::empty())?,
        }
    }
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

fn finish_special(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    uid: u32,
    gid: u32,
    mode: Option<u32>,
    seconds: i64,
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
    rustix::fs::utimensat(dir, name, &times(seconds), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

fn set_xattrs(fd: BorrowedFd<'_>, xattrs: &[(Vec<u8>, Vec<u8>)]) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    for (name, value) in xattrs {
        // Overlay's own attributes would make a layer lie.
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        match rustix::fs::setxattr(
            path.as_str(),
            name.as_slice(),
            value,
            rustix::fs::XattrFlags::empty(),
        ) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
