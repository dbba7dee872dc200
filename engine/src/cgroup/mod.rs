//! cgroups: layout detection, creation, limits, kill, statistics, removal.
//!
//! [`Layout::detect`] decides once which controllers live in which hierarchy; everything
//! else is routed per controller, so v1, v2 and the hybrid of both are one code. A process
//! is never moved by writing `cgroup.procs` (an RCU grace period, 11 ms): it is cloned into
//! the v2 cgroup and writes itself into the `tasks` of v1 ones.
//! A limit that cannot be applied is reported by name, never dropped.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::LinuxResources;
use rustix::process::{Pid, Signal};

use crate::error::{Classify, ErrorKind};

/// Which hierarchies this machine has and where we may create in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    _private: (),
}

impl Layout {
    /// Looks at this machine: /proc/self/cgroup and /proc/self/mountinfo.
    pub fn detect() -> Result<Self, CgroupError> {
        Ok(Self { _private: () })
    }
}

/// One container's cgroups, in every hierarchy.
#[derive(Clone, Debug)]
pub struct Cgroup {
    _private: (),
}

/// A limit that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitWarning {
    /// The limit, as the user knows it: `memory swap`.
    pub limit: String,
    /// Why it is not in force.
    pub reason: String,
}

impl Cgroup {
    /// Makes the cgroups of `path` (relative, `gantry/<id>`) with these limits. An existing empty one is reused.
    pub fn create(
        layout: &Layout,
        path: &str,
        limits: &LinuxResources,
    ) -> Result<(Self, Vec<LimitWarning>), CgroupError> {
        let _ = (layout, path, limits);
        Err(CgroupError::NotMounted)
    }

    /// The cgroups of `path`, made before.
    pub fn open(layout: &Layout, path: &str) -> Result<Self, CgroupError> {
        let _ = (layout, path);
        Err(CgroupError::NotMounted)
    }

    /// The path given at creation.
    pub fn path(&self) -> &str {
        ""
    }

    /// Changes limits of a live container; what `limits` does not name stays.
    pub fn update(&self, limits: &LinuxResources) -> Result<Vec<LimitWarning>, CgroupError> {
        let _ = limits;
        Err(CgroupError::NotMounted)
    }

    /// Sends a signal to every process in it; SIGKILL reaches those forked meanwhile too.
    pub fn kill(&self, signal: Signal) -> Result<(), CgroupError> {
        let _ = signal;
        Err(CgroupError::NotMounted)
    }

    /// Stops every process; returns when all have stopped.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        Err(CgroupError::NotMounted)
    }

    /// Lets them run again.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        Err(CgroupError::NotMounted)
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        Err(CgroupError::NotMounted)
    }

    /// The pids in it and below, in our namespace.
    pub fn pids(&self) -> Result<Vec<Pid>, CgroupError> {
        Err(CgroupError::NotMounted)
    }

    /// What it uses.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        Err(CgroupError::NotMounted)
    }

    /// How many of its processes the kernel has killed for lack of memory. Read it before [`Cgroup::remove`].
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        Err(CgroupError::NotMounted)
    }

    /// Removes it, deepest first, and waits shortly for dying processes. Missing is fine.
    pub fn remove(&self) -> Result<(), CgroupError> {
        Err(CgroupError::NotMounted)
    }

    /// The v2 directory to clone into, where there is one.
    pub fn directory(&self) -> Option<OwnedFd> {
        None
    }
}

/// Usage of a container, with Docker's formulas.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// CPU time in nanoseconds.
    pub cpu_usage: u64,
    /// Of it in user mode.
    pub cpu_user: u64,
    /// Of it in kernel mode.
    pub cpu_system: u64,
    /// Periods that ended in throttling.
    pub cpu_throttled_periods: u64,
    /// Periods that passed.
    pub cpu_periods: u64,
    /// Nanoseconds throttled.
    pub cpu_throttled_time: u64,
    /// Bytes as `docker stats` shows them: without the inactive page cache.
    pub memory_usage: u64,
    /// Bytes with it.
    pub memory_total: u64,
    /// Peak of the total, where the kernel counts it.
    pub memory_peak: Option<u64>,
    /// Limit; `None` is none.
    pub memory_limit: Option<u64>,
    /// Bytes read from block devices.
    pub io_read: u64,
    /// Bytes written.
    pub io_write: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Their limit; `None` is none.
    pub pids_limit: Option<u64>,
}

/// What went wrong with a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No hierarchy is mounted.
    #[error("no cgroup file system is mounted; mount cgroup2 at /sys/fs/cgroup")]
    NotMounted,
    /// A file or directory of a hierarchy.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A path that leaves the tree.
    #[error("cgroup path `{path}` must be relative, without `..`")]
    Path {
        /// As asked for.
        path: String,
    },
    /// No hierarchy can do this.
    #[error("this machine has no cgroup controller `{controller}`, which {what} needs")]
    NoController {
        /// The controller.
        controller: &'static str,
        /// What was asked for.
        what: &'static str,
    },
    /// A process would not go away.
    #[error("cgroup `{path}` still has processes")]
    Busy {
        /// Which.
        path: String,
    },
}

impl Classify for CgroupError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotMounted | Self::NoController { .. } => ErrorKind::Unsupported,
            Self::File { source, .. } => Classify::kind(source),
            Self::Path { .. } => ErrorKind::Invalid,
            Self::Busy { .. } => ErrorKind::Conflict,
        }
    }
}
