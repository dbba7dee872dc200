//! The role `__build-run`: one command of a build in a container of its own.
//!
//! Single-threaded. Descriptor 3 holds a [`RunSpec`], 0 is a socket: the [`Outcome`] goes out there, and
//! when the other side closes it the command is killed. Mounts made here live in a mount namespace of
//! this process and vanish with it.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxBuilder, Mount, MountBuilder, PosixRlimitBuilder, PosixRlimitType, ProcessBuilder,
    RootBuilder, Spec, SpecBuilder,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::{MountPropagationFlags, MoveMountFlags};
use serde::{Deserialize, Serialize};

use super::net::Connected;
use super::overlay;
use crate::cgroup::{Cgroup, Layout};
use crate::error::{Classify, ErrorKind};
use crate::mount::{Overlay, RootMount};
use crate::runtime::seccomp::Seccomp;
use crate::runtime::{self, Init, Launch, NetNs, RuntimeError, Stdio, defaults};
use crate::spec::{ExtraHost, Ulimit};

/// The memory file with the specification.
const DOCUMENT: &str = "/proc/self/fd/3";

/// What the command is and what it sees.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RunSpec {
    /// 64 hex digits.
    pub(super) id: String,
    pub(super) root: PathBuf,
    pub(super) run_dir: PathBuf,
    /// A directory for files of this run.
    pub(super) scratch: PathBuf,
    /// Topmost first.
    pub(super) lower: Vec<PathBuf>,
    pub(super) upper: PathBuf,
    pub(super) work: PathBuf,
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) cwd: String,
    pub(super) user: Option<String>,
    pub(super) hostname: String,
    pub(super) network: Network,
    /// Without isolation (`--security=insecure`).
    pub(super) insecure: bool,
    pub(super) extra_hosts: Vec<ExtraHost>,
    pub(super) mounts: Vec<RunMount>,
    pub(super) shm_size: Option<u64>,
    pub(super) ulimits: BTreeMap<String, Ulimit>,
    pub(super) cgroup_parent: Option<String>,
}

/// The network of the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Network {
    /// Loopback only.
    None,
    /// The machine's.
    Host,
    /// A network of the engine.
    Named(String),
}

/// Whether a mount may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

/// Something mounted over the root, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum RunMount {
    /// A directory or file of the machine, or what is `below` it.
    Bind {
        source: PathBuf,
        below: String,
        target: String,
        access: Access,
    },
    /// Merged layers; `directory` has `at`, and `upper` and `work` when writes are allowed (and thrown away).
    Layers {
        lower: Vec<PathBuf>,
        directory: PathBuf,
        below: String,
        target: String,
        access: Access,
    },
    /// Memory.
    Tmpfs { target: String, size: Option<u64> },
    /// A file that is never on disk.
    File {
        target: String,
        content: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

impl RunMount {
    /// Where it goes.
    pub(super) fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. }
            | Self::Layers { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::File { target, .. } => target,
        }
    }
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// With this code; 128 + n for signal n.
    Exited(i32),
    /// It never ran.
    Failed {
        kind: Kind,
        message: String,
        exit_code: Option<i32>,
    },
}

/// [`ErrorKind`] on its way through the socket.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Kind {
    NotFound,
    Invalid,
    Unsupported,
    Unavailable,
    Internal,
}

impl From<Kind> for ErrorKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::NotFound => Self::NotFound,
            Kind::Invalid => Self::Invalid,
            Kind::Unsupported => Self::Unsupported,
            Kind::Unavailable => Self::Unavailable,
            Kind::Internal => Self::Internal,
        }
    }
}

impl From<ErrorKind> for Kind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Invalid | ErrorKind::AlreadyExists | ErrorKind::Conflict => Self::Invalid,
            ErrorKind::Unsupported | ErrorKind::Permission => Self::Unsupported,
            ErrorKind::Unavailable | ErrorKind::Cancelled => Self::Unavailable,
            ErrorKind::Internal => Self::Internal,
        }
    }
}

