//! The supervisor's process, and how it is started.
//!
//! `__supervisor MODE ROOT RUN ID`, with `/dev/null` twice, the container's supervisor.log as standard
//! error, and the launcher's socket as descriptor 3. Everything else is read from the records.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;

use crate::container::control::{self, Connection, Reply};
use crate::container::{ContainerError, ContainerStore, Failure};
use crate::role;
use crate::rootless;
use crate::state::{ContainerId, Paths};
use crate::sys::{Executable, RoleChild, spawn_role};

use super::adopt::{self, Adopted};
use super::finish;
use super::frame::{self, After, Begin};
use super::setup::Assets;

/// Exit code by which the role of a probe says that it took too long. Not one that programs use.
pub const PROBE_TIMED_OUT: u8 = 254;

/// What a supervisor is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To make a container and wait for the order to start it.
    Launch,
    /// To take over from one that died.
    Adopt,
    /// To start a container again whose restart policy wants it, nobody ordering it.
    Restart,
}

impl Mode {
    const ALL: [(&'static str, Self); 3] = [
        ("launch", Self::Launch),
        ("adopt", Self::Adopt),
        ("restart", Self::Restart),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, mode)| *mode == self)
            .map_or("", |(name, _)| name)
    }

    fn parse(text: &OsStr) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(name, _)| text == *name)
            .map(|(_, mode)| *mode)
    }
}

/// Starts a supervisor. Safe from a process with threads.
pub fn spawn(
    store: &ContainerStore,
    executable: &Executable,
    id: &ContainerId,
    mode: Mode,
) -> Result<(Connection, RoleChild), ContainerError> {
    let failed = |source: io::Error| ContainerError::Host {
        action: "start the supervisor of",
        path: id.short().to_owned(),
        source,
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(failed)?;
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(store.files(id).dir.join("supervisor.log"))
        .map_err(failed)?;
    let paths = store.paths();
    let arguments = [
        OsStr::new("gantry"),
        OsStr::new(role::SUPERVISOR),
        OsStr::new(mode.as_str()),
        paths.root().as_os_str(),
        paths.run().as_os_str(),
        OsStr::new(id.as_str()),
    ];
    let fds = [null.as_fd(), null.as_fd(), log.as_fd(), theirs.as_fd()];
    rootless::join_scope();
    let child = spawn_role(executable, &arguments, &fds).map_err(failed)?;
    Ok((Connection::new(ours), child))
}

/// The process's main.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    let mut next = || arguments.next();
    let (Some(mode), Some(root), Some(run), Some(id)) = (next(), next(), next(), next()) else {
        return 2;
    };
    let Some(mode) = Mode::parse(&mode) else {
        return 2;
    };
    let Some(id) = id.to_str().and_then(|id| id.parse::<ContainerId>().ok()) else {
        return 2;
    };
    // Orphans of a keeper that was killed come to us, and their exit status with them.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let Some(mut launcher) = inherited_launcher() else {
        return 2;
    };
    let store = ContainerStore::open(&Paths::new(root.into(), run.into()));
    let ended = match mode {
        Mode::Launch => launch(&store, &id, launcher),
        Mode::Adopt => adopt(&store, &id, launcher),
        Mode::Restart => {
            let _ = tell(&mut launcher, &Reply::Done);
            restart(&store, &id)
        }
    };
    // With nobody waiting any more, there is time to tidy up.
    let _ = rustix::process::nice(19);
    let _ = store.paths().trash().empty();
    match ended {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}", Failure::from(&error).line());
            1
        }
    }
}

fn inherited_launcher() -> Option<UnixStream> {
    crate::sys::spawn::inherited(3).map(UnixStream::from)
}

fn tell(launcher: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    launcher.write_all(&control::message(reply)?)
}

fn launch(
    store: &ContainerStore,
    id: &ContainerId,
    mut launcher: UnixStream,
) -> Result<(), ContainerError> {
    let mut assets = match Assets::claim(store, id) {
        Ok(assets) => assets,
        Err(error) => {
            let _ = tell(&mut launcher, &Reply::Failed(Failure::from(&error)));
            return Err(error);
        }
    };
    if let Err(error) = assets.launch() {
        withdraw(&mut assets, Some(launcher), &Failure::from(&error));
        return Err(error);
    }
    supervise(store, assets, Some(launcher), Begin::Parked)
}

/// Gives back what was made of a container that does not start, notes why, and says so.
pub(super) fn withdraw(assets: &mut Assets, launcher: Option<UnixStream>, failure: &Failure) {
    assets.status.outcome.error = Some(failure.line());
    if let Err(error) = assets.status.save_outcome() {
        eprintln!("noting a failure: {error}");
    }
    finish::dismantle(&assets.status, &mut assets.held);
    if let Some(mut launcher) = launcher {
        let _ = tell(&mut launcher, &Reply::Failed(failure.clone()));
    }
}

/// The loop, and the restarts that need a new keeper.
fn supervise(
    store: &ContainerStore,
    assets: Assets,
    launcher: Option<UnixStream>,
    begin: Begin,
) -> Result<(), ContainerError> {
    let id = assets.status.record.id.clone();
    match frame::run(assets, launcher, begin)? {
        After::Done | After::Left => Ok(()),
        // The loop's runtime is gone, so a keeper can be forked again.
        After::Relaunch => restart(store, &id),
    }
}

/// Starts a container again without anybody's order.
fn restart(store: &ContainerStore, id: &ContainerId) -> Result<(), ContainerError> {
    let mut assets = Assets::claim(store, id)?;
    assets.status.live.restart_count = assets.status.outcome.restart_count;
    if let Err(error) = assets.launch() {
        withdraw(&mut assets, None, &Failure::from(&error));
        return Err(error);
    }
    supervise(store, assets, None, Begin::Start)
}

fn adopt(
    store: &ContainerStore,
    id: &ContainerId,
    mut launcher: UnixStream,
) -> Result<(), ContainerError> {
    let adopted = adopt::adopt(store, id);
    let reply = match &adopted {
        Ok(_) => Reply::Done,
        Err(error) => Reply::Failed(Failure::from(error)),
    };
    match adopted? {
        Adopted::Running(assets) => {
            let _ = tell(&mut launcher, &reply);
            drop(launcher);
            supervise(store, *assets, None, Begin::Running)
        }
        Adopted::Ended { restart: again } => {
            let _ = tell(&mut launcher, &reply);
            drop(launcher);
            if again { restart(store, id) } else { Ok(()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_words() {
        for (name, mode) in Mode::ALL {
            assert_eq!(
                (mode.as_str(), Mode::parse(OsStr::new(name))),
                (name, Some(mode))
            );
        }
        assert_eq!(Mode::parse(OsStr::new("")), None);
    }
}
