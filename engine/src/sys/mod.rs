//! Thin, typed system calls that nix and rustix lack. All of the engine's `unsafe` lives here.
//!
//! One file a topic. Nothing here knows a container; nothing decides anything. The calls
//! take and return what rustix does, so callers mix both freely.

pub mod bpf;
pub mod mount;
pub mod mount_info;
pub mod namespace;
pub mod notify;
pub mod overlay;
pub mod process;
mod process_ref;
pub mod program;
mod random;
pub mod readiness;
pub mod seccomp;
pub mod signal;
pub mod spawn;
pub mod user_namespace;
pub mod wire;

pub use process_ref::ProcessRef;
pub use random::random;
pub use spawn::{Executable, RoleChild, spawn_role};

use std::io;

/// CPUs that the machine runs on, whatever part of them this process may use.
#[must_use]
pub fn cpus() -> usize {
    use nix::unistd::{SysconfVar, sysconf};
    let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    online.and_then(|count| count.try_into().ok()).unwrap_or(1)
}

/// The result of a raw system call in the form of the standard library.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
