//! Writing a container's files as a tar archive.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::DEPTH;
use crate::runtime::NsRoot;

/// A walk through a container's files.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub(super) reach: Reach,
    pub(super) ids: Option<NsRoot>,
}

impl Walk {
    /// Whose a file is in the container.
    fn owner(self, stat: &Stat) -> (u32, u32) {
        let inside = |id: u32, first: u32| id.checked_sub(first).unwrap_or(id);
        match self.ids {
            None => (stat.st_uid, stat.st_gid),
            Some(root) => (inside(stat.st_uid, root.uid), inside(stat.st_gid, root.gid)),
        }
    }
}

/// How far a walk goes.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    /// Into mounts too.
    Everything,
    /// The same from the root, which is on this mount: what the kernel mounts there of its own is shown empty.
    Root(u64),
    /// What is on this mount; the targets of others are shown empty.
    Mount(u64),
}

impl Reach {
    /// Whether what is mounted there is left out.
    fn ends_at(self, fd: &OwnedFd, name: &Path, depth: usize) -> io::Result<bool> {
        let below_root = || depth == 1 && OF_THE_KERNEL.iter().any(|end| name.ends_with(end));
        Ok(match self {
            Self::Everything => false,
            Self::Root(mount) => below_root() && mount_of(fd)? != mount,
            Self::Mount(mount) => mount_of(fd)? != mount,
        })
    }
}

/// Where a container that runs has mounts that are nobody's files: many of them cannot be read.
const OF_THE_KERNEL: [&str; 3] = ["dev", "proc", "sys"];

/// The id of the mount that a descriptor is on.
pub(super) fn mount_of(fd: impl AsFd) -> Result<u64, Errno> {
    use rustix::fs::StatxFlags;
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::statx(fd, c"", flags, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// Adds what a descriptor names. Nothing is opened by a path of more than one name.
pub(super) fn append(
    archive: &mut tar::Builder<&mut dyn Write>,
    fd: OwnedFd,
    stat: &Stat,
    name: &Path,
    walk: Walk,
    depth: usize,
) -> io::Result<()> {
    let elsewhere = walk.reach.ends_at(&fd, name, depth)?;
    let mut header = tar::Header::new_gnu();
    header.set_mode(stat.st_mode & 0o7777);
    let (uid, gid) = walk.owner(stat);
    header.set_uid(uid.into());
    header.set_gid(gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            add(archive, &mut header, &name.join(""), io::empty())?;
            if elsewhere {
                return Ok(());
            }
            append_children(archive, &fd, name, walk, depth + 1)
        }
        FileType::RegularFile if elsewhere => {
            header.set_entry_type(tar::EntryType::Regular);
            add(archive, &mut header, name, io::empty())
        }
        FileType::RegularFile => {
            let file = File::open(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
            header.set_entry_type(tar::EntryType::Regular);
            // A file that grows or shrinks while it is read keeps the size it was announced with.
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            header.set_size(size);
            let content = file.take(size).chain(io::repeat(0)).take(size);
            add(archive, &mut header, name, content)
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&fd, "", Vec::new())?;
            header.set_entry_type(tar::EntryType::Symlink);
            let target = target.as_bytes();
            if header.set_link_name_literal(target).is_err() {
                add_long(archive, tar::EntryType::GNULongLink, target)?;
            }
            add(archive, &mut header, name, io::empty())
        }
        kind @ (FileType::CharacterDevice | FileType::BlockDevice) => {
            header.set_entry_type(match kind {
                FileType::BlockDevice => tar::EntryType::Block,
                _ => tar::EntryType::Char,
            });
            header.set_device_major(rustix::fs::major(stat.st_rdev))?;
            header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
            add(archive, &mut header, name, io::empty())
        }
        FileType::Fifo => {
            header.set_entry_type(tar::EntryType::Fifo);
            add(archive, &mut header, name, io::empty())
        }
        // A socket is nothing without its process.
        _ => Ok(()),
    }
}

/// Adds an entry under its name as it is: the crate would drop a `.` that it begins with.
fn add(
    archive: &mut tar::Builder<&mut dyn Write>,
    header: &mut tar::Header,
    name: &Path,
    content: impl Read,
) -> io::Result<()> {
    let name = name.as_os_str().as_bytes();
    let field = &mut header.as_old_mut().name;
    let fits = name.len().min(field.len());
    field[..fits].copy_from_slice(&name[..fits]);
    if fits < name.len() {
        add_long(archive, tar::EntryType::GNULongName, name)?;
    }
    header.set_cksum();
    archive.append(header, content)
}

/// Adds a name of the next entry that has no room in its header.
fn add_long(
    archive: &mut tar::Builder<&mut dyn Write>,
    kind: tar::EntryType,
    name: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_path("@LongLink")?;
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    // With a zero at its end, as GNU tar writes it.
    header.set_size(name.len() as u64 + 1);
    header.set_cksum();
    archive.append(&header, name.chain(io::repeat(0).take(1)))
}

pub(super) fn append_children(
    archive: &mut tar::Builder<&mut dyn Write>,
    directory: &OwnedFd,
    name: &Path,
    walk: Walk,
    depth: usize,
) -> io::Result<()> {
    if depth > DEPTH {
        return Err(io::Error::other("directories too deep in one another"));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let child = OsStr::from_bytes(entry.file_name().to_bytes());
        if child == "." || child == ".." {
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&directory, child, flags, Mode::empty()) {
            // Deleted since it was listed.
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        append(archive, fd, &stat, &name.join(child), walk, depth)?;
    }
    Ok(())
}
