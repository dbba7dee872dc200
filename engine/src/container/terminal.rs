//! The user's own terminal: raw mode, size, and copying between it and a container's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::sys::notify::SignalPipe;

use super::exec::Streams;

/// Signals that end us, but not before the terminal is as it was.
pub const ENDING: [i32; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];

/// A terminal in raw mode until dropped.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// `None` when it is no terminal.
    pub fn enter(terminal: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        if !rustix::termios::isatty(terminal) {
            return Ok(None);
        }
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Now, &raw)?;
        Ok(Some(Self {
            terminal: terminal.try_clone_to_owned()?,
            before,
        }))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Lines and columns of the first of the streams that is a terminal.
pub fn size(streams: &Streams<'_>) -> Option<(u16, u16)> {
    [streams.stdout, streams.stdin, streams.stderr]
        .into_iter()
        .flatten()
        .find_map(|fd| tcgetwinsize(fd).ok())
        .map(|size| (size.ws_row, size.ws_col))
        .filter(|(rows, columns)| *rows > 0 && *columns > 0)
}

/// Keys that detach, as bytes: `ctrl-p,ctrl-q` or letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    seen: usize,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self {
            keys: vec![16, 17],
            seen: 0,
        }
    }
}

impl DetachKeys {
    /// Understands Docker's notation.
    pub fn parse(text: &str) -> Result<Self, super::ContainerError> {
        let wrong = || {
            super::ContainerError::Invalid(format!(
                "detach keys `{text}` are not letters or `ctrl-<letter>`, separated by commas"
            ))
        };
        let mut keys = Vec::new();
        for key in text.split(',') {
            let byte = match key.strip_prefix("ctrl-").map(str::as_bytes) {
                Some([letter @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]) => {
                    letter & 0x1f
                }
                Some(_) => return Err(wrong()),
                None => match key.as_bytes() {
                    [byte] => *byte,
                    _ => return Err(wrong()),
                },
            };
            keys.push(byte);
        }
        Ok(Self { keys, seen: 0 })
    }

    /// What of `input` goes on, and whether the keys were pressed. Keys that turn out to be the
    /// beginning of something else are sent after all.
    pub fn filter(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut through = Vec::with_capacity(input.len());
        for &byte in input {
            if self.keys.get(self.seen) == Some(&byte) {
                self.seen += 1;
                if self.seen == self.keys.len() {
                    self.seen = 0;
                    return (through, true);
                }
                continue;
            }
            through.extend_from_slice(&self.keys[..self.seen]);
            self.seen = 0;
            if self.keys.first() == Some(&byte) {
                self.seen = 1;
            } else {
                through.push(byte);
            }
        }
        (through, false)
    }
}

/// How a session with a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The process ended.
    Ended,
    /// The user pressed the detach keys.
    Detached,
}

