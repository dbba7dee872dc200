//! What lies around the loop of a supervisor: its equipment before, its last words after.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::container::control::{Reply, Request};
use crate::container::record::ExitRecord;
use crate::container::{ContainerError, Failure};
use crate::spec::LogDriver;
use crate::sys::{Executable, readiness};

use super::life::Life;
use super::log::file::LogFile;
use super::obey::not_running;
use super::output::Log;
use super::restart::BackOff;
use super::setup::{Assets, Held};
use super::shared::{Command, Shared};
use super::status::Status;
use super::{finish, net, role, serve};

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
    /// It runs on without us: the next command starts another supervisor.
    Left,
}

/// Lives as long as the container.
pub fn run(
    mut assets: Assets,
    launcher: Option<StdStream>,
    begin: Begin,
) -> Result<After, ContainerError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    match runtime {
        Ok(runtime) => LocalSet::new().block_on(&runtime, live(assets, launcher, begin)),
        Err(error) => Err(give_up(&mut assets, launcher, &begin, error)),
    }
}

/// Ends before anything runs, or leaves alone what runs already; says why.
fn give_up(
    assets: &mut Assets,
    launcher: Option<StdStream>,
    begin: &Begin,
    source: io::Error,
) -> ContainerError {
    let error = ContainerError::Host {
        action: "supervise",
        path: assets.status.record.id.short().to_owned(),
        source,
    };
    if !matches!(begin, Begin::Running) {
        role::withdraw(assets, launcher, &Failure::from(&error));
    }
    error
}

/// What the loop needs and may not get: it is there before anybody is told that all is prepared.
struct Equipment {
    executable: Executable,
    log: Log,
    wiring: net::Wiring,
    listener: Option<UnixListener>,
    /// The connection to the keeper, for answers and for orders.
    keeper: Option<(AsyncFd<OwnedFd>, OwnedFd)>,
}

impl Equipment {
    fn open(assets: &mut Assets) -> io::Result<Self> {
        let held = &mut assets.held;
        let listener = match held.control.take() {
            Some(control) => {
                let listener = std::os::unix::net::UnixListener::from(control);
                listener.set_nonblocking(true)?;
                Some(UnixListener::from_std(listener)?)
            }
            None => None,
        };
        let keeper = match &held.keeper {
            Some(keeper) => Some((
                readiness::register(keeper.socket.try_clone()?, Interest::READABLE)?,
                keeper.socket.try_clone()?,
            )),
            None => None,
        };
        Ok(Self {
            executable: Executable::current()?,
            log: open_log(&assets.status)?,
            wiring: net::Wiring::start(&mut held.network)?,
            listener,
            keeper,
        })
    }
}

async fn live(
    mut assets: Assets,
    launcher: Option<StdStream>,
    begin: Begin,
) -> Result<After, ContainerError> {
    let equipment = match Equipment::open(&mut assets) {
        Ok(equipment) => equipment,
        Err(error) => return Err(give_up(&mut assets, launcher, &begin, error)),
    };
    if let Begin::Running = begin {
        assets.status.save()?;
    }
    let Assets {
        status,
        mut held,
        warnings,
    } = assets;
    let (mut life, accepting) = Life::new(status, &mut held, equipment, &begin);
    if let Some(launcher) = launcher
        && let Err(error) = announce(&life.shared, launcher, warnings)
    {
        // Whoever started us is gone, and with it the order to start.
        eprintln!("telling that all is prepared: {error}");
        let _ = life.shared.commands.send(Command::LauncherGone);
    }
    let after = life.lead(begin).await;
    if let Some(accepting) = accepting {
        accepting.abort();
        let _ = accepting.await;
    }
    if after != After::Left {
        life.end(&mut held).await;
    }
    Ok(after)
}

/// Tells whoever started us that the container is prepared, and waits for the order to start.
fn announce(shared: &Rc<Shared>, mut launcher: StdStream, warnings: Vec<String>) -> io::Result<()> {
    use std::io::Write;
    launcher.write_all(&crate::container::control::message(&Reply::Prepared {
        warnings,
    })?)?;
    launcher.set_nonblocking(true)?;
    let stream = UnixStream::from_std(launcher)?;
    spawn_local(serve::serve(Rc::clone(shared), stream, true));
    Ok(())
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
        LogDriver::JsonFile | LogDriver::Local => {
            let path = status.files.log(&status.record.id);
            Some(LogFile::of(&status.record, path)?)
        }
    };
    Ok(Rc::new(RefCell::new(log)))
}

impl Life {
    /// A life that begins, and what takes connections meanwhile.
    fn new(
        status: Status,
        held: &mut Held,
        equipment: Equipment,
        begin: &Begin,
    ) -> (Self, Option<JoinHandle<()>>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (keeper, orders) = equipment.keeper.unzip();
        let shared = Rc::new(Shared {
            stdin_once: status.record.spec.stdin_once,
            size: Cell::new(None),
            status: RefCell::new(status),
            clients: Rc::default(),
            commands,
            executable: equipment.executable,
            terminal: RefCell::new(None),
            stdin: RefCell::new(None),
            keeper: RefCell::new(orders),
        });
        let accepting = equipment
            .listener
            .map(|listener| spawn_local(serve::accept(Rc::clone(&shared), listener)));
        let life = Self {
            shared,
            inbox,
            log: equipment.log,
            cgroup: held.cgroup.clone(),
            wiring: equipment.wiring,
            keeper,
            back_off: BackOff::default(),
            oom_kills: 0,
            stoppers: Vec::new(),
            restarters: Vec::new(),
            last: None,
            adopted: matches!(begin, Begin::Running),
            terminal: held.terminal.take(),
        };
        (life, accepting)
    }

    /// Gives everything back, then tells those who wait for the end.
    async fn end(mut self, held: &mut Held) {
        let shared = &self.shared;
        self.wiring.end().await;
        shared.terminal.borrow_mut().take();
        shared.stdin.borrow_mut().take();
        shared.keeper.borrow_mut().take();
        for error in finish::dismantle(&shared.status.borrow(), held) {
            eprintln!("giving back: {}", Failure::from(&error).line());
        }
        // Only now: who hears of the end finds nothing left of it.
        for client in self.stoppers.iter().chain(&self.restarters) {
            client.reply(&Reply::Done);
        }
        let end = Reply::Exited(self.last.unwrap_or(ExitRecord {
            code: 0,
            signal: None,
            oom_killed: false,
        }));
        shared.clients.release(&end, |_| true);
        shared.clients.tell_attached(&end);
        // Requests that came too late.
        while let Ok(command) = self.inbox.try_recv() {
            if let Command::Request(request, client) = command
                && let Some(reply) = late(&request, end.clone())
            {
                client.reply(&reply);
            }
        }
        shared.clients.flushed().await;
    }
}
