//! Staying with a further process until it ends.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};

use crate::container::{ContainerError, terminal};
use crate::sys::wire;

use super::{ExecSession, Left, Streams};

/// Keeps the caller's terminal out of the container: a process there with a descriptor of it could
/// read what is typed and write what it likes for as long as it lives. Whatever is a terminal is
/// replaced by a pipe that we copy; files, pipes and sockets go in as they are.
#[derive(Debug, Default)]
pub struct Shield {
    stdin: Option<(OwnedFd, OwnedFd)>,
    stdout: Option<(OwnedFd, OwnedFd)>,
    stderr: Option<(OwnedFd, OwnedFd)>,
}

impl Shield {
    /// For these streams. A process with a terminal of its own needs none.
    pub fn new(streams: Streams<'_>, tty: bool) -> io::Result<Self> {
        let pipe = |fd: Option<BorrowedFd<'_>>| -> io::Result<Option<(OwnedFd, OwnedFd)>> {
            match fd {
                Some(fd) if !tty && rustix::termios::isatty(fd) => Ok(Some(
                    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?,
                )),
                _ => Ok(None),
            }
        };
        Ok(Self {
            stdin: pipe(streams.stdin)?,
            stdout: pipe(streams.stdout)?,
            stderr: pipe(streams.stderr)?,
        })
    }

    /// What the process gets.
    pub fn inner<'a>(&'a self, streams: &Streams<'a>) -> Streams<'a> {
        let choose = |pipe: &'a Option<(OwnedFd, OwnedFd)>, ours, input: bool| match pipe {
            Some((reader, writer)) => Some(if input {
                reader.as_fd()
            } else {
                writer.as_fd()
            }),
            None => ours,
        };
        Streams {
            stdin: choose(&self.stdin, streams.stdin, true),
            stdout: choose(&self.stdout, streams.stdout, false),
            stderr: choose(&self.stderr, streams.stderr, false),
        }
    }
}

/// Stays with a process until its end, copying what the shield keeps apart; its exit code, or 0
/// when the user leaves it.
pub fn attend(
    session: &ExecSession,
    streams: Streams<'_>,
    shield: Shield,
    keys: Option<&str>,
    name: &str,
) -> Result<u8, ContainerError> {
    let keys = keys.map_or_else(
        || Ok(terminal::DetachKeys::default()),
        terminal::DetachKeys::parse,
    )?;
    let attended = if let Some(terminal) = session.terminal() {
        match terminal::converse(terminal, session.ended(), streams, Some(keys)) {
            Ok(terminal::SessionEnd::Ended) => session.wait(),
            Ok(terminal::SessionEnd::Detached) => {
                wire::send(session.line.as_fd(), &Left, None).map(|()| 0)
            }
            Err(error) => Err(error),
        }
    } else {
        relay(session, streams, shield)
    };
    attended.map_err(|source| ContainerError::Host {
        action: "attend a command in",
        path: name.to_owned(),
        source,
    })
}

fn relay(session: &ExecSession, streams: Streams<'_>, shield: Shield) -> io::Result<u8> {
    // The ends that the process has must not be held open by us.
    let mut input = shield.stdin.map(|(_, writer)| writer);
    let mut outputs: Vec<(OwnedFd, Option<BorrowedFd<'_>>)> = [
        shield.stdout.map(|(reader, _)| (reader, streams.stdout)),
        shield.stderr.map(|(reader, _)| (reader, streams.stderr)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut bytes = vec![0u8; 16 << 10];
    while input.is_some() || !outputs.is_empty() {
        let mut fds = vec![PollFd::from_borrowed_fd(session.ended(), PollFlags::IN)];
        fds.extend(outputs.iter().map(|(fd, _)| PollFd::new(fd, PollFlags::IN)));
        if let (Some(_), Some(stdin)) = (&input, streams.stdin) {
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if input.is_some() && ready.len() > outputs.len() + 1 && ready.last() == Some(&true) {
            let read = streams
                .stdin
                .map_or(Ok(0), |stdin| rustix::io::read(stdin, bytes.as_mut_slice()));
            let sent = match (read, &input) {
                (Ok(count), Some(input)) if count > 0 => {
                    terminal::write_all(input.as_fd(), &bytes[..count]).is_ok()
                }
                _ => false,
            };
            if !sent {
                input = None;
            }
        }
        let mut silent = Vec::new();
        for (index, (from, to)) in outputs.iter().enumerate() {
            if !ready[index + 1] {
                continue;
            }
            match rustix::io::read(from, bytes.as_mut_slice()) {
                Ok(0) | Err(_) => silent.push(index),
                Ok(count) => {
                    if let Some(to) = to {
                        terminal::write_all(*to, &bytes[..count])?;
                    }
                }
            }
        }
        for index in silent.into_iter().rev() {
            outputs.remove(index);
        }
        // Nobody reads input any more; output may still be held open by a child of the process.
        if ready[0] && !ready[1..].contains(&true) {
            break;
        }
        if ready[0] {
            input = None;
        }
    }
    session.wait()
}
