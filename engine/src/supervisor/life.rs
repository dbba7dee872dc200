//! The loop of a supervisor: from a parked container to its end, restarts included.
//!
//! One thread, one current-thread runtime, one task that decides ([`Life`]); the others carry bytes.
//! Nothing here forks: the keeper does what needs a fork, and probes are our own executable again.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::cgroup::Cgroup;
use crate::container::control::{Reply, Request, WaitFor};
use crate::container::events::Action;
use crate::container::record::{ExitRecord, Phase};
use crate::container::{ContainerError, Failure};
use crate::state::crash_point;

use super::clients::Client;
use super::frame::{After, Begin};
use super::keeper::{self, Answer, Order};
use super::net;
use super::obey::not_running;
use super::one_run::{Ending, Outputs, answer};
use super::output::Log;
use super::restart::BackOff;
use super::shared::{Command, Shared};

pub(super) struct Life {
    pub(super) shared: Rc<Shared>,
    pub(super) inbox: mpsc::UnboundedReceiver<Command>,
    pub(super) log: Log,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) wiring: net::Wiring,
    pub(super) keeper: Option<AsyncFd<OwnedFd>>,
    pub(super) back_off: BackOff,
    pub(super) oom_kills: u64,
    pub(super) stoppers: Vec<Rc<Client>>,
    pub(super) restarters: Vec<Rc<Client>>,
    pub(super) last: Option<ExitRecord>,
    pub(super) adopted: bool,
    pub(super) terminal: Option<OwnedFd>,
}

impl Life {
    /// From the first start to the last end.
    pub(super) async fn lead(&mut self, begin: Begin) -> After {
        let starter = match begin {
            Begin::Parked => match self.wait_for_start().await {
                Some(client) => Some(client),
                None => return After::Done,
            },
            Begin::Running | Begin::Start => None,
        };
        let mut running = matches!(begin, Begin::Running);
        if running {
            self.catch_up();
        }
        let mut starter = starter;
        loop {
            let outputs = match self.begin(running).await {
                Ok(outputs) => outputs,
                Err(failure) if running => {
                    eprintln!("{}", failure.line());
                    return After::Left;
                }
                Err(failure) => {
                    self.note_failure(&failure);
                    for client in starter.take().into_iter().chain(self.restarters.drain(..)) {
                        client.reply(&Reply::Failed(failure.clone()));
                    }
                    return After::Done;
                }
            };
            running = false;
            if !self.restarters.is_empty() {
                self.emit(Action::Restart);
            }
            for client in starter.take().into_iter().chain(self.restarters.drain(..)) {
                client.reply(&Reply::Done);
            }
            crash_point("life.started");
            let began = Instant::now();
            let ending = self.one_run(outputs).await;
            self.last = Some(ending.exit);
            let delay = self.decide(&ending, began.elapsed());
            let phase = if delay.is_some() {
                Phase::Restarting
            } else {
                Phase::Stopped
            };
            {
                let mut status = self.shared.status.borrow_mut();
                if ending.again {
                    // By hand: what the policy did before does not count.
                    status.live.restart_count = 0;
                } else if delay.is_some() {
                    status.live.restart_count += 1;
                }
                if let Err(error) = status.ended(ending.exit, ending.at, phase) {
                    eprintln!("noting the end: {error}");
                }
            }
            if ending.again || !self.stoppers.is_empty() {
                self.emit(Action::Stop);
            }
            crash_point("life.ended");
            self.shared
                .clients
                .release(&Reply::Exited(ending.exit), |wait| {
                    matches!(wait, WaitFor::NextExit | WaitFor::Healthy)
                });
            let Some(delay) = delay else {
                return After::Done;
            };
            if !self.rest(delay).await {
                return After::Done;
            }
            if self.adopted {
                return After::Relaunch;
            }
            if let Err(failure) = self.prepare_again().await {
                self.note_failure(&failure);
                return After::Done;
            }
        }
    }

