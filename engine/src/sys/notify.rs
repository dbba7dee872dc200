//! Signals as bytes in a pipe, for loops that wait with poll(2).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

static TARGET: AtomicI32 = AtomicI32::new(-1);

/// While it lives, each of its signals writes its number into the pipe instead of having its
/// usual effect. One at a time in a process; a second one takes over from the first.
#[derive(Debug)]
pub struct SignalPipe {
    reader: OwnedFd,
    _writer: OwnedFd,
    signals: Vec<i32>,
}

extern "C" fn note(signal: libc::c_int) {
    let byte = signal as u8;
    let target = TARGET.load(Ordering::Relaxed);
    // SAFETY: write(2) is async-signal-safe; `byte` outlives the call. errno is put back, as the
    // interrupted code may be about to read it. A full pipe drops the byte, which has woken its reader already.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(target, (&raw const byte).cast(), 1);
        *libc::__errno_location() = errno;
    }
}

impl SignalPipe {
    /// Begins.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(
            rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK,
        )?;
        TARGET.store(writer.as_raw_fd(), Ordering::Relaxed);
        for &signal in signals {
            let handler: extern "C" fn(libc::c_int) = note;
            // SAFETY: `note` only does what a handler may do.
            unsafe { libc::signal(signal, handler as libc::sighandler_t) };
        }
        Ok(Self {
            reader,
            _writer: writer,
            signals: signals.to_vec(),
        })
    }

    /// To be polled.
    pub fn reader(&self) -> &OwnedFd {
        &self.reader
    }

    /// Ends, and lets a signal that came do what it would have done without us.
    pub fn obey(self, signal: i32) {
        drop(self);
        // SAFETY: raise(3) takes a number; the handler is the default one again.
        unsafe { libc::raise(signal) };
    }

    /// The next signal that came, if any.
    pub fn take(&self) -> Option<i32> {
        let mut byte = [0u8; 1];
        match rustix::io::read(&self.reader, &mut byte) {
            Ok(1) => Some(i32::from(byte[0])),
            _ => None,
        }
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        for &signal in &self.signals {
            // SAFETY: SIG_DFL runs no code of ours.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        TARGET.store(-1, Ordering::Relaxed);
    }
}
