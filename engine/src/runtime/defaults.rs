//! Docker's defaults as values of the OCI specification.
//!
//! Plain data for the one conversion from a container specification: capabilities,
//! masked and read-only paths, mounts, device rules. Sources: moby's `daemon/pkg/oci`.

use std::collections::HashSet;

use oci_spec::runtime::{
    Capability, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, Mount, MountBuilder,
};

use crate::sys::user_namespace;

/// The group of terminals in every distribution.
const TTY: u32 = 5;

/// Options of /dev/pts; the first one where there is that group.
const PSEUDO_TERMINALS: [&str; 6] = [
    "gid=5",
    "nosuid",
    "noexec",
    "newinstance",
    "ptmxmode=0666",
    "mode=0620",
];

/// PATH of a container whose image sets none.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Size of /dev/shm in bytes.
pub const SHM_SIZE: u64 = 64 << 20;

/// The 14 capabilities of a container that asks for nothing else.
pub fn capabilities() -> HashSet<Capability> {
    HashSet::from([
        Capability::Chown,
        Capability::DacOverride,
        Capability::Fsetid,
        Capability::Fowner,
        Capability::Mknod,
        Capability::NetRaw,
        Capability::Setgid,
        Capability::Setuid,
        Capability::Setfcap,
        Capability::Setpcap,
        Capability::NetBindService,
        Capability::SysChroot,
        Capability::Kill,
        Capability::AuditWrite,
    ])
}

/// Every capability the specification knows, for privileged containers.
pub fn all_capabilities() -> HashSet<Capability> {
    (0..=super::caps::LAST)
        .filter_map(super::caps::from_number)
        .collect()
}

/// The five sets for these capabilities. Inheritable and ambient stay empty: with them,
/// a program with file capabilities would keep what a user switch must take away (CVE-2022-24769).
pub fn capability_sets(capabilities: &HashSet<Capability>) -> LinuxCapabilities {
    LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .permitted(capabilities.clone())
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()
        .unwrap_or_default()
}

/// Paths that show or change the machine and are hidden. `*` matches within one name.
pub fn masked_paths() -> Vec<String> {
    [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/system/cpu/cpu*/thermal_throttle",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Paths that may be read and not written.
pub fn readonly_paths() -> Vec<String> {
    [
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The namespaces of a container that shares none. The network's is given to the launch apart.
pub fn namespaces() -> Vec<LinuxNamespace> {
    [
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Cgroup,
    ]
    .into_iter()
    .filter_map(|typ| LinuxNamespaceBuilder::default().typ(typ).build().ok())
    .collect()
}

/// The mounts of every container, in order. `/sys` and `/sys/fs/cgroup` are writable in a privileged one.
pub fn mounts(shm_size: u64, sys: SysAccess) -> Vec<Mount> {
    let access = match sys {
        SysAccess::ReadOnly => "ro",
        SysAccess::ReadWrite => "rw",
    };
    let shm = format!("size={shm_size}");
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            if user_namespace::has_group(TTY) {
                &PSEUDO_TERMINALS
            } else {
                &PSEUDO_TERMINALS[1..]
            },
        ),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", access],
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &[access, "nosuid", "noexec", "nodev"],
        ),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm],
        ),
    ]
}

/// Whether a container may write below /sys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysAccess {
    /// The default.
    ReadOnly,
    /// Privileged.
    ReadWrite,
}

fn mount(destination: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    MountBuilder::default()
        .destination(destination)
        .typ(typ)
        .source(source)
        .options(options.iter().map(|&o| o.to_owned()).collect::<Vec<_>>())
        .build()
        .unwrap_or_default()
}

/// The device rules of every container, in order: nothing but making nodes, then the harmless devices.
/// The nodes themselves (null, zero, full, random, urandom, tty and the links) are always made.
pub fn device_rules() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::C;
    vec![
        rule(false, LinuxDeviceType::A, None, None, "rwm"),
        rule(true, C, None, None, "m"),
        rule(true, LinuxDeviceType::B, None, None, "m"),
        rule(true, C, Some(1), Some(3), "rwm"),
        rule(true, C, Some(1), Some(5), "rwm"),
        rule(true, C, Some(1), Some(7), "rwm"),
        rule(true, C, Some(1), Some(8), "rwm"),
        rule(true, C, Some(1), Some(9), "rwm"),
        rule(true, C, Some(5), Some(0), "rwm"),
        rule(true, C, Some(5), Some(1), "rwm"),
        rule(true, C, Some(5), Some(2), "rwm"),
        rule(true, C, Some(136), None, "rwm"),
    ]
}

/// Every device: the rule of a privileged container.
pub fn all_devices_rule() -> LinuxDeviceCgroup {
    rule(true, LinuxDeviceType::A, None, None, "rwm")
}

fn rule(
    allow: bool,
    typ: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut builder = LinuxDeviceCgroupBuilder::default()
        .allow(allow)
        .typ(typ)
        .access(access);
    if let Some(major) = major {
        builder = builder.major(major);
    }
    if let Some(minor) = minor {
        builder = builder.minor(minor);
    }
    builder.build().unwrap_or_default()
}
