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

use crate::sys::readiness;
use jiff::Timestamp;
use rustix::event::PollFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep_until};

use crate::cgroup::Cgroup;
use crate::container::control::{Reply, Request, WaitFor};
use crate::container::events::Action;
use crate::container::record::{ExitRecord, Phase, ProcessRef};
use crate::container::{ContainerError, Failure};
use crate::spec::LogDriver;
use crate::state::crash_point;
use crate::sys::Executable;

use super::clients::{Client, Clients};
use super::keeper::{self, Answer, Ended, Order};
use super::log::LogLimits;
use super::log::file::LogFile;
use super::log::json::Stream;
use super::log::pipe::LogPipe;
use super::output::{self, Log, Source};
use super::restart::BackOff;
use super::setup::Assets;
use super::status::Status;
use super::{finish, net, pipes, serve, wire};

/// What the deciding task is told.
pub enum Command {
    /// A client asks.
    Request(Request, Rc<Client>),
    /// The client that started us is gone.
    LauncherGone,
}

/// What all tasks of a supervisor share.
pub struct Shared {
    /// The records.
    pub status: RefCell<Status>,
    /// The connections.
    pub clients: Rc<Clients>,
    /// The way to the deciding task.
    pub commands: mpsc::UnboundedSender<Command>,
    /// The first attached client's end is the end of standard input.
    pub stdin_once: bool,
    /// Our own executable, for probes.
    pub executable: Executable,
    terminal: RefCell<Option<Rc<AsyncFd<OwnedFd>>>>,
    stdin: RefCell<Option<Rc<AsyncFd<OwnedFd>>>>,
    keeper: RefCell<Option<OwnedFd>>,
}

impl Shared {
    /// Gives input to the container.
    pub async fn input(&self, mut bytes: &[u8]) -> io::Result<()> {
        let target = self
            .terminal
            .borrow()
            .clone()
            .or_else(|| self.stdin.borrow().clone());
        let Some(target) = target else {
            return Ok(());
        };
        while !bytes.is_empty() {
            let mut guard = target.writable().await?;
            match guard.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                Ok(written) => bytes = &bytes[written?..],
                Err(_) => continue,
            }
        }
        Ok(())
    }

    /// Lets standard input end.
    pub fn close_stdin(&self) {
        self.stdin.borrow_mut().take();
        if let Some(keeper) = &*self.keeper.borrow() {
            let _ = keeper::order(keeper.as_fd(), Order::CloseStdin);
        }
    }

    /// Sets the terminal's size.
    pub fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        match &*self.terminal.borrow() {
            Some(terminal) => Ok(rustix::termios::tcsetwinsize(
                terminal.get_ref(),
                rustix::termios::Winsize {
                    ws_row: rows,
                    ws_col: columns,
                    ws_xpixel: 0,
                    ws_ypixel: 0,
                },
            )?),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

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
    let mut tasks = net::spawn_tasks(&mut held.network)?;
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
        tasks.push(spawn_local(serve::accept(Rc::clone(&shared), listener)));
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
        ..
    } = life;
    for task in tasks {
        task.abort();
        let _ = task.await;
    }
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
        Request::Start => None,
        _ => Some(not_running()),
    }
}

