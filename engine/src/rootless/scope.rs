//! A part of the cgroup tree for an ordinary user's containers: a scope that the user's systemd makes
//! and leaves to us (systemd.scope(5), "Control Group APIs and Delegation"). Only on cgroup v2, and only where
//! the user has a systemd of their own.
//!
//! Whoever has a process born in the tree must be in it, because the kernel asks for rights to the nearest cgroup above
//! both. Moving a process from a login's session into the scope is something only systemd can do, so it is asked, by
//! `busctl`, which may speak to it from within the user's namespace; once for the holder, which keeps the scope, and once
//! for every command that starts something.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Places;
use crate::cgroup;
use crate::state::{Durability, read_record, write_record};

/// Version of the record.
const VERSION: u32 = 1;

/// Where the tree is mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// How long systemd may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Cgroups in the scope for processes of ours: the scope itself may have none when its controllers are on.
const HOLDER: &str = "holder";
const COMMANDS: &str = "commands";

/// The scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    unit: String,
    /// In the tree, from its root.
    path: PathBuf,
}

impl Scope {
    /// Makes the scope around a new holder, or puts that into the one which containers of an earlier holder are in.
    ///
    /// # Errors
    /// Why there is none; then containers have no limits.
    pub(super) fn make(places: &Places, holder: u32) -> Result<(), String> {
        if let Some(scope) = Self::find(places) {
            return scope.attach(HOLDER, holder);
        }
        if cgroup_of("self").is_none() {
            return Err("cgroup v2 is not all there is".to_owned());
        }
        let unit = format!("gantry-{holder}.scope");
        let pid = holder.to_string();
        call(&[
            "StartTransientUnit",
            "ssa(sv)a(sa(sv))",
            &unit,
            "fail",
            "3",
            "Description",
            "s",
            "Containers of Gantry",
            "Delegate",
            "b",
            "true",
            "PIDs",
            "au",
            "1",
            &pid,
            "0",
        ])?;
        let inside = || cgroup_of(&pid).filter(|path| path.ends_with(&unit));
        let path = wait_for(inside).ok_or("systemd has not made the scope in time")?;
        let scope = Self { unit, path };
        let failed =
            |error: io::Error| format!("cannot use `{}`: {error}", scope.directory().display());
        for name in [HOLDER, COMMANDS] {
            std::fs::create_dir(scope.directory().join(name)).map_err(failed)?;
        }
        std::fs::write(scope.directory().join(HOLDER).join("cgroup.procs"), &pid)
            .map_err(failed)?;
        write_record(&places.scope(), VERSION, &scope, Durability::Process)
            .map_err(|error| error.to_string())
    }

    /// The scope that is there.
    pub(super) fn find(places: &Places) -> Option<Self> {
        let scope: Self = read_record(&places.scope(), VERSION).ok()??;
        scope.directory().is_dir().then_some(scope)
    }

    /// Has the engine of this process make its cgroups there.
    pub(super) fn settle(&self) {
        cgroup::set_base(self.directory());
    }

    /// Takes this process in, if it is not there yet.
    ///
    /// # Errors
    /// What systemd says.
    pub(super) fn join(&self) -> Result<(), String> {
        match cgroup_of("self") {
            Some(path) if path.starts_with(&self.path) => Ok(()),
            _ => self.attach(COMMANDS, std::process::id()),
        }
    }

    fn attach(&self, part: &str, pid: u32) -> Result<(), String> {
        let pid = pid.to_string();
        let below = format!("/{part}");
        call(&[
            "AttachProcessesToUnit",
            "ssau",
            &self.unit,
            &below,
            "1",
            &pid,
        ])?;
        let inside = || cgroup_of(&pid).filter(|path| path.starts_with(&self.path));
        wait_for(inside).ok_or("systemd has not moved the process in time")?;
        Ok(())
    }

    fn directory(&self) -> PathBuf {
        let below = self.path.strip_prefix("/").unwrap_or(&self.path);
        Path::new(MOUNT).join(below)
    }
}

/// Calls the manager of the user's systemd.
fn call(arguments: &[&str]) -> Result<(), String> {
    let manager = [
        "--user",
        "--quiet",
        "call",
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
    ];
    let output = Command::new("busctl")
        .args(manager)
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot run `busctl`: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// The v2 cgroup of a process, where that is the only hierarchy.
fn cgroup_of(pid: &str) -> Option<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    only_v2(&text).map(PathBuf::from)
}

fn only_v2(text: &str) -> Option<&str> {
    let mut lines = text.lines();
    let path = lines.next()?.strip_prefix("0::")?;
    lines.next().is_none().then_some(path)
}

fn wait_for<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(200);
    loop {
        match look() {
            None if Instant::now() < deadline => {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(10));
            }
            found => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_machine_with_v2_alone_has_scopes_for_users() {
        assert_eq!(
            only_v2("0::/user.slice/a.scope\n"),
            Some("/user.slice/a.scope")
        );
        for text in ["", "4:memory:/\n0::/x\n", "0::/x\n1:name=systemd:/\n", "x"] {
            assert_eq!(only_v2(text), None, "{text}");
        }
    }
}
