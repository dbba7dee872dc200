//! clone3, the end of processes, and attributes of our own.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::{Pid, WaitId, WaitIdOptions};

use super::check;

/// A process to fork.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fork<'a> {
    /// New namespaces of the child: `CLONE_NEW*`.
    pub namespaces: u64,
    /// The v2 cgroup the child is born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The new process is a child of our parent (`CLONE_PARENT`).
    pub sibling: bool,
}

/// Which of the two processes we are.
#[derive(Debug)]
pub enum Forked {
    /// The new one.
    Child,
    /// The old one.
    Parent {
        /// The child.
        pid: Pid,
        /// A descriptor that names it for ever.
        pidfd: OwnedFd,
    },
}

/// `struct clone_args` of include/uapi/linux/sched.h.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

impl Fork<'_> {
    /// Forks. Refused with `EDEADLK` when this process has a second thread: the child would
    /// inherit that thread's locks, and nobody would ever open them.
    pub fn run(self) -> io::Result<Forked> {
        if !is_single_threaded() {
            return Err(io::Error::from_raw_os_error(libc::EDEADLK));
        }
        let mut pidfd: libc::c_int = -1;
        let args = CloneArgs {
            flags: self.namespaces
                | libc::CLONE_PIDFD as u64
                | if self.cgroup.is_some() {
                    CLONE_INTO_CGROUP
                } else {
                    0
                }
                | if self.sibling {
                    libc::CLONE_PARENT as u64
                } else {
                    0
                },
            pidfd: &raw mut pidfd as u64,
            // A sibling's end is told as ours is.
            exit_signal: if self.sibling {
                0
            } else {
                libc::SIGCHLD as u64
            },
            cgroup: self.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
            ..CloneArgs::default()
        };
        // SAFETY: without CLONE_VM the child gets a copy of our memory and goes on from here on
        // its own copy of the stack, as fork(2) does; there is no second thread (checked above) whose
        // locks could be copied in a locked state. `args` and `pidfd` outlive the call.
        let pid = check(unsafe {
            libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>())
        })?;
        let Some(pid) = Pid::from_raw(pid as i32) else {
            return Ok(Forked::Child);
        };
        // SAFETY: the kernel has just stored a new descriptor there, which nobody else owns.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Forked::Parent { pid, pidfd })
    }
}

/// Whether this process has one thread. unshare(CLONE_THREAD) changes nothing and
/// succeeds only then (unshare(2)); unlike /proc it works in any root.
pub fn is_single_threaded() -> bool {
    // SAFETY: the call takes no pointer, and with this flag it only checks.
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

/// Ends this process at once: no destructors, no exit handlers.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit takes no pointer and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Ends the process when it is dropped: a panic in a forked child must not unwind into its parent's code.
#[derive(Debug)]
pub struct NoReturn;

impl Drop for NoReturn {
    fn drop(&mut self) {
        exit_now(125)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// By itself.
    Code(u8),
    /// By a signal.
    Signal {
        /// Its number.
        signal: u8,
        /// A core was dumped.
        core_dumped: bool,
    },
}

impl Exit {
    /// The code a shell would show: 128 plus the signal's number.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal { signal, .. } => 128u8.wrapping_add(signal),
        }
    }

    /// From the status word of wait(2).
    fn from_status(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Code(libc::WEXITSTATUS(status) as u8)
        } else {
            Self::Signal {
                signal: libc::WTERMSIG(status) as u8,
                core_dumped: libc::WCOREDUMP(status),
            }
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal { signal, .. } => write!(f, "signal {signal}"),
        }
    }
}

/// Waits for the end of a child and reaps it.
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<Exit> {
    loop {
        if let Some(exit) = waitid(pidfd, WaitIdOptions::EXITED)? {
            return Ok(exit);
        }
    }
}

/// Reaps a child if it has ended.
pub fn try_wait(pidfd: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    waitid(pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

fn waitid(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> io::Result<Option<Exit>> {
    loop {
        let status = match rustix::process::waitid(WaitId::PidFd(pidfd), options) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        return Ok(status.map(|status| {
            match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code as u8),
                (None, signal) => Exit::Signal {
                    signal: signal.unwrap_or(0) as u8,
                    core_dumped: status.dumped(),
                },
            }
        }));
    }
}

/// `struct pidfd_info` of include/uapi/linux/pidfd.h, first version (64 bytes).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: u64 = 0xc000_ff0b | (size_of::<PidfdInfo>() as u64) << 16;

/// How a process ended that need not be a child of ours and may have been reaped; the
/// descriptor must have been opened while it lived. `None`: it lives, or the kernel (before 6.15)
/// does not keep this.
pub fn exit_of(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the request carries the size of `info`, which outlives the call; a kernel that does
    // not know the request answers with an error and writes nothing.
    let answer = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    (answer == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| Exit::from_status(info.exit_code))
}

/// The number that the process behind a pidfd has here (proc_pid_fdinfo(5)).
pub fn pid_of(pidfd: BorrowedFd<'_>) -> io::Result<Pid> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid =
        number.and_then(|number| Pid::from_raw(number.trim().parse().ok().filter(|pid| *pid > 0)?));
    pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

/// Joins a new session keyring, so that keys of the caller's session stay out of reach.
pub fn join_session_keyring(name: &CStr) -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: `name` is a C string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) })
        .map(drop)
}

