//! Giving everything back: after the end, after a failure, after a predecessor's death.
//!
//! Every step is tried whatever became of the others; a step whose object is gone already succeeds.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use crate::cgroup::{Cgroup, Layout};
use crate::container::events::Action;
use crate::container::record::{Live, Record, VERSION};
use crate::container::{ContainerError, ContainerStore, MountType, oci};
use crate::state::{StateError, crash_point, failed, read_boot_record};

use super::keeper::{self, Order};
use super::net;
use super::setup::{Held, KeeperHandle};
use super::status::Status;

/// Gives back what a supervisor holds, and removes the container if it was to be removed at its end.
/// Nothing of it runs any more afterwards. Returns what could not be done.
pub fn dismantle(status: &Status, held: &mut Held) -> Vec<ContainerError> {
    let mut errors = Vec::new();
    let mut note = |result: Result<(), ContainerError>| errors.extend(result.err());
    held.control = None;
    held.terminal = None;
    if let Some(keeper) = held.keeper.take() {
        dismiss(keeper);
    }
    crash_point("finish.keeper");
    let store = status.store();
    let record = &status.record;
    // Sockets and namespace first: then the kernel takes the interfaces away in its own time.
    let network = std::mem::take(&mut held.network);
    let connected = network.netns.is_some();
    drop(network);
    if connected {
        note(net::release(store, record, &status.live.endpoints));
    }
    crash_point("finish.disconnected");
    if let Some(cgroup) = held.cgroup.take() {
        note(remove_cgroup(&cgroup));
    }
    crash_point("finish.cgroup");
    if record.spec.auto_remove && status.outcome.started_at.is_some() {
        note(remove(store, record, Volumes::Anonymous));
    }
    crash_point("finish.removed");
    note(status.forget().map_err(Into::into));
    note(remove_run_dir(store, record).map_err(Into::into));
    held.lock = None;
    errors
}

/// Ends a keeper and, when it is our child, reaps it.
pub fn dismiss(keeper: KeeperHandle) {
    // One that is gone cannot be told, and need not be.
    let _ = keeper::order(keeper.socket.as_fd(), Order::Quit);
    if let Some((_, pidfd)) = &keeper.child {
        let _ = crate::sys::process::wait(pidfd.as_fd());
    }
}

fn remove_cgroup(cgroup: &Cgroup) -> Result<(), ContainerError> {
    // With a pid namespace of its own everything is dead already; with the host's it may not be.
    let pids = cgroup.pids().map_err(crate::runtime::RuntimeError::from)?;
    if !pids.is_empty() {
        cgroup
            .kill(rustix::process::Signal::KILL)
            .map_err(crate::runtime::RuntimeError::from)?;
    }
    cgroup
        .remove()
        .map_err(crate::runtime::RuntimeError::from)?;
    Ok(())
}

/// Which volumes go with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// None.
    Keep,
    /// Those without a name of their own.
    Anonymous,
}

/// Removes a container that does not run: the record first, then everything it named.
pub fn remove(
    store: &ContainerStore,
    record: &Record,
    volumes: Volumes,
) -> Result<(), ContainerError> {
    let anonymous: Vec<&str> = record
        .mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            MountType::Volume {
                name,
                anonymous: true,
                ..
            } if volumes == Volumes::Anonymous => Some(name.as_str()),
            _ => None,
        })
        .collect();
    store.paths().names().release(&record.name, &record.id)?;
    crash_point("remove.name");
    store.paths().trash().put(&store.files(&record.id).dir)?;
    crash_point("remove.trashed");
    for name in anonymous {
        match store.volumes().remove(name) {
            Ok(()) | Err(crate::volume::VolumeError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let _ =
        crate::container::events::Event::container(record, Action::Destroy).append(store.paths());
    Ok(())
}

fn remove_run_dir(store: &ContainerStore, record: &Record) -> Result<(), StateError> {
    let run = store.files(&record.id).run;
    match fs::remove_dir_all(&run) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", &run)(error)),
    }
}

/// Undoes what a dead predecessor has made: its processes, leases, cgroup and files.
/// The caller holds the supervisor's lock, and has made sure that nothing is to be adopted.
pub fn clear_leftovers(store: &ContainerStore, record: &Record) -> Result<(), ContainerError> {
    let files = store.files(&record.id);
    if !files.live().exists() {
        return Ok(());
    }
    // A power cut may leave it empty; what else lies there is of the same time.
    let live = read_boot_record::<Live>(&files.live(), VERSION)?;
    let endpoints = live.as_ref().map_or(&[][..], |live| &live.endpoints);
    if let Some(live) = &live
        && live.boot_id == crate::state::boot_id()
    {
        for process in [&live.keeper, &live.init].into_iter().flatten() {
            if let Some(pidfd) = process.open() {
                let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            }
        }
        if let Some(foreign) = oci::foreign(record, &files) {
            foreign.delete(record.id.as_str());
        }
        let layout = Layout::detect().map_err(crate::runtime::RuntimeError::from)?;
        if let Ok(cgroup) = Cgroup::open(&layout, &record.cgroup) {
            remove_cgroup(&cgroup)?;
        }
    }
    net::release(store, record, endpoints)?;
    crate::state::remove_file(&files.live())?;
    crate::state::remove_file(&files.exit())?;
    for name in [
        "stdout",
        "stderr",
        "stdin",
        "stdout.journal",
        "stderr.journal",
    ] {
        crate::state::remove_file(&files.run.join(name))?;
    }
    Ok(())
}
