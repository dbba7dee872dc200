//! Device nodes, links and the console below a container's /dev.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chownat, mknodat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::MountError;
use super::attach::place;
use super::below::Below;

/// The nodes of every container: name, major, minor.
const NODES: &[(&str, u32, u32)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The links of every container.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// Makes the usual nodes and links and the given devices. The umask must be 0.
pub fn make_devices(below: Below<'_>, devices: &[LinuxDevice]) -> Result<(), MountError> {
    let dev = below
        .directory_strictly(Path::new("/dev"))
        .map_err(|error| MountError::step("open", "/dev", error))?;
    for &(name, major, minor) in NODES {
        let node = Node {
            kind: FileType::CharacterDevice,
            mode: 0o666,
            major,
            minor,
        };
        make_node(dev.as_fd(), Path::new(name), node)
            .map(drop)
            .map_err(|error| MountError::step("make", format!("/dev/{name}"), error))?;
    }
    for &(name, target) in LINKS {
        match rustix::fs::symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                return Err(MountError::step("make", format!("/dev/{name}"), error));
            }
        }
    }
    for device in devices {
        make_device(below, device).map_err(|error| {
            MountError::step(
                "make the device",
                device.path().display().to_string(),
                error,
            )
        })?;
    }
    Ok(())
}

/// Whose a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The container's own.
    Made,
    /// The host's, which keeps its owner.
    Host,
}

struct Node {
    kind: FileType,
    mode: u32,
    major: u32,
    minor: u32,
}

/// Makes a node, or binds the host's where the kernel forbids making one (user namespaces).
fn make_node(directory: BorrowedFd<'_>, name: &Path, node: Node) -> Result<Origin, Errno> {
    let number = rustix::fs::makedev(node.major, node.minor);
    match mknodat(
        directory,
        name,
        node.kind,
        Mode::from_raw_mode(node.mode),
        number,
    ) {
        // A /dev that is the host's has it already; a bind of our own file would hide nothing.
        Err(Errno::EXIST) => Ok(Origin::Host),
        Err(Errno::PERM) => {
            let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
            rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644))?;
            let target = rustix::fs::openat(
                directory,
                name,
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let source = open_tree(CWD, Path::new("/dev").join(name), flags)?;
            place(source.as_fd(), target.as_fd()).map(|()| Origin::Host)
        }
        other => other.map(|()| Origin::Made),
    }
}

fn make_device(below: Below<'_>, device: &LinuxDevice) -> Result<(), Errno> {
    let (directory, name) = below.parent(device.path())?;
    let node = Node {
        kind: match device.typ() {
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            LinuxDeviceType::P => FileType::Fifo,
            LinuxDeviceType::A => return Err(Errno::INVAL),
        },
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        major: u32::try_from(device.major()).map_err(|_| Errno::INVAL)?,
        minor: u32::try_from(device.minor()).map_err(|_| Errno::INVAL)?,
    };
    if make_node(directory.as_fd(), Path::new(name), node)? == Origin::Host {
        return Ok(());
    }
    let id = |id: Option<u32>| id.unwrap_or(0);
    chownat(
        &directory,
        name,
        Some(Uid::from_raw(id(device.uid()))),
        Some(Gid::from_raw(id(device.gid()))),
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

/// Binds the container's terminal at /dev/console.
pub fn attach_console(below: Below<'_>, terminal: BorrowedFd<'_>) -> Result<(), MountError> {
    let attach = || {
        let dev = below.directory_strictly(Path::new("/dev"))?;
        let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        rustix::fs::openat(&dev, "console", flags, Mode::from_raw_mode(0o600))?;
        let target = rustix::fs::openat(
            &dev,
            "console",
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(terminal, "", flags)?;
        place(tree.as_fd(), target.as_fd())
    };
    attach().map_err(|error: Errno| MountError::step("bind the terminal at", "/dev/console", error))
}
