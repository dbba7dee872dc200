//! Standard streams and terminals of a process.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Gid, OFlags, Uid};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::mount::Below;

use super::report::Failure;
use super::{Stage, WindowSize};

const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// Both sides of a terminal.
pub(super) struct Terminal {
    /// For the caller.
    pub(super) master: OwnedFd,
    /// For the process.
    pub(super) slave: OwnedFd,
}

impl Terminal {
    /// Makes one in the container's own devpts. The slave comes from the master itself
    /// (TIOCGPTPEER), never from a name that someone in the container could have replaced.
    pub(super) fn open(below: Below<'_>, size: Option<WindowSize>) -> Result<Self, Failure> {
        let open = || {
            let flags = OFlags::RDWR | OFlags::NOCTTY;
            let master = below.open_strictly(Path::new("/dev/pts/ptmx"), flags)?;
            if rustix::fs::fstatfs(&master)?.f_type as u64 != DEVPTS_SUPER_MAGIC {
                return Err(Errno::NODEV);
            }
            rustix::pty::unlockpt(&master)?;
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
            if let Some(size) = size {
                let size = Winsize {
                    ws_row: size.rows,
                    ws_col: size.columns,
                    ws_xpixel: 0,
                    ws_ypixel: 0,
                };
                rustix::termios::tcsetwinsize(&master, size)?;
            }
            Ok(Self { master, slave })
        };
        open().map_err(|error: Errno| Failure::new(Stage::Stdio, "/dev/pts/ptmx", error))
    }

    /// Makes it the controlling terminal of our session.
    pub(super) fn control(&self) -> Result<(), Failure> {
        rustix::process::ioctl_tiocsctty(&self.slave)
            .map_err(|error| Failure::new(Stage::Stdio, "controlling terminal", error))
    }
}

/// Puts descriptors in place as 0, 1 and 2.
pub(super) fn connect(streams: [BorrowedFd<'_>; 3]) -> Result<(), Failure> {
    let failed = |error: Errno| Failure::new(Stage::Stdio, "standard streams", error);
    // Copied out of the way first: one of them may be 0, 1 or 2 itself.
    let mut copies = Vec::with_capacity(3);
    for stream in streams {
        copies.push(rustix::io::fcntl_dupfd_cloexec(stream, 3).map_err(failed)?);
    }
    let [stdin, stdout, stderr] = &copies[..] else {
        return Err(failed(Errno::BADF));
    };
    rustix::stdio::dup2_stdin(stdin).map_err(failed)?;
    rustix::stdio::dup2_stdout(stdout).map_err(failed)?;
    rustix::stdio::dup2_stderr(stderr).map_err(failed)
}

/// Gives pipes and terminals among the streams to the user, so that the program can open
/// /dev/stdout again. Files and devices of the host keep their owner.
pub(super) fn give_streams_to(uid: u32) {
    for stream in [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ] {
        give(stream, uid, None);
    }
}

/// Gives one stream to a user, and a group, if it is a pipe or a terminal.
pub(super) fn give(stream: BorrowedFd<'_>, uid: u32, gid: Option<u32>) {
    let Ok(stat) = rustix::fs::fstat(stream) else {
        return;
    };
    let pts =
        || rustix::fs::fstatfs(stream).is_ok_and(|stat| stat.f_type as u64 == DEVPTS_SUPER_MAGIC);
    let ours = FileType::from_raw_mode(stat.st_mode) == FileType::Fifo || pts();
    if ours && stat.st_uid != uid {
        let _ = rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), gid.map(Gid::from_raw));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_terminal_is_made_only_in_a_devpts() {
        let root = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir_all(root.path().join("dev/pts")).expect("made");
        std::fs::write(root.path().join("dev/pts/ptmx"), "").expect("written");
        let fd = crate::mount::open_root(root.path()).expect("opens");
        assert!(Terminal::open(Below::new(fd.as_fd()), None).is_err());
    }
}
