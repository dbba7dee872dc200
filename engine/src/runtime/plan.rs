//! Reading the specification before anything is cloned: which namespaces are new, joined or
//! the host's, and what is refused by name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType as Ns, Process, Spec};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use crate::cgroup::{Cgroup, Layout};
use crate::mount::CgroupView;
use crate::sys::namespace;

use super::RuntimeError;
use super::error::{invalid, parent};
use super::launch::NetNs;

/// What the specification says about the clone.
pub(super) struct Plan<'a> {
    pub(super) process: &'a Process,
    /// `CLONE_NEW*` for clone3.
    pub(super) new_namespaces: u64,
    /// Made by the child, after it has joined its cgroup.
    pub(super) new_cgroup_namespace: bool,
    /// Joined by the child.
    pub(super) joins: Vec<(OwnedFd, LinkNameSpaceType)>,
    /// Joined by the parent for its next child.
    pids: Option<OwnedFd>,
    has_cgroup_mount: bool,
}

impl<'a> Plan<'a> {
    /// Of this specification.
    pub(super) fn of(spec: &'a Spec, netns: NetNs<'_>) -> Result<Self, RuntimeError> {
        refuse(spec)?;
        let process = spec
            .process()
            .as_ref()
            .ok_or_else(|| invalid("the specification has no `process`"))?;
        let mounts = spec.mounts().as_deref().unwrap_or_default();
        let mut plan = Self {
            process,
            new_namespaces: match netns {
                NetNs::New => libc::CLONE_NEWNET as u64,
                NetNs::Host | NetNs::Join(_) => 0,
            },
            new_cgroup_namespace: false,
            joins: Vec::new(),
            pids: None,
            has_cgroup_mount: mounts
                .iter()
                .any(|m| m.typ().as_deref().is_some_and(|t| t.starts_with("cgroup"))),
        };
        let none = Vec::new();
        let namespaces = spec.linux().as_ref().and_then(|l| l.namespaces().as_ref());
        for namespace in namespaces.unwrap_or(&none) {
            plan.add(namespace)?;
        }
        if plan.new_namespaces & libc::CLONE_NEWNS as u64 == 0 {
            return Err(invalid(
                "a container needs a mount namespace of its own; list `mount` without a path",
            ));
        }
        plan.check_hostname(spec)?;
        plan.check_sysctls(spec, netns)?;
        Ok(plan)
    }

    fn add(&mut self, namespace: &LinuxNamespace) -> Result<(), RuntimeError> {
        let path = namespace
            .path()
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty());
        let Some(path) = path else {
            match namespace.typ() {
                Ns::Mount => self.new_namespaces |= libc::CLONE_NEWNS as u64,
                Ns::Uts => self.new_namespaces |= libc::CLONE_NEWUTS as u64,
                Ns::Ipc => self.new_namespaces |= libc::CLONE_NEWIPC as u64,
                Ns::Pid => self.new_namespaces |= libc::CLONE_NEWPID as u64,
                Ns::Cgroup => self.new_cgroup_namespace = true,
                // The launch itself says what these are.
                Ns::Network | Ns::User => {}
                Ns::Time => return Err(invalid("time namespaces are not supported")),
            }
            return Ok(());
        };
        let kind = match namespace.typ() {
            Ns::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
            Ns::Ipc => LinkNameSpaceType::InterProcessCommunication,
            Ns::Cgroup => LinkNameSpaceType::ControlGroup,
            Ns::Pid => {
                self.pids = Some(open(path)?);
                return Ok(());
            }
            Ns::Network | Ns::User => return Ok(()),
            Ns::Mount => {
                return Err(invalid(
                    "joining a mount namespace by path is not supported",
                ));
            }
            Ns::Time => return Err(invalid("time namespaces are not supported")),
        };
        self.joins.push((open(path)?, kind));
        Ok(())
    }

    fn has_own(&self, flag: i32, kind: LinkNameSpaceType) -> bool {
        self.new_namespaces & flag as u64 != 0 || self.joins.iter().any(|(_, k)| *k == kind)
    }

    /// A name set in the host's namespace would be the host's.
    fn check_hostname(&self, spec: &Spec) -> Result<(), RuntimeError> {
        let named = spec.hostname().is_some() || spec.domainname().is_some();
        let kind = LinkNameSpaceType::HostNameAndNISDomainName;
        if named && !self.has_own(libc::CLONE_NEWUTS, kind) {
            return Err(invalid(
                "a host name needs a uts namespace; leave `hostname` out with the host's",
            ));
        }
        Ok(())
    }

    /// Only parameters that belong to a namespace of the container.
    fn check_sysctls(&self, spec: &Spec, netns: NetNs<'_>) -> Result<(), RuntimeError> {
        let sysctls = spec.linux().as_ref().and_then(|l| l.sysctl().as_ref());
        for name in sysctls.into_iter().flat_map(|map| map.keys()) {
            let ipc = LinkNameSpaceType::InterProcessCommunication;
            let uts = LinkNameSpaceType::HostNameAndNISDomainName;
            let own = match sysctl_namespace(name) {
                Some(Ns::Ipc) => self.has_own(libc::CLONE_NEWIPC, ipc),
                Some(Ns::Uts) => self.has_own(libc::CLONE_NEWUTS, uts),
                Some(Ns::Network) => !matches!(netns, NetNs::Host),
                _ => {
                    return Err(invalid(format!(
                        "sysctl `{name}` is not in a namespace: it would change the whole machine"
                    )));
                }
            };
            if !own {
                return Err(invalid(format!(
                    "sysctl `{name}` cannot be set in the host's namespace"
                )));
            }
        }
        Ok(())
    }

    /// Enters the pid namespace to join until the answer is dropped.
    pub(super) fn enter_pid_namespace(&self) -> Result<Option<PidNamespace>, RuntimeError> {
        self.pids
            .as_ref()
            .map(|fd| PidNamespace::of_file(fd.as_fd()))
            .transpose()
    }

    /// How the container sees the cgroup hierarchies; looked up only when it has such a mount.
    pub(super) fn cgroup_view(&self, cgroup: Option<&Cgroup>) -> Result<CgroupView, RuntimeError> {
        if !self.has_cgroup_mount {
            return Ok(CgroupView::default());
        }
        let mut view = match cgroup {
            Some(cgroup) => cgroup.layout().view(),
            None => Layout::detect()?.view(),
        };
        let kind = LinkNameSpaceType::ControlGroup;
        view.namespaced = self.new_cgroup_namespace || self.joins.iter().any(|(_, k)| *k == kind);
        Ok(view)
    }
}

