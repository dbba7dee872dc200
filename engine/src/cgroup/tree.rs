//! Making and removing the directories of one hierarchy.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::layout::{Hierarchy, Version};
use super::{CgroupError, cpuset, file_error, read};

/// How long a removal waits for processes that were killed and are not gone yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes `path` below the hierarchy's base, with controllers switched on (v2) or cpusets inherited (v1).
pub(super) fn create(hierarchy: &Hierarchy, path: &str) -> Result<(), CgroupError> {
    // A shared parent may be removed by someone else between two of our steps.
    for _ in 0..8 {
        match create_once(hierarchy, path) {
            Err(CgroupError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
    }
    create_once(hierarchy, path)
}

fn create_once(hierarchy: &Hierarchy, path: &str) -> Result<(), CgroupError> {
    let mut directory = hierarchy.base().to_owned();
    let mut fresh = false;
    for part in Path::new(path).components() {
        if hierarchy.version() == Version::V2 {
            delegate(&directory, hierarchy.controllers())?;
        }
        directory.push(part);
        match std::fs::create_dir(&directory) {
            Ok(()) => fresh = true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fresh = false,
            Err(error) => return Err(file_error("create", &directory, error)),
        }
        if hierarchy.controllers().iter().any(|c| c == "cpuset")
            && hierarchy.version() == Version::V1
        {
            cpuset::inherit(&directory)?;
        }
    }
    let busy = || read(&directory.join("cgroup.procs")).is_ok_and(|text| !text.is_empty());
    if !fresh && busy() {
        return Err(CgroupError::Busy {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Switches controllers on for the children of `directory`, one by one: one that is refused (busy,
/// not delegated) must not take the others with it. What is missing shows when a limit is set.
fn delegate(directory: &Path, controllers: &[String]) -> Result<(), CgroupError> {
    if controllers.is_empty() {
        return Ok(());
    }
    let file = directory.join("cgroup.subtree_control");
    // Missing only in a threaded cgroup, which cannot delegate anything.
    let active = std::fs::read_to_string(&file).unwrap_or_default();
    for controller in controllers {
        if !active.split_whitespace().any(|a| a == controller) {
            let _ = std::fs::write(&file, format!("+{controller}"));
        }
    }
    Ok(())
}

/// Removes a directory and all below it.
pub(super) fn remove(directory: &Path, name: &str) -> Result<(), CgroupError> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(200);
    loop {
        match remove_once(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                if Instant::now() >= deadline {
                    return Err(CgroupError::Busy {
                        path: name.to_owned(),
                    });
                }
                // A process stays in its cgroup until it is reaped; nothing tells when that is.
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Err(error) => return Err(file_error("remove", directory, error)),
        }
    }
}

fn remove_once(directory: &Path) -> io::Result<()> {
    // Nearly always there are no children: the reading of the directory is saved.
    match std::fs::remove_dir(directory) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
        other => return other,
    }
    for child in children(directory)? {
        match remove_once(&child) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::remove_dir(directory)
}

/// The cgroups directly below.
pub(super) fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            children.push(entry.path());
        }
    }
    Ok(children)
}
