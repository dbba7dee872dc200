//! Staying with a process until its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::sys::notify::SignalPipe;
use crate::sys::{process, signal};

use super::Created;

/// Signals that are meant for whom we wait for.
const PASSED_ON: [i32; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGWINCH,
];

/// While it lives, signals that reach us are kept for whom we [attend](Created::attend).
#[derive(Debug)]
pub struct PassedOn(SignalPipe);

impl PassedOn {
    /// Begins. One that begins before the program runs misses no signal for it.
    pub fn begin() -> io::Result<Self> {
        SignalPipe::new(&PASSED_ON).map(Self)
    }
}

impl Created {
    /// Becomes readable at its end.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for its end; its exit code, 128 plus the number for a signal.
    pub fn wait(&self) -> io::Result<u8> {
        process::wait(self.ended()).map(|exit| exit.code())
    }

    /// As [`Created::wait`], passing our signals on until then.
    pub fn attend(&self, PassedOn(signals): &PassedOn) -> io::Result<u8> {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.ended(), PollFlags::IN),
                PollFd::new(signals.reader(), PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ended = !fds[0].revents().is_empty();
            while let Some(number) = signals.take() {
                // It may just have ended.
                let _ = signal::send_to(self.ended(), number);
            }
            if ended {
                return self.wait();
            }
        }
    }
}
