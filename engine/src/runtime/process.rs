//! Turning the set-up process into the user's: limits, ids, capabilities, and finding the program.
//!
//! Shared by the first process of a container and by `exec`.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Process};
use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::sys::process::{CloseRange, close_from, join_session_keyring};
use crate::sys::program::{Program, Vector};
use crate::sys::seccomp::Instruction;
use crate::sys::{signal, user_namespace};

use super::report::Failure;
use super::user::resolve_below;
use super::{Stage, Warning, caps, defaults};

/// Who runs and what, with nothing left to look up.
pub(super) struct Payload<'a> {
    process: &'a Process,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    environment: Vec<String>,
    /// Whether a filter will be loaded; without no_new_privs this needs CAP_SYS_ADMIN up to then.
    filtered: bool,
}

impl<'a> Payload<'a> {
    /// Resolves the user in the present root directory.
    pub(super) fn resolve(
        process: &'a Process,
        user: Option<&str>,
        groups: &[String],
        filtered: bool,
    ) -> Result<Self, Failure> {
        let ids = process.user();
        let mut payload = Self {
            process,
            uid: ids.uid(),
            gid: ids.gid(),
            groups: ids.additional_gids().clone().unwrap_or_default(),
            environment: process.env().clone().unwrap_or_default(),
            filtered,
        };
        let name = match user {
            Some(user) => user.to_owned(),
            None => format!("{}:{}", payload.uid, payload.gid),
        };
        let root = crate::mount::open_root(Path::new("/"))
            .map_err(|error| Failure::new(Stage::User, "/", error))?;
        let found = resolve_below(root.as_fd(), &name, groups)?;
        if user.is_some() {
            payload.uid = found.uid;
            payload.gid = found.gid;
        }
        payload.groups.extend(found.groups);
        if !payload.environment.iter().any(|e| e.starts_with("HOME=")) {
            payload.environment.push(format!("HOME={}", found.home));
        }
        Ok(payload)
    }

    /// The user's number.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Sets limits while we may still raise them.
    pub(super) fn limit(&self, warnings: &mut Vec<Warning>) -> Result<(), Failure> {
        for limit in self.process.rlimits().iter().flatten() {
            set_limit(limit, warnings)?;
        }
        Ok(())
    }

