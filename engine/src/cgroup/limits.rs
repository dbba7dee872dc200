//! Applying the specification's limits: each controller says what to write, this writes it.
//!
//! A limit that the kernel refuses becomes a warning with its name and the reason. Device rules are the exception:
//! they are a border, not a limit, and their failure is an error.

use std::io;
use std::path::Path;

use oci_spec::runtime::LinuxResources;

use crate::sys::user_namespace;

use super::{
    Cgroup, CgroupError, LimitWarning, Version, cpu, cpuset, devices, io_limits, memory, pids,
};

/// One write that puts a limit in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// The limit, as the user knows it.
    pub(super) limit: &'static str,
    /// The file; with several the first that exists is taken.
    pub(super) files: Vec<String>,
    /// What to write.
    pub(super) value: String,
}

/// What a controller makes of the limits.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) writes: Vec<Write>,
    pub(super) warnings: Vec<LimitWarning>,
}

impl Settings {
    /// Adds a write.
    pub(super) fn write(&mut self, limit: &'static str, file: &str, value: impl ToString) {
        self.write_any(limit, &[file], value);
    }

    /// Adds a write to the first of these files that exists.
    pub(super) fn write_any(&mut self, limit: &'static str, files: &[&str], value: impl ToString) {
        self.writes.push(Write {
            limit,
            files: files.iter().map(|&f| f.to_owned()).collect(),
            value: value.to_string(),
        });
    }

    /// Adds a limit that this interface does not have.
    pub(super) fn refuse(&mut self, limit: &str, reason: impl Into<String>) {
        self.warnings.push(LimitWarning {
            limit: limit.to_owned(),
            reason: reason.into(),
        });
    }
}

/// How a controller translates limits for one interface, given the cgroup's directory.
type Translate = fn(&LinuxResources, Version, &Path, &mut Settings);

/// A controller's name in v1 and v2, its translation, and a name for what it limits.
const CONTROLLERS: &[(&str, &str, Translate, &str)] = &[
    ("memory", "memory", memory::translate, "memory"),
    ("cpu", "cpu", cpu::translate, "cpu"),
    ("cpuset", "cpuset", cpuset::translate, "cpuset"),
    ("pids", "pids", pids::translate, "pids"),
    ("blkio", "io", io_limits::translate, "block io"),
    ("hugetlb", "hugetlb", huge_pages, "huge pages"),
    ("net_cls", "net_cls", network_class, "network class"),
    ("net_prio", "net_prio", network_priority, "network priority"),
];

/// Why a limit is not in force: nobody has its controller, or we have not.
fn missing(controller: &str) -> String {
    if user_namespace::is_initial() {
        format!("this machine has no cgroup controller `{controller}`")
    } else {
        format!("no cgroup controller `{controller}` for an ordinary user: it needs root")
    }
}

/// Puts the limits in force. What is not named stays as it is.
pub(super) fn apply(
    cgroup: &Cgroup,
    limits: &LinuxResources,
) -> Result<Vec<LimitWarning>, CgroupError> {
    let mut warnings = Vec::new();
    for &(v1, v2, translate, name) in CONTROLLERS {
        let route = cgroup.route(v1).or_else(|| cgroup.route(v2));
        let mut settings = Settings::default();
        match route {
            Some((version, directory)) => {
                translate(limits, version, &directory, &mut settings);
                for write in &settings.writes {
                    put(&directory, write, &mut warnings);
                }
                warnings.append(&mut settings.warnings);
            }
            None => {
                translate(limits, Version::V2, Path::new(""), &mut settings);
                if !settings.writes.is_empty() || !settings.warnings.is_empty() {
                    warnings.push(LimitWarning {
                        limit: name.to_owned(),
                        reason: missing(v2),
                    });
                }
            }
        }
    }
    unified(cgroup, limits, &mut warnings);
    if limits.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty()) {
        warnings.push(LimitWarning {
            limit: "rdma".to_owned(),
            reason: "not supported".to_owned(),
        });
    }
    // In a user namespace nobody makes device nodes, and those of the machine keep their modes.
    let rules = limits.devices().as_ref().filter(|rules| !rules.is_empty());
    if let Some(rules) = rules.filter(|_| user_namespace::is_initial()) {
        devices::apply(cgroup, rules)?;
    }
    Ok(warnings)
}

