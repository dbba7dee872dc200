//! Loading a system call filter.

use std::io;

use super::check;

/// One instruction of classic BPF (`struct sock_filter`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions skipped when true.
    pub jt: u8,
    /// Instructions skipped when false.
    pub jf: u8,
    /// Constant.
    pub k: u32,
}

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Filters every later system call of this process and its children. Needs no_new_privs or
/// CAP_SYS_ADMIN (seccomp(2)). `flags` are `SECCOMP_FILTER_FLAG_*`.
pub fn load(filter: &[Instruction], flags: u64) -> io::Result<()> {
    const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
    let program = Program {
        length: u16::try_from(filter.len())
            .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?,
        instructions: filter.as_ptr(),
    };
    // SAFETY: the program describes exactly `filter`; both outlive the call, and the kernel
    // copies and verifies the instructions.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    })
    .map(drop)
}

/// Whether this kernel has the x32 interface: asked with its getpid.
pub fn has_x32() -> bool {
    const X32_BIT: libc::c_long = 0x4000_0000;
    // SAFETY: getpid takes no argument and cannot fail where it exists; elsewhere the number is unknown.
    cfg!(target_arch = "x86_64") && unsafe { libc::syscall(X32_BIT | libc::SYS_getpid) } > 0
}
