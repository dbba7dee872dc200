//! Taking over from a supervisor that died.
//!
//! The keeper tells whether the container still runs. If so, everything is picked up where it
//! is: pipes by name, terminal from the keeper, network by the process's namespace, ports by
//! binding them again. If it has ended meanwhile, its true end is written down, the rest of its
//! output goes into the log, and the restart policy has its say.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::SocketType;

use crate::cgroup::{Cgroup, Layout};
use crate::container::record::{ExitRecord, Live, Phase, ProcessRef, VERSION};
use crate::container::{ContainerError, ContainerStore};
use crate::runtime::RuntimeError;
use crate::spec::LogDriver;
use crate::state::{ContainerId, read_boot_record, read_record};
use crate::sys::wire;

use super::keeper::{self, Answer, Ended, Order};
use super::log::file::LogFile;
use super::log::json::Stream;
use super::log::pipe::{LogPipe, Step};
use super::restart::BackOff;
use super::setup::{Assets, Held, KeeperHandle, take_lock};
use super::status::Status;
use super::{finish, net, pipes};

/// What was found.
pub enum Adopted {
    /// It lives.
    Running(Box<Assets>),
    /// It does not, and everything is given back.
    Ended {
        /// Its policy wants another start.
        restart: bool,
    },
}

/// Takes over.
pub fn adopt(store: &ContainerStore, id: &ContainerId) -> Result<Adopted, ContainerError> {
    let record = store.read(id)?;
    let lock = take_lock(store, &record)?;
    let files = store.files(id);
    let live: Option<Live> = read_boot_record(&files.live(), VERSION)?;
    let Some(live) = live.filter(|live| live.boot_id == crate::state::boot_id()) else {
        return Ok(Adopted::Ended { restart: false });
    };
    let mut status = Status::new(store, record)?;
    status.live = live;
    let mut held = Held {
        lock: Some(lock),
        ..Held::default()
    };
    let found = question(&status);
    let layout = Layout::detect().map_err(RuntimeError::from)?;
    held.cgroup = Cgroup::open(&layout, &status.record.cgroup).ok();
    match found {
        Some((Answer::Running, terminal, socket)) => {
            held.keeper = Some(KeeperHandle {
                socket,
                child: None,
            });
            held.terminal = terminal;
            take_over(store, status, held)
        }
        Some((Answer::Exited(ended), _, socket)) => {
            held.keeper = Some(KeeperHandle {
                socket,
                child: None,
            });
            end(status, held, Some(ended))
        }
        // The keeper is gone too: what it wrote down last, if anything.
        _ => match read_record::<Ended>(&files.exit(), 1)? {
            None if runs(&status.live) => take_over(store, status, held),
            ended => end(status, held, ended),
        },
    }
}

/// Whether the program is there, its keeper or not. Without one it is a stranger's child: its
/// end is seen through its pidfd, and its exit code where the kernel tells it to others than
/// the parent (PIDFD_GET_INFO).
fn runs(live: &Live) -> bool {
    matches!(live.phase, Phase::Running | Phase::Paused)
        && live.init.is_some_and(ProcessRef::exists)
}

/// Picks up the network and the clients' socket of a container that runs.
fn take_over(
    store: &ContainerStore,
    status: Status,
    mut held: Held,
) -> Result<Adopted, ContainerError> {
    held.network = match net::reconnect(store, &status.record, &status.live) {
        // Ended since it was said to run: its namespace goes with it, even before it is reaped.
        Err(ContainerError::Host { source, .. }) if is_gone(&source) => {
            let ended = match &held.keeper {
                Some(keeper) => wire::receive::<Answer>(keeper.socket.as_fd())
                    .ok()
                    .flatten(),
                None => None,
            };
            let ended = match ended {
                Some((Answer::Exited(ended), _)) => Some(ended),
                _ => read_record::<Ended>(&status.files.exit(), 1)?,
            };
            return end(status, held, ended);
        }
        other => other?,
    };
    let mut assets = Assets {
        status,
        held,
        warnings: Vec::new(),
    };
    assets.listen()?;
    Ok(Adopted::Running(Box::new(assets)))
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Asks the keeper how things are.
fn question(status: &Status) -> Option<(Answer, Option<OwnedFd>, OwnedFd)> {
    let socket = wire::connect(&status.files.run, keeper::SOCKET, SocketType::SEQPACKET).ok()?;
    keeper::order(socket.as_fd(), Order::Report).ok()?;
    let (answer, terminal) = wire::receive::<Answer>(socket.as_fd()).ok()??;
    Some((answer, terminal, socket))
}

/// It has ended while nobody looked.
fn end(
    mut status: Status,
    mut held: Held,
    ended: Option<Ended>,
) -> Result<Adopted, ContainerError> {
    let was_running = matches!(
        status.live.phase,
        Phase::Running | Phase::Paused | Phase::Restarting
    );
    let mut restart = false;
    if was_running {
        drain(&status);
        let oom_killed = held
            .cgroup
            .as_ref()
            .and_then(|cgroup| cgroup.oom_kills().ok())
            .is_some_and(|kills| kills > 0);
        let (exit, at) = match (ended, status.live.phase, status.outcome.exit) {
            // Between two runs: the last end is written down already.
            (None, Phase::Restarting, Some(exit)) => (exit, status.outcome.finished_at),
            (Some(ended), _, _) => (
                ExitRecord {
                    code: ended.code,
                    signal: ended.signal,
                    oom_killed,
                },
                Some(ended.at),
            ),
            // Its keeper was killed with it, so most likely by the same hand.
            (None, _, _) => (
                ExitRecord {
                    code: 137,
                    signal: Some(9),
                    oom_killed,
                },
                None,
            ),
        };
        let at = at.unwrap_or_else(jiff::Timestamp::now);
        let ran = status
            .live
            .started_at
            .and_then(|started| Duration::try_from(at.duration_since(started)).ok())
            .unwrap_or_default();
        restart = BackOff::default()
            .next(
                status.record.spec.restart,
                exit.code,
                status.live.restart_count,
                ran,
                status.live.manually_stopped,
            )
            .is_some();
        if restart {
            status.live.restart_count += 1;
        }
        status.ended(exit, at, Phase::Stopped)?;
    }
    for error in finish::dismantle(&status, &mut held) {
        eprintln!("giving back: {error}");
    }
    Ok(Adopted::Ended { restart })
}

/// Moves what is left in the pipes into the log. They have content only while the keeper lives.
fn drain(status: &Status) {
    if status.record.spec.log.driver == LogDriver::None || !pipes::exist(&status.files.run) {
        return;
    }
    let path = status.files.log(&status.record.id);
    let drained = LogFile::of(&status.record, path).and_then(|mut log| {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let reader = pipes::reader(&status.files.run, stream)?;
            let journal = pipes::journal(&status.files.run, stream);
            let mut pipe = LogPipe::open(stream, reader, &journal, &mut log)?;
            while pipe.step(&mut log)? != Step::Empty {}
            pipe.finish(&mut log)?;
        }
        Ok(())
    });
    if let Err(error) = drained {
        eprintln!("the rest of the output: {error}");
    }
}
