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

pub use layout::{Hierarchy, Layout, Version, set_base};
pub use stats::{IoEntry, Stats};

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

    /// The path in every hierarchy as others name it; `None` where we may not create at the top.
    pub fn absolute_path(&self) -> Option<String> {
        let at_top = |hierarchy: &Hierarchy| hierarchy.begins_at_the_top();
        let all = self.layout.hierarchies().all(at_top);
        all.then(|| format!("/{}", self.path))
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

    /// Removes a parent of containers' cgroups where nothing is left in it. [`Cgroup::remove`] keeps parents,
    /// because making them again costs the next start more than an empty directory costs anyone; whoever
    /// gives a state root up calls this.
    pub fn remove_if_empty(&self) {
        for hierarchy in self.layout.hierarchies() {
            let _ = std::fs::remove_dir(hierarchy.base().join(&self.path));
        }
    }

    /// Removes what another runtime has made of this path, and of its parent, in v1 hierarchies that we do not use.
    pub fn remove_elsewhere(&self) {
        let ours: Vec<&Path> = self.layout.hierarchies().map(Hierarchy::base).collect();
        let entries = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
        for place in entries.flatten().map(|entry| entry.path()) {
            if ours.contains(&place.as_path()) {
                continue;
            }
            let leaf = place.join(&self.path);
            let _ = std::fs::remove_dir(&leaf);
            if let Some(parent) = leaf.parent().filter(|parent| *parent != place) {
                let _ = std::fs::remove_dir(parent);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{
        LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder,
        LinuxResourcesBuilder,
    };

    /// A v2 machine in a directory: the files are plain ones.
    fn check(controllers: &str, test: impl FnOnce(&Path, Layout)) {
        let root = tempfile::tempdir().expect("temporary directory");
        let mounts = format!(
            "1 2 0:3 / {} rw - cgroup2 cgroup2 rw\n",
            root.path().display()
        );
        std::fs::write(root.path().join("cgroup.controllers"), controllers).expect("written");
        let layout = Layout::from_texts(&mounts, "0::/\n", false, &|_| true, &|mount| {
            std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
        });
        test(root.path(), layout);
    }

    fn limits() -> LinuxResources {
        let memory = LinuxMemoryBuilder::default().limit(1 << 20).swap(3 << 20);
        let cpu = LinuxCpuBuilder::default().quota(20_000).cpus("0");
        let pids = LinuxPidsBuilder::default().limit(7);
        LinuxResourcesBuilder::default()
            .memory(memory.build().expect("valid"))
            .cpu(cpu.build().expect("valid"))
            .pids(pids.build().expect("valid"))
            .block_io(
                LinuxBlockIoBuilder::default()
                    .weight(100u16)
                    .build()
                    .expect("valid"),
            )
            .unified([("memory.high".to_owned(), "900000".to_owned())])
            .build()
            .expect("valid")
    }

    #[test]
    fn v2_files_get_the_limits() {
        check("cpuset cpu io memory pids\n", |root, layout| {
            let (cgroup, warnings) = Cgroup::create(&layout, "g/one", &limits()).expect("made");
            assert_eq!(warnings, []);
            let leaf = root.join("g/one");
            for (file, text) in [
                ("memory.max", "1048576"),
                ("memory.swap.max", "2097152"),
                ("memory.high", "900000"),
                ("cpu.max", "20000 100000"),
                ("cpuset.cpus", "0"),
                ("pids.max", "7"),
            ] {
                let written = std::fs::read_to_string(leaf.join(file)).expect(file);
                assert_eq!(written, text, "{file}");
            }
            // Controllers were switched on above the leaf, the last one written being the last of the list.
            for directory in [root.to_owned(), root.join("g")] {
                let control = std::fs::read_to_string(directory.join("cgroup.subtree_control"));
                assert_eq!(control.expect("written"), "+pids");
            }
            assert!(!leaf.join("cgroup.subtree_control").exists());
            let entry = cgroup.entry().expect("opens");
            assert!(entry.directory.is_some() && entry.tasks.is_empty());
        });
    }

    #[test]
    fn missing_controllers_are_named() {
        check("memory\n", |_, layout| {
            let (_, warnings) = Cgroup::create(&layout, "one", &limits()).expect("made");
            let named: Vec<_> = warnings.iter().map(|w| w.limit.as_str()).collect();
            assert_eq!(named, ["cpu", "cpuset", "pids", "block io"]);
            assert!(warnings[0].reason.contains("`cpu`"), "{}", warnings[0]);
        });
    }

    #[test]
    fn usage_from_v2_files() {
        check("memory pids io cpu\n", |root, layout| {
            let (cgroup, _) =
                Cgroup::create(&layout, "one", &LinuxResources::default()).expect("made");
            for (file, text) in [
                ("memory.current", "1000\n"),
                ("memory.max", "max\n"),
                ("memory.stat", "anon 5\ninactive_file 300\n"),
                ("memory.events", "low 0\noom 2\noom_kill 2\n"),
                ("cpu.stat", "usage_usec 5\n"),
                ("io.stat", "8:0 rbytes=4 wbytes=6\n"),
                ("pids.current", "3\n"),
                ("pids.max", "9\n"),
            ] {
                std::fs::write(root.join("one").join(file), text).expect("written");
            }
            let stats = cgroup.stats().expect("read");
            assert_eq!((stats.memory_usage, stats.memory_limit), (700, None));
            assert_eq!((stats.cpu_usage, stats.io_write), (5000, 6));
            assert_eq!((stats.pids, stats.pids_limit), (3, Some(9)));
            assert_eq!(cgroup.oom_kills().expect("read"), 2);
        });
    }
}