    /// Gives up everything the user is not to have.
    pub(super) fn become_user(&self, id: &str, warnings: &mut Vec<Warning>) -> Result<(), Failure> {
        let privileges =
            |what: &str, error: io::Error| Failure::new(Stage::Privileges, what, error);
        enter(self.process.cwd())?;
        let keyring = CString::new(format!("_ses.{id}")).unwrap_or_default();
        match join_session_keyring(&keyring) {
            Err(error) if error.raw_os_error() != Some(libc::ENOSYS) => warnings.push(Warning {
                what: "session keyring".to_owned(),
                why: error.to_string(),
            }),
            _ => {}
        }
        let sets = Sets::of(self.process, self.keeps_admin())
            .map_err(|error| privileges("capabilities", error))?;
        sets.warn(warnings);
        sets.drop_bounding()
            .map_err(|error| privileges("bounding set", error))?;
        self.switch_user(warnings)?;
        sets.apply()
            .map_err(|error| privileges("capabilities", error))?;
        // A change of ids has set this to fs.suid_dumpable; with 0 nobody without CAP_SYS_PTRACE in the
        // initial namespaces reads our memory or opens our /proc/<pid>/exe while we wait.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(|error| privileges("dumpable", error.into()))?;
        if self.process.no_new_privileges() == Some(true) {
            rustix::thread::set_no_new_privs(true)
                .map_err(|error| privileges("no_new_privs", error.into()))?;
        }
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(
            self.process.user().umask().unwrap_or(0o022),
        ));
        Ok(())
    }

    fn keeps_admin(&self) -> bool {
        self.filtered && self.process.no_new_privileges() != Some(true)
    }

    fn switch_user(&self, warnings: &mut Vec<Warning>) -> Result<(), Failure> {
        use rustix::process::{Gid, Uid};
        let failed = |what: String, error: Errno| {
            let what = if error == Errno::INVAL && !user_namespace::is_initial() {
                format!(
                    "{what}, which you do not have: ids are given in /etc/subuid and /etc/subgid"
                )
            } else {
                what
            };
            Failure::new(Stage::User, what, error)
        };
        rustix::thread::set_keep_capabilities(true)
            .map_err(|error| failed("keep capabilities".to_owned(), error))?;
        let groups: Vec<Gid> = self.groups.iter().map(|&g| Gid::from_raw(g)).collect();
        let given = user_namespace::set_groups(&groups)
            .map_err(|error| failed("groups".to_owned(), error))?;
        if !given && self.groups.iter().any(|group| *group != self.gid) {
            warnings.push(Warning {
                what: "supplementary groups".to_owned(),
                why: "you have no range in /etc/subgid".to_owned(),
            });
        }
        let gid = Gid::from_raw(self.gid);
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .map_err(|error| failed(format!("group {}", self.gid), error))?;
        let uid = Uid::from_raw(self.uid);
        rustix::thread::set_thread_res_uid(uid, uid, uid)
            .map_err(|error| failed(format!("user {}", self.uid), error))
    }

    /// Loads the filter and becomes the program, with so many descriptors beside the standard ones. Returns only
    /// with the reason why not.
    pub(super) fn execute(&self, filter: &[Instruction], preserved: u32) -> Failure {
        match self.try_execute(filter, preserved) {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }

    fn command(&self) -> &str {
        let arguments = self.process.args().as_deref().unwrap_or_default();
        arguments.first().map_or("", String::as_str)
    }

    /// Where the program is.
    pub(super) fn find_program(&self) -> Result<CString, Failure> {
        find(self.command(), &self.environment)
    }

    fn try_execute(
        &self,
        filter: &[Instruction],
        preserved: u32,
    ) -> Result<std::convert::Infallible, Failure> {
        let arguments = self.process.args().as_deref().unwrap_or_default();
        let program = self.find_program()?;
        let vector = |strings: &[String]| {
            Vector::new(strings.iter().map(String::as_str))
                .map_err(|error| Failure::new(Stage::Exec, "arguments or environment", error))
        };
        let (arguments, environment) = (vector(arguments)?, vector(&self.environment)?);
        let program = Program::new(&program, &arguments, &environment);
        signal::reset_all();
        signal::unblock_all().map_err(|error| Failure::new(Stage::Exec, "signals", error))?;
        // Only the streams live on, and what was asked for: everything else was opened by us.
        close_from(3 + preserved, CloseRange::OnExec)
            .map_err(|error| Failure::new(Stage::Exec, "descriptors", error))?;
        load(filter)?;
        let error = program.execute();
        Err(not_executed(self.command(), &error))
    }
}

/// Loads the filter, if there is one.
pub(super) fn load(filter: &[Instruction]) -> Result<(), Failure> {
    /// Docker's flag: the filter does not switch on speculative store bypass protection.
    const SECCOMP_FILTER_FLAG_SPEC_ALLOW: u64 = 4;
    if filter.is_empty() {
        return Ok(());
    }
    crate::sys::seccomp::load(filter, SECCOMP_FILTER_FLAG_SPEC_ALLOW)
        .map_err(|error| Failure::new(Stage::Seccomp, "filter", error))
}

fn not_executed(command: &str, error: &io::Error) -> Failure {
    let command = command.to_owned();
    match error.raw_os_error().unwrap_or(libc::EIO) {
        libc::ENOENT => Failure::CommandNotFound { command },
        errno => Failure::CommandNotExecutable { command, errno },
    }
}

