//! Which hierarchies a machine has, which controllers live where, and where we may create.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::Access;

use crate::mount::{CgroupHierarchy, CgroupView};

use super::{CgroupError, read};
use crate::sys::mount_info::{MountLine, unescape};
use crate::sys::user_namespace;

/// v1 controllers that a container is put into. Others (perf_event, rdma, misc) have no limits that
/// anyone can ask for, and each hierarchy costs a start.
const CONTROLLERS: &[&str] = &[
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb",
    "net_cls", "net_prio",
];

/// The two interfaces of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy per controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    version: Version,
    mount: PathBuf,
    base: PathBuf,
    controllers: Vec<String>,
}

impl Hierarchy {
    /// Its interface.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The directory below which we create: the top, or our own cgroup where the top is not writable.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Whether we create at its top.
    pub fn begins_at_the_top(&self) -> bool {
        self.base == self.mount
    }

    /// Its controllers.
    pub fn controllers(&self) -> &[String] {
        &self.controllers
    }
}

/// Which hierarchies this machine has and where we may create in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    hierarchies: Vec<Hierarchy>,
}

static BASE: OnceLock<PathBuf> = OnceLock::new();

/// Says once, at the beginning of a process, below which directory of the v2 hierarchy we create: a part of the tree that was
/// delegated to us and that our own cgroup need not be in.
pub fn set_base(directory: PathBuf) {
    let _ = BASE.set(directory);
}

impl Layout {
    /// Looks at this machine: /proc/self/cgroup and /proc/self/mountinfo. In a user namespace to
    /// which nothing was delegated there may be no hierarchy: then there are no limits.
    pub fn detect() -> Result<Self, CgroupError> {
        let mounts = read(Path::new("/proc/self/mountinfo"))?;
        let own = read(Path::new("/proc/self/cgroup"))?;
        let writable = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
        let systemd = Path::new("/run/systemd/system").exists();
        let layout = Self::from_texts(&mounts, &own, systemd, &writable, &|mount| {
            read(&mount.join("cgroup.controllers")).unwrap_or_default()
        });
        if layout.hierarchies.is_empty() && user_namespace::is_initial() {
            return Err(CgroupError::NotMounted);
        }
        Ok(layout)
    }

    /// From the two files' text. With systemd as the init, its named v1 hierarchy is used too: a process that
    /// stayed in the caller's session scope would be killed with it.
    pub(super) fn from_texts(
        mounts: &str,
        own: &str,
        systemd: bool,
        writable: &dyn Fn(&Path) -> bool,
        v2_controllers: &dyn Fn(&Path) -> String,
    ) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for mount in mounts.lines().filter_map(MountLine::parse) {
            let (version, controllers) = match mount.fs_type {
                "cgroup2" => (Version::V2, Vec::new()),
                "cgroup" => {
                    let known: Vec<String> = mount
                        .super_options
                        .split(',')
                        .filter(|option| {
                            CONTROLLERS.contains(option) || systemd && *option == "name=systemd"
                        })
                        .map(str::to_owned)
                        .collect();
                    if known.is_empty() {
                        continue;
                    }
                    (Version::V1, known)
                }
                _ => continue,
            };
            let path = PathBuf::from(unescape(mount.mount_point));
            let seen = hierarchies.iter().any(|h| {
                h.version == version && (version == Version::V2 || h.controllers == controllers)
            });
            // The same hierarchy may be mounted again elsewhere, into somebody's container.
            if seen || !path.starts_with("/sys/fs/cgroup") && !mount.root.eq("/") {
                continue;
            }
            let own = own_path(own, version, &controllers);
            let given = BASE
                .get()
                .filter(|base| version == Version::V2 && base.starts_with(&path));
            let base = if let Some(base) = given {
                base.clone()
            } else if writable(&path) {
                path.clone()
            } else {
                // The mount may itself begin below the hierarchy's root.
                let relative = own.strip_prefix(mount.root).unwrap_or(own);
                let own = path.join(relative.trim_start_matches('/'));
                if !writable(&own) {
                    continue;
                }
                own
            };
            hierarchies.push(Hierarchy {
                version,
                mount: path,
                base,
                controllers,
            });
        }
        let taken: Vec<String> = hierarchies
            .iter()
            .flat_map(|h| h.controllers.clone())
            .collect();
        for hierarchy in &mut hierarchies {
            if hierarchy.version == Version::V2 {
                // A controller that v1 holds is not listed by v2; `blkio` is called `io` here.
                hierarchy.controllers = v2_controllers(&hierarchy.base)
                    .split_whitespace()
                    .filter(|controller| !taken.iter().any(|t| t == controller))
                    .map(str::to_owned)
                    .collect();
            }
        }
        Self { hierarchies }
    }

    /// All of them.
    pub fn hierarchies(&self) -> impl Iterator<Item = &Hierarchy> {
        self.hierarchies.iter()
    }

    /// The one that has this controller.
    pub fn route(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies
            .iter()
            .find(|h| h.controllers.iter().any(|c| c == controller))
    }

    /// The v2 hierarchy.
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|h| h.version == Version::V2)
    }

    /// `v1`, `v2`, `hybrid`, or `none`.
    pub fn name(&self) -> &'static str {
        let v1 = self.hierarchies.iter().any(|h| h.version == Version::V1);
        match (v1, self.unified().is_some()) {
            (true, true) => "hybrid",
            (true, false) => "v1",
            (false, true) => "v2",
            (false, false) => "none",
        }
    }

    /// What a container sees of it.
    pub fn view(&self) -> CgroupView {
        let v1: Vec<CgroupHierarchy> = self
            .hierarchies
            .iter()
            .filter(|h| h.version == Version::V1)
            .map(|h| CgroupHierarchy {
                name: h.mount.file_name().map_or_else(
                    || h.controllers.join(","),
                    |n| n.to_string_lossy().into_owned(),
                ),
                options: h
                    .controllers
                    .iter()
                    .flat_map(|c| match c.strip_prefix("name=") {
                        Some(_) => vec!["none".to_owned(), c.clone()],
                        None => vec![c.clone()],
                    })
                    .collect(),
            })
            .collect();
        CgroupView {
            namespaced: true,
            unified: (!v1.is_empty() && self.unified().is_some()).then(|| "unified".to_owned()),
            v1,
        }
    }
}

