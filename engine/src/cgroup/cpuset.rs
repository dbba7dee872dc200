//! CPUs and memory nodes.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::limits::Settings;
use super::{CgroupError, Version, file_error, read};

/// What to write for the sets. The files have the same names in v1 and v2.
pub(super) fn translate(
    limits: &LinuxResources,
    _version: Version,
    _directory: &Path,
    settings: &mut Settings,
) {
    let Some(cpu) = limits.cpu() else {
        return;
    };
    let asked = |set: &Option<String>| set.clone().filter(|set| !set.is_empty());
    if let Some(cpus) = asked(cpu.cpus()) {
        settings.write("cpuset cpus", "cpuset.cpus", cpus);
    }
    if let Some(mems) = asked(cpu.mems()) {
        settings.write("cpuset mems", "cpuset.mems", mems);
    }
}

/// Gives a new v1 cgroup its parent's sets: it begins with empty ones, and no process can enter then.
pub(super) fn inherit(directory: &Path) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = directory.join(file);
        if !read(&own)?.trim().is_empty() {
            continue;
        }
        let Some(parent) = directory.parent() else {
            continue;
        };
        let set = read(&parent.join(file))?;
        std::fs::write(&own, set.trim()).map_err(|error| file_error("write", &own, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::limits::shown;
    use super::*;
    use oci_spec::runtime::{LinuxCpuBuilder, LinuxResourcesBuilder};

    #[test]
    fn empty_sets_are_not_asked_for() {
        let cpu = LinuxCpuBuilder::default()
            .cpus("0-1")
            .mems("")
            .build()
            .expect("valid");
        let limits = LinuxResourcesBuilder::default()
            .cpu(cpu)
            .build()
            .expect("valid");
        for version in [Version::V1, Version::V2] {
            assert_eq!(shown(translate, &limits, version).0, ["cpuset.cpus=0-1"]);
        }
    }

    #[test]
    fn a_new_set_is_the_parents() {
        let root = tempfile::tempdir().expect("temporary directory");
        let child = root.path().join("child");
        std::fs::create_dir(&child).expect("made");
        for (file, text) in [("cpuset.cpus", "0-3\n"), ("cpuset.mems", "0\n")] {
            std::fs::write(root.path().join(file), text).expect("written");
            std::fs::write(child.join(file), "\n").expect("written");
        }
        inherit(&child).expect("inherited");
        let set = std::fs::read_to_string(child.join("cpuset.cpus")).expect("read");
        assert_eq!(set, "0-3");
    }
}
