//! The loop of a supervisor: from a parked container to its end, restarts included.
//!
//! One thread, one current-thread runtime, one task that decides ([`Life`]); the others carry bytes.
//! Nothing here forks: the keeper does what needs a fork, and probes are our own executable again.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep_until};

use crate::cgroup::Cgroup;
use crate::container::control::{Reply, Request, WaitFor};
use crate::container::record::{ExitRecord, Phase};
use crate::container::{ContainerError, Failure};
use crate::spec::LogDriver;
use crate::state::crash_point;
use crate::sys::Executable;
use crate::sys::readiness;

use super::clients::Client;
use super::keeper::{self, Answer, Order};
use super::log::LogLimits;
use super::log::file::LogFile;
use super::obey::not_running;
use super::one_run::{Ending, answer};
use super::output::Log;
use super::restart::BackOff;
use super::setup::Assets;
use super::shared::{Command, Shared};
use super::status::Status;
use super::{finish, net, serve};

/// How a supervisor's loop begins.
pub enum Begin {
    /// Wait for the order to start.
    Parked,
    /// It runs already: we replace a dead supervisor.
    Running,
    /// Start at once: the policy's restart of a container that was adopted.
    Start,
}

/// What is to be done when the loop is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing more.
    Done,
    /// The policy wants another start, but the keeper was a dead supervisor's and is not ours to order.
    Relaunch,
}

/// Lives as long as the container.
pub fn run(assets: Assets, launcher: Option<StdStream>, begin: Begin) -> io::Result<After> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    LocalSet::new().block_on(&runtime, live(assets, launcher, begin))
}

async fn live(assets: Assets, launcher: Option<StdStream>, begin: Begin) -> io::Result<After> {
    let Assets {
        status,
        mut held,
        warnings,
    } = assets;
    let (commands, inbox) = mpsc::unbounded_channel();
    let terminal = held.terminal.take();
    let executable = Executable::current()?;
    let log = open_log(&status)?;
    if let Begin::Running = begin {
        status.save().map_err(io::Error::other)?;
    }
    let wiring = net::Wiring::start(&mut held.network)?;
    let mut accepting = None;
    let shared = Rc::new(Shared {
        stdin_once: status.record.spec.stdin_once,
        status: RefCell::new(status),
        clients: Rc::default(),
        commands,
        executable,
        terminal: RefCell::new(None),
        stdin: RefCell::new(None),
        keeper: RefCell::new(match &held.keeper {
            Some(keeper) => Some(keeper.socket.try_clone()?),
            None => None,
        }),
    });
    if let Some(control) = held.control.take() {
        let listener = std::os::unix::net::UnixListener::from(control);
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        accepting = Some(spawn_local(serve::accept(Rc::clone(&shared), listener)));
    }
    if let Some(launcher) = launcher {
        use std::io::Write;
        let mut launcher = launcher;
        let prepared = crate::container::control::message(&Reply::Prepared { warnings })?;
        launcher.write_all(&prepared)?;
        launcher.set_nonblocking(true)?;
        let stream = UnixStream::from_std(launcher)?;
        spawn_local(serve::serve(Rc::clone(&shared), stream, true));
    }
    let mut life = Life {
        shared: Rc::clone(&shared),
        inbox,
        log,
        cgroup: held.cgroup.clone(),
        wiring,
        keeper: match &held.keeper {
            Some(keeper) => Some(readiness::register(
                keeper.socket.try_clone()?,
                Interest::READABLE,
            )?),
            None => None,
        },
        back_off: BackOff::default(),
        oom_kills: 0,
        stoppers: Vec::new(),
        restarters: Vec::new(),
        last: None,
        adopted: matches!(begin, Begin::Running),
        terminal,
    };
    let after = life.lead(begin).await;
    let Life {
        stoppers,
        restarters,
        last,
        mut inbox,
        mut wiring,
        ..
    } = life;
    if let Some(accepting) = accepting {
        accepting.abort();
        let _ = accepting.await;
    }
    wiring.end().await;
    shared.terminal.borrow_mut().take();
    shared.stdin.borrow_mut().take();
    shared.keeper.borrow_mut().take();
    for error in finish::dismantle(&shared.status.borrow(), &mut held) {
        eprintln!("giving back: {}", Failure::from(&error).line());
    }
    // Only now: who hears of the end finds nothing left of it.
    for client in stoppers.iter().chain(&restarters) {
        client.reply(&Reply::Done);
    }
    let end = Reply::Exited(last.unwrap_or(ExitRecord {
        code: 0,
        signal: None,
        oom_killed: false,
    }));
    shared.clients.release(&end, |_| true);
    shared.clients.tell_attached(&end);
    // Requests that came too late.
    while let Ok(command) = inbox.try_recv() {
        if let Command::Request(request, client) = command
            && let Some(reply) = late(&request, end.clone())
        {
            client.reply(&reply);
        }
    }
    shared.clients.flushed().await;
    Ok(after)
}

/// What a request gets that arrives after the end. A start gets nothing: the client finds the
/// connection closed and starts the container anew.
fn late(request: &Request, end: Reply) -> Option<Reply> {
    match request {
        Request::Wait { .. } => Some(end),
        Request::Stop { .. } => Some(Reply::Done),
        // The record has it; the next run begins with it.
        Request::Start | Request::Reload => None,
        _ => Some(not_running()),
    }
}

fn open_log(status: &Status) -> io::Result<Log> {
    let log = match status.record.spec.log.driver {
        LogDriver::None => None,
        LogDriver::JsonFile => {
            let limits =
                LogLimits::from_options(&status.record.spec.log.options).unwrap_or_default();
            let path = status.files.log(&status.record.id);
            Some(LogFile::open(path, limits)?)
        }
    };
    Ok(Rc::new(RefCell::new(log)))
}

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
    async fn lead(&mut self, begin: Begin) -> After {
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
            if !running && let Err(failure) = self.start().await {
                self.note_failure(&failure);
                for client in starter.take().into_iter().chain(self.restarters.drain(..)) {
                    client.reply(&Reply::Failed(failure.clone()));
                }
                return After::Done;
            }
            running = false;
            for client in starter.take().into_iter().chain(self.restarters.drain(..)) {
                client.reply(&Reply::Done);
            }
            crash_point("life.started");
            let began = Instant::now();
            let ending = match self.one_run().await {
                Ok(ending) => ending,
                Err(error) => {
                    eprintln!("supervision ends: {error}");
                    return After::Done;
                }
            };
            self.last = Some(ending.exit);
            let delay = self.decide(&ending, began.elapsed());
            let phase = if delay.is_some() {
                Phase::Restarting
            } else {
                Phase::Stopped
            };
            {
                let mut status = self.shared.status.borrow_mut();
                if delay.is_some() {
                    status.live.restart_count += 1;
                }
                if let Err(error) = status.ended(ending.exit, ending.at, phase) {
                    eprintln!("noting the end: {error}");
                }
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
        if ending.again && self.stoppers.is_empty() {
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
                        Request::Stop { .. } => {
                            self.stopped_by_hand();
                            self.shared.status.borrow_mut().outcome.manually_stopped = true;
                            let _ = self.shared.status.borrow().save_outcome();
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
