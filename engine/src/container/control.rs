//! What travels over a supervisor's control socket: frames, requests, replies; and the client's side of it.
//!
//! A frame is one byte of kind, four of length (little endian) and the payload. Requests and replies
//! are JSON; the streams of an attached client are plain bytes. The socket has mode 0600 in a
//! directory that others cannot write, and the supervisor checks the peer's user id as well.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::Failure;
use super::info::HealthStatus;
use super::record::ExitRecord;

/// Name of the socket in the run directory.
pub const SOCKET: &str = "ctl.sock";

/// Largest frame accepted; larger ones end the connection.
pub const FRAME_LIMIT: usize = 1 << 20;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A request or a reply.
    Message = 0,
    /// Bytes for standard input.
    Stdin = 1,
    /// Bytes of standard output.
    Stdout = 2,
    /// Bytes of standard error.
    Stderr = 3,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Message, Self::Stdin, Self::Stdout, Self::Stderr]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Bytes in front of a payload.
pub const HEADER: usize = 5;

/// The header of a frame.
pub fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    let [a, b, c, d] = (length as u32).to_le_bytes();
    [kind as u8, a, b, c, d]
}

/// Understands a header.
pub fn parse_header(bytes: [u8; HEADER]) -> io::Result<(Kind, usize)> {
    let [kind, a, b, c, d] = bytes;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    match Kind::from_byte(kind) {
        Some(kind) if length <= FRAME_LIMIT => Ok((kind, length)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a frame of the control socket is malformed",
        )),
    }
}

/// A message as a frame.
pub fn message<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let head = header(Kind::Message, frame.len() - HEADER);
    frame[..HEADER].copy_from_slice(&head);
    Ok(frame)
}

/// What a client asks of a supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Let the program run.
    Start,
    /// Copy output to this connection, and its input to the container.
    Attach {
        /// Take input.
        stdin: bool,
        /// Give standard output.
        stdout: bool,
        /// Give standard error.
        stderr: bool,
    },
    /// No more input comes from this client.
    CloseStdin,
    /// The terminal's size.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters a line.
        columns: u16,
    },
    /// Send a signal to the first process.
    Signal {
        /// Its number.
        number: i32,
    },
    /// End it, and do not start it again.
    Stop {
        /// Instead of the container's own stop signal.
        signal: Option<i32>,
        /// Instead of the container's own grace.
        grace: Option<Duration>,
        /// Somebody wants it stopped, and not just the machine.
        by_hand: bool,
    },
    /// End it and start it again.
    Restart {
        /// As for `Stop`.
        signal: Option<i32>,
        /// As for `Stop`.
        grace: Option<Duration>,
    },
    /// Freeze it.
    Pause,
    /// Let it run on.
    Unpause,
    /// The record was changed: make what the container has fit it.
    Reload,
    /// Tell when it has ended.
    Wait {
        /// What counts as the end.
        until: WaitFor,
    },
}

/// When a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// It does not run.
    NotRunning,
    /// It ends the next time.
    NextExit,
    /// It is gone.
    Removed,
    /// A probe has decided, or it has ended.
    Healthy,
}

/// What a supervisor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Everything up to the program is done.
    Prepared {
        /// What was asked for and is not so.
        warnings: Vec<String>,
    },
    /// Done.
    Done,
    /// The changed record is in force.
    Reloaded {
        /// What was asked for and is not so.
        warnings: Vec<String>,
    },
    /// Not done.
    Failed(Failure),
    /// It ended; nothing more comes from this connection unless it is attached.
    Exited(ExitRecord),
    /// The probes' verdict.
    Health(HealthStatus),
}

/// A blocking connection to a supervisor.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
}

/// Input as frames.
pub fn input(bytes: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(bytes.len() + HEADER);
    for chunk in bytes.chunks(FRAME_LIMIT) {
        frames.extend_from_slice(&header(Kind::Stdin, chunk.len()));
        frames.extend_from_slice(chunk);
    }
    frames
}

/// One frame received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A reply.
    Reply(Reply),
    /// Output.
    Output(Kind, Vec<u8>),
    /// The supervisor has closed the connection.
    End,
}

impl Connection {
    /// Over a connected socket.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream }
    }

    /// To the supervisor whose run directory this is.
    pub fn open(run: &std::path::Path) -> io::Result<Self> {
        // Through the directory's descriptor: a socket's path may have 107 bytes only.
        let dir = std::fs::File::open(run)?;
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd());
        UnixStream::connect(path).map(Self::new)
    }

    /// Sends a request.
    pub fn send(&mut self, request: &Request) -> io::Result<()> {
        self.stream.write_all(&message(request)?)
    }

    /// Sends requests that need not wait for each other's replies.
    pub fn send_all(&mut self, requests: &[Request]) -> io::Result<()> {
        let mut frames = Vec::new();
        for request in requests {
            frames.extend(message(request)?);
        }
        self.stream.write_all(&frames)
    }

    /// Sends as much of some frames as there is room for.
    pub fn send_some(&mut self, frames: &[u8]) -> io::Result<usize> {
        use rustix::net::SendFlags;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::send(&self.stream, frames, flags) {
            Ok(sent) => Ok(sent),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for one frame.
    pub fn receive(&mut self) -> io::Result<Received> {
        let mut head = [0; HEADER];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            // A supervisor that dies resets the connection when something of ours was unread.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(Received::End);
            }
            Err(error) => return Err(error),
        }
        let (kind, length) = parse_header(head)?;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        Ok(match kind {
            Kind::Message => Received::Reply(serde_json::from_slice(&payload)?),
            kind => Received::Output(kind, payload),
        })
    }

    /// Ends a blocked `receive` of another thread.
    pub fn shutdown(&self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Both)
    }

    /// A second handle on the same connection.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.stream.try_clone().map(Self::new)
    }

    /// Gives up waiting after this time; `None` waits for ever.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_wire() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut ours, mut theirs) = (Connection::new(ours), theirs);
        let reply = Reply::Exited(ExitRecord {
            code: 137,
            signal: Some(9),
            oom_killed: true,
        });
        theirs.write_all(&message(&reply).unwrap()).unwrap();
        theirs.write_all(&header(Kind::Stderr, 2)).unwrap();
        theirs.write_all(b"hi").unwrap();
        drop(theirs);
        assert_eq!(ours.receive().unwrap(), Received::Reply(reply));
        assert_eq!(
            ours.receive().unwrap(),
            Received::Output(Kind::Stderr, b"hi".to_vec())
        );
        assert_eq!(ours.receive().unwrap(), Received::End);
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_parsed_or_refused(bytes: [u8; HEADER]) {
            if let Ok((_, length)) = parse_header(bytes) {
                proptest::prop_assert!(length <= FRAME_LIMIT);
            }
        }
        #[test]
        fn any_request_text_is_parsed_or_refused(bytes: Vec<u8>) {
            let _ = serde_json::from_slice::<Request>(&bytes);
        }
    }
}
