//! The line between a container's first process and its parent, until the program runs.
//!
//! A SOCK_SEQPACKET pair that execve closes: the child says `Ready` or `Failed`, the parent
//! answers with the system call filter as its word to go, and the end of the line without
//! another message means that the program has started.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};

use crate::mount::MountError;
use crate::sys::seccomp::Instruction;

use super::hook::HookError;
use super::{RuntimeError, Stage, Warning};

/// The longest message: a filter of 4096 instructions, or a failure with its path.
const LIMIT: usize = 64 << 10;

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// Everything is set up; the terminal's master comes along.
    Ready {
        /// What was left out.
        warnings: Vec<Warning>,
    },
    /// Everything is mounted: the hooks outside may run.
    Mounted,
    /// Another process is what was asked for; its pidfd comes along. It is a child of who hears this.
    Sent,
    /// A step failed.
    Failed(Failure),
}

/// What the child is told.
#[derive(Debug)]
pub(super) enum Word {
    /// Go on; before the program, with this filter.
    Go {
        /// Empty for none.
        filter: Vec<Instruction>,
    },
    /// Wait for somebody who connects here and says the word.
    Listen {
        /// For then.
        filter: Vec<Instruction>,
        /// Where.
        listener: OwnedFd,
    },
}

/// A failure in a form that travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Failure {
    /// A step of the set-up.
    Setup {
        stage: u8,
        subject: String,
        errno: i32,
    },
    /// A user or group is unknown.
    NoSuchUser { group: bool, name: String },
    /// The program is not there.
    CommandNotFound { command: String },
    /// The program cannot be executed.
    CommandNotExecutable { command: String, errno: i32 },
    /// A hook failed.
    Hook(HookError),
}

impl Failure {
    /// A failed step.
    pub(super) fn new(
        stage: Stage,
        subject: impl Into<String>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Setup {
            stage: stage as u8,
            subject: subject.into(),
            errno: errno(&source.into()),
        }
    }

    /// A failed mount, with the step's own words.
    pub(super) fn mount(stage: Stage, error: MountError) -> Self {
        match error {
            MountError::Step {
                action,
                subject,
                source,
                // It is printed in backticks.
            } => Self::new(
                stage,
                format!("{subject}`: cannot {action} `{subject}"),
                source,
            ),
            MountError::Type {
                destination,
                what,
                source_path,
            } => Self::new(
                stage,
                format!("{destination}`: {what}; look at the source `{source_path}"),
                Errno::NOTDIR,
            ),
            option @ MountError::Option { .. } => {
                Self::new(stage, option.to_string(), Errno::INVAL)
            }
        }
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Setup {
                stage,
                subject,
                errno,
            } => Self::Setup {
                stage: Stage::ALL
                    .get(usize::from(stage))
                    .copied()
                    .unwrap_or(Stage::Report),
                subject,
                source: io::Error::from_raw_os_error(errno),
            },
            Failure::NoSuchUser { group, name } => Self::NoSuchUser {
                kind: if group { "group" } else { "user" },
                name,
                file: if group { "/etc/group" } else { "/etc/passwd" },
            },
            Failure::CommandNotFound { command } => Self::CommandNotFound { command },
            Failure::CommandNotExecutable { command, errno } => Self::CommandNotExecutable {
                command,
                source: io::Error::from_raw_os_error(errno),
            },
            Failure::Hook(error) => Self::Hook(error),
        }
    }
}

/// One end of the line.
#[derive(Debug)]
pub(super) struct Line(OwnedFd);