/// Our children's pid namespace, until it is dropped.
pub(super) struct PidNamespace {
    ours: OwnedFd,
}

impl PidNamespace {
    fn of_file(fd: BorrowedFd<'_>) -> Result<Self, RuntimeError> {
        let ours = open(Path::new("/proc/self/ns/pid"))?;
        namespace::enter(fd, LinkNameSpaceType::ProcessID)
            .map_err(|source| parent("enter the pid namespace", source))?;
        Ok(Self { ours })
    }

    pub(super) fn of_process(pidfd: BorrowedFd<'_>) -> Result<Self, RuntimeError> {
        let ours = open(Path::new("/proc/self/ns/pid"))?;
        namespace::enter_process(pidfd, ThreadNameSpaceType::PROCESS_ID)
            .map_err(|source| parent("enter the container: it is not running", source))?;
        Ok(Self { ours })
    }
}

impl Drop for PidNamespace {
    fn drop(&mut self) {
        let _ = namespace::enter(self.ours.as_fd(), LinkNameSpaceType::ProcessID);
    }
}

fn open(path: &Path) -> Result<OwnedFd, RuntimeError> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| parent(format!("open the namespace `{}`", path.display()), error))
}

/// The namespace a kernel parameter belongs to. The name is a dotted path; a slash or an empty or dotted
/// part could leave /proc/sys.
fn sysctl_namespace(name: &str) -> Option<Ns> {
    const IPC: &[&str] = &[
        "kernel.auto_msgmni",
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    // Both separators are in use: `net.ipv4.conf.eth0/1.forwarding` writes a dot as a slash.
    let dotted = name.replace('/', ".");
    if dotted.split('.').any(str::is_empty) {
        return None;
    }
    match dotted.as_str() {
        n if IPC.contains(&n) || n.starts_with("fs.mqueue.") => Some(Ns::Ipc),
        n if n.starts_with("net.") => Some(Ns::Network),
        "kernel.domainname" => Some(Ns::Uts),
        _ => None,
    }
}

/// What this runtime does not do is refused, never skipped.
fn refuse(spec: &Spec) -> Result<(), RuntimeError> {
    let linux = spec.linux().as_ref();
    let refused = [
        (
            "linux.intelRdt",
            linux.is_some_and(|l| l.intel_rdt().is_some()),
        ),
        (
            "linux.timeOffsets",
            linux.is_some_and(|l| l.time_offsets().is_some()),
        ),
        (
            "linux.personality",
            linux.is_some_and(|l| l.personality().is_some()),
        ),
        (
            "linux.memoryPolicy",
            linux.is_some_and(|l| l.memory_policy().is_some()),
        ),
        (
            "linux.netDevices",
            linux.is_some_and(|l| l.net_devices().is_some()),
        ),
        (
            "linux.mountLabel",
            linux.is_some_and(|l| l.mount_label().as_ref().is_some_and(|m| !m.is_empty())),
        ),
    ];
    refuse_present(&refused)?;
    spec.process().as_ref().map_or(Ok(()), refuse_process)
}

/// As [`refuse`], of a process alone.
pub(super) fn refuse_process(process: &Process) -> Result<(), RuntimeError> {
    // A caller without SELinux may write an empty label.
    let labelled = process.selinux_label().as_deref().unwrap_or_default();
    refuse_present(&[
        ("process.selinuxLabel", !labelled.is_empty()),
        ("process.scheduler", process.scheduler().is_some()),
        ("process.ioPriority", process.io_priority().is_some()),
        (
            "process.execCPUAffinity",
            process.exec_cpu_affinity().is_some(),
        ),
    ])
}

fn refuse_present(members: &[(&str, bool)]) -> Result<(), RuntimeError> {
    match members.iter().find(|(_, present)| *present) {
        None => Ok(()),
        Some((name, _)) => Err(invalid(format!(
            "`{name}` of the specification is not supported"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_belong_to_namespaces() {
        assert_eq!(sysctl_namespace("net.ipv4.ip_forward"), Some(Ns::Network));
        assert_eq!(sysctl_namespace("net/core/somaxconn"), Some(Ns::Network));
        assert_eq!(sysctl_namespace("kernel.shmmax"), Some(Ns::Ipc));
        assert_eq!(sysctl_namespace("fs.mqueue.msg_max"), Some(Ns::Ipc));
        for name in [
            "kernel.core_pattern",
            "vm.swappiness",
            "net..x",
            "net.../../kernel.core_pattern",
            "net/../kernel/core_pattern",
            "",
            "net.",
            "fs.file-max",
        ] {
            assert_eq!(sysctl_namespace(name), None, "{name}");
        }
    }
}
