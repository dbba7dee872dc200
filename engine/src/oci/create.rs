//! From a bundle to a container that waits for its start.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::runtime::{
    ContainerState, LinuxDeviceCgroup, LinuxNamespaceType, LinuxResources, Process, ProcessBuilder,
    Spec, UserBuilder,
};
use rustix::fs::{Mode, OFlags};
use rustix::net::SocketType;
use sha2::{Digest, Sha256};

use crate::cgroup::{Cgroup, CgroupError, LimitWarning};
use crate::mount::RootMount;
use crate::runtime::seccomp::{Profile, Seccomp};
use crate::runtime::{
    Init, Launch, Lookup, NetNs, Parked, Stdio, UserNs, WindowSize, defaults, prepare,
};
use crate::state::{Durability, crash_point, write_file};
use crate::sys::{ProcessRef, wire};

use super::bundle::{self, Bundle};
use super::console::Console;
use super::store::{Held, Record, START};
use super::{OciError, Store, userns};

/// How a container is created.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Its id.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
    /// What happens to its terminal, if it has one.
    pub attachment: Attachment,
    /// Where its pid is written.
    pub pid_file: Option<PathBuf>,
    /// How many descriptors after the standard ones it gets.
    pub preserved: u32,
}

/// Where the master side of a terminal goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Back to the caller of this function, which stays.
    Here,
    /// To this socket; `None` for a process without a terminal.
    Elsewhere(Option<PathBuf>),
}

/// A container that waits for its start.
#[derive(Debug)]
pub struct Created {
    /// Names its first process, which is a child of ours, for ever.
    pub pidfd: OwnedFd,
    /// Its terminal, for [`Attachment::Here`].
    pub terminal: Option<OwnedFd>,
    /// What was asked for and is not so.
    pub warnings: Vec<String>,
}

/// Creates a container.
pub fn create(store: &Store, options: &CreateOptions) -> Result<Created, OciError> {
    let bundle = Bundle::load(&options.bundle)?;
    let process = process_of(&bundle.spec)?;
    let (stdio, console) = streams(&process, &options.attachment)?;
    let profile = bundle::seccomp(
        bundle
            .spec
            .linux()
            .as_ref()
            .and_then(|l| l.seccomp().as_ref()),
    )?;
    let userns = userns::of(&bundle.spec)?;
    let held = store.reserve(&options.id)?;
    crash_point("oci.create.reserved");
    let mut record = Record {
        id: options.id.clone(),
        cgroup: cgroup_path(&bundle.spec, &held, &options.id),
        bundle: bundle.path,
        rootfs: bundle.rootfs,
        created: Timestamp::now(),
        owner: rustix::process::getuid().as_raw(),
        spec: bundle.spec,
        userns: userns.as_ref().map(|(_, root)| *root),
        init: None,
    };
    let made = held.write(&record).and_then(|()| make_cgroup(&record));
    crash_point("oci.create.cgroup");
    let created = made.and_then(|cgroup| {
        launch(
            &record,
            &process,
            userns.as_ref().map(|(fd, _)| fd.as_fd()),
            &cgroup,
            stdio,
            profile,
            options.preserved,
        )
        .and_then(|parked| hand_out(parked, &mut record, &held, options, console.as_ref()))
        .inspect_err(|_| {
            let _ = cgroup.remove();
        })
    });
    // Of two failures the first is told.
    created.inspect_err(|_| {
        let _ = held.remove();
    })
}

/// The process as it will run. Without one the container can be created, and never started.
fn process_of(spec: &Spec) -> Result<Process, OciError> {
    if let Some(process) = spec.process() {
        return Ok(process.clone());
    }
    let build = || {
        let user = UserBuilder::default().uid(0u32).gid(0u32).build()?;
        ProcessBuilder::default().user(user).cwd("/").build()
    };
    let mut process: Process =
        build().map_err(|error| OciError::Invalid(format!("process: {error}")))?;
    process.set_args(None).set_env(None).set_rlimits(None);
    Ok(process)
}

/// The first three descriptors of a process, and where its terminal goes.
pub(super) fn streams(
    process: &Process,
    attachment: &Attachment,
) -> Result<(Stdio, Option<Console>), OciError> {
    let wants_terminal = process.terminal() == Some(true);
    if wants_terminal {
        let size = process.console_size().map(|size| WindowSize {
            rows: u16::try_from(size.height()).unwrap_or(u16::MAX),
            columns: u16::try_from(size.width()).unwrap_or(u16::MAX),
        });
        let console = match attachment {
            Attachment::Here => None,
            Attachment::Elsewhere(Some(path)) => Some(Console::connect(path)?),
            Attachment::Elsewhere(None) => {
                return Err(OciError::Invalid(
                    "a process with a terminal that is left alone needs --console-socket"
                        .to_owned(),
                ));
            }
        };
        return Ok((Stdio::Terminal { size }, console));
    }
    if let Attachment::Elsewhere(Some(_)) = attachment {
        return Err(OciError::Invalid(
            "--console-socket is for a process with a terminal; `process.terminal` is not set"
                .to_owned(),
        ));
    }
    let copy = |stream: BorrowedFd<'_>| {
        stream
            .try_clone_to_owned()
            .map_err(|error| OciError::Invalid(format!("standard streams: {error}")))
    };
    let stdio = Stdio::Fds {
        stdin: copy(rustix::stdio::stdin())?,
        stdout: copy(rustix::stdio::stdout())?,
        stderr: copy(rustix::stdio::stderr())?,
    };
    Ok((stdio, None))
}