/// Gives freed memory back to the kernel, where the allocator can (malloc_trim(3)).
pub fn trim_heap() {
    // SAFETY: the call takes no pointer and may be made at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Overwrites the command line that others see of this process. For a process that never reads
/// its own arguments again.
pub fn set_title(title: &str) -> io::Result<()> {
    let bad = || io::Error::from_raw_os_error(libc::EINVAL);
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is a name that may hold anything; it ends with the last bracket. After it
    // `arg_start` and `arg_end` are fields 48 and 49 (proc(5)).
    let fields = stat.rsplit_once(')').ok_or_else(bad)?.1;
    let mut fields = fields.split_whitespace().skip(45);
    let mut address = || -> Option<usize> { fields.next()?.parse().ok() };
    let (start, end) = (
        address().filter(|&a| a != 0).ok_or_else(bad)?,
        address().ok_or_else(bad)?,
    );
    let length = end.checked_sub(start).ok_or_else(bad)?;
    let text = &title.as_bytes()[..title.len().min(length.saturating_sub(1))];
    // SAFETY: the kernel says that its own copy of our arguments lies there, `length` writable bytes of the
    // stack's mapping; no Rust reference points into it, and the caller no longer reads arguments.
    unsafe {
        std::ptr::write_bytes(start as *mut u8, 0, length);
        std::ptr::copy_nonoverlapping(text.as_ptr(), start as *mut u8, text.len());
    }
    Ok(())
}

/// Whether a descriptor of this number was open before our program began: ours are all closed by execve.
pub fn is_inherited(number: u32) -> bool {
    // SAFETY: the call takes no pointer; a number that is no descriptor is answered with EBADF.
    let flags = unsafe { libc::fcntl(number as libc::c_int, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// What happens to the descriptors of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseRange {
    /// They are closed.
    Now,
    /// They are closed by execve.
    OnExec,
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: u32, when: CloseRange) -> io::Result<()> {
    close(first, libc::c_uint::MAX, when)
}

/// Closes every descriptor but the three standard ones and these: in a forked child that lives on
/// with what it was given, and never drops, nor uses, what else it has inherited.
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().filter(|fd| *fd >= 3) {
        if fd > first {
            close(first, fd - 1, CloseRange::Now)?;
        }
        first = fd + 1;
    }
    close_from(first, CloseRange::Now)
}

fn close(first: u32, last: u32, when: CloseRange) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    let flags = match when {
        CloseRange::Now => 0,
        CloseRange::OnExec => CLOSE_RANGE_CLOEXEC,
    };
    // SAFETY: the call takes no pointer. Callers use no descriptor of the range any more: they are
    // forked children that never return and whose handles are forgotten.
    let answer = check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) });
    match answer {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => {
            close_one_by_one(first, last, when)
        }
        other => other.map(drop),
    }
}

/// Moves a descriptor to a given number (close-on-exec), closing what is there: in a forked child
/// that no longer uses any handle it inherited under that number.
pub fn move_fd(fd: OwnedFd, number: i32) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() == number {
        return Ok(fd);
    }
    // SAFETY: the call takes no pointer.
    check(unsafe { libc::dup3(fd.as_raw_fd(), number, libc::O_CLOEXEC) }.into())?;
    // SAFETY: the number now is a copy that belongs to nobody else; see above.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// close_range(2) by hand, for kernels before 5.9 (5.11 for close-on-exec).
fn close_one_by_one(first: u32, last: u32, when: CloseRange) -> io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&fd: &i32| (first..=last).contains(&(fd as u32)))
        .collect();
    for fd in open {
        // SAFETY: neither call takes a pointer; about ownership see `close`. A descriptor
        // that is gone (that of the directory read above) is answered with EBADF and ignored.
        unsafe {
            match when {
                CloseRange::Now => libc::close(fd),
                CloseRange::OnExec => libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC),
            };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_words_are_read_as_wait_writes_them() {
        assert_eq!(Exit::from_status(7 << 8), Exit::Code(7));
        assert_eq!(
            Exit::from_status(9),
            Exit::Signal {
                signal: 9,
                core_dumped: false
            }
        );
        assert_eq!(Exit::from_status(9).code(), 137);
        assert_eq!(
            Exit::from_status(0x80 | 11),
            Exit::Signal {
                signal: 11,
                core_dumped: true
            }
        );
    }

    #[test]
    fn a_process_with_threads_does_not_fork() {
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let second = std::thread::spawn(move || wait.recv());
        let error = Fork::default().run().expect_err("a second thread lives");
        assert_eq!(error.raw_os_error(), Some(libc::EDEADLK));
        drop(stop);
        let _ = second.join();
    }

    #[test]
    fn the_layout_of_pidfd_info_is_the_kernels() {
        assert_eq!(size_of::<PidfdInfo>(), 64);
        assert_eq!(size_of::<CloneArgs>(), 88);
    }
}
