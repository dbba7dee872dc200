//! The keeper: the parent of a container's first process.
//!
//! A tiny process, forked by the supervisor before its loop begins. It prepares and releases the
//! container, holds its terminal and a side of each of its pipes, waits for its end and writes
//! that down. So neither the exit status nor unread output is lost when a supervisor is killed; its
//! replacement connects to the keeper's socket and goes on.
//!
//! While nothing runs it ends together with its supervisor; while something runs, or an exit
//! has been noted and not fetched, it stays until it is told to go.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use serde::{Deserialize, Serialize};

use crate::container::Failure;
use crate::container::record::ProcessRef;
use crate::runtime::{Exit, Started};
use crate::state::{Durability, write_record};
use crate::sys::process::close_all_but;
use crate::sys::wire;

use super::job::{Job, Waiting};

/// Name of the socket in the run directory.
pub const SOCKET: &str = "keeper.sock";

/// What a supervisor asks of a keeper: one byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Prepare the container.
    Prepare,
    /// Let it run.
    Start,
    /// Let its standard input end.
    CloseStdin,
    /// Say what there is: for a replacement.
    Report,
    /// End.
    Quit,
}

impl Order {
    const ALL: [(u8, Self); 5] = [
        (b'P', Self::Prepare),
        (b'S', Self::Start),
        (b'C', Self::CloseStdin),
        (b'R', Self::Report),
        (b'Q', Self::Quit),
    ];

    /// As a byte.
    pub fn byte(self) -> u8 {
        Self::ALL
            .iter()
            .find(|(_, order)| *order == self)
            .map_or(0, |(byte, _)| *byte)
    }

    fn parse(byte: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == byte)
            .map(|(_, order)| *order)
    }
}

/// What a keeper answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Ready, before the program. The terminal's master side comes with it, if there is one.
    Parked {
        /// The first process.
        init: ProcessRef,
        /// What was asked for and is not so.
        warnings: Vec<String>,
    },
    /// The program runs.
    Started,
    /// Preparing or starting failed.
    Failed(Failure),
    /// The first process has ended.
    Exited(Ended),
    /// Still running: for a replacement. The terminal's master side comes with it.
    Running,
}

/// How the first process ended, as the keeper writes it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Exit code; 128 plus the number for a signal.
    pub code: u8,
    /// The signal.
    pub signal: Option<u8>,
    /// When.
    pub at: Timestamp,
}

impl Ended {
    /// From what the kernel says.
    pub fn new(exit: Exit) -> Self {
        Self {
            code: exit.code(),
            signal: match exit {
                Exit::Code(_) => None,
                Exit::Signal { signal, .. } => Some(signal),
            },
            at: Timestamp::now(),
        }
    }
}

enum State {
    Empty,
    Waiting(Waiting),
    Running(Started),
    Ended(Ended),
}

/// The keeper's process, which keeps nothing of what the supervisor has open (its clients would wait for
/// the end of a connection that we hold, too): answers `supervisor`, and whoever connects to `listener` after its death.
pub fn run(job: Job, supervisor: OwnedFd, listener: OwnedFd) -> io::Result<()> {
    let mut kept = vec![supervisor.as_fd(), listener.as_fd()];
    kept.extend(job.netns.as_ref().map(AsFd::as_fd));
    kept.extend(job.userns.as_ref().map(|(fd, _)| fd.as_fd()));
    kept.extend(job.pipes.descriptors());
    kept.extend(crate::rootless::mark());
    close_all_but(&kept)?;
    Keeper {
        job,
        listener,
        connection: Some(supervisor),
        state: State::Empty,
        terminal: None,
    }
    .serve()
}

struct Keeper {
    job: Job,
    listener: OwnedFd,
    connection: Option<OwnedFd>,
    state: State,
    terminal: Option<OwnedFd>,
}

/// What woke us.
struct Woken {
    order: bool,
    newcomer: bool,
    exit: bool,
}

impl Keeper {
    fn serve(mut self) -> io::Result<()> {
        loop {
            let woken = self.sleep()?;
            // The end first: an order that follows it finds it noted.
            if woken.exit {
                self.note_end()?;
            }
            if woken.order && !self.obey()? {
                return Ok(());
            }
            if woken.newcomer {
                self.connection =
                    rustix::net::accept_with(&self.listener, rustix::net::SocketFlags::CLOEXEC)
                        .ok();
            }
        }
    }

