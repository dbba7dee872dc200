//! Small helpers for the sockets between our own processes: a value and perhaps a descriptor.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest value of one packet.
const LIMIT: usize = 64 << 10;

/// Sends a value, and a descriptor with it, as one packet.
pub fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    value: &T,
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let text = serde_json::to_vec(value)?;
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    rustix::net::sendmsg(
        socket,
        &[IoSlice::new(&text)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives a value, and a descriptor if one came with it. `None` at the other side's end.
pub fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut text = vec![0u8; LIMIT];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut text)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut fd = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            fd = fds.into_iter().next();
        }
    }
    let value = serde_json::from_slice(&text[..received.bytes])?;
    Ok(Some((value, fd)))
}

/// Receives a descriptor that came with some text; `None` when none did.
pub fn receive_fd(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut text = [0u8; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut text)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    Ok(ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    }))
}

/// The path of a socket through its directory's descriptor: a socket address holds 107 bytes only.
fn address(dir: BorrowedFd<'_>, name: &str) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(format!(
        "/proc/self/fd/{}/{name}",
        dir.as_raw_fd()
    ))?)
}

/// Makes a listening socket in a directory, mode 0600, in place of an old one.
pub fn listen(dir: &Path, name: &str, kind: SocketType) -> io::Result<OwnedFd> {
    match std::fs::remove_file(dir.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let handle = std::fs::File::open(dir)?;
    use std::os::fd::AsFd;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &address(handle.as_fd(), name)?)?;
    // The directory is closed to others already; this is for those who look at the file.
    rustix::fs::chmod(
        dir.join(name),
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    )?;
    rustix::net::listen(&socket, 64)?;
    Ok(socket)
}

/// Connects to a socket in a directory.
pub fn connect(dir: &Path, name: &str, kind: SocketType) -> io::Result<OwnedFd> {
    use std::os::fd::AsFd;
    let handle = std::fs::File::open(dir)?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &address(handle.as_fd(), name)?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_value_and_a_descriptor_arrive() {
        let (a, b) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        send(a.as_fd(), &"hello", Some(null.as_fd())).unwrap();
        send(a.as_fd(), &"again", None).unwrap();
        let (text, fd): (String, _) = receive(b.as_fd()).unwrap().unwrap();
        assert!(text == "hello" && fd.is_some());
        let (text, fd): (String, _) = receive(b.as_fd()).unwrap().unwrap();
        assert!(text == "again" && fd.is_none());
        drop(a);
        assert!(receive::<String>(b.as_fd()).unwrap().is_none());
    }

    #[test]
    fn a_socket_may_lie_deep() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(100)).join("y".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let _listener = listen(&deep, "s", SocketType::STREAM).unwrap();
        connect(&deep, "s", SocketType::STREAM).unwrap();
    }
}
