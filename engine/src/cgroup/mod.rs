//! cgroups: layout detection, creation, limits, kill, statistics, removal.
//!
//! [`Layout::detect`] decides once which controllers live in which hierarchy; everything
//! else is routed per controller, so v1, v2 and the hybrid of both are one code. A process
//! is never moved by writing `cgroup.procs` (an RCU grace period, 11 ms): it is cloned into
//! the v2 cgroup and writes itself into the `tasks` of v1 ones.
//! A limit that cannot be applied is reported by name, never dropped.

mod control;
mod cpu;
mod cpuset;
mod devices;
mod io_limits;
mod layout;
mod limits;
mod memory;
mod pids;
mod stats;
mod tree;

pub use layout::{Hierarchy, Layout, Version};
pub use stats::Stats;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};

use crate::error::{Classify, ErrorKind};

/// One container's cgroups, in every hierarchy.
#[derive(Clone, Debug)]
pub struct Cgroup {
    layout: Layout,
    path: String,
}

/// A limit that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitWarning {
    /// The limit, as the user knows it: `memory swap`.
    pub limit: String,
    /// Why it is not in force.
    pub reason: String,
}

impl fmt::Display for LimitWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.limit, self.reason)
    }
}

/// What a new process needs to be born in a cgroup.
#[derive(Debug)]
pub struct Entry {
    /// The v2 directory, for CLONE_INTO_CGROUP.
    pub directory: Option<OwnedFd>,
    /// The `tasks` of v1 cgroups.
    pub tasks: Vec<TaskFile>,
}

/// The `tasks` file of a v1 cgroup, open for writing.
#[derive(Debug)]
pub struct TaskFile {
    path: PathBuf,
    file: OwnedFd,
}

impl TaskFile {
    /// Moves the calling thread in. A thread that moves only itself waits for no grace period.
    pub fn join(&self) -> io::Result<()> {
        rustix::io::write(&self.file, b"0")?;
        Ok(())
    }

    /// For messages.
    pub fn path(&self) -> String {
        self.path.display().to_string()
    }
}

impl Cgroup {
    /// Makes the cgroups of `path` (relative, `gantry/<id>`) with these limits. An existing empty one is reused.
    pub fn create(
        layout: &Layout,
        path: &str,
        limits: &LinuxResources,
    ) -> Result<(Self, Vec<LimitWarning>), CgroupError> {
        let cgroup = Self::open(layout, path)?;
        for hierarchy in layout.hierarchies() {
            tree::create(hierarchy, path)?;
        }
        let warnings = limits::apply(&cgroup, limits)?;
        Ok((cgroup, warnings))
    }

    /// The cgroups of `path`, made before.
    pub fn open(layout: &Layout, path: &str) -> Result<Self, CgroupError> {
        let normal =
            |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
        if path.is_empty() || !Path::new(path).components().all(normal) {
            return Err(CgroupError::Path {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            layout: layout.clone(),
            path: path.to_owned(),
        })
    }

    /// The path given at creation.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The layout it was made in.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Opens what a process needs to be born here.
    pub fn entry(&self) -> Result<Entry, CgroupError> {
        let mut entry = Entry {
            directory: None,
            tasks: Vec::new(),
        };
        for hierarchy in self.layout.hierarchies() {
            let directory = hierarchy.base().join(&self.path);
            let open = |path: &Path, flags: OFlags| {
                rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
                    .map_err(|error| file_error("open", path, error.into()))
            };
            match hierarchy.version() {
                Version::V2 => {
                    entry.directory = Some(open(&directory, OFlags::PATH | OFlags::DIRECTORY)?);
                }
                Version::V1 => {
                    let path = directory.join("tasks");
                    let file = open(&path, OFlags::WRONLY)?;
                    entry.tasks.push(TaskFile { path, file });
                }
            }
        }
        Ok(entry)
    }

    /// Changes limits of a live container; what `limits` does not name stays.
    pub fn update(&self, limits: &LinuxResources) -> Result<Vec<LimitWarning>, CgroupError> {
        limits::apply(self, limits)
    }

    /// Removes it, deepest first, and waits shortly for dying processes. Missing is fine.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let results: Vec<_> = self
            .layout
            .hierarchies()
            .map(|hierarchy| tree::remove(&hierarchy.base().join(&self.path), &self.path))
            .collect();
        results.into_iter().collect()
    }

    /// The directory where this controller's files are, and which kind they are.
    fn route(&self, controller: &str) -> Option<(Version, PathBuf)> {
        let hierarchy = self.layout.route(controller)?;
        Some((hierarchy.version(), hierarchy.base().join(&self.path)))
    }

    /// The v2 directory, where there is one.
    fn unified(&self) -> Option<PathBuf> {
        Some(self.layout.unified()?.base().join(&self.path))
    }
}

fn file_error(action: &'static str, path: &Path, source: io::Error) -> CgroupError {
    CgroupError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

fn read(path: &Path) -> Result<String, CgroupError> {
    std::fs::read_to_string(path).map_err(|error| file_error("read", path, error))
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
