//! What clients ask for while the program runs.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::container::control::{Reply, Request, WaitFor};
use crate::container::events::Action;
use crate::container::record::{Phase, ProcessRef};
use crate::container::{ContainerError, Failure, oci};

use super::clients::Client;
use super::life::Life;

pub(super) enum Obeyed {
    Done,
    Stopping { grace: Duration, restart: bool },
}

impl Life {
    pub(super) fn obey(&mut self, request: Request, client: Rc<Client>) -> Obeyed {
        match request {
            // One that is ending has nothing to start: the connection is closed without an answer at
            // the end, and the client launches the next run.
            Request::Start if self.shared.status.borrow().live.stopping => {}
            Request::Start => client.reply(&Reply::Done),
            Request::Signal { number } => {
                let stop = self.shared.status.borrow().record.resolved.stop_signal;
                let done = self.signal(number);
                // moby: a stop signal or SIGKILL by hand is not undone by the restart policy.
                if number == stop || number == libc::SIGKILL {
                    self.stopped_by_hand();
                    let _ = self.thaw();
                }
                self.emit(Action::Kill { signal: number });
                client.reply(&reply(done, "send a signal to"));
            }
            Request::Stop {
                signal,
                grace,
                by_hand,
            } => {
                self.shared.status.borrow_mut().live.stopping = true;
                if by_hand {
                    self.stopped_by_hand();
                }
                self.stoppers.push(client);
                return self.stop(signal, grace, false);
            }
            Request::Restart { signal, grace } => {
                self.restarters.push(client);
                return self.stop(signal, grace, true);
            }
            Request::Pause if self.is_paused() => {
                client.reply(&conflict("the container is paused already"))
            }
            Request::Unpause if !self.is_paused() => {
                client.reply(&conflict("the container is not paused"))
            }
            Request::Pause => {
                let done = self.freeze();
                client.reply(&reply(done, "freeze"));
            }
            Request::Unpause => {
                let done = self.thaw();
                client.reply(&reply(done, "thaw"));
            }
            Request::Wait { until } => self.wait(until, &client),
            Request::Reload => client.reply(&self.reload()),
            Request::Attach { .. } | Request::CloseStdin | Request::Resize { .. } => {}
        }
        Obeyed::Done
    }

    /// Makes what the container has fit its record.
    pub(super) fn reload(&mut self) -> Reply {
        let mut status = self.shared.status.borrow_mut();
        match super::reload::reload(&mut status, self.cgroup.as_ref(), &mut self.wiring) {
            Ok(warnings) => Reply::Reloaded { warnings },
            Err(error) => Reply::Failed(Failure::from(&error)),
        }
    }

    /// What a supervisor that takes over does: its predecessor may have died in the middle of a change.
    pub(super) fn catch_up(&mut self) {
        let mut status = self.shared.status.borrow_mut();
        if let Some(cgroup) = &self.cgroup
            && let Err(error) = super::reload::limit(&status.record, cgroup)
        {
            eprintln!("limits: {}", Failure::from(&error).line());
        }
        if let Err(error) = super::reload::rewire(&mut status, &mut self.wiring) {
            eprintln!("networks: {}", Failure::from(&error).line());
        }
    }

    pub(super) fn wait(&self, until: WaitFor, client: &Client) {
        use crate::container::HealthStatus::Starting;
        if until == WaitFor::Healthy {
            let status = self.shared.status.borrow();
            let health = status.live.health.as_ref().map(|health| health.status);
            if let Some(health) = health.filter(|health| *health != Starting) {
                client.reply(&Reply::Health(health));
                return;
            }
        }
        client.wait.set(Some(until));
    }

    fn signal(&self, number: i32) -> io::Result<()> {
        let status = self.shared.status.borrow();
        let init = status.live.init;
        if let Some(foreign) = oci::foreign(&status.record, &status.files)
            && init.is_some_and(ProcessRef::exists)
        {
            // Its first process may be a guard of the program that passes nothing on by itself.
            let sent = foreign.kill(status.record.id.as_str(), number);
            return sent.map_err(io::Error::other);
        }
        match init.filter(|init| init.exists()) {
            Some(init) => match rustix::process::Pid::from_raw(init.pid) {
                Some(pid) => crate::sys::signal::send(pid, number),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    pub(super) fn stopped_by_hand(&self) {
        let mut status = self.shared.status.borrow_mut();
        status.live.manually_stopped = true;
        if let Err(error) = status.save() {
            eprintln!("noting a stop: {error}");
        }
    }

    fn stop(&self, signal: Option<i32>, grace: Option<Duration>, restart: bool) -> Obeyed {
        let (default_signal, default_grace) = {
            let resolved = &self.shared.status.borrow().record.resolved;
            (resolved.stop_signal, resolved.stop_timeout)
        };
        let signal = signal.unwrap_or(default_signal);
        if let Err(error) = self.signal(signal) {
            eprintln!("stop signal: {error}");
        }
        self.emit(Action::Kill { signal });
        // A frozen process would sleep through its grace.
        let _ = self.thaw();
        Obeyed::Stopping {
            grace: grace.unwrap_or(default_grace),
            restart,
        }
    }

    pub(super) fn emit(&self, action: Action) {
        self.shared.status.borrow().emit(action);
    }

    fn is_paused(&self) -> bool {
        self.shared.status.borrow().live.phase == Phase::Paused
    }

    fn freeze(&self) -> io::Result<()> {
        let mut status = self.shared.status.borrow_mut();
        if let Some(cgroup) = &self.cgroup
            && status.live.phase == Phase::Running
        {
            cgroup.freeze().map_err(io::Error::other)?;
            status.enter(Phase::Paused).map_err(io::Error::other)?;
            status.emit(Action::Pause);
        }
        Ok(())
    }

    fn thaw(&self) -> io::Result<()> {
        let mut status = self.shared.status.borrow_mut();
        if let Some(cgroup) = &self.cgroup
            && status.live.phase == Phase::Paused
        {
            cgroup.thaw().map_err(io::Error::other)?;
            status.enter(Phase::Running).map_err(io::Error::other)?;
            status.emit(Action::Unpause);
        }
        Ok(())
    }
}

fn reply(done: io::Result<()>, action: &'static str) -> Reply {
    match done {
        Ok(()) => Reply::Done,
        Err(source) => Reply::Failed(Failure::from(&ContainerError::Host {
            action,
            path: "the container".to_owned(),
            source,
        })),
    }
}

pub(super) fn not_running() -> Reply {
    conflict("the container is not running")
}

fn conflict(message: &str) -> Reply {
    Reply::Failed(Failure {
        kind: crate::error::ErrorKind::Conflict,
        exit_code: 125,
        message: message.to_owned(),
        cause: None,
    })
}
