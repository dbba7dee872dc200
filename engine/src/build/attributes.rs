//! Owner, mode, times and extended attributes of what a build writes.
//!
//! The order matters: a change of owner clears the set-user-id bits, and everything else changes times.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, Mode, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::sys::user_namespace::owner;

/// User and group.
pub(super) type Owner = (u32, u32);

/// The same time for access and change.
pub(super) fn times(seconds: i64, nanoseconds: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// The time of change of a source.
pub(super) fn times_of(stat: &Stat) -> Timestamps {
    times(stat.st_mtime, stat.st_mtime_nsec as i64)
}

/// Gives an owner to a file or a directory. The descriptor may be `O_PATH`.
pub(super) fn own(fd: BorrowedFd<'_>, owner: Owner) -> io::Result<()> {
    chown(fd, OsStr::new(""), owner, AtFlags::EMPTY_PATH)
}

/// Gives owner and mode to a directory. The descriptor may be `O_PATH`.
pub(super) fn dress_directory(fd: BorrowedFd<'_>, owner: Owner, mode: u32) -> io::Result<()> {
    own(fd, owner)?;
    // `.` works for `O_PATH` directories, which fchmod refuses.
    let mode = Mode::from_raw_mode(mode);
    Ok(rustix::fs::chmodat(fd, ".", mode, AtFlags::empty())?)
}

/// Gives everything to what has no descriptor: a link (without a mode), a device, a pipe.
pub(super) fn dress_special(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    owner: Owner,
    mode: Option<u32>,
    times: &Timestamps,
) -> io::Result<()> {
    chown(dir, name, owner, AtFlags::SYMLINK_NOFOLLOW)?;
    if let Some(mode) = mode {
        rustix::fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    Ok(rustix::fs::utimensat(
        dir,
        name,
        times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

fn chown(dir: BorrowedFd<'_>, name: &OsStr, (uid, gid): Owner, flags: AtFlags) -> io::Result<()> {
    let (uid, gid) = owner(uid, gid);
    Ok(rustix::fs::chownat(dir, name, Some(uid), Some(gid), flags)?)
}

/// Sets the times of a file or a directory. The descriptor may be `O_PATH`.
pub(super) fn set_times(fd: BorrowedFd<'_>, times: &Timestamps) -> io::Result<()> {
    Ok(rustix::fs::utimensat(
        CWD,
        by_descriptor(fd),
        times,
        AtFlags::empty(),
    )?)
}

/// Sets extended attributes, on file systems that have them. The descriptor may be `O_PATH`.
pub(super) fn set_xattrs(fd: BorrowedFd<'_>, xattrs: &[(Vec<u8>, Vec<u8>)]) -> io::Result<()> {
    let path = by_descriptor(fd);
    for (name, value) in xattrs {
        match rustix::fs::setxattr(&path, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Serves files and `O_PATH` directories alike.
fn by_descriptor(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
