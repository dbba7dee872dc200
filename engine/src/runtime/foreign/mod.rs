//! Another OCI runtime (crun, runc, runsc …) in the place of ours.
//!
//! We write the bundle: the same specification that ours takes, completed with what ours is handed as data (cgroup,
//! limits, filter, user, network), and the root mounted in a mount namespace of the calling process. The program is driven
//! by `create`, `start`, `exec`, `kill` and `delete`; its containers become children of the caller, who is made
//! the reaper of orphans, and are waited for by descriptor as our own are.
//! What cannot be said in a specification is refused: our small init, parts of volumes.

mod bundle;
mod call;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxResources, Process};
use rustix::fs::{CWD, OFlags};
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use crate::mount::{Below, mapped_root, open_root};
use crate::sys::namespace;

use super::bundle::write;
use super::error::parent;
use super::launch::{Init, Launch, Started, Stdio};
use super::rootfs::leave_the_hosts_mounts;
use super::{RuntimeError, Warning, user};

use call::Call;

/// A runtime's program and where it keeps the state of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    program: PathBuf,
    dir: PathBuf,
}

/// A container of another runtime that waits for its start. Dropping it deletes it.
#[derive(Debug)]
pub struct ForeignParked {
    foreign: Foreign,
    id: String,
    command: String,
    started: Option<Started>,
}

/// A further process for a container of another runtime.
pub struct ForeignExec<'a> {
    /// The container.
    pub id: &'a str,
    /// Its first process, whose root says who users are.
    pub init: i32,
    /// As [`super::Exec::process`].
    pub process: &'a Process,
    /// The first three descriptors.
    pub stdio: Stdio,
    /// As [`super::Launch::user`].
    pub user: Option<&'a str>,
    /// As [`super::Launch::groups`].
    pub groups: &'a [String],
}

impl Foreign {
    /// Of a program, for one container; the directory is made when it is needed.
    pub fn new(program: PathBuf, dir: PathBuf) -> Self {
        Self { program, dir }
    }

    fn rootfs(&self) -> PathBuf {
        self.dir.join("bundle/rootfs")
    }

    /// Creates a container. The calling process gets a mount namespace of its own and becomes the parent of orphans.
    pub fn prepare(
        &self,
        launch: Launch<'_>,
        resources: &LinuxResources,
    ) -> Result<ForeignParked, RuntimeError> {
        if launch.init == Init::Reaper {
            return Err(super::error::invalid(
                "an init process is a part of Gantry's own runtime; leave `init` or `runtime` out",
            ));
        }
        self.delete(launch.id);
        self.mount_root(&launch)?;
        let mut warnings = Vec::new();
        let root = open_root(&self.rootfs())
            .map_err(|error| parent("open the root of the container", error))?;
        let spec = bundle::complete(&launch, resources, root.as_fd(), &mut warnings)?;
        let text = serde_json::to_vec(&spec)
            .map_err(|error| parent("write the container's specification", error))?;
        write(&self.dir.join("bundle/config.json"), &text)?;
        let arguments = spec.process().as_ref().and_then(|p| p.args().as_ref());
        let command = arguments.and_then(|a| a.first()).cloned();
        let mut call = Call::new(self, "create")?;
        call.path("--bundle", &self.dir.join("bundle"));
        let begun = self.begin(call, launch.id, launch.stdio);
        let mut started = begun.map_err(|error| self.explain(error, command.as_deref()))?;
        started.warnings = warnings;
        Ok(ForeignParked {
            foreign: self.clone(),
            id: launch.id.to_owned(),
            command: command.unwrap_or_default(),
            started: Some(started),
        })
    }

    /// Runs a further process; it becomes a child of the calling process.
    pub fn exec(&self, exec: ForeignExec<'_>) -> Result<Started, RuntimeError> {
        let root = open_root(Path::new(&format!("/proc/{}/root", exec.init)))
            .map_err(|error| parent("look into the container", error))?;
        let mut process = exec.process.clone();
        bundle::resolve_user(&mut process, root.as_fd(), exec.user, exec.groups)?;
        bundle::fit_capabilities(&mut process, &mut Vec::new())?;
        process.set_terminal(Some(matches!(exec.stdio, Stdio::Terminal { .. })));
        let file = self.dir.join(format!("process-{}", std::process::id()));
        let text = serde_json::to_vec(&process)
            .map_err(|error| parent("write the process's specification", error))?;
        write(&file, &text)?;
        let mut call = Call::new(self, "exec")?;
        call.flag("--detach").path("--process", &file);
        let begun = self.begin(call, exec.id, exec.stdio);
        let _ = std::fs::remove_file(&file);
        let command = process.args().as_ref().and_then(|a| a.first());
        begun.map_err(|error| explain(error, root.as_fd(), command.map(String::as_str), &process))
    }

