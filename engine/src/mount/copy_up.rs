//! A copy of a directory into a new file system: `tmpcopyup`.
//!
//! Both sides are descriptors, and no symbolic link is followed on either: what is copied belongs to an image. Modes, owners,
//! times and extended attributes are kept; names of one file become files of their own, as with runc.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
    chownat, fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, mkdirat, mknodat,
    openat, readlinkat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::sys::mount::{MountAttr, Reach, mount_setattr};

use super::options::Options;

/// Of a file that is opened to be copied.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// Copies what a new file system will hide into it, which then may become read-only.
pub(super) fn fill(
    file_system: BorrowedFd<'_>,
    hidden: BorrowedFd<'_>,
    options: &Options,
) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = openat(hidden, ".", flags, Mode::empty())?;
    let to = openat(file_system, ".", flags, Mode::empty())?;
    tree(from.as_fd(), to.as_fd())?;
    let is_given = |key: &str| options.data.iter().any(|(name, _)| name == key);
    if !["mode", "uid", "gid"].iter().any(|key| is_given(key)) {
        attributes(from.as_fd(), to.as_fd())?;
    }
    if !options.set().contains(MountAttrFlags::MOUNT_ATTR_RDONLY) {
        return Ok(());
    }
    let attr = MountAttr::set(MountAttrFlags::MOUNT_ATTR_RDONLY);
    mount_setattr(file_system, attr, Reach::This)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Copies everything in the directory `from`, open for reading, into the empty directory `to`.
fn tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy(from, to, name)?;
        }
    }
    Ok(())
}

fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU)?;
            let inner = openat(from, name, READ | OFlags::DIRECTORY, Mode::empty())?;
            let copy = openat(to, name, READ | OFlags::DIRECTORY, Mode::empty())?;
            tree(inner.as_fd(), copy.as_fd())?;
            attributes(inner.as_fd(), copy.as_fd())
        }
        FileType::RegularFile => {
            let mut original = File::from(openat(from, name, READ, Mode::empty())?);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut copy = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
            std::io::copy(&mut original, &mut copy)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            attributes(original.as_fd(), copy.as_fd())
        }
        FileType::Symlink => {
            symlinkat(readlinkat(from, name, Vec::new())?, to, name)?;
            own(to, name, &stat)
        }
        kind => {
            mknodat(
                to,
                name,
                kind,
                Mode::from_raw_mode(stat.st_mode),
                stat.st_rdev,
            )?;
            own(to, name, &stat)
        }
    }
}

/// Owner and times of what cannot be opened.
fn own(to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

/// Owner, mode, extended attributes and times, in an order in which none undoes another.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let stat = fstat(from)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchown(to, Some(uid), Some(gid))?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    extended(from, to)?;
    futimens(to, &times(&stat))
}

fn extended(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    // The longest list and the longest value that the kernel has.
    let mut names = vec![0u8; 64 << 10];
    let mut value = vec![0u8; 64 << 10];
    let length = match flistxattr(from, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other?,
    };
    for name in names[..length].split_inclusive(|&byte| byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let length = fgetxattr(from, name, &mut value[..])?;
        match fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            // Not every attribute exists on a tmpfs, and some are an overlay's own.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds as i64,
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_copy_is_what_the_original_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join("deep")).expect("made");
        std::fs::create_dir(&to).expect("made");
        std::fs::write(from.join("deep/file"), "text").expect("written");
        let mode = std::fs::Permissions::from_mode(0o4751);
        std::fs::set_permissions(from.join("deep/file"), mode).expect("set");
        symlink("/etc/passwd", from.join("link")).expect("linked");
        mknodat(
            rustix::fs::CWD,
            from.join("fifo"),
            FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .expect("made");
        let open = |path| File::open(path).expect("opens");
        let (one, two) = (open(&from), open(&to));
        tree(one.as_fd(), two.as_fd()).expect("copied");
        let file = std::fs::metadata(to.join("deep/file")).expect("there");
        let original = std::fs::metadata(from.join("deep/file")).expect("there");
        assert_eq!(file.mode() & 0o7777, 0o4751);
        assert_eq!(file.mtime_nsec(), original.mtime_nsec());
        assert_eq!(std::fs::read(to.join("deep/file")).expect("read"), b"text");
        let link = std::fs::read_link(to.join("link")).expect("a link");
        assert_eq!(link, std::path::Path::new("/etc/passwd"));
        let fifo = std::fs::metadata(to.join("fifo")).expect("there");
        assert!(FileType::from_raw_mode(fifo.mode()) == FileType::Fifo);
    }
}
