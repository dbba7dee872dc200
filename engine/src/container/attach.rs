//! A client of a container's streams.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::supervisor::log::json::Stream;
use crate::sys::notify::SignalPipe;

use super::control::{self, Connection, Kind, Received, Reply, Request};
use super::exec::Streams;
use super::record::ExitRecord;
use super::terminal::{DetachKeys, ENDING, RawMode, size, write_all};

/// What to be attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachOptions {
    /// Give input.
    pub stdin: bool,
    /// Take standard output.
    pub stdout: bool,
    /// Take standard error.
    pub stderr: bool,
    /// Lines and columns that the container's terminal, if it has one, is to have at once.
    pub size: Option<(u16, u16)>,
}

/// How to treat the user's terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interaction {
    /// The container has a terminal: use ours raw, and pass its size on.
    pub tty: bool,
    /// Keys that detach instead of ctrl-p ctrl-q.
    pub detach_keys: Option<String>,
    /// Pass signals that reach us on to the container, unless our terminal is raw.
    pub signal_proxy: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachEnd {
    /// The container ended.
    Exited(ExitRecord),
    /// The user pressed the detach keys.
    Detached,
    /// The connection ended without a word: the supervisor was killed. The container may live on.
    Lost,
}

/// One thing from an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Output.
    Output(Stream, Vec<u8>),
    /// The end.
    End(AttachEnd),
}

/// A connection that carries a container's streams.
#[derive(Debug)]
pub struct Attachment {
    connection: Connection,
    run: PathBuf,
    /// Output that came before the answer to the order to start.
    early: VecDeque<(Kind, Vec<u8>)>,
    /// What was asked for and is not so, when the container was started by the way.
    pub warnings: Vec<String>,
}

/// Signals that make no sense to pass on, or that are ours.
const PROXIED: [i32; 10] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGCONT,
    libc::SIGIO,
    libc::SIGPWR,
];

impl Attachment {
    /// Attaches an open connection.
    pub(super) fn begin(
        mut connection: Connection,
        run: PathBuf,
        options: AttachOptions,
    ) -> io::Result<Self> {
        connection.send_all(&Self::requests(options))?;
        Self::confirm(&mut connection, &options)?;
        Ok(Self::new(connection, run))
    }

    /// Over a connection whose supervisor has confirmed the [requests](Self::requests).
    pub(super) fn new(connection: Connection, run: PathBuf) -> Self {
        Self {
            connection,
            run,
            early: VecDeque::new(),
            warnings: Vec::new(),
        }
    }

    /// What attaches a connection.
    pub(super) fn requests(options: AttachOptions) -> Vec<Request> {
        let size = options
            .size
            .map(|(rows, columns)| Request::Resize { rows, columns });
        let attach = Request::Attach {
            stdin: options.stdin,
            stdout: options.stdout,
            stderr: options.stderr,
        };
        size.into_iter().chain([attach]).collect()
    }

