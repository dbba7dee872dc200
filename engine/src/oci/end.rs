//! Signals, freezing and deletion.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use oci_spec::runtime::ContainerState;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::runtime::hook::{self, HookPoint};
use crate::state::crash_point;
use crate::sys::signal;

use super::store::{Record, living};
use super::{OciError, Status, Store};

/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happens to a container that still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is killed; one that does not exist is fine.
    Yes,
    /// It is refused.
    No,
}

/// Sends a signal to the container's first process.
pub fn kill(store: &Store, id: &str, number: i32) -> Result<(), OciError> {
    let (record, status) = store.look(id)?;
    let gone = || OciError::NotRunning { id: id.to_owned() };
    if status == Status::Stopped {
        return Err(gone());
    }
    let init = record.init.and_then(living).ok_or_else(gone)?;
    signal::send_to(init.as_fd(), number).map_err(|source| OciError::File {
        action: "send a signal to",
        path: id.into(),
        source,
    })
}

/// Sends a signal to all processes of the container, its first one's end or not.
pub fn kill_all(store: &Store, id: &str, number: i32) -> Result<(), OciError> {
    let (record, _) = store.look(id)?;
    let cgroup = record.open_cgroup()?;
    let Some(named) = Signal::from_named_raw(number) else {
        for pid in cgroup.pids()? {
            // One that has just ended got no signal, and needs none.
            let _ = signal::send(pid, number);
        }
        return Ok(());
    };
    Ok(cgroup.kill(named)?)
}

/// Freezes a container.
pub fn pause(store: &Store, id: &str) -> Result<(), OciError> {
    let _held = store.hold(id)?;
    let (record, status) = store.look(id)?;
    match status {
        Status::Created | Status::Running => Ok(record.open_cgroup()?.freeze()?),
        Status::Creating | Status::Paused | Status::Stopped => Err(OciError::Status {
            action: "pause",
            id: id.to_owned(),
            status,
        }),
    }
}

/// Lets a frozen container run again.
pub fn resume(store: &Store, id: &str) -> Result<(), OciError> {
    let _held = store.hold(id)?;
    let (record, status) = store.look(id)?;
    // One that waits for its start may be frozen too.
    match status {
        Status::Created | Status::Paused => Ok(record.open_cgroup()?.thaw()?),
        Status::Creating | Status::Running | Status::Stopped => Err(OciError::Status {
            action: "resume",
            id: id.to_owned(),
            status,
        }),
    }
}

/// Undoes a container; says what its `poststop` hooks complain about, which stops nothing.
pub fn delete(store: &Store, id: &str, force: Force) -> Result<Vec<String>, OciError> {
    let held = match store.hold(id) {
        Err(OciError::NotFound { .. }) if force == Force::Yes => return Ok(Vec::new()),
        other => other?,
    };
    // A creation that was killed before it had written anything down.
    let Some(record) = store.read(id)? else {
        held.remove()?;
        return Ok(Vec::new());
    };
    // While we hold the lock nobody is creating it.
    let status = match store.status(&record)? {
        Status::Creating => Status::Stopped,
        status => status,
    };
    if status != Status::Stopped && force == Force::No {
        return Err(OciError::Status {
            action: "delete",
            id: id.to_owned(),
            status,
        });
    }
    end(&record)?;
    crash_point("oci.delete.ended");
    let state = record.state(ContainerState::Stopped, None);
    let hooks = HookPoint::Poststop.of(record.spec.hooks().as_ref());
    let failures: Vec<String> = hooks
        .iter()
        .filter_map(|one| hook::run(HookPoint::Poststop, one, &state, &[]).err())
        .map(|error| error.to_string())
        .collect();
    crash_point("oci.delete.hooks");
    held.remove()?;
    Ok(failures)
}

/// Ends all of its processes and takes its cgroup away.
fn end(record: &Record) -> Result<(), OciError> {
    let cgroup = record.open_cgroup()?;
    // Without a first process it may never have been ours: a creation that found it in use was killed.
    let Some(init) = record.init else {
        let _ = cgroup.remove();
        return Ok(());
    };
    cgroup.kill(Signal::KILL)?;
    // On v1 the frozen die when they thaw.
    let _ = cgroup.thaw();
    if let Some(init) = living(init) {
        // It may have been moved out of its cgroup.
        let _ = signal::send_to(init.as_fd(), libc::SIGKILL);
        await_end(init.as_fd(), &record.id)?;
    }
    cgroup.remove()?;
    Ok(())
}

fn await_end(process: BorrowedFd<'_>, id: &str) -> Result<(), OciError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(ready) if ready > 0 => return Ok(()),
            _ => return Err(OciError::Lives { id: id.to_owned() }),
        }
    }
}