/// Why the command could not be run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot {0}: {1}")]
    Io(&'static str, std::io::Error),
    #[error("cannot read the specification: {0}")]
    Spec(serde_json::Error),
    #[error("cannot describe the container: {0}")]
    Oci(oci_spec::OciSpecError),
    #[error("{}", chain(.0))]
    Runtime(RuntimeError),
    #[error("{}", chain(.0))]
    Network(crate::network::NetworkError),
    #[error("{}", chain(.0))]
    Cgroup(crate::cgroup::CgroupError),
    #[error("unknown resource limit `{0}`")]
    Ulimit(String),
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        next = source.source();
    }
    text
}

fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> RunError {
    move |error| RunError::Io(action, error)
}

fn errno(action: &'static str) -> impl FnOnce(rustix::io::Errno) -> RunError {
    move |error| RunError::Io(action, error.into())
}

/// Runs the role; gives the exit code of the process.
pub fn run_role() -> i32 {
    let Ok(answer) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return 2;
    };
    let mut answer = UnixStream::from(answer);
    let outcome = match run(&answer) {
        Ok(code) => Outcome::Exited(code),
        Err(error) => {
            let (kind, exit_code) = match &error {
                RunError::Runtime(error) => (
                    error.kind(),
                    Some(error.exit_code().into()).filter(|code| *code != 125),
                ),
                RunError::Network(error) => (Classify::kind(error), None),
                RunError::Cgroup(error) => (error.kind(), None),
                RunError::Ulimit(_) => (ErrorKind::Invalid, None),
                _ => (ErrorKind::Internal, None),
            };
            Outcome::Failed {
                kind: kind.into(),
                message: error.to_string(),
                exit_code,
            }
        }
    };
    let text = serde_json::to_vec(&outcome).unwrap_or_default();
    i32::from(answer.write_all(&text).is_err())
}

fn run(answer: &UnixStream) -> Result<i32, RunError> {
    let text = std::fs::read(DOCUMENT).map_err(io("read the specification"))?;
    let spec: RunSpec = serde_json::from_slice(&text).map_err(RunError::Spec)?;
    own_mounts()?;
    let mounts = prepare_mounts(&spec)?;

    let network = Connected::new(&spec).map_err(RunError::Network)?;
    let result = launch(&spec, mounts, &network, answer);
    let released = network.release().map_err(RunError::Network);
    // The command's own failure is the better message.
    result.and_then(|code| released.map(|()| code))
}

/// Mounts made from here on are nobody else's.
fn own_mounts() -> Result<(), RunError> {
    crate::sys::namespace::unshare(rustix::thread::UnshareFlags::NEWNS)
        .map_err(io("make a mount namespace"))?;
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
    .map_err(errno("make mounts private"))
}

fn prepare_mounts(spec: &RunSpec) -> Result<Vec<Mount>, RunError> {
    let mut mounts = Vec::new();
    let mut memory = None;
    for (number, mount) in spec.mounts.iter().enumerate() {
        match mount {
            RunMount::Bind {
                source,
                below,
                target,
                access,
            } => {
                mounts.push(bind(source, below, target, *access)?);
            }
            RunMount::Layers {
                lower,
                directory,
                below,
                target,
                access,
            } => {
                let at = directory.join("at");
                let (upper, work) = (directory.join("upper"), directory.join("work"));
                let writable =
                    (*access == Access::ReadWrite).then_some((upper.as_path(), work.as_path()));
                if lower.len() == 1 && writable.is_none() {
                    mounts.push(bind(&lower[0], below, target, *access)?);
                    continue;
                }
                let merged = overlay::mount(lower, writable).map_err(io("mount layers"))?;
                rustix::mount::move_mount(
                    &merged,
                    "",
                    rustix::fs::CWD,
                    &at,
                    MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
                )
                .map_err(errno("mount layers"))?;
                mounts.push(bind(&at, below, target, *access)?);
            }
            RunMount::Tmpfs { target, size } => {
                let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
                options.extend(size.map(|size| format!("size={size}")));
                mounts.push(mount_of(target, "tmpfs", "tmpfs", options)?);
            }
            RunMount::File {
                target,
                content,
                mode,
                uid,
                gid,
            } => {
                let directory = match &memory {
                    Some(directory) => directory,
                    None => &*memory.insert(memory_directory(&spec.scratch)?),
                };
                let path = directory.join(number.to_string());
                std::fs::write(&path, content).map_err(io("write a secret"))?;
                std::os::unix::fs::chown(&path, Some(*uid), Some(*gid))
                    .map_err(io("write a secret"))?;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode))
                    .map_err(io("write a secret"))?;
                mounts.push(bind(&path, "", target, Access::ReadOnly)?);
            }
        }
    }
    Ok(mounts)
}

