//! Acting on all processes of a cgroup: signals, freezing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::stats::field;
use super::{Cgroup, CgroupError, Version, file_error, read, tree};

/// How long a freeze may take. A process in an uninterruptible wait cannot be frozen before it ends.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// The pids in it and below, in our namespace.
    pub fn pids(&self) -> Result<Vec<Pid>, CgroupError> {
        let mut pids = Vec::new();
        if let Some(directory) = self.members() {
            collect(&directory, &mut pids)?;
        }
        pids.sort_unstable_by_key(|pid| pid.as_raw_pid());
        pids.dedup();
        Ok(pids)
    }

    /// The directory that lists every process: v2's, where there is one.
    fn members(&self) -> Option<PathBuf> {
        let first = || self.layout.hierarchies().next();
        let hierarchy = self.layout.unified().or_else(first)?;
        Some(hierarchy.base().join(&self.path))
    }

    /// Sends a signal to every process in it; SIGKILL reaches those forked meanwhile too, and may reach those
    /// of later: see [`Cgroup::kill_in_rounds`].
    pub fn kill(&self, signal: Signal) -> Result<(), CgroupError> {
        if signal == Signal::KILL {
            if let Some(directory) = self.unified() {
                let file = directory.join("cgroup.kill");
                match std::fs::write(&file, "1") {
                    Ok(()) => return Ok(()),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    // Before Linux 5.14 the file cannot be made.
                    Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
                    Err(error) => return Err(file_error("write", &file, error)),
                }
            }
            return self.kill_in_rounds();
        }
        for pid in self.pids()? {
            send(pid, signal)?;
        }
        Ok(())
    }

    /// Kills until nobody new appears: a process may fork between the list and the signal. For a cgroup
    /// that is used again: after a write to `cgroup.kill`, a process that clone3 puts into it
    /// is killed as well, because the kernel (6.14 and later) takes the count of kills that it compares
    /// from the cgroup of the parent.
    pub fn kill_in_rounds(&self) -> Result<(), CgroupError> {
        let mut killed = Vec::new();
        loop {
            let pids = self.pids()?;
            let fresh: Vec<Pid> = pids.into_iter().filter(|p| !killed.contains(p)).collect();
            if fresh.is_empty() {
                return Ok(());
            }
            for pid in fresh {
                send(pid, Signal::KILL)?;
                killed.push(pid);
            }
        }
    }

    /// Stops every process; returns when all have stopped.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen(Frozen::Yes)
    }

    /// Lets them run again.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen(Frozen::No)
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        let freezer = self.freezer()?;
        freezer.is(Frozen::Yes)
    }

    /// v2 freezes by itself; v1 needs the controller.
    fn freezer(&self) -> Result<Freezer, CgroupError> {
        if let Some(directory) = self.unified().filter(|d| d.join("cgroup.freeze").exists()) {
            return Ok(Freezer::V2(directory));
        }
        match self.route("freezer") {
            Some((Version::V1, directory)) => Ok(Freezer::V1(directory)),
            _ => Err(CgroupError::NoController {
                controller: "freezer",
                what: "pausing",
            }),
        }
    }

    fn set_frozen(&self, frozen: Frozen) -> Result<(), CgroupError> {
        let freezer = self.freezer()?;
        let deadline = Instant::now() + PATIENCE;
        freezer.ask(frozen)?;
        while !freezer.is(frozen)? {
            if Instant::now() >= deadline {
                // Half frozen is worst: a container that cannot be paused goes on.
                let _ = freezer.ask(Frozen::No);
                return Err(CgroupError::Busy {
                    path: self.path.clone(),
                });
            }
            freezer.wait(frozen)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Frozen {
    Yes,
    No,
}

enum Freezer {
    V1(PathBuf),
    V2(PathBuf),
}

impl Freezer {
    fn ask(&self, frozen: Frozen) -> Result<(), CgroupError> {
        let (file, text) = match (self, frozen) {
            (Self::V1(directory), Frozen::Yes) => (directory.join("freezer.state"), "FROZEN"),
            (Self::V1(directory), Frozen::No) => (directory.join("freezer.state"), "THAWED"),
            (Self::V2(directory), Frozen::Yes) => (directory.join("cgroup.freeze"), "1"),
            (Self::V2(directory), Frozen::No) => (directory.join("cgroup.freeze"), "0"),
        };
        std::fs::write(&file, text).map_err(|error| file_error("write", &file, error))
    }

    fn is(&self, frozen: Frozen) -> Result<bool, CgroupError> {
        let now = match self {
            Self::V1(directory) => match read(&directory.join("freezer.state"))?.trim() {
                "FROZEN" => Some(Frozen::Yes),
                "THAWED" => Some(Frozen::No),
                _ => None,
            },
            Self::V2(directory) => {
                let events = read(&directory.join("cgroup.events"))?;
                Some(match field(&events, "frozen") {
                    Some(1) => Frozen::Yes,
                    _ => Frozen::No,
                })
            }
        };
        Ok(now == Some(frozen))
    }

    /// Waits a moment for a change. v2 tells; v1 has to be asked again, and moves on only when it is.
    fn wait(&self, frozen: Frozen) -> Result<(), CgroupError> {
        match self {
            Self::V1(_) => {
                std::thread::sleep(Duration::from_millis(1));
                self.ask(frozen)
            }
            Self::V2(directory) => {
                let path = directory.join("cgroup.events");
                let file =
                    std::fs::File::open(&path).map_err(|error| file_error("open", &path, error))?;
                let mut polled = [PollFd::new(&file, PollFlags::PRI)];
                let timeout = Timespec {
                    tv_sec: 0,
                    tv_nsec: 20_000_000,
                };
                match poll(&mut polled, Some(&timeout)) {
                    Ok(_) | Err(Errno::INTR) => Ok(()),
                    Err(error) => Err(file_error("wait for", &path, error.into())),
                }
            }
        }
    }
}

fn send(pid: Pid, signal: Signal) -> Result<(), CgroupError> {
    match kill_process(pid, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(file_error(
            "signal",
            Path::new(&pid.to_string()),
            error.into(),
        )),
    }
}

fn collect(directory: &Path, pids: &mut Vec<Pid>) -> Result<(), CgroupError> {
    let path = directory.join("cgroup.procs");
    match read(&path) {
        Ok(text) => {
            pids.extend(
                text.lines()
                    .filter_map(|line| Pid::from_raw(line.parse().ok()?)),
            );
        }
        // Gone is empty; a threaded cgroup lists its members at its domain's root only.
        Err(CgroupError::File { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound
                || source.raw_os_error() == Some(libc::EOPNOTSUPP) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    let children =
        tree::children(directory).map_err(|error| file_error("list", directory, error))?;
    for child in children {
        collect(&child, pids)?;
    }
    Ok(())
}
