//! The role `__exec`: enters a container, runs the process, and waits for it there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cgroup::{Cgroup, Layout};
use crate::container::events::Action;
use crate::container::ids::IdRange;
use crate::container::{ContainerError, Failure};
use crate::runtime::foreign::ForeignExec;
use crate::runtime::seccomp::{Profile, Seccomp};
use crate::runtime::{Exec, ExecTarget, RuntimeError, Stdio, WindowSize};
use crate::spec::SeccompSpec;
use crate::sys::wire;

use super::assignment::Assignment;
use super::{Left, Word};

/// The role's main: descriptors 0 to 2 are the process's, 3 is the assignment, 4 takes our words.
pub fn main() -> i32 {
    let (Some(assignment), Some(words)) = (
        crate::sys::spawn::inherited(3),
        crate::sys::spawn::inherited(4),
    ) else {
        return 125;
    };
    // The process takes 2 with it; a probe that cannot begin is still to say why.
    let complaints = io::stderr().as_fd().try_clone_to_owned();
    match serve(assignment, &words) {
        Ok(code) => i32::from(code),
        Err(error) => {
            let failure = Failure::from(&error);
            if wire::send(words.as_fd(), &Word::Failed(failure.clone()), None).is_err() {
                // A probe: what went wrong is its output. Nothing can be done when that fails.
                let text = format!("{}\n", failure.line());
                let _ = complaints.map(|out| File::from(out).write_all(text.as_bytes()));
            }
            i32::from(failure.exit_code)
        }
    }
}

fn serve(assignment: OwnedFd, words: &OwnedFd) -> Result<u8, ContainerError> {
    let host = |action: &'static str| {
        move |source: io::Error| ContainerError::Host {
            action,
            path: "the container".to_owned(),
            source,
        }
    };
    let assignment: Assignment = serde_json::from_reader(File::from(assignment))
        .map_err(|error| host("understand what to run in")(error.into()))?;
    let gone = || ContainerError::State {
        action: "run a command in",
        name: "it".to_owned(),
        reason: "it has just ended".to_owned(),
    };
    let init = assignment.init.open().ok_or_else(gone)?;
    let layout = Layout::detect().map_err(RuntimeError::from)?;
    let cgroup = Cgroup::open(&layout, &assignment.cgroup).map_err(RuntimeError::from)?;
    let tty = assignment.process.terminal().unwrap_or(false);
    let stdio = if tty {
        let size = assignment.size;
        let size = size.map(|(rows, columns)| WindowSize { rows, columns });
        Stdio::Terminal { size }
    } else {
        let take = |number| {
            crate::sys::spawn::inherited(number)
                .ok_or_else(|| host("find the streams for")(io::ErrorKind::NotFound.into()))
        };
        Stdio::Fds {
            stdin: take(0)?,
            stdout: take(1)?,
            stderr: take(2)?,
        }
    };
    let profile = match &assignment.seccomp {
        SeccompSpec::File(path) => Some(Profile::read(path).map_err(RuntimeError::from)?),
        SeccompSpec::Default | SeccompSpec::Unconfined => None,
    };
    let user = Some(assignment.user.as_str()).filter(|user| !user.is_empty());
    let mut started = match &assignment.foreign {
        Some(foreign) => foreign.exec(ForeignExec {
            id: &assignment.id,
            init: assignment.init.pid,
            process: &assignment.process,
            stdio,
            user,
            groups: &assignment.groups,
        })?,
        None => crate::runtime::exec(Exec {
            target: ExecTarget {
                init: init.as_fd(),
                userns: assignment.ids.map(IdRange::root),
                cgroup: Some(&cgroup),
            },
            process: &assignment.process,
            stdio,
            seccomp: match (&profile, &assignment.seccomp) {
                (Some(profile), _) => Seccomp::Profile(profile),
                (None, SeccompSpec::Unconfined) => Seccomp::Unconfined,
                (None, _) => Seccomp::Default,
            },
            user,
            groups: &assignment.groups,
            preserved: 0,
        })?,
    };
    if let Some(journal) = &assignment.journal {
        // By us, as its end is, so that they come in this order.
        let words = assignment.process.args().as_deref().unwrap_or_default();
        journal.tell(Action::ExecStart {
            command: words.join(" "),
        });
    }
    // A probe has nobody who listens; that its words go nowhere is no failure.
    let _ = wire::send(
        words.as_fd(),
        &Word::Started,
        started.terminal.as_ref().map(AsFd::as_fd),
    );
    if let Some(timeout) = assignment.timeout
        && !ends_within(started.pidfd.as_fd(), timeout).map_err(host("wait in"))?
    {
        // It leads a session and so a group, in which the programs are that it started.
        let _ = rustix::process::kill_process_group(started.pid, rustix::process::Signal::KILL);
        let _ = rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::KILL);
        started.wait()?;
        return Ok(crate::supervisor::role::PROBE_TIMED_OUT);
    }
    if let Some(terminal) = started.terminal.take() {
        let user = (!assignment.detach).then(|| words.as_fd());
        keep(terminal, user, started.pidfd.as_fd()).map_err(host("keep a terminal in"))?;
    }
    let exit_code = started.wait()?.code();
    if let Some(journal) = assignment.journal {
        journal.tell(Action::ExecDie { exit_code });
    }
    Ok(exit_code)
}

/// Holds a terminal for a user who has it too, until the process ends or the user does. Who left
/// it, at once or with [`Left`], has it read on his behalf, or the process would stop when it is full.
fn keep(
    terminal: OwnedFd,
    mut user: Option<BorrowedFd<'_>>,
    process: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut bytes = [0u8; 4096];
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(process, PollFlags::IN),
            PollFd::from_borrowed_fd(user.unwrap_or(terminal.as_fd()), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if !fds[0].revents().is_empty() {
            return Ok(());
        }
        match user {
            None => match rustix::io::read(&terminal, &mut bytes) {
                Ok(_) | Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                // Nobody has its other side any more.
                Err(_) => return Ok(()),
            },
            Some(line) if wire::receive::<Left>(line)?.is_some() => user = None,
            Some(_) => return Ok(()),
        }
    }
}

fn ends_within(pidfd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let deadline = std::time::Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
    }
}