/// A tmpfs for things that must never be on disk.
fn memory_directory(scratch: &Path) -> Result<PathBuf, RunError> {
    let path = scratch.join("memory");
    std::fs::create_dir(&path).map_err(io("make a directory"))?;
    rustix::mount::mount(
        "tmpfs",
        &path,
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        c"mode=0711",
    )
    .map_err(errno("mount a tmpfs"))?;
    Ok(path)
}

fn bind(source: &Path, below: &str, target: &str, access: Access) -> Result<Mount, RunError> {
    let mut options = vec!["rbind".to_owned(), "rprivate".to_owned()];
    options.push(
        if access == Access::ReadOnly {
            "ro"
        } else {
            "rw"
        }
        .to_owned(),
    );
    if !below.is_empty() {
        options.push(format!("subpath={below}"));
    }
    mount_of(target, "bind", &source.to_string_lossy(), options)
}

fn mount_of(
    target: &str,
    kind: &str,
    source: &str,
    options: Vec<String>,
) -> Result<Mount, RunError> {
    MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(source)
        .options(options)
        .build()
        .map_err(RunError::Oci)
}

fn launch(
    spec: &RunSpec,
    mounts: Vec<Mount>,
    network: &Connected,
    answer: &UnixStream,
) -> Result<i32, RunError> {
    let oci = describe(spec, mounts, network)?;
    let root = RootMount::Overlay(Overlay {
        lower: spec.lower.clone(),
        upper: Some(spec.upper.clone()),
        work: Some(spec.work.clone()),
        volatile: true,
    });
    let cgroup = match &spec.cgroup_parent {
        None => None,
        Some(parent) => {
            let layout = Layout::detect().map_err(RunError::Cgroup)?;
            let path = format!("{}/build-{}", parent.trim_matches('/'), &spec.id[..12]);
            Some(
                Cgroup::create(&layout, &path, &Default::default())
                    .map_err(RunError::Cgroup)?
                    .0,
            )
        }
    };
    let stdio = Stdio::Fds {
        stdin: std::fs::File::open("/dev/null")
            .map_err(io("open /dev/null"))?
            .into(),
        stdout: std::io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(io("copy a descriptor"))?,
        stderr: std::io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map_err(io("copy a descriptor"))?,
    };
    let netns = network.netns().map_or(NetNs::Host, NetNs::Join);
    let launched = runtime::prepare(Launch {
        id: &spec.id,
        spec: &oci,
        root: &root,
        netns,
        cgroup: cgroup.as_ref(),
        stdio,
        seccomp: if spec.insecure {
            Seccomp::Unconfined
        } else {
            Seccomp::Default
        },
        init: Init::Payload,
        user: spec.user.as_deref(),
        groups: &[],
    })
    .and_then(runtime::Parked::release)
    .map_err(RunError::Runtime)
    .and_then(|started| wait(&started, answer));
    if let Some(cgroup) = cgroup {
        // Everything in it died with its first process.
        let _ = cgroup.remove();
    }
    launched
}

/// Waits for the command; kills it when the build is over.
fn wait(started: &runtime::Started, answer: &UnixStream) -> Result<i32, RunError> {
    loop {
        let mut fds = [
            PollFd::new(&started.pidfd, PollFlags::IN),
            PollFd::new(answer, PollFlags::IN | PollFlags::RDHUP),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(RunError::Io("wait for the command", error.into())),
        }
        if !fds[1].revents().is_empty() {
            // Its first process is PID 1 of its namespace: all others go with it.
            let _ =
                rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::KILL);
            break;
        }
        if !fds[0].revents().is_empty() {
            break;
        }
    }
    started
        .wait()
        .map(|exit| i32::from(exit.code()))
        .map_err(RunError::Runtime)
}

