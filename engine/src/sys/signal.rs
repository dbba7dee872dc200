//! Signal masks and dispositions, for a process that is about to become another.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The highest signal number of Linux.
pub const LAST: i32 = 64;

fn all() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set it is given.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// Holds back every signal.
pub fn block_all() -> io::Result<()> {
    mask(libc::SIG_SETMASK, &all())
}

/// Holds back none.
pub fn unblock_all() -> io::Result<()> {
    mask(libc::SIG_UNBLOCK, &all())
}

fn mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is initialised and outlives the call; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Gives every signal its default effect again. Rust ignores SIGPIPE at start, and an ignored
/// signal stays ignored through execve, where shells and pipelines break on it.
pub fn reset_all() {
    /// The kernel's `struct sigaction`; all zeroes mean the default effect.
    #[repr(C)]
    #[derive(Default)]
    struct Action {
        handler: usize,
        flags: libc::c_ulong,
        restorer: usize,
        mask: u64,
    }
    let default = Action::default();
    for signal in 1..=LAST {
        // SAFETY: SIG_DFL runs no code of ours, and `default` outlives the call. The system call itself is used because
        // the C library refuses its own two realtime signals, which a caller may have left ignored.
        // The kernel refuses SIGKILL and SIGSTOP, which are at their default.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                std::ptr::null_mut::<Action>(),
                size_of::<u64>(),
            )
        };
    }
}

/// Waits for any signal (all must be blocked) and takes it.
pub fn wait_any() -> io::Result<i32> {
    loop {
        // SAFETY: the set is initialised and outlives the call; no details are asked for.
        let signal = unsafe { libc::sigwaitinfo(&all(), std::ptr::null_mut()) };
        if signal > 0 {
            return Ok(signal);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Sends a signal of any number to the process of this descriptor.
pub fn send_to(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: without details the pointer is null, and no other is passed.
    super::check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// Sends a signal of any number, realtime ones too.
pub fn send(pid: rustix::process::Pid, signal: i32) -> io::Result<()> {
    // SAFETY: the call takes no pointer.
    super::check(unsafe { libc::kill(pid.as_raw_pid(), signal) }.into()).map(drop)
}