fn put(directory: &Path, write: &Write, warnings: &mut Vec<LimitWarning>) {
    let file = write
        .files
        .iter()
        .find(|file| write.files.len() == 1 || directory.join(file).exists())
        .or(write.files.first());
    let Some(file) = file else { return };
    if let Err(error) = std::fs::write(directory.join(file), &write.value) {
        warnings.push(LimitWarning {
            limit: write.limit.to_owned(),
            reason: reason(&error, file, &write.value),
        });
    }
}

fn reason(error: &io::Error, file: &str, value: &str) -> String {
    match error.raw_os_error() {
        // cgroupfs answers the creation of a file that is not there with EACCES or EPERM.
        Some(libc::ENOENT | libc::EACCES | libc::EPERM) => {
            format!("this kernel has no `{file}` here, or it may not be written")
        }
        Some(libc::EINVAL | libc::ERANGE) => format!("the kernel refuses `{value}` for `{file}`"),
        _ => format!("cannot write `{file}`: {error}"),
    }
}

/// Raw v2 files by name.
fn unified(cgroup: &Cgroup, limits: &LinuxResources, warnings: &mut Vec<LimitWarning>) {
    let Some(files) = limits.unified() else {
        return;
    };
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    for (file, value) in files {
        let refuse = |reason: &str| LimitWarning {
            limit: file.clone(),
            reason: reason.to_owned(),
        };
        // `cgroup.procs` and its like are no limits.
        if file.contains('/') || file.starts_with("cgroup.") || !file.contains('.') {
            warnings.push(refuse("not the name of a limit"));
            continue;
        }
        match cgroup.unified() {
            None => warnings.push(refuse("this machine has no cgroup v2")),
            Some(directory) => {
                if let Err(error) = std::fs::write(directory.join(file), value) {
                    warnings.push(refuse(&reason(&error, file, value)));
                }
            }
        }
    }
}

fn huge_pages(limits: &LinuxResources, version: Version, _: &Path, settings: &mut Settings) {
    for limit in limits.hugepage_limits().iter().flatten() {
        let size = limit.page_size();
        let file = match version {
            Version::V1 => format!("hugetlb.{size}.limit_in_bytes"),
            Version::V2 => format!("hugetlb.{size}.max"),
        };
        if size.contains('/') {
            settings.refuse("huge pages", "not a page size");
        } else {
            settings.write("huge pages", &file, limit.limit());
        }
    }
}

fn network_class(limits: &LinuxResources, version: Version, _: &Path, settings: &mut Settings) {
    let Some(class) = limits.network().as_ref().and_then(|n| n.class_id()) else {
        return;
    };
    match version {
        Version::V1 => settings.write("network class", "net_cls.classid", class),
        Version::V2 => settings.refuse("network class", "cgroup v2 has none"),
    }
}

fn network_priority(limits: &LinuxResources, version: Version, _: &Path, settings: &mut Settings) {
    let network = limits.network().as_ref();
    for priority in network
        .and_then(|n| n.priorities().as_ref())
        .into_iter()
        .flatten()
    {
        let value = format!("{} {}", priority.name(), priority.priority());
        match version {
            Version::V1 => settings.write("network priority", "net_prio.ifpriomap", value),
            Version::V2 => settings.refuse("network priority", "cgroup v2 has none"),
        }
    }
}

/// Runs a translation and shows the writes as `file=value`, for the controllers' tests.
#[cfg(test)]
pub(super) fn shown(
    translate: Translate,
    limits: &LinuxResources,
    version: Version,
) -> (Vec<String>, Vec<String>) {
    let mut settings = Settings::default();
    translate(limits, version, Path::new("/nonexistent"), &mut settings);
    (
        settings
            .writes
            .iter()
            .map(|w| format!("{}={}", w.files.join("|"), w.value))
            .collect(),
        settings.warnings.into_iter().map(|w| w.limit).collect(),
    )
}