/// Our own cgroup in a hierarchy, from /proc/self/cgroup.
fn own_path<'a>(own: &'a str, version: Version, controllers: &[String]) -> &'a str {
    own.lines()
        .find_map(|line| {
            let mut columns = line.splitn(3, ':');
            let (_, names, path) = (columns.next()?, columns.next()?, columns.next()?);
            let ours = match version {
                Version::V2 => names.is_empty(),
                Version::V1 => names.split(',').any(|n| controllers.iter().any(|c| c == n)),
            };
            ours.then_some(path)
        })
        .unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    fn layout(mounts: &str, own: &str, writable: fn(&Path) -> bool, controllers: &str) -> Layout {
        let controllers = controllers.to_owned();
        Layout::from_texts(mounts, own, false, &writable, &|_| controllers.clone())
    }

    #[test]
    fn hybrid_routes_each_controller() {
        let layout = layout(
            HYBRID,
            "4:memory:/job\n0::/\n",
            |_| true,
            "hugetlb pids memory",
        );
        assert_eq!(layout.name(), "hybrid");
        let version = |c| layout.route(c).map(|h| h.version);
        assert_eq!(version("memory"), Some(Version::V1));
        assert_eq!(version("cpuacct"), Some(Version::V1));
        assert_eq!(version("pids"), Some(Version::V2));
        assert_eq!(version("cpuset"), None);
        let view = layout.view();
        assert_eq!(view.v1[0].name, "cpu,cpuacct");
        assert_eq!(view.unified.as_deref(), Some("unified"));
    }

    #[test]
    fn nested_goes_below_our_own_cgroup() {
        let mounts = "1 2 0:3 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        let layout = layout(
            mounts,
            "0::/user/job\n",
            |path| path.ends_with("job"),
            "memory pids",
        );
        assert_eq!(layout.name(), "v2");
        let unified = layout.unified().expect("v2");
        assert_eq!(unified.base(), Path::new("/sys/fs/cgroup/user/job"));
        assert_eq!(unified.controllers(), ["memory", "pids"]);
    }

    #[test]
    fn a_mount_that_begins_below_the_root() {
        let mounts = "1 2 0:3 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        let layout = layout(
            mounts,
            "0::/docker/x/sub\n",
            |path| path.ends_with("sub"),
            "",
        );
        let unified = layout.unified().expect("v2");
        assert_eq!(unified.base(), Path::new("/sys/fs/cgroup/sub"));
    }

    #[test]
    fn what_nobody_delegated_is_not_used() {
        let layout = layout(HYBRID, "4:memory:/job\n0::/\n", |_| false, "pids");
        assert_eq!(layout.name(), "none");
        assert!(layout.route("memory").is_none() && layout.unified().is_none());
    }

    #[test]
    fn this_machine_is_understood() {
        let layout = Layout::detect().expect("cgroups are mounted");
        assert!(layout.route("memory").is_some(), "{layout:?}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(mounts in "[a-z0-9:/ \\\\-]*( - cgroup2? c rw,cpu)?", own in ".*") {
            let _ = layout(&mounts, &own, |_| false, "");
            let _ = unescape(&mounts);
        }
    }
}