/// Copies between the user's terminal and that of a process, until `ended` becomes readable.
pub fn converse(
    terminal: BorrowedFd<'_>,
    ended: BorrowedFd<'_>,
    streams: Streams<'_>,
    mut keys: Option<DetachKeys>,
) -> io::Result<SessionEnd> {
    let raw = match streams.stdin {
        Some(stdin) => RawMode::enter(stdin)?,
        None => None,
    };
    let [hangup, interrupt, terminate] = ENDING;
    let signals = SignalPipe::new(&[libc::SIGWINCH, hangup, interrupt, terminate])?;
    resize(terminal, &streams);
    // Input on its way: a program that does not read, or waits for its output to be read, must
    // not stop us.
    let mut incoming = Vec::new();
    let flags = rustix::fs::fcntl_getfl(terminal)?;
    rustix::fs::fcntl_setfl(terminal, flags | rustix::fs::OFlags::NONBLOCK)?;
    let mut stdin = streams.stdin;
    let mut open = true;
    loop {
        let mut fds = vec![
            PollFd::from_borrowed_fd(ended, PollFlags::IN),
            PollFd::new(signals.reader(), PollFlags::IN),
        ];
        if open {
            let interest = if incoming.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            };
            fds.push(PollFd::from_borrowed_fd(terminal, interest));
        }
        // Last, so that it is found again.
        let listening = stdin.filter(|_| incoming.is_empty());
        if let Some(stdin) = listening {
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[1] {
            while let Some(signal) = signals.take() {
                if ENDING.contains(&signal) {
                    drop(raw);
                    signals.obey(signal);
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
            resize(terminal, &streams);
        }
        if open && ready[2] {
            open = copy(terminal, streams.stdout)?;
        }
        if let Some(from) = listening
            && ready.last() == Some(&true)
        {
            let mut bytes = [0u8; 8192];
            match rustix::io::read(from, &mut bytes) {
                // The end of a file that was redirected here is ^D for a terminal.
                Ok(0) => {
                    incoming.push(4);
                    stdin = None;
                }
                Ok(count) => {
                    let (through, detach) = match &mut keys {
                        Some(keys) => keys.filter(&bytes[..count]),
                        None => (bytes[..count].to_vec(), false),
                    };
                    incoming.extend(through);
                    give(terminal, &mut incoming);
                    if detach {
                        return Ok(SessionEnd::Detached);
                    }
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => stdin = None,
            }
        }
        give(terminal, &mut incoming);
        if ready[0] {
            // What it said last is still there.
            let mut fds = [PollFd::from_borrowed_fd(terminal, PollFlags::IN)];
            let now = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            while open && poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0) {
                open = copy(terminal, streams.stdout)?;
            }
            return Ok(SessionEnd::Ended);
        }
    }
}

/// Gives as much input as there is room for.
fn give(terminal: BorrowedFd<'_>, incoming: &mut Vec<u8>) {
    if incoming.is_empty() {
        return;
    }
    match rustix::io::write(terminal, incoming) {
        Ok(written) => drop(incoming.drain(..written)),
        Err(Errno::AGAIN | Errno::INTR) => {}
        // Nobody reads any more.
        Err(_) => incoming.clear(),
    }
}

fn resize(terminal: BorrowedFd<'_>, streams: &Streams<'_>) {
    if let Some((rows, columns)) = size(streams) {
        let _ = rustix::termios::tcsetwinsize(
            terminal,
            rustix::termios::Winsize {
                ws_row: rows,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        );
    }
}

/// Copies once; `false` when nothing more can come.
fn copy(from: BorrowedFd<'_>, to: Option<BorrowedFd<'_>>) -> io::Result<bool> {
    let mut bytes = [0u8; 16384];
    match rustix::io::read(from, &mut bytes) {
        // EIO: every other end of the terminal is closed.
        Ok(0) | Err(Errno::IO) => Ok(false),
        Ok(count) => {
            if let Some(to) = to {
                write_all(to, &bytes[..count])?;
            }
            Ok(true)
        }
        Err(Errno::INTR | Errno::AGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Writes everything, waiting where the other side is slow and the descriptor non-blocking.
pub fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&to.as_fd(), PollFlags::OUT)], None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_found_and_nothing_else_is_lost() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.filter(b"ls\n"), (b"ls\n".to_vec(), false));
        assert_eq!(keys.filter(&[16]), (vec![], false));
        assert_eq!(keys.filter(b"x"), (vec![16, b'x'], false));
        assert_eq!(keys.filter(&[b'a', 16, 17, b'b']), (vec![b'a'], true));
        assert_eq!(keys.filter(&[16, 16, 17]), (vec![16], true));
    }

    #[test]
    fn notation_is_dockers() {
        assert_eq!(
            DetachKeys::parse("ctrl-p,ctrl-q").unwrap(),
            DetachKeys::default()
        );
        assert_eq!(DetachKeys::parse("a,ctrl-@").unwrap().keys, [b'a', 0]);
        for bad in ["", "ctrl-", "ctrl-ab", "ab", "ctrl-A"] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
    }
}
