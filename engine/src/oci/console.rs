//! Giving a terminal's master to the caller.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType};

use crate::sys::wire;

use super::OciError;

/// A connection to the caller's console socket, made before the container is.
pub(super) struct Console {
    socket: OwnedFd,
    path: PathBuf,
}

impl Console {
    pub(super) fn connect(path: &Path) -> Result<Self, OciError> {
        let failed = |source| OciError::File {
            action: "connect to the console socket",
            path: path.to_owned(),
            source,
        };
        let absolute = std::path::absolute(path).map_err(failed)?;
        let (Some(dir), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        };
        let name = name.to_string_lossy();
        let socket = wire::connect(dir, &name, SocketType::STREAM).map_err(failed)?;
        Ok(Self {
            socket,
            path: absolute,
        })
    }

    /// Sends the master; the text that goes with it is its name, as other runtimes send it.
    pub(super) fn give(&self, master: BorrowedFd<'_>) -> Result<(), OciError> {
        let fds = [master];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let name = [IoSlice::new(b"/dev/ptmx")];
        rustix::net::sendmsg(
            self.socket.as_fd(),
            &name,
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )
        .map(drop)
        .map_err(|error| OciError::File {
            action: "give the terminal to",
            path: self.path.clone(),
            source: error.into(),
        })
    }
}