/// The path of a command: itself when it has a slash, else the first executable of PATH.
fn find(command: &str, environment: &[String]) -> Result<CString, Failure> {
    let not_found = || Failure::CommandNotFound {
        command: command.to_owned(),
    };
    let check = |path: &str| -> Result<CString, Errno> {
        let stat = rustix::fs::stat(path)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            return Err(Errno::ISDIR);
        }
        rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?;
        CString::new(path).map_err(|_| Errno::INVAL)
    };
    if command.is_empty() {
        return Err(not_found());
    }
    if command.contains('/') {
        return check(command).map_err(|error| not_executed(command, &error.into()));
    }
    let path = environment
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or(defaults::PATH);
    let mut denied = None;
    for directory in path.split(':') {
        // An empty entry would be the working directory, which whoever wrote it may own.
        if directory.is_empty() {
            continue;
        }
        match check(&format!("{directory}/{command}")) {
            Ok(path) => return Ok(path),
            Err(Errno::ACCESS) => denied = Some(libc::EACCES),
            Err(_) => {}
        }
    }
    Err(match denied {
        Some(errno) => Failure::CommandNotExecutable {
            command: command.to_owned(),
            errno,
        },
        None => not_found(),
    })
}

/// Enters the working directory and proves that it is inside: a leaked descriptor of a host
/// directory, named as `/proc/self/fd/7`, would be "(unreachable)" (CVE-2024-21626).
fn enter(directory: &Path) -> Result<(), Failure> {
    let failed =
        |error: Errno| Failure::new(Stage::WorkingDir, directory.display().to_string(), error);
    rustix::process::chdir(directory).map_err(failed)?;
    let real = rustix::process::getcwd(Vec::new()).map_err(failed)?;
    if real.to_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(failed(Errno::NOENT))
    }
}

/// The five capability sets as bits.
struct Sets {
    bounding: u64,
    permitted: u64,
    effective: u64,
    inheritable: u64,
    ambient: u64,
    missing: u64,
    admin: bool,
}

impl Sets {
    /// What was asked for, cut to what we have ourselves.
    fn of(process: &Process, admin: bool) -> io::Result<Self> {
        let ours = rustix::thread::capabilities(None)?.permitted.bits();
        let asked = process.capabilities().as_ref();
        let set = |set: Option<&oci_spec::runtime::Capabilities>| caps::bits(set) & ours;
        let bounding = asked.and_then(|c| c.bounding().as_ref());
        Ok(Self {
            bounding: set(bounding),
            permitted: set(asked.and_then(|c| c.permitted().as_ref())),
            effective: set(asked.and_then(|c| c.effective().as_ref())),
            inheritable: set(asked.and_then(|c| c.inheritable().as_ref())),
            ambient: set(asked.and_then(|c| c.ambient().as_ref())),
            missing: caps::bits(bounding) & !ours,
            admin: admin && ours & CapabilitySet::SYS_ADMIN.bits() != 0,
        })
    }

    fn warn(&self, warnings: &mut Vec<Warning>) {
        for number in (0..=caps::LAST).filter(|n| self.missing >> n & 1 == 1) {
            if let Some(capability) = caps::from_number(number) {
                warnings.push(Warning {
                    what: format!("capability {capability}"),
                    why: "this process does not have it itself".to_owned(),
                });
            }
        }
    }