fn not_running() -> Reply {
    Reply::Failed(Failure {
        kind: crate::error::ErrorKind::Conflict,
        exit_code: 125,
        message: "the container is not running".to_owned(),
        cause: None,
    })
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

struct Life {
    shared: Rc<Shared>,
    inbox: mpsc::UnboundedReceiver<Command>,
    log: Log,
    cgroup: Option<Cgroup>,
    keeper: Option<AsyncFd<OwnedFd>>,
    back_off: BackOff,
    oom_kills: u64,
    stoppers: Vec<Rc<Client>>,
    restarters: Vec<Rc<Client>>,
    last: Option<ExitRecord>,
    adopted: bool,
    terminal: Option<OwnedFd>,
}

/// What ended a run.
struct Ending {
    exit: ExitRecord,
    at: Timestamp,
    /// A restart was asked for by hand.
    again: bool,
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

    fn count_oom_kills(&self) -> u64 {
        self.cgroup
            .as_ref()
            .and_then(|cgroup| cgroup.oom_kills().ok())
            .unwrap_or(0)
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

    /// From the start of the program to its end.
    async fn one_run(&mut self) -> io::Result<Ending> {
        let (end, ended) = watch::channel(false);
        let pumps = self.pumps(&ended)?;
        let probe = self
            .shared
            .status
            .borrow()
            .record
            .resolved
            .probe
            .clone()
            .map(|config| spawn_local(super::health::probe(Rc::clone(&self.shared), config)));
        let ending = self.watch().await;
        if let Some(probe) = probe {
            probe.abort();
        }
        end.send_replace(true);
        for pump in pumps {
            if let Ok(Err(error)) = pump.await {
                eprintln!("output: {error}");
            }
        }
        self.shared.terminal.borrow_mut().take();
        self.shared.stdin.borrow_mut().take();
        ending
    }

    fn pumps(
        &mut self,
        ended: &watch::Receiver<bool>,
    ) -> io::Result<Vec<JoinHandle<io::Result<()>>>> {
        let clients = &self.shared.clients;
        if let Some(terminal) = self.terminal.take() {
            rustix::io::ioctl_fionbio(&terminal, true)?;
            let terminal = Rc::new(readiness::register(
                terminal,
                Interest::READABLE | Interest::WRITABLE,
            )?);
            *self.shared.terminal.borrow_mut() = Some(Rc::clone(&terminal));
            return Ok(vec![spawn_local(output::pump_terminal(
                terminal,
                Rc::clone(&self.log),
                Rc::clone(clients),
                ended.clone(),
            ))]);
        }
        let (run, open_stdin) = {
            let status = self.shared.status.borrow();
            (status.files.run.clone(), status.record.spec.open_stdin)
        };
        if open_stdin {
            let writer = readiness::register(pipes::stdin_writer(&run)?, Interest::WRITABLE)?;
            *self.shared.stdin.borrow_mut() = Some(Rc::new(writer));
        }
        let mut pumps = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let reader = pipes::reader(&run, stream)?;
            let source = match self.log.borrow_mut().as_mut() {
                Some(log) => Source::Logged(LogPipe::open(
                    stream,
                    reader,
                    &pipes::journal(&run, stream),
                    log,
                )?),
                None => Source::Plain(reader),
            };
            pumps.push(spawn_local(output::pump(
                stream,
                source,
                Rc::clone(&self.log),
                Rc::clone(clients),
                ended.clone(),
            )));
        }
        Ok(pumps)
    }

    /// Waits for the end, and obeys meanwhile.
    async fn watch(&mut self) -> io::Result<Ending> {
        let mut deadline: Option<Instant> = None;
        let mut again = false;
        let mut orphan: Option<AsyncFd<OwnedFd>> = None;
        if self.keeper.is_none() {
            match self.orphan()? {
                Some(init) => orphan = Some(init),
                None => return Ok(self.ending(unknown_end(), again)),
            }
        }
        loop {
            let grace = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let alone = async {
                match &orphan {
                    Some(init) => init.readable().await.map(drop),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                answer = answer(self.keeper.as_ref()) => match answer {
                    Some((Answer::Exited(ended), _)) => return Ok(self.ending(ended, again)),
                    Some(_) => {}
                    None => {
                        // The keeper was killed: its child is ours now, or the machine's first process's.
                        self.keeper = None;
                        match self.orphan()? {
                            Some(init) => orphan = Some(init),
                            None => return Ok(self.ending(unknown_end(), again)),
                        }
                    }
                },
                ready = alone => {
                    ready?;
                    let ended = orphan.as_ref().map_or_else(unknown_end, |init| end_of(init.get_ref()));
                    return Ok(self.ending(ended, again));
                }
                command = self.inbox.recv() => {
                    if let Some(Command::Request(request, client)) = command {
                        match self.obey(request, client) {
                            Obeyed::Done => {}
                            Obeyed::Stopping { grace, restart } => {
                                again = restart;
                                deadline = Some(Instant::now() + grace);
                            }
                        }
                    }
                }
                () = grace => {
                    deadline = None;
                    self.kill_all();
                }
            }
        }
    }

    /// The first process, to be watched without its keeper; `None` when it is gone.
    fn orphan(&self) -> io::Result<Option<AsyncFd<OwnedFd>>> {
        let init = self.shared.status.borrow().live.init;
        init.and_then(ProcessRef::open)
            .map(|init| readiness::register(init, Interest::READABLE))
            .transpose()
    }

    fn ending(&self, ended: Ended, again: bool) -> Ending {
        Ending {
            exit: ExitRecord {
                code: ended.code,
                signal: ended.signal,
                oom_killed: self.count_oom_kills() > self.oom_kills,
            },
            at: ended.at,
            again,
        }
    }

    fn kill_all(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill(rustix::process::Signal::KILL);
        }
        let init = self.shared.status.borrow().live.init;
        if let Some(pidfd) = init.and_then(|init| init.open()) {
            let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
        }
    }

    fn signal(&self, number: i32) -> io::Result<()> {
        let init = self.shared.status.borrow().live.init;
        match init.filter(|init| init.exists()) {
            Some(init) => match rustix::process::Pid::from_raw(init.pid) {
                Some(pid) => crate::sys::signal::send(pid, number),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    fn obey(&mut self, request: Request, client: Rc<Client>) -> Obeyed {
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
                self.shared
                    .status
                    .borrow()
                    .emit(Action::Kill { signal: number });
                client.reply(&reply(done, "send a signal to"));
            }
            Request::Stop { signal, grace } => {
                self.shared.status.borrow_mut().live.stopping = true;
                self.stopped_by_hand();
                self.shared.status.borrow().emit(Action::Stop);
                self.stoppers.push(client);
                return self.stop(signal, grace, false);
            }
            Request::Restart { signal, grace } => {
                self.shared.status.borrow().emit(Action::Restart);
                self.restarters.push(client);
                return self.stop(signal, grace, true);
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
            Request::Attach { .. } | Request::CloseStdin | Request::Resize { .. } => {}
        }
        Obeyed::Done
    }

    fn wait(&self, until: WaitFor, client: &Client) {
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

    fn stopped_by_hand(&self) {
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
        if let Err(error) = self.signal(signal.unwrap_or(default_signal)) {
            eprintln!("stop signal: {error}");
        }
        // A frozen process would sleep through its grace.
        let _ = self.thaw();
        Obeyed::Stopping {
            grace: grace.unwrap_or(default_grace),
            restart,
        }
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
                        _ => client.reply(&not_running()),
                    },
                },
            }
        }
    }
}