/// The OCI specification of the command.
fn describe(spec: &RunSpec, mut own: Vec<Mount>, network: &Connected) -> Result<Spec, RunError> {
    let capabilities = if spec.insecure {
        defaults::all_capabilities()
    } else {
        defaults::capabilities()
    };
    let sys = if spec.insecure {
        defaults::SysAccess::ReadWrite
    } else {
        defaults::SysAccess::ReadOnly
    };
    let mut mounts = defaults::mounts(spec.shm_size.unwrap_or(defaults::SHM_SIZE), sys);
    mounts.extend(network_files(spec, network)?);
    mounts.append(&mut own);

    let mut rlimits = Vec::new();
    for (name, limit) in &spec.ulimits {
        let kind = rlimit(name).ok_or_else(|| RunError::Ulimit(name.clone()))?;
        // -1 is unlimited, which is the largest number for the kernel.
        let rlimit = PosixRlimitBuilder::default()
            .typ(kind)
            .soft(limit.soft as u64)
            .hard(limit.hard as u64)
            .build();
        rlimits.push(rlimit.map_err(RunError::Oci)?);
    }
    let process = ProcessBuilder::default()
        .args(spec.argv.clone())
        .env(spec.env.clone())
        .cwd(spec.cwd.clone())
        .capabilities(defaults::capability_sets(&capabilities))
        .rlimits(rlimits)
        .no_new_privileges(false)
        .build()
        .map_err(RunError::Oci)?;
    let mut linux = LinuxBuilder::default().namespaces(defaults::namespaces());
    if spec.insecure {
        linux = linux.masked_paths(Vec::new()).readonly_paths(Vec::new());
    } else {
        linux = linux
            .masked_paths(defaults::masked_paths())
            .readonly_paths(defaults::readonly_paths());
    }
    let linux = linux.build().map_err(RunError::Oci)?;
    // The path is the launch's; without this the default root is read-only.
    let root = RootBuilder::default()
        .path("/")
        .readonly(false)
        .build()
        .map_err(RunError::Oci)?;
    SpecBuilder::default()
        .version("1.2.0")
        .root(root)
        .hostname(spec.hostname.clone())
        .process(process)
        .mounts(mounts)
        .linux(linux)
        .build()
        .map_err(RunError::Oci)
}

fn rlimit(name: &str) -> Option<PosixRlimitType> {
    use PosixRlimitType as Kind;
    Some(match name.to_ascii_lowercase().as_str() {
        "cpu" => Kind::RlimitCpu,
        "fsize" => Kind::RlimitFsize,
        "data" => Kind::RlimitData,
        "stack" => Kind::RlimitStack,
        "core" => Kind::RlimitCore,
        "rss" => Kind::RlimitRss,
        "nproc" => Kind::RlimitNproc,
        "nofile" => Kind::RlimitNofile,
        "memlock" => Kind::RlimitMemlock,
        "as" => Kind::RlimitAs,
        "locks" => Kind::RlimitLocks,
        "sigpending" => Kind::RlimitSigpending,
        "msgqueue" => Kind::RlimitMsgqueue,
        "nice" => Kind::RlimitNice,
        "rtprio" => Kind::RlimitRtprio,
        "rttime" => Kind::RlimitRttime,
        _ => return None,
    })
}

/// `/etc/hosts` and `/etc/resolv.conf` for the command; the image's own stay as they are.
fn network_files(spec: &RunSpec, network: &Connected) -> Result<Vec<Mount>, RunError> {
    let mut mounts = Vec::new();
    for (name, text) in network.files(spec) {
        let path = spec.scratch.join(name);
        std::fs::write(&path, text).map_err(io("write network files"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))
            .map_err(io("write network files"))?;
        mounts.push(bind(&path, "", &format!("/etc/{name}"), Access::ReadWrite)?);
    }
    Ok(mounts)
}