/// Where its processes are counted: as asked for, else below a directory of this store's own.
fn cgroup_path(spec: &Spec, held: &Held, id: &str) -> String {
    let asked = spec.linux().as_ref().and_then(|l| l.cgroups_path().clone());
    if let Some(path) = asked.filter(|path| !path.as_os_str().is_empty()) {
        let text = path.to_string_lossy();
        let below = text.trim_matches('/');
        // An absolute path is one of the hierarchy; a relative one is ours to place.
        return match path.is_absolute() {
            true => below.to_owned(),
            false => format!("gantry-oci/{below}"),
        };
    }
    let digest = Sha256::digest(held.dir.as_os_str().as_encoded_bytes());
    let hash = base16ct::lower::encode_string(&digest[..4]);
    format!("gantry-oci/{hash}-{id}")
}

fn launch(
    record: &Record,
    process: &Process,
    userns: Option<BorrowedFd<'_>>,
    cgroup: &Cgroup,
    stdio: Stdio,
    profile: Option<Profile>,
    preserved: u32,
) -> Result<(Parked, Vec<String>), OciError> {
    let mut spec = record.spec.clone();
    spec.set_process(Some(process.clone()));
    let joined = network_to_join(&spec)?;
    let has_network = namespaces(&spec).any(|n| n.typ() == LinuxNamespaceType::Network);
    let root = RootMount::Directory {
        path: record.rootfs.clone(),
        read_only: false,
    };
    let parked = prepare(Launch {
        id: &record.id,
        spec: &spec,
        root: &root,
        netns: match &joined {
            Some(fd) => NetNs::Join(fd.as_fd()),
            None if has_network => NetNs::New,
            None => NetNs::Host,
        },
        userns: userns.zip(record.userns).map(|(fd, root)| UserNs {
            fd,
            root,
            // The files of a bundle have their owners already.
            maps_root: false,
        }),
        cgroup: Some(cgroup),
        stdio,
        seccomp: profile
            .as_ref()
            .map_or(Seccomp::Unconfined, Seccomp::Profile),
        init: Init::Payload,
        user: None,
        groups: &[],
        preserved,
        lookup: match record.spec.process() {
            Some(_) => Lookup::Early,
            None => Lookup::AtStart,
        },
        state: Some(&record.state(ContainerState::Creating, None)),
    })?;
    crash_point("oci.create.parked");
    let warnings = parked.warnings().iter().map(ToString::to_string).collect();
    Ok((parked, warnings))
}

fn make_cgroup(record: &Record) -> Result<Cgroup, OciError> {
    let asked = record
        .spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.resources().clone());
    let mut limits = asked.unwrap_or_default();
    let rules = device_rules(&limits);
    limits.set_devices(Some(rules));
    let cgroup = record.open_cgroup()?;
    let made = Cgroup::create(cgroup.layout(), &record.cgroup, &limits);
    let failure = match made {
        Ok((_, unset)) => match unset.into_iter().next() {
            None => return Ok(cgroup),
            Some(LimitWarning { limit, reason }) => OciError::Limit { limit, reason },
        },
        // It is somebody else's.
        Err(busy @ CgroupError::Busy { .. }) => return Err(busy.into()),
        Err(error) => error.into(),
    };
    let _ = cgroup.remove();
    Err(failure)
}

/// Nothing but what is asked for and the devices of every container, which the specification wants to work.
fn device_rules(limits: &LinuxResources) -> Vec<LinuxDeviceCgroup> {
    let usual = defaults::device_rules();
    let (nothing, harmless) = usual.split_at(1);
    let asked = limits.devices().as_deref().unwrap_or_default();
    [nothing, asked, harmless].concat()
}

pub(super) fn namespaces(spec: &Spec) -> impl Iterator<Item = &oci_spec::runtime::LinuxNamespace> {
    let linux = spec.linux().as_ref();
    linux
        .and_then(|l| l.namespaces().as_ref())
        .into_iter()
        .flatten()
}

fn network_to_join(spec: &Spec) -> Result<Option<OwnedFd>, OciError> {
    let path = namespaces(spec)
        .find(|n| n.typ() == LinuxNamespaceType::Network)
        .and_then(|n| n.path().clone())
        .filter(|path| !path.as_os_str().is_empty());
    path.map(|path| {
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|error| {
            OciError::File {
                action: "open the network namespace",
                path: path.clone(),
                source: error.into(),
            }
        })
    })
    .transpose()
}

/// Writes down the process before it can outlive us, then lets it wait by itself, then tells the caller.
fn hand_out(
    (mut parked, warnings): (Parked, Vec<String>),
    record: &mut Record,
    held: &Held,
    options: &CreateOptions,
    console: Option<&Console>,
) -> Result<Created, OciError> {
    let terminal = parked.terminal();
    if let (Some(console), Some(master)) = (console, &terminal) {
        console.give(master.as_fd())?;
    }
    let listener =
        wire::listen(&held.dir, START, SocketType::SEQPACKET).map_err(|source| OciError::File {
            action: "listen in",
            path: held.dir.clone(),
            source,
        })?;
    let pid = parked.pid().as_raw_pid();
    record.init = ProcessRef::of(pid);
    held.write(record)?;
    crash_point("oci.create.recorded");
    if let Some(path) = &options.pid_file {
        write_pid(path, pid)?;
    }
    let started = parked.hand_over(listener.as_fd())?;
    crash_point("oci.create.handed");
    Ok(Created {
        pidfd: started.pidfd,
        terminal: terminal.filter(|_| console.is_none()),
        warnings,
    })
}

/// Writes a pid for whoever asked for it.
pub(super) fn write_pid(path: &Path, pid: i32) -> Result<(), OciError> {
    let path = std::path::absolute(path).map_err(|source| OciError::File {
        action: "find",
        path: path.to_owned(),
        source,
    })?;
    Ok(write_file(
        &path,
        pid.to_string().as_bytes(),
        Durability::Process,
    )?)
}
