//! Copying a tree by descriptors, with everything that a file is.
//!
//! Nothing is followed: every name is opened relative to its parent without symbolic links.
//! Kept are owner, mode, times, extended attributes, hard links inside the tree, devices and
//! pipes. Sockets are left out: they mean nothing without their process.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RawMode, Stat, Timespec, Timestamps, XattrFlags,
};
use rustix::io::Errno;

use crate::layer::merged;
use crate::sys::{overlay::opaque, user_namespace::owner};

/// Copies a directory's content and its own attributes.
pub(super) fn tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut links = HashMap::new();
    folder(from, to, to, b"", &mut links)
}

type Links = HashMap<(u64, u64), Vec<u8>>;

fn folder(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    top: BorrowedFd<'_>,
    path: &[u8],
    links: &mut Links,
) -> io::Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let below = [path, name].concat();
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = links.get(&(stat.st_dev, stat.st_ino)) {
                rustix::fs::linkat(top, first.as_slice(), to, name, AtFlags::empty())?;
                continue;
            }
            links.insert((stat.st_dev, stat.st_ino), below.clone());
        }
        let nofollow = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))?;
                let open = OFlags::RDONLY | OFlags::DIRECTORY | nofollow;
                let source = rustix::fs::openat(from, name, open, Mode::empty())?;
                let target = rustix::fs::openat(to, name, open, Mode::empty())?;
                folder(
                    source.as_fd(),
                    target.as_fd(),
                    top,
                    &[below.as_slice(), b"/"].concat(),
                    links,
                )?;
            }
            FileType::RegularFile => {
                let source =
                    rustix::fs::openat(from, name, OFlags::RDONLY | nofollow, Mode::empty())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | nofollow;
                let target = rustix::fs::openat(to, name, flags, Mode::from_raw_mode(0o600))?;
                data(source.try_clone()?, target.try_clone()?)?;
                describe(&source, &target, &stat)?;
            }
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(link, to, name)?;
                own(to, name, &stat)?;
            }
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => {
                rustix::fs::mknodat(to, name, kind, Mode::from_raw_mode(0o600), stat.st_rdev)?;
                own(to, name, &stat)?;
                rustix::fs::chmodat(to, name, mode(&stat), AtFlags::empty())?;
            }
            _ => {}
        }
    }
    let stat = rustix::fs::fstat(from)?;
    describe(from, to, &stat)
}

/// `io::copy` between files uses `copy_file_range`, so it shares blocks where it can.
fn data(source: OwnedFd, target: OwnedFd) -> io::Result<()> {
    io::copy(
        &mut std::fs::File::from(source),
        &mut std::fs::File::from(target),
    )
    .map(drop)
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode((stat.st_mode & 0o7777) as RawMode)
}

fn own(parent: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> io::Result<()> {
    let (uid, gid) = owner(stat.st_uid, stat.st_gid);
    rustix::fs::chownat(
        parent,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    rustix::fs::utimensat(parent, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec as _,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Owner first: changing it clears set-id bits and capabilities.
fn describe(from: impl AsFd, to: impl AsFd, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = owner(stat.st_uid, stat.st_gid);
    rustix::fs::fchown(&to, Some(uid), Some(gid))?;
    rustix::fs::fchmod(&to, mode(stat))?;
    for (name, value) in merged::xattrs(&from)? {
        match rustix::fs::fsetxattr(&to, name.as_slice(), &value, XattrFlags::empty()) {
            Err(Errno::NOTSUP) if name.starts_with(b"user.") => {}
            result => result?,
        }
    }
    // Only an upper directory has it, never the merged view of an overlay.
    if rustix::fs::fgetxattr(&from, opaque(), &mut [0u8; 1][..]) == Ok(1) {
        rustix::fs::fsetxattr(&to, opaque(), b"y", XattrFlags::empty())?;
    }
    rustix::fs::futimens(&to, &times(stat))?;
    Ok(())
}
