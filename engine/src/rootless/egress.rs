//! The way out of a user's namespace: pasta (passt.top) carries packets of its networks through
//! ordinary sockets of the machine. A process of ours starts it and ends it with the holder: older
//! versions do not notice by themselves that the namespace has gone.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::{Holder, Places};
use crate::role;
use crate::sys::spawn::inherited;
use crate::sys::{Executable, ProcessRef, spawn_role};

/// The descriptors of the role: where it says how it went, and the holder.
const LINE: i32 = 1;
const HOLDER: i32 = 2;

/// Opens the way out of a holder's namespaces; the error says what is missing.
pub(super) fn open(places: &Places, holder: &Holder) -> Result<(), String> {
    let failed = |error: io::Error| format!("no process for `pasta`: {error}");
    let executable = Executable::current().map_err(failed)?;
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    let nothing = File::open("/dev/null").map_err(failed)?;
    let pid = OsString::from(holder.pid.to_string());
    let file = places.egress();
    spawn_role(
        &executable,
        &[
            "gantry".as_ref(),
            role::EGRESS.as_ref(),
            &pid,
            file.as_os_str(),
        ],
        &[nothing.as_fd(), theirs.as_fd(), holder.pidfd.as_fd()],
    )
    .map_err(failed)?;
    drop(theirs);
    let mut said = String::new();
    ours.read_to_string(&mut said).map_err(failed)?;
    if said.is_empty() { Ok(()) } else { Err(said) }
}

/// The role: starts pasta, says why it could not, and waits for the end of the holder.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    let (Some(pid), Some(file)) = (arguments.next(), arguments.next()) else {
        return 2;
    };
    let (Some(line), Some(holder)) = (inherited(LINE), inherited(HOLDER)) else {
        return 2;
    };
    let file = PathBuf::from(file);
    let started = start(&pid, &file);
    let mut line = UnixStream::from(line);
    let pasta = match started {
        Ok(pasta) => pasta,
        Err(why) => {
            let _ = line.write_all(why.as_bytes());
            return 1;
        }
    };
    drop(line);
    let mut fds = [
        PollFd::new(&holder, PollFlags::IN),
        PollFd::new(&pasta, PollFlags::IN),
    ];
    while matches!(poll(&mut fds, None), Err(rustix::io::Errno::INTR)) {}
    let _ = pidfd_send_signal(&pasta, Signal::TERM);
    let _ = std::fs::remove_file(&file);
    0
}

/// Starts pasta, which goes on by itself when it is ready, and leaves its number in `file`.
fn start(pid: &OsStr, file: &Path) -> Result<OwnedFd, String> {
    let namespace = |kind: &str| {
        let mut path = PathBuf::from("/proc");
        path.extend([pid, OsStr::new("ns"), OsStr::new(kind)]);
        path
    };
    let mut command = Command::new("pasta");
    command
        .args(["--quiet", "--config-net", "--userns"])
        .arg(namespace("user"));
    command
        .arg("--netns")
        .arg(namespace("net"))
        .arg("--pid")
        .arg(file);
    // Ports are published by supervisors, and the machine's own loopback is nobody else's.
    command.args(["-t", "none", "-u", "none", "-T", "none", "-U", "none"]);
    command.arg("--no-map-gw");
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            return Err(format!("pasta says: {}", last.unwrap_or("nothing")));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err("`pasta` is not installed (package `passt`)".to_owned());
        }
        Err(error) => return Err(format!("cannot run `pasta`: {error}")),
    }
    let number = std::fs::read_to_string(file).ok();
    number
        .and_then(|text| ProcessRef::of(text.trim().parse().ok()?)?.open())
        .ok_or_else(|| "pasta ended at once".to_owned())
}