    /// `None` when the launcher went away, or a stop came, before the start.
    async fn wait_for_start(&mut self) -> Option<Rc<Client>> {
        loop {
            match self.inbox.recv().await? {
                Command::LauncherGone => return None,
                Command::Request(Request::Start, client) => return Some(client),
                Command::Request(Request::Wait { until }, client) => {
                    if until == WaitFor::NotRunning {
                        client.reply(&Reply::Exited(ExitRecord {
                            code: 0,
                            signal: None,
                            oom_killed: false,
                        }));
                    } else {
                        client.wait.set(Some(until));
                    }
                }
                Command::Request(Request::Stop { .. }, client) => {
                    self.stoppers.push(client);
                    return None;
                }
                Command::Request(Request::Reload, client) => client.reply(&self.reload()),
                Command::Request(_, client) => client.reply(&not_running()),
            }
        }
    }

    /// Opens what the program is followed with, and starts it unless it `runs` already.
    async fn begin(&mut self, runs: bool) -> Result<Outputs, Failure> {
        let outputs = self.outputs().map_err(|source| {
            Failure::from(&ContainerError::Host {
                action: "open the output of",
                path: self.shared.status.borrow().record.id.short().to_owned(),
                source,
            })
        })?;
        if !runs {
            self.start().await?;
        }
        Ok(outputs)
    }

    async fn start(&mut self) -> Result<(), Failure> {
        self.oom_kills = self.count_oom_kills();
        // Before the program can say anything: its first bytes are read from the beginning.
        self.order(Order::Start)?;
        match answer(self.keeper.as_ref()).await {
            Some((Answer::Started, _)) => {}
            Some((Answer::Failed(failure), _)) => return Err(failure),
            _ => return Err(lost()),
        }
        let mut status = self.shared.status.borrow_mut();
        status
            .started()
            .map_err(|error| Failure::from(&ContainerError::from(error)))
    }

    async fn prepare_again(&mut self) -> Result<(), Failure> {
        self.order(Order::Prepare)?;
        match answer(self.keeper.as_ref()).await {
            Some((Answer::Parked { init, .. }, terminal)) => {
                self.terminal = terminal;
                self.shared.status.borrow_mut().live.init = Some(init);
                Ok(())
            }
            Some((Answer::Failed(failure), _)) => Err(failure),
            _ => Err(lost()),
        }
    }

    fn order(&self, order: Order) -> Result<(), Failure> {
        let keeper = self.keeper.as_ref().ok_or_else(lost)?;
        keeper::order(keeper.get_ref().as_fd(), order).map_err(|_| lost())
    }

    fn note_failure(&mut self, failure: &Failure) {
        let mut status = self.shared.status.borrow_mut();
        status.outcome.error = Some(failure.line());
        status.outcome.exit = Some(ExitRecord {
            code: failure.exit_code,
            signal: None,
            oom_killed: false,
        });
        self.last = status.outcome.exit;
        if let Err(error) = status.save_outcome() {
            eprintln!("noting a failure: {error}");
        }
    }

    /// When to start again, if at all.
    fn decide(&mut self, ending: &Ending, ran: Duration) -> Option<Duration> {
        let status = self.shared.status.borrow();
        let by_policy = self.back_off.next(
            status.record.spec.restart,
            ending.exit.code,
            status.live.restart_count,
            ran,
            status.live.manually_stopped,
        );
        if !self.stoppers.is_empty() {
            return None;
        }
        if ending.again {
            return Some(Duration::ZERO);
        }
        by_policy
    }

    /// Waits before a restart. `false` when a stop came meanwhile.
    async fn rest(&mut self, delay: Duration) -> bool {
        let until = Instant::now() + delay;
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                command = self.inbox.recv() => match command {
                    None | Some(Command::LauncherGone) => {}
                    Some(Command::Request(request, client)) => match request {
                        Request::Stop { by_hand, .. } => {
                            if by_hand {
                                self.stopped_by_hand();
                                self.shared.status.borrow_mut().outcome.manually_stopped = true;
                                let _ = self.shared.status.borrow().save_outcome();
                            }
                            self.stoppers.push(client);
                            return false;
                        }
                        Request::Start | Request::Restart { .. } => {
                            self.restarters.push(client);
                            return true;
                        }
                        Request::Wait { until } => self.wait(until, &client),
                        Request::Reload => client.reply(&self.reload()),
                        _ => client.reply(&not_running()),
                    },
                },
            }
        }
    }
}

fn lost() -> Failure {
    Failure {
        kind: crate::error::ErrorKind::Internal,
        exit_code: 125,
        message: "the container's keeper was killed; start the container again".to_owned(),
        cause: None,
    }
}
