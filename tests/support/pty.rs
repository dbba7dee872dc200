//! A terminal for the executable under test: types, resizes, reads what is shown.

use std::fs::File;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A terminal and the program on it. Dropping it hangs up.
pub struct Pty {
    master: File,
    child: Child,
    shown: Vec<u8>,
    /// Where the next search begins.
    read: usize,
}

impl Pty {
    /// Starts a program with the terminal as its standard streams.
    pub fn spawn(mut command: Command, rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal");
        unlockpt(&master).expect("unlockpt");
        let side = || -> Stdio {
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            ioctl_tiocgptpeer(&master, flags)
                .expect("the terminal's other side")
                .into()
        };
        set_size(&master, rows, columns);
        command.stdin(side()).stdout(side()).stderr(side());
        let child = command.spawn().expect("the executable starts");
        Self {
            master: master.into(),
            child,
            shown: Vec::new(),
            read: 0,
        }
    }

    /// The process on the terminal.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Changes the size, as a user does who drags the window's corner.
    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.master, rows, columns);
    }

    /// Types.
    pub fn type_keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("typed");
    }

    /// Waits until the text is shown, after whatever was waited for before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            let rest = &self.shown[self.read..];
            let found = rest.windows(text.len()).position(|w| w == text.as_bytes());
            if let Some(at) = found {
                self.read += at + text.len();
                return;
            }
            let more = Instant::now() < end && self.pull();
            assert!(more, "no `{text}` in:\n{}", self.shown());
        }
    }

    /// Whether lines are edited and keys shown by the terminal, as shells want it.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.master).expect("modes").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Everything that was shown.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// Waits for the program's end; its exit code, and -1 after a signal.
    #[track_caller]
    pub fn exit_code(&mut self) -> i32 {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                while self.pull() {}
                return status.code().unwrap_or(-1);
            }
            self.pull();
            if Instant::now() > end {
                // Killed, so that the sandbox can be cleared.
                let _ = self.child.kill();
                panic!("it does not end:\n{}", self.shown());
            }
        }
    }

    /// Reads what comes within a moment; says whether anything may still come.
    fn pull(&mut self) -> bool {
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        if !poll(&mut fds, Some(&moment)).is_ok_and(|ready| ready > 0) {
            return self.child.try_wait().expect("a child").is_none();
        }
        let mut bytes = [0; 4096];
        match rustix::io::read(&self.master, &mut bytes) {
            Ok(count) if count > 0 => {
                self.shown.extend_from_slice(&bytes[..count]);
                true
            }
            // Nobody has the other side any more.
            _ => false,
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // Reaped by nobody else. Closing the terminal would end it a moment later.
        let pid = i32::try_from(self.child.id()).ok();
        if let (Ok(None), Some(pid)) = (
            self.child.try_wait(),
            pid.and_then(rustix::process::Pid::from_raw),
        ) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::HUP);
            let _ = self.child.wait();
        }
    }
}

fn set_size(terminal: impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).expect("a size");
}
