//! One run of the program: its output, its probe, its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use jiff::Timestamp;
use rustix::event::PollFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep_until};

use crate::container::events::Action;
use crate::container::record::{ExitRecord, ProcessRef};
use crate::sys::readiness;
use crate::sys::wire;

use super::keeper::{Answer, Ended};
use super::life::Life;
use super::log::json::Stream;
use super::log::pipe::LogPipe;
use super::obey::Obeyed;
use super::output::{self, Source, Tap};
use super::pipes;
use super::shared::Command;

/// What ended a run.
pub(super) struct Ending {
    pub(super) exit: ExitRecord,
    pub(super) at: Timestamp,
    /// A restart was asked for by hand.
    pub(super) again: bool,
}

/// Where a program's output comes from, open and watched.
pub(super) enum Outputs {
    Terminal(Rc<AsyncFd<OwnedFd>>),
    Pipes(Vec<Tap>),
}

impl Life {
    /// Opens what the next run is followed with. Before its start, so that a lack of descriptors
    /// is an error of the start and not the end of a running program.
    pub(super) fn outputs(&mut self) -> io::Result<Outputs> {
        if let Some(terminal) = self.terminal.take() {
            rustix::io::ioctl_fionbio(&terminal, true)?;
            let terminal = Rc::new(readiness::register(
                terminal,
                Interest::READABLE | Interest::WRITABLE,
            )?);
            *self.shared.terminal.borrow_mut() = Some(Rc::clone(&terminal));
            if let Some((rows, columns)) = self.shared.size.get() {
                self.shared.resize(rows, columns)?;
            }
            return Ok(Outputs::Terminal(terminal));
        }
        let (run, open_stdin) = {
            let status = self.shared.status.borrow();
            (status.files.run.clone(), status.record.spec.open_stdin)
        };
        if open_stdin {
            let writer = readiness::register(pipes::stdin_writer(&run)?, Interest::WRITABLE)?;
            *self.shared.stdin.borrow_mut() = Some(Rc::new(writer));
        }
        let mut taps = Vec::new();
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
            taps.push(Tap::new(stream, source)?);
        }
        Ok(Outputs::Pipes(taps))
    }

    /// From the start of the program to its end.
    pub(super) async fn one_run(&mut self, outputs: Outputs) -> Ending {
        let (end, ended) = watch::channel(false);
        let pumps = self.pump(outputs, &ended);
        let probe = self
            .shared
            .status
            .borrow()
            .record
            .resolved
            .probe
            .clone()
            .map(|config| spawn_local(super::health::probe(Rc::clone(&self.shared), config)));
        let ending = self.watch().await.unwrap_or_else(|error| {
            // What cannot be watched is not left running.
            eprintln!("supervision ends: {error}");
            self.kill_all();
            self.ending(unknown_end(), false)
        });
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

    fn pump(
        &self,
        outputs: Outputs,
        ended: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<io::Result<()>>> {
        let log = || Rc::clone(&self.log);
        let clients = || Rc::clone(&self.shared.clients);
        match outputs {
            Outputs::Terminal(terminal) => vec![spawn_local(output::pump_terminal(
                terminal,
                log(),
                clients(),
                ended.clone(),
            ))],
            Outputs::Pipes(taps) => taps
                .into_iter()
                .map(|tap| spawn_local(output::pump(tap, log(), clients(), ended.clone())))
                .collect(),
        }
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
                    self.emit(Action::Kill { signal: libc::SIGKILL });
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

    pub(super) fn kill_all(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill_in_rounds();
        }
        let init = self.shared.status.borrow().live.init;
        if let Some(pidfd) = init.and_then(|init| init.open()) {
            let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
        }
    }

    pub(super) fn count_oom_kills(&self) -> u64 {
        self.cgroup
            .as_ref()
            .and_then(|cgroup| cgroup.oom_kills().ok())
            .unwrap_or(0)
    }
}

/// The keeper's next answer; `None` when it is gone.
pub(super) async fn answer(keeper: Option<&AsyncFd<OwnedFd>>) -> Option<(Answer, Option<OwnedFd>)> {
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