    /// Sends a signal to the first process.
    pub fn kill(&self, id: &str, signal: i32) -> Result<(), RuntimeError> {
        let mut call = Call::new(self, "kill")?;
        call.argument(id).argument(&signal.to_string());
        call.run(Stdio::Null)
    }

    /// Takes away whatever the runtime has of a container, if anything.
    pub fn delete(&self, id: &str) {
        if !self.dir.exists() {
            return;
        }
        if let Ok(mut call) = Call::new(self, "delete") {
            call.flag("--force").argument(id);
            // It may have nothing of it.
            let _ = call.run(Stdio::Null);
        }
    }

    /// Runs an operation that leaves a process: its pid comes in a file, its terminal over a socket.
    fn begin(&self, mut call: Call<'_>, id: &str, stdio: Stdio) -> Result<Started, RuntimeError> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| parent("become the parent of orphans", error))?;
        let pid_file = self.dir.join(format!("pid-{}", std::process::id()));
        call.path("--pid-file", &pid_file);
        let console = match stdio {
            Stdio::Terminal { .. } => Some(call.console()?),
            _ => None,
        };
        call.argument(id);
        call.run(stdio)?;
        let text = std::fs::read_to_string(&pid_file);
        let _ = std::fs::remove_file(&pid_file);
        let text = text.map_err(|error| parent("read the pid of the container", error))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| {
            let wrong = io::Error::from(io::ErrorKind::InvalidData);
            parent("read the pid of the container", wrong)
        })?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|error| parent("hold the container's process", error))?;
        Ok(Started {
            pid,
            pidfd,
            terminal: console.map(|console| console.receive()).transpose()?,
            warnings: Vec::new(),
        })
    }

    /// Mounts the root where only this process and those it starts see it.
    fn mount_root(&self, launch: &Launch<'_>) -> Result<(), RuntimeError> {
        let failed = |error: io::Error| parent("mount the container's root", error);
        let place = self.rootfs();
        std::fs::create_dir_all(&place).map_err(failed)?;
        // That of the run before.
        while unmount(&place, UnmountFlags::DETACH).is_ok() {}
        namespace::unshare(UnshareFlags::NEWNS).map_err(failed)?;
        leave_the_hosts_mounts()?;
        let root = mapped_root(launch.root, None)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&root, "", CWD, &place, flags).map_err(|error| failed(error.into()))
    }

    fn explain(&self, error: RuntimeError, command: Option<&str>) -> RuntimeError {
        match open_root(&self.rootfs()) {
            Ok(root) => explain(error, root.as_fd(), command, &Process::default()),
            Err(_) => error,
        }
    }
}

impl ForeignParked {
    /// Its pid in our namespace.
    pub fn pid(&self) -> Option<Pid> {
        self.started.as_ref().map(|started| started.pid)
    }

    /// The master side of its terminal, if it has one; only once.
    pub fn terminal(&mut self) -> Option<OwnedFd> {
        self.started.as_mut().and_then(|s| s.terminal.take())
    }

    /// What could not be done and was left out.
    pub fn warnings(&self) -> &[Warning] {
        self.started.as_ref().map_or(&[], |s| &s.warnings)
    }

    /// Lets it execute its program.
    pub fn release(mut self) -> Result<Started, RuntimeError> {
        let mut call = Call::new(&self.foreign, "start")?;
        call.argument(&self.id);
        call.run(Stdio::Null)
            .map_err(|error| self.foreign.explain(error, Some(&self.command)))?;
        let gone = || {
            parent(
                "start the container",
                io::Error::from(io::ErrorKind::NotFound),
            )
        };
        self.started.take().ok_or_else(gone)
    }
}

impl Drop for ForeignParked {
    fn drop(&mut self) {
        if let Some(started) = self.started.take() {
            self.foreign.delete(&self.id);
            let _ = started.wait();
        }
    }
}

/// Tells a program that is missing from everything else: other runtimes say so in words only.
fn explain(
    error: RuntimeError,
    root: BorrowedFd<'_>,
    command: Option<&str>,
    process: &Process,
) -> RuntimeError {
    let Some(command) = command else { return error };
    let below = Below::new(root);
    let there = |path: &str| below.open(Path::new(path), OFlags::PATH).is_ok();
    let found = if command.contains('/') {
        there(&process.cwd().join(command).to_string_lossy())
    } else {
        let paths = process.env().iter().flatten().rev();
        let path = paths.filter_map(|v| v.strip_prefix("PATH=")).next();
        let path = path.unwrap_or(super::defaults::PATH);
        path.split(':')
            .any(|dir| there(&format!("{dir}/{command}")))
    };
    if found {
        return error;
    }
    RuntimeError::CommandNotFound {
        command: command.to_owned(),
    }
}
