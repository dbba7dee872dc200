//! Agents for `RUN --mount=type=ssh`: a socket of our own, with the owner and mode asked for, whose
//! connections are passed on to the agent of the machine.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};

/// A socket that forwards; closed when dropped.
pub(super) struct Forwarder {
    stop: Arc<AtomicBool>,
    socket: PathBuf,
    _directory: OwnedFd,
}

impl Forwarder {
    /// Listens at `socket` for `agent`.
    pub(super) fn start(
        agent: &Path,
        socket: &Path,
        mode: u32,
        uid: u32,
        gid: u32,
    ) -> io::Result<Self> {
        let parent = socket.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = socket.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = rustix::fs::open(
            parent,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        // Socket addresses hold 107 bytes; the way through /proc is always short.
        let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        let listener = UnixListener::bind(&short)?;
        std::os::unix::fs::chown(socket, Some(uid), Some(gid))?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (agent, stopped) = (agent.to_owned(), stop.clone());
        std::thread::Builder::new()
            .name("ssh-agent".into())
            .spawn(move || {
                for client in listener.incoming() {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let (Ok(client), Ok(agent)) = (client, UnixStream::connect(&agent)) else {
                        continue;
                    };
                    let _ = std::thread::Builder::new()
                        .name("ssh-agent".into())
                        .spawn(move || relay(client, agent));
                }
            })?;
        Ok(Self {
            stop,
            socket: short,
            _directory: directory,
        })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.socket);
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn relay(client: UnixStream, agent: UnixStream) {
    let (Ok(client_again), Ok(agent_again)) = (client.try_clone(), agent.try_clone()) else {
        return;
    };
    let back = std::thread::Builder::new()
        .name("ssh-agent".into())
        .spawn(move || one_way(agent_again, client_again));
    one_way(client, agent);
    if let Ok(back) = back {
        let _ = back.join();
    }
}

fn one_way(mut from: UnixStream, mut to: UnixStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}