impl Line {
    /// Both ends.
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(one), Self(other)))
    }

    /// An end at a given descriptor.
    pub(super) fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The descriptor itself.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Says something, with a descriptor if there is one.
    pub(super) fn send(&self, message: &Message, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.send_bytes(&serde_json::to_vec(message)?, fd)
    }

    fn send_bytes(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds;
        if let Some(fd) = fd {
            fds = [fd];
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let slices = [io::IoSlice::new(bytes)];
        rustix::net::sendmsg(&self.0, &slices, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Says that something failed, by a plain write(2): a strict filter may allow nothing else any more.
    pub(super) fn send_failure(&self, failure: Failure) -> io::Result<()> {
        let bytes = serde_json::to_vec(&Message::Failed(failure))?;
        rustix::io::write(&self.0, &bytes)?;
        Ok(())
    }

    /// The next message; `None` when the other end is closed.
    pub(super) fn receive(&self) -> io::Result<Option<(Message, Option<OwnedFd>)>> {
        let (bytes, fd) = self.receive_bytes()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&bytes)?, fd)))
    }

    /// The next packet; empty when the other end is closed.
    fn receive_bytes(&self) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        let mut buffer = vec![0; LIMIT];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let mut slices = [io::IoSliceMut::new(&mut buffer)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match rustix::net::recvmsg(&self.0, &mut slices, &mut ancillary, flags) {
                Err(Errno::INTR) => continue,
                // The other side died with our answer unread.
                Err(Errno::CONNRESET) => break 0,
                other => break other?.bytes,
            }
        };
        buffer.truncate(length);
        let fd = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        Ok((buffer, fd))
    }

    /// Lets the child go on, with its filter.
    pub(super) fn go(&self, filter: &[Instruction]) -> io::Result<()> {
        self.send_bytes(&packed(filter), None)
    }

    /// Lets the child wait for another word, from whoever connects to this socket.
    pub(super) fn listen(
        &self,
        filter: &[Instruction],
        listener: BorrowedFd<'_>,
    ) -> io::Result<()> {
        self.send_bytes(&packed(filter), Some(listener))
    }

    /// Waits for the word; `None` when the other end has gone instead.
    pub(super) fn wait(&self) -> io::Result<Option<Word>> {
        let (bytes, listener) = self.receive_bytes()?;
        let Some((_, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let filter = unpacked(rest);
        Ok(Some(match listener {
            Some(listener) => Word::Listen { filter, listener },
            None => Word::Go { filter },
        }))
    }
}

/// A filter as a packet: one byte before the instructions, because an empty packet would look like the end of the line.
fn packed(filter: &[Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + filter.len() * 8);
    bytes.push(1);
    for i in filter {
        bytes.extend(i.code.to_ne_bytes());
        bytes.extend([i.jt, i.jf]);
        bytes.extend(i.k.to_ne_bytes());
    }
    bytes
}

fn unpacked(bytes: &[u8]) -> Vec<Instruction> {
    let (chunks, _) = bytes.as_chunks::<8>();
    let instruction = |&[a, b, jt, jf, k0, k1, k2, k3]: &[u8; 8]| Instruction {
        code: u16::from_ne_bytes([a, b]),
        jt,
        jf,
        k: u32::from_ne_bytes([k0, k1, k2, k3]),
    };
    chunks.iter().map(instruction).collect()
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_filters_travel() {
        let (ours, theirs) = Line::pair().expect("socket pair");
        let filter = [Instruction {
            code: 0x15,
            jt: 3,
            jf: 0,
            k: 0xc000_003e,
        }; 4096];
        for sent in [&filter[..], &[]] {
            ours.go(sent).expect("sent");
            let word = theirs.wait().expect("received").expect("open");
            assert!(matches!(word, Word::Go { filter } if filter == sent));
        }
        ours.listen(&filter, ours.as_fd()).expect("sent");
        let word = theirs.wait().expect("received").expect("open");
        assert!(matches!(word, Word::Listen { filter: f, .. } if f == filter));

        let failure = Failure::new(Stage::Sysctl, "net.x", Errno::ROFS);
        theirs.send_failure(failure).expect("sent");
        let (message, fd) = ours.receive().expect("received").expect("open");
        assert!(fd.is_none());
        let Message::Failed(failure) = message else {
            panic!("a failure was sent")
        };
        assert_eq!(
            RuntimeError::from(failure).to_string(),
            "setting a kernel parameter failed for `net.x`"
        );
        drop(theirs);
        assert!(ours.receive().expect("closed").is_none());
    }

    #[test]
    fn stages_keep_their_numbers() {
        for (number, stage) in Stage::ALL.iter().enumerate() {
            assert_eq!(*stage as usize, number);
        }
    }
}
