//! Between the set-up and the program: the process waits for its word, and then becomes what it is for.
//!
//! The word comes from the parent, over the line; or the parent hands the process over, with a listening socket,
//! and whoever connects to it later says the word. So a prepared container outlives the one that prepared it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use oci_spec::runtime::{ContainerState, Hooks, State};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::sys::process::{CloseRange, close_from, exit_now, move_fd};
use crate::sys::seccomp::Instruction;

use super::Warning;
use super::hook::{self, HookPoint};
use super::init::{self, Role};
use super::launch::Init;
use super::process::{Payload, load};
use super::report::{Failure, Line, Message, Word};

/// A process that is set up.
pub(super) struct Ready<'a> {
    pub(super) payload: Payload<'a>,
    pub(super) master: Option<OwnedFd>,
    pub(super) warnings: Vec<Warning>,
    pub(super) init: Init,
    /// How many descriptors after the standard ones the program gets.
    pub(super) preserved: u32,
    /// Hooks to run before the program, and what they are told.
    pub(super) hooks: Option<(Option<&'a Hooks>, &'a State)>,
}

impl Ready<'_> {
    /// Parks and, on the word, becomes the program (or init and the program).
    pub(super) fn park(mut self, line: Line) -> ! {
        let master = self.master.take();
        let Ok((line, master)) = close_the_rest(line, master, self.preserved) else {
            exit_now(125)
        };
        let ready = Message::Ready {
            warnings: std::mem::take(&mut self.warnings),
        };
        if line.send(&ready, master.as_ref().map(AsFd::as_fd)).is_err() {
            exit_now(125);
        }
        drop(master);
        // Without a word the parent gave up or died: nobody would look after this container.
        let Ok(Some((line, filter))) = wait(line) else {
            exit_now(125)
        };
        if let Err(failure) = self.run_hooks(&filter) {
            fail(&line, failure);
        }
        if self.init == Init::Reaper {
            match init::split() {
                Ok(Role::Program) => {}
                Ok(Role::Init(children)) => {
                    std::mem::forget(line);
                    if load(&filter).is_err() {
                        exit_now(125);
                    }
                    children.look_after()
                }
                Err(failure) => fail(&line, failure),
            }
        }
        let failure = self.payload.execute(&filter, self.preserved);
        fail(&line, failure)
    }

    fn run_hooks(&self, filter: &[Instruction]) -> Result<(), Failure> {
        let Some((hooks, state)) = self.hooks else {
            return Ok(());
        };
        let state = own_state(state, ContainerState::Created);
        hook::run_filtered(HookPoint::StartContainer, hooks, &state, filter).map_err(Failure::Hook)
    }
}

/// The state as a hook inside the container is told it: with the pid that is seen there.
pub(super) fn own_state(state: &State, status: ContainerState) -> State {
    let mut state = state.clone();
    state
        .set_status(status)
        .set_pid(Some(rustix::process::getpid().as_raw_pid()));
    state
}

/// The word, and the line on which to report from then on.
fn wait(line: Line) -> io::Result<Option<(Line, Vec<Instruction>)>> {
    let (filter, listener) = match line.wait()? {
        None => return Ok(None),
        Some(Word::Go { filter }) => return Ok(Some((line, filter))),
        Some(Word::Listen { filter, listener }) => (filter, listener),
    };
    drop(line);
    loop {
        let connection = match rustix::net::accept_with(&listener, SocketFlags::CLOEXEC) {
            Ok(connection) => Line::from_fd(connection),
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            Err(error) => return Err(error.into()),
        };
        // Who leaves without a word only looked whether we wait.
        if let Ok(Some(Word::Go { .. })) = connection.wait() {
            return Ok(Some((connection, filter)));
        }
    }
}

/// Closes all that we inherited and opened, except for the streams, what the program is to have, the line and the terminal's
/// master: a parked process must not keep somebody's pipe or socket open, and the program must not find a way out.
fn close_the_rest(
    line: Line,
    master: Option<OwnedFd>,
    preserved: u32,
) -> io::Result<(Line, Option<OwnedFd>)> {
    let first = 3 + preserved as i32;
    // Out of the way first: it may be where the line goes.
    let master = master
        .map(|master| rustix::io::fcntl_dupfd_cloexec(&master, first + 2))
        .transpose()?;
    let line = move_fd(line.into_fd(), first)?;
    let master = master
        .map(|master| move_fd(master, first + 1))
        .transpose()?;
    let kept = if master.is_some() { 2 } else { 1 };
    close_from(first as u32 + kept, CloseRange::Now)?;
    Ok((Line::from_fd(line), master))
}

/// Reports and ends.
pub(super) fn fail(line: &Line, failure: Failure) -> ! {
    let _ = line.send_failure(failure);
    exit_now(125)
}
