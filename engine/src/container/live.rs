//! What a container does now, from its records, its supervisor's lock and its processes.
//!
//! A record of the run directory is believed while its supervisor holds its lock. Without one,
//! it is a supervisor that died: [`Standing::Orphaned`] says so, and whoever finds it starts a
//! replacement. A record of another boot is nothing.

use crate::state::{ContainerId, Lock, StateError, boot_id};

use super::info::{Container, State, Status};
use super::record::{Live, Outcome, Phase, Record};
use super::store::ContainerStore;

/// Whether a container has a supervisor.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It does not run.
    Idle,
    /// Its supervisor lives; `None` until it has written its first record.
    Supervised(Option<Live>),
    /// Its supervisor died and left this.
    Orphaned(Live),
}

/// Finds out.
pub fn standing(store: &ContainerStore, id: &ContainerId) -> Result<Standing, StateError> {
    let files = store.files(id);
    let Some(live) = store.live(id)? else {
        return Ok(if Lock::is_held(&files.supervisor_lock())? {
            Standing::Supervised(None)
        } else {
            Standing::Idle
        });
    };
    if live.boot_id != boot_id() {
        return Ok(Standing::Idle);
    }
    if Lock::is_held(&files.supervisor_lock())? {
        return Ok(Standing::Supervised(Some(live)));
    }
    // It may have ended in the regular way between the two looks.
    Ok(match store.live(id)? {
        Some(live) => Standing::Orphaned(live),
        None => Standing::Idle,
    })
}

/// Puts together what callers see.
pub fn container(store: &ContainerStore, record: Record) -> Result<Container, StateError> {
    let live = match standing(store, &record.id)? {
        Standing::Supervised(live) => live,
        Standing::Orphaned(live) => Some(live),
        Standing::Idle => None,
    };
    let outcome = store.outcome(&record.id)?;
    let state = state(live.as_ref(), &outcome);
    let files = store.files(&record.id);
    let health = match &live {
        Some(live) => live.health.clone(),
        None => outcome.health,
    };
    let (endpoints, ports, restart_count) = live.map_or_else(
        || (Vec::new(), Vec::new(), outcome.restart_count),
        |live| (live.endpoints, live.ports, live.restart_count),
    );
    Ok(Container {
        log_path: files.log(&record.id),
        name: record.name.to_string(),
        created: record.created,
        image: record.spec.image.clone(),
        image_id: record.image_id,
        command: record.resolved.argv,
        entrypoint_len: record.resolved.entrypoint_len,
        user: record.resolved.user,
        working_dir: record.resolved.working_dir,
        hostname: record.resolved.hostname,
        env: record.resolved.env,
        labels: record.resolved.labels,
        exposed: record.resolved.exposed,
        mounts: record.mounts,
        cgroup: record.cgroup,
        spec: record.spec,
        id: record.id,
        state,
        health,
        ports,
        endpoints,
        restart_count,
    })
}

fn state(live: Option<&Live>, outcome: &Outcome) -> State {
    let interrupted = live.is_none() && outcome.was_interrupted();
    let ended = interrupted
        || outcome.exit.is_some()
        || outcome.finished_at.is_some()
        || outcome.error.is_some();
    let last = outcome.exit.filter(|_| !interrupted);
    let idle = if ended {
        Status::Exited
    } else {
        Status::Created
    };
    let status = match live.map(|live| live.phase) {
        None => idle,
        Some(Phase::Preparing | Phase::Parked) => idle,
        Some(Phase::Running) => Status::Running,
        Some(Phase::Paused) => Status::Paused,
        Some(Phase::Restarting) => Status::Restarting,
        Some(Phase::Stopped) => Status::Exited,
    };
    let up = status.is_up();
    State {
        status,
        pid: live
            .filter(|_| matches!(status, Status::Running | Status::Paused))
            .and_then(|live| live.init)
            .map(|init| init.pid),
        started_at: live.and_then(|live| live.started_at).or(outcome.started_at),
        finished_at: outcome.finished_at.filter(|_| !interrupted),
        exit_code: if status == Status::Running || status == Status::Paused {
            0
        } else if interrupted {
            // Docker's word for an end that nobody saw.
            255
        } else {
            last.map_or_else(
                // Docker's 128 for what could not be started at all.
                || if outcome.error.is_some() { 128 } else { 0 },
                |exit| exit.code,
            )
        },
        signal: last.filter(|_| !up).and_then(|exit| exit.signal),
        oom_killed: !up && last.is_some_and(|exit| exit.oom_killed),
        error: outcome.error.clone().filter(|_| !up),
        manually_stopped: live.map_or(outcome.manually_stopped, |live| live.manually_stopped),
        stopping: up && live.is_some_and(|live| live.stopping),
    }
}