    fn drop_bounding(&self) -> io::Result<()> {
        for number in 0..64 {
            if self.bounding >> number & 1 == 1 {
                continue;
            }
            let capability = CapabilitySet::from_bits_retain(1 << number);
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // The kernel's last one lies below.
                Err(Errno::INVAL) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// CAP_SYS_ADMIN stays permitted and effective up to execve when a filter is still to be loaded:
    /// execve computes both anew from the bounding and ambient sets, so the program never has it.
    fn apply(&self) -> io::Result<()> {
        let extra = if self.admin {
            CapabilitySet::SYS_ADMIN.bits()
        } else {
            0
        };
        rustix::thread::set_capabilities(
            None,
            CapabilitySets {
                effective: CapabilitySet::from_bits_retain(self.effective | extra),
                permitted: CapabilitySet::from_bits_retain(self.permitted | extra),
                inheritable: CapabilitySet::from_bits_retain(self.inheritable),
            },
        )?;
        rustix::thread::clear_ambient_capability_set()?;
        let possible = self.ambient & self.permitted & self.inheritable;
        for number in (0..64).filter(|n| possible >> n & 1 == 1) {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            rustix::thread::configure_capability_in_ambient_set(capability, true)?;
        }
        Ok(())
    }
}

/// Sets one limit; above the hard limit it is clamped with a warning where the kernel insists.
fn set_limit(limit: &PosixRlimit, warnings: &mut Vec<Warning>) -> Result<(), Failure> {
    let (resource, name) = resource(limit.typ());
    let number = |n: u64| (n != u64::MAX).then_some(n);
    let wanted = Rlimit {
        current: number(limit.soft()),
        maximum: number(limit.hard()),
    };
    match rustix::process::setrlimit(resource, wanted) {
        Ok(()) => return Ok(()),
        Err(Errno::PERM) => {}
        Err(error) => return Err(Failure::new(Stage::Limits, name, error)),
    }
    let most = rustix::process::getrlimit(resource).maximum;
    let clamp = |n: Option<u64>| match (n, most) {
        (Some(n), Some(most)) => Some(n.min(most)),
        (None, most) | (most, None) => most,
    };
    let clamped = Rlimit {
        current: clamp(wanted.current),
        maximum: clamp(wanted.maximum),
    };
    rustix::process::setrlimit(resource, clamped)
        .map_err(|error| Failure::new(Stage::Limits, name, error))?;
    warnings.push(Warning {
        what: format!("ulimit {name}"),
        why: format!(
            "raising it above the hard limit of {} needs CAP_SYS_RESOURCE",
            most.map_or("unlimited".to_owned(), |n| n.to_string())
        ),
    });
    Ok(())
}

/// Raises the hard limits that are to be higher: in a user namespace nobody may. What we may not either is found
/// again by [`Payload::limit`].
pub(super) fn raise_limits(process: &Process) -> Result<(), Failure> {
    process.rlimits().iter().flatten().try_for_each(raise_limit)
}

fn raise_limit(limit: &PosixRlimit) -> Result<(), Failure> {
    let (resource, name) = resource(limit.typ());
    let mut present = rustix::process::getrlimit(resource);
    let unlimited = limit.hard() == u64::MAX;
    if present
        .maximum
        .is_none_or(|most| !unlimited && limit.hard() <= most)
    {
        return Ok(());
    }
    present.maximum = (!unlimited).then_some(limit.hard());
    match rustix::process::setrlimit(resource, present) {
        Ok(()) | Err(Errno::PERM) => Ok(()),
        Err(error) => Err(Failure::new(Stage::Limits, name, error)),
    }
}

fn resource(typ: PosixRlimitType) -> (Resource, &'static str) {
    use PosixRlimitType as T;
    match typ {
        T::RlimitCpu => (Resource::Cpu, "cpu"),
        T::RlimitFsize => (Resource::Fsize, "fsize"),
        T::RlimitData => (Resource::Data, "data"),
        T::RlimitStack => (Resource::Stack, "stack"),
        T::RlimitCore => (Resource::Core, "core"),
        T::RlimitRss => (Resource::Rss, "rss"),
        T::RlimitNproc => (Resource::Nproc, "nproc"),
        T::RlimitNofile => (Resource::Nofile, "nofile"),
        T::RlimitMemlock => (Resource::Memlock, "memlock"),
        T::RlimitAs => (Resource::As, "as"),
        T::RlimitLocks => (Resource::Locks, "locks"),
        T::RlimitSigpending => (Resource::Sigpending, "sigpending"),
        T::RlimitMsgqueue => (Resource::Msgqueue, "msgqueue"),
        T::RlimitNice => (Resource::Nice, "nice"),
        T::RlimitRtprio => (Resource::Rtprio, "rtprio"),
        T::RlimitRttime => (Resource::Rttime, "rttime"),
    }
}
