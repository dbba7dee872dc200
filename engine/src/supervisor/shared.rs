//! What the tasks of a supervisor share, and the way to the one that decides.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::container::control::Request;
use crate::sys::Executable;

use super::clients::{Client, Clients};
use super::keeper::{self, Order};
use super::status::Status;

/// What the deciding task is told.
pub enum Command {
    /// A client asks.
    Request(Request, Rc<Client>),
    /// The client that started us is gone.
    LauncherGone,
}

/// What all tasks of a supervisor share.
pub struct Shared {
    /// The records.
    pub status: RefCell<Status>,
    /// The connections.
    pub clients: Rc<Clients>,
    /// The way to the deciding task.
    pub commands: mpsc::UnboundedSender<Command>,
    /// The first attached client's end is the end of standard input.
    pub stdin_once: bool,
    /// Lines and columns that a user's terminal had last.
    pub size: Cell<Option<(u16, u16)>>,
    /// Our own executable, for probes.
    pub executable: Executable,
    pub(super) terminal: RefCell<Option<Rc<AsyncFd<OwnedFd>>>>,
    pub(super) stdin: RefCell<Option<Rc<AsyncFd<OwnedFd>>>>,
    pub(super) keeper: RefCell<Option<OwnedFd>>,
}

impl Shared {
    /// Gives input to the container.
    pub async fn input(&self, mut bytes: &[u8]) -> io::Result<()> {
        let target = self
            .terminal
            .borrow()
            .clone()
            .or_else(|| self.stdin.borrow().clone());
        let Some(target) = target else {
            return Ok(());
        };
        while !bytes.is_empty() {
            let mut guard = target.writable().await?;
            match guard.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                Ok(written) => bytes = &bytes[written?..],
                Err(_) => continue,
            }
        }
        Ok(())
    }

    /// Lets standard input end.
    pub fn close_stdin(&self) {
        self.stdin.borrow_mut().take();
        if let Some(keeper) = &*self.keeper.borrow() {
            let _ = keeper::order(keeper.as_fd(), Order::CloseStdin);
        }
    }

    /// Sets the terminal's size, also of one that the next run is going to have.
    pub fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        self.size.set(Some((rows, columns)));
        match &*self.terminal.borrow() {
            Some(terminal) => Ok(rustix::termios::tcsetwinsize(
                terminal.get_ref(),
                rustix::termios::Winsize {
                    ws_row: rows,
                    ws_col: columns,
                    ws_xpixel: 0,
                    ws_ypixel: 0,
                },
            )?),
            None if self.status.borrow().record.spec.tty => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
