//! How containers end: stopped, killed, waited for, removed, or only frozen.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use crate::state::{ContainerId, Lock};
use crate::supervisor::{Volumes, clear_leftovers, remove};

use super::control::{Connection, Reply, Request, WaitFor};
use super::info::{HealthStatus, State, Status};
use super::live::{self, Standing};
use super::manage::{Containers, guard};
use super::{ContainerError, signal};

/// How long the end of a killed container is waited for.
const ENDS_WITHIN: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// How to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopOptions {
    /// Instead of the container's own grace.
    pub timeout: Option<Duration>,
    /// Instead of the container's own stop signal.
    pub signal: Option<String>,
    /// The machine is shut down: its restart policy starts the container again at boot.
    pub at_shutdown: bool,
}

/// How to remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill it first if it runs.
    pub force: bool,
    /// Its anonymous volumes too.
    pub volumes: bool,
}

/// What a wait found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// What it does, and how it last ended.
    pub state: State,
    /// The probes' verdict, where it has a probe.
    pub health: Option<HealthStatus>,
}

impl Containers {
    /// Stops a container; one that does not run is left alone.
    pub fn stop(&self, reference: &str, options: &StopOptions) -> Result<(), ContainerError> {
        let id = self.store.find(reference)?;
        drop(guard(&self.parked).remove(&id));
        let request = Request::Stop {
            signal: options.signal.as_deref().map(signal::parse).transpose()?,
            grace: options.timeout,
            by_hand: !options.at_shutdown,
        };
        loop {
            let mut connection = match self.connect(&id, "stop") {
                Ok(connection) => connection,
                Err(ContainerError::State { .. }) => return self.await_end(&id),
                Err(error) => return Err(error),
            };
            match self.ask(&mut connection, &request, &id) {
                Ok(_) => return Ok(()),
                // Its supervisor was killed, or had just ended: look again.
                Err(ContainerError::Lost(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until a supervisor that is about to end, or that waits for a start, is gone.
    fn await_end(&self, id: &ContainerId) -> Result<(), ContainerError> {
        if let Standing::Supervised(_) = live::standing(&self.store, id)?
            && let Ok(mut connection) = Connection::open(&self.store.files(id).run)
        {
            let request = Request::Stop {
                signal: None,
                grace: None,
                by_hand: true,
            };
            match self.ask(&mut connection, &request, id) {
                Ok(_) | Err(ContainerError::Lost(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // Its lock is the last thing it gives up.
        let lock = self.store.files(id).supervisor_lock();
        if lock.exists() {
            drop(Lock::exclusive(&lock));
            // Locking makes the file where its directory has just been emptied.
            if let Standing::Idle = live::standing(&self.store, id)? {
                let _ = std::fs::remove_file(&lock);
                let _ = std::fs::remove_dir(&self.store.files(id).run);
            }
        }
        Ok(())
    }

    /// Stops it, if it runs, and starts it.
    pub fn restart(&self, reference: &str, options: &StopOptions) -> Result<(), ContainerError> {
        let id = self.store.find(reference)?;
        let request = Request::Restart {
            signal: options.signal.as_deref().map(signal::parse).transpose()?,
            grace: options.timeout,
        };
        match self.order(reference, "restart", &request) {
            Err(ContainerError::State { .. }) => self.start_id(&id, None).map(drop),
            other => other,
        }
    }

    /// Sends a signal to its first process. After the one that cannot be survived its end is on record.
    pub fn kill(&self, reference: &str, name: &str) -> Result<(), ContainerError> {
        let number = signal::parse(name)?;
        // Found before: the end of a container may be the end of its name.
        let id = self.store.find(reference)?;
        self.order(reference, "kill", &Request::Signal { number })?;
        if number == libc::SIGKILL {
            self.await_run(&id);
        }
        Ok(())
    }

    /// Waits for the end of a killed run, for a while: a process in uninterruptible sleep takes its time.
    fn await_run(&self, id: &ContainerId) {
        let Ok(mut connection) = Connection::open(&self.store.files(id).run) else {
            return;
        };
        let until = WaitFor::NotRunning;
        if connection.send(&Request::Wait { until }).is_ok() {
            // An answer, and the end of a supervisor that has nothing left to do.
            let mut fds = [PollFd::new(&connection, PollFlags::IN)];
            let _ = retry_on_intr(|| poll(&mut fds, Some(&ENDS_WITHIN)));
        }
    }

    /// Freezes it.
    pub fn pause(&self, reference: &str) -> Result<(), ContainerError> {
        self.order(reference, "pause", &Request::Pause)
    }

    /// Lets it run on.
    pub fn unpause(&self, reference: &str) -> Result<(), ContainerError> {
        self.order(reference, "unpause", &Request::Unpause)
    }

    /// Waits.
    pub fn wait(&self, reference: &str, until: WaitFor) -> Result<Waited, ContainerError> {
        let id = self.store.find(reference)?;
        loop {
            let container = match self.store.record(&id)? {
                Some(record) => self.observe(record)?,
                None if until == WaitFor::Removed => return Ok(removed()),
                None => return Err(ContainerError::NotFound(reference.to_owned())),
            };
            let health = container.health.as_ref().map(|health| health.status);
            let waited = Waited {
                health,
                state: container.state,
            };
            let up = waited.state.status.is_up();
            let over = match until {
                WaitFor::NotRunning => !up,
                WaitFor::Healthy => !up || health.is_some_and(|h| h != HealthStatus::Starting),
                WaitFor::NextExit | WaitFor::Removed => false,
            };
            if over {
                return Ok(waited);
            }
            match Connection::open(&self.store.files(&id).run) {
                Ok(mut connection) => {
                    match self.ask(&mut connection, &Request::Wait { until }, &id) {
                        Ok(Reply::Exited(exit)) => {
                            let mut state = waited.state;
                            state.status = Status::Exited;
                            state.pid = None;
                            state.exit_code = exit.code;
                            state.signal = exit.signal;
                            state.oom_killed = exit.oom_killed;
                            // What is written down knows more, unless it is removed already.
                            if let Some(record) = self.store.record(&id)?
                                && until == WaitFor::NotRunning
                            {
                                let container = self.observe(record)?;
                                if !container.state.status.is_up() {
                                    state = container.state;
                                }
                            }
                            return Ok(Waited { state, health });
                        }
                        Ok(Reply::Health(status)) => {
                            return Ok(Waited {
                                health: Some(status),
                                ..waited
                            });
                        }
                        // The supervisor was killed: adopt, and wait on.
                        _ => {}
                    }
                }
                Err(_) => match until {
                    // Nothing runs that could tell: the journal of events does.
                    WaitFor::NextExit | WaitFor::Removed => self.wait_for_event(&id)?,
                    WaitFor::NotRunning | WaitFor::Healthy => self.wait_for_successor(&id)?,
                },
            }
        }
    }

    fn wait_for_event(&self, id: &ContainerId) -> Result<(), ContainerError> {
        use super::events::{EventFilter, EventStream};
        let mut stream = EventStream::open(self.store.paths(), EventFilter::default())?;
        // It may have happened before we listened.
        if self.store.record(id)?.is_none()
            || !matches!(live::standing(&self.store, id)?, Standing::Idle)
        {
            return Ok(());
        }
        while let Some(event) = stream.next(None)? {
            if event.id == id.as_str() {
                break;
            }
        }
        Ok(())
    }

    /// Removes a container.
    pub fn remove(&self, reference: &str, options: &RemoveOptions) -> Result<(), ContainerError> {
        let id = self.store.find(reference)?;
        let record = self.store.read(&id)?;
        drop(guard(&self.parked).remove(&id));
        let container = self.observe(record.clone())?;
        if container.state.status.is_up() {
            if !options.force {
                return Err(ContainerError::State {
                    action: "remove",
                    name: container.name,
                    reason: format!(
                        "it is {}; stop it first, or use force",
                        container.state.status
                    ),
                });
            }
            let stop = StopOptions {
                timeout: Some(Duration::ZERO),
                signal: Some("KILL".to_owned()),
                ..StopOptions::default()
            };
            self.stop(id.as_str(), &stop)?;
        }
        self.await_end(&id)?;
        // It may have removed itself meanwhile.
        let Some(record) = self.store.record(&id)? else {
            return Ok(());
        };
        let lock = Lock::exclusive(&self.store.files(&id).lock())?;
        clear_leftovers(&self.store, &record)?;
        let volumes = if options.volumes {
            Volumes::Anonymous
        } else {
            Volumes::Keep
        };
        remove(&self.store, &record, volumes)?;
        let _ = std::fs::remove_dir_all(self.store.files(&id).run);
        drop(lock);
        Ok(())
    }

    /// Removes what creations that died have left: directories that are nobody's container.
    pub fn sweep(&self) -> Result<(), ContainerError> {
        for id in self.store.ids()? {
            self.sweep_one(&id)?;
        }
        Ok(self.store.paths().trash().empty()?)
    }

    /// Removes a directory that is nobody's container and that nobody is at work on.
    pub(super) fn sweep_one(&self, id: &ContainerId) -> Result<(), ContainerError> {
        let files = self.store.files(id);
        if files.record().exists() || Lock::is_held(&files.lock())? {
            return Ok(());
        }
        let modified = std::fs::metadata(&files.dir).and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > Duration::from_secs(10)) {
            self.store.paths().trash().put(&files.dir)?;
        }
        Ok(())
    }
}

fn removed() -> Waited {
    Waited {
        state: State {
            status: Status::Removing,
            pid: None,
            started_at: None,
            finished_at: None,
            exit_code: 0,
            signal: None,
            oom_killed: false,
            error: None,
            manually_stopped: true,
            stopping: false,
        },
        health: None,
    }
}