    fn sleep(&self) -> io::Result<Woken> {
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        if let Some(connection) = &self.connection {
            fds.push(PollFd::new(connection, PollFlags::IN));
        }
        if let State::Running(started) = &self.state {
            fds.push(PollFd::new(&started.pidfd, PollFlags::IN));
        }
        loop {
            match poll(&mut fds, None) {
                Ok(_) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let connected = self.connection.is_some();
        Ok(Woken {
            newcomer: ready(0),
            order: connected && ready(1),
            exit: matches!(self.state, State::Running(_)) && ready(1 + usize::from(connected)),
        })
    }

    /// Returns whether to go on.
    fn obey(&mut self) -> io::Result<bool> {
        let Some(connection) = &self.connection else {
            return Ok(true);
        };
        let mut byte = [0u8; 1];
        let received = rustix::net::recv(connection, &mut byte, RecvFlags::empty());
        let order = match received {
            Ok((1, _)) => Order::parse(byte[0]),
            Err(Errno::INTR) => return Ok(true),
            // The supervisor is gone.
            Ok(_) | Err(_) => {
                self.connection = None;
                return Ok(matches!(self.state, State::Running(_) | State::Ended(_)));
            }
        };
        match order {
            Some(Order::Prepare) => {
                let answer = self.prepare();
                self.answer(&answer);
            }
            Some(Order::Start) => {
                let answer = self.start();
                self.answer(&answer);
                // From here on it sleeps, perhaps for months: what preparing took is given back.
                crate::sys::process::trim_heap();
            }
            Some(Order::CloseStdin) => self.job.pipes.close_stdin(),
            Some(Order::Report) => {
                let answer = match &self.state {
                    State::Running(_) => Answer::Running,
                    State::Ended(ended) => Answer::Exited(*ended),
                    State::Empty | State::Waiting(_) => return Ok(false),
                };
                self.answer(&answer);
            }
            // Dropping a parked process ends it.
            Some(Order::Quit) => return Ok(false),
            None => {}
        }
        Ok(true)
    }

    fn prepare(&mut self) -> Answer {
        self.state = State::Empty;
        self.terminal = None;
        match self.try_prepare() {
            Ok(answer) => answer,
            Err(failure) => Answer::Failed(failure),
        }
    }

    fn try_prepare(&mut self) -> Result<Answer, Failure> {
        // The end of a former run is not this one's.
        crate::state::remove_file(&self.job.exit_file).map_err(|e| Failure::new(&e, 125))?;
        let mut waiting = self.job.prepare()?;
        self.terminal = waiting.terminal();
        let pid = waiting.pid();
        let init = ProcessRef::of(pid).ok_or_else(|| Failure {
            kind: crate::error::ErrorKind::Internal,
            exit_code: 125,
            message: format!("the container's process {pid} vanished"),
            cause: None,
        })?;
        let warnings = waiting.warnings().iter().map(ToString::to_string).collect();
        self.state = State::Waiting(waiting);
        Ok(Answer::Parked { init, warnings })
    }

    fn start(&mut self) -> Answer {
        let State::Waiting(waiting) = std::mem::replace(&mut self.state, State::Empty) else {
            return Answer::Failed(Failure {
                kind: crate::error::ErrorKind::Internal,
                exit_code: 125,
                message: "nothing is prepared".to_owned(),
                cause: None,
            });
        };
        match waiting.release() {
            Ok(started) => {
                self.state = State::Running(started);
                Answer::Started
            }
            Err(error) => Answer::Failed(Failure::new(&error, error.exit_code())),
        }
    }

    fn note_end(&mut self) -> io::Result<()> {
        let State::Running(started) = &self.state else {
            return Ok(());
        };
        let exit = started.wait().map_err(io::Error::other)?;
        let ended = Ended::new(exit);
        // First on disk, then told: whoever is killed in between, the other knows.
        let _ = write_record(&self.job.exit_file, 1, &ended, Durability::Process);
        self.state = State::Ended(ended);
        self.answer(&Answer::Exited(ended));
        self.job.forget();
        Ok(())
    }

    fn answer(&mut self, answer: &Answer) {
        let Some(connection) = &self.connection else {
            return;
        };
        let terminal = match answer {
            Answer::Parked { .. } | Answer::Running => self.terminal.as_ref().map(AsFd::as_fd),
            _ => None,
        };
        // A supervisor that is gone is noticed when its end of the connection is read.
        let _ = wire::send(connection.as_fd(), answer, terminal);
    }
}

/// Sends an order.
pub fn order(keeper: BorrowedFd<'_>, order: Order) -> io::Result<()> {
    rustix::net::send(keeper, &[order.byte()], SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Listens for replacements of a dead supervisor.
pub fn listen(run: &Path) -> io::Result<OwnedFd> {
    wire::listen(run, SOCKET, rustix::net::SocketType::SEQPACKET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_one_byte_each() {
        for (byte, order) in Order::ALL {
            assert_eq!((order.byte(), Order::parse(byte)), (byte, Some(order)));
        }
        assert_eq!(Order::parse(0), None);
    }
}