/// The keeper's next answer; `None` when it is gone.
async fn answer(keeper: Option<&AsyncFd<OwnedFd>>) -> Option<(Answer, Option<OwnedFd>)> {
    let Some(keeper) = keeper else {
        return std::future::pending().await;
    };
    let mut guard = keeper.readable().await.ok()?;
    let answer = wire::receive::<Answer>(keeper.get_ref().as_fd()).ok()?;
    // One packet was read, and another may be there: look again instead of waiting for an edge.
    if !is_readable(keeper.get_ref()) {
        guard.clear_ready();
    }
    answer
}

enum Obeyed {
    Done,
    Stopping { grace: Duration, restart: bool },
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

fn lost() -> Failure {
    Failure {
        kind: crate::error::ErrorKind::Internal,
        exit_code: 125,
        message: "the container's keeper was killed; start the container again".to_owned(),
        cause: None,
    }
}

fn is_readable(fd: &OwnedFd) -> bool {
    let mut fds = [rustix::event::PollFd::new(fd, PollFlags::IN)];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// The end of a process that is, or may be, our child.
fn end_of(init: &OwnedFd) -> Ended {
    let exit = crate::sys::process::exit_of(init.as_fd())
        .or_else(|| crate::sys::process::wait(init.as_fd()).ok());
    // Reaps it where it is ours.
    let _ = crate::sys::process::try_wait(init.as_fd());
    exit.map_or_else(unknown_end, Ended::new)
}

/// Nobody could see how it ended: as a kill, which the keeper's death most likely was.
fn unknown_end() -> Ended {
    Ended {
        code: 137,
        signal: Some(9),
        at: Timestamp::now(),
    }
}