    /// Waits for the answers to the [requests](Self::requests).
    pub(super) fn confirm(connection: &mut Connection, options: &AttachOptions) -> io::Result<()> {
        if options.size.is_some() {
            // It may have no terminal.
            connection.receive()?;
        }
        match connection.receive()? {
            Received::Reply(Reply::Done) => Ok(()),
            Received::Reply(Reply::Failed(failure)) => Err(io::Error::other(failure)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Waits for the answer to the order to start; output of a container that runs already may
    /// come before it and is kept.
    pub(super) fn started(&mut self) -> io::Result<Reply> {
        loop {
            match self.connection.receive()? {
                Received::Output(kind, bytes) => self.early.push_back((kind, bytes)),
                Received::Reply(reply) => return Ok(reply),
                Received::End => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Waits for output or the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would go on after the end"
    )]
    pub fn next(&mut self) -> io::Result<Frame> {
        loop {
            let received = match self.early.pop_front() {
                Some((kind, bytes)) => Received::Output(kind, bytes),
                None => self.connection.receive()?,
            };
            return Ok(match received {
                Received::Output(Kind::Stderr, bytes) => Frame::Output(Stream::Stderr, bytes),
                Received::Output(_, bytes) => Frame::Output(Stream::Stdout, bytes),
                Received::Reply(Reply::Exited(exit)) => Frame::End(AttachEnd::Exited(exit)),
                Received::Reply(_) => continue,
                Received::End => Frame::End(AttachEnd::Lost),
            });
        }
    }

    /// Copies between the user's streams and the container's until one of them ends.
    pub fn interact(
        mut self,
        streams: Streams<'_>,
        interaction: &Interaction,
    ) -> Result<AttachEnd, super::ContainerError> {
        let mut keys = match &interaction.detach_keys {
            Some(keys) => DetachKeys::parse(keys)?,
            None => DetachKeys::default(),
        };
        self.copy(streams, interaction, &mut keys)
            .map_err(|source| super::ContainerError::Host {
                action: "talk to",
                path: "the container".to_owned(),
                source,
            })
    }

    fn copy(
        &mut self,
        streams: Streams<'_>,
        interaction: &Interaction,
        keys: &mut DetachKeys,
    ) -> io::Result<AttachEnd> {
        let raw = match streams.stdin.filter(|_| interaction.tty) {
            Some(stdin) => RawMode::enter(stdin)?,
            None => None,
        };
        let mut signals = vec![libc::SIGWINCH];
        // Keys are no signals on a raw terminal; those that come are meant for us.
        let proxy = interaction.signal_proxy && raw.is_none();
        if proxy {
            signals.extend(PROXIED);
        } else {
            signals.extend(ENDING);
        }
        let signals = SignalPipe::new(&signals)?;
        if interaction.tty {
            self.resize(&streams);
        }
        let mut stdin = streams.stdin;
        // Input on its way. It waits for the container, and meanwhile output must go on: who
        // copies its input to its output would wait for us for ever.
        let mut outgoing = Vec::new();
        loop {
            let interest = if outgoing.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            };
            let mut fds = vec![
                PollFd::from_borrowed_fd(self.connection.as_fd(), interest),
                PollFd::new(signals.reader(), PollFlags::IN),
            ];
            if let Some(stdin) = stdin.filter(|_| outgoing.is_empty()) {
                fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
            }
            let at_once = rustix::event::Timespec::default();
            match poll(&mut fds, (!self.early.is_empty()).then_some(&at_once)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            let writable = fds[0].revents().contains(PollFlags::OUT);
            let readable =
                !self.early.is_empty() || !(fds[0].revents() - PollFlags::OUT).is_empty();
            if ready[1] {
                while let Some(signal) = signals.take() {
                    if signal == libc::SIGWINCH {
                        self.resize(&streams);
                    } else if proxy {
                        self.aside(&Request::Signal { number: signal });
                    } else {
                        drop(raw);
                        signals.obey(signal);
                        return Err(io::ErrorKind::Interrupted.into());
                    }
                }
            }
            if writable && self.send_some(&mut outgoing).is_err() {
                // The supervisor has closed; what it said last is still to be read.
                stdin = None;
                outgoing.clear();
            }
            if readable {
                match self.next()? {
                    Frame::Output(stream, bytes) => {
                        let to = match stream {
                            Stream::Stdout => streams.stdout,
                            Stream::Stderr => streams.stderr,
                        };
                        if let Some(to) = to {
                            write_all(to, &bytes)?;
                        }
                    }
                    Frame::End(end) => return Ok(end),
                }
            }
            if let Some(from) = stdin
                && ready.get(2) == Some(&true)
            {
                let (frames, after) = read_input(from, interaction.tty, keys)?;
                outgoing.extend(frames);
                if self.send_some(&mut outgoing).is_err() {
                    stdin = None;
                    outgoing.clear();
                }
                match after {
                    Input::More => {}
                    Input::End => stdin = None,
                    Input::Detach => return Ok(AttachEnd::Detached),
                }
            }
        }
    }

    fn send_some(&mut self, outgoing: &mut Vec<u8>) -> io::Result<()> {
        if !outgoing.is_empty() {
            let sent = self.connection.send_some(outgoing)?;
            outgoing.drain(..sent);
        }
        Ok(())
    }

    fn resize(&self, streams: &Streams<'_>) {
        if let Some((rows, columns)) = size(streams) {
            self.aside(&Request::Resize { rows, columns });
        }
    }

    /// On a connection of its own: ours may be full of input that nobody reads.
    fn aside(&self, request: &Request) {
        if let Ok(mut connection) = Connection::open(&self.run)
            && connection.send(request).is_ok()
        {
            let _ = connection.receive();
        }
    }
}

/// What comes after the input that was read.
enum Input {
    More,
    End,
    Detach,
}

/// Reads what there is, as frames.
fn read_input(
    from: BorrowedFd<'_>,
    tty: bool,
    keys: &mut DetachKeys,
) -> io::Result<(Vec<u8>, Input)> {
    let mut bytes = [0u8; 32 << 10];
    Ok(match rustix::io::read(from, &mut bytes) {
        Ok(count) if count > 0 && tty => {
            let (through, detach) = keys.filter(&bytes[..count]);
            let after = if detach { Input::Detach } else { Input::More };
            (control::input(&through), after)
        }
        Ok(count) if count > 0 => (control::input(&bytes[..count]), Input::More),
        Err(Errno::INTR | Errno::AGAIN) => (Vec::new(), Input::More),
        end => {
            // The end of a file that was redirected here is ^D for a terminal.
            let last = if tty && end.is_ok() { &[4][..] } else { &[] };
            let mut frames = control::input(last);
            frames.extend(control::message(&Request::CloseStdin)?);
            (frames, Input::End)
        }
    })
}
