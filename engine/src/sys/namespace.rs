//! Leaving and entering namespaces, for processes with a single thread.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags, move_into_link_name_space,
    move_into_thread_name_spaces,
};

use super::process::is_single_threaded;

/// Gives this process new namespaces. Refused with `EDEADLK` when it has a second thread, which would stay behind.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    if !is_single_threaded() {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    // SAFETY: there is no other thread that could observe a separate descriptor table.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(Into::into)
}

/// Enters the namespace behind `fd`.
pub fn enter(fd: BorrowedFd<'_>, kind: LinkNameSpaceType) -> io::Result<()> {
    move_into_link_name_space(fd, Some(kind)).map_err(Into::into)
}

/// Enters namespaces of the process behind `pidfd`, all at once (Linux 5.8).
pub fn enter_process(pidfd: BorrowedFd<'_>, kinds: ThreadNameSpaceType) -> io::Result<()> {
    move_into_thread_name_spaces(pidfd, kinds).map_err(Into::into)
}

/// Switches on the loopback device of the present network namespace.
pub fn bring_up_loopback() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: ifreq is plain data, for which all zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as i16;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    let answer = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    super::check(answer.into()).map(drop)
}
