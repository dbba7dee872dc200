//! Capabilities: the specification's names and the kernel's numbers.

use oci_spec::runtime::{Capabilities, Capability};

/// The highest number we know: CAP_CHECKPOINT_RESTORE.
pub const LAST: u8 = 40;

/// In the kernel's order (include/uapi/linux/capability.h).
const BY_NUMBER: [Capability; LAST as usize + 1] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// The capability of this number.
pub fn from_number(number: u8) -> Option<Capability> {
    BY_NUMBER.get(usize::from(number)).copied()
}

/// The kernel's number of a capability.
pub fn number(capability: Capability) -> u8 {
    BY_NUMBER
        .iter()
        .position(|&c| c == capability)
        .map_or(0, |at| at as u8)
}

/// A set as the kernel's 64 bits.
pub fn bits(set: Option<&Capabilities>) -> u64 {
    set.into_iter()
        .flatten()
        .fold(0, |bits, &c| bits | 1 << number(c))
}
