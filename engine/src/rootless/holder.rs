//! The process that holds a user's namespaces: it makes them, is given their ids, and then waits
//! until nobody has used them for a while.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::thread::UnshareFlags;

use super::scope::Scope;
use super::{Holder, Places, RootlessError, egress, ids, step};
use crate::role;
use crate::state::{Durability, Lock, read_record, remove_file, write_record};
use crate::sys::namespace;
use crate::sys::spawn::inherited;
use crate::sys::{Executable, ProcessRef, spawn_role};

/// Version of the record.
const VERSION: u32 = 1;

/// How often a holder looks whether it is needed; it goes when it was not twice in a row. So
/// commands that follow each other need no new one.
const LOOK: Duration = Duration::from_secs(10);

/// The holder's end of the line, as a descriptor.
const LINE: i32 = 1;

/// The one that is there.
pub(super) fn find(places: &Places) -> Result<Option<Holder>, RootlessError> {
    let process: Option<ProcessRef> = read_record(&places.holder(), VERSION)?;
    Ok(process.and_then(|process| {
        let holder = Holder {
            pid: u32::try_from(process.pid).ok()?,
            pidfd: process.open()?,
        };
        (!has_ended(holder.pidfd.as_fd())).then_some(holder)
    }))
}

/// Whether nothing is left of a process but its exit code.
fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// The one that is there, else a new one. The caller has marked that it is present.
/// With a new one come words about what it could not be given.
pub(super) fn find_or_make(places: &Places) -> Result<(Holder, Option<String>), RootlessError> {
    if let Some(holder) = find(places)? {
        return Ok((holder, None));
    }
    let _making = Lock::exclusive(&places.making())?;
    if let Some(holder) = find(places)? {
        return Ok((holder, None));
    }
    let holder = make(places)?;
    let cut_off = egress::open(places, &holder).err();
    Ok((
        holder,
        cut_off.map(|why| format!("containers reach nothing outside this machine: {why}")),
    ))
}

fn make(places: &Places) -> Result<Holder, RootlessError> {
    let failed = |source| step("start a process for")(source);
    let executable = Executable::current().map_err(failed)?;
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let nothing = File::open("/dev/null").map_err(failed)?;
    let name = std::ffi::OsStr::new("gantry");
    let users = places.users();
    let child = spawn_role(
        &executable,
        &[name, role::HOLDER.as_ref(), users.as_os_str()],
        &[nothing.as_fd(), theirs.as_fd()],
    )
    .map_err(failed)?;
    drop(theirs);
    let pid = child.pid.as_raw_pid();
    let mut line = ours;
    hear(&mut line)?;
    ids::map(pid.unsigned_abs())?;
    line.write_all(b"m").map_err(failed)?;
    hear(&mut line)?;
    let process = ProcessRef::of(pid).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    write_record(&places.holder(), VERSION, &process, Durability::Process)?;
    // Without it there are no limits, which is said of each one that is asked for.
    if let Err(reason) = Scope::make(places, pid.unsigned_abs()) {
        tracing::info!(reason, "no cgroups for the user's containers");
    }
    Ok(Holder {
        pid: pid.unsigned_abs(),
        pidfd: child.pidfd,
    })
}

/// Waits for the holder's next word: an error number, 0 for none.
fn hear(line: &mut UnixStream) -> Result<(), RootlessError> {
    let mut word = [0; 4];
    line.read_exact(&mut word).map_err(step("make"))?;
    match i32::from_ne_bytes(word) {
        0 => Ok(()),
        code => Err(refusal(io::Error::from_raw_os_error(code))),
    }
}

/// What the administrator can do about a refusal.
fn refusal(source: io::Error) -> RootlessError {
    let says = |file: &str, value: &str| {
        std::fs::read_to_string(file).is_ok_and(|text| text.trim() == value)
    };
    let remedy = if says("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "`sysctl -w kernel.unprivileged_userns_clone=1`"
    } else if says(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
    ) {
        "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
    } else if says("/proc/sys/user/max_user_namespaces", "0") {
        "`sysctl -w user.max_user_namespaces=10000`"
    } else {
        "look what keeps `unshare --user` from working"
    };
    RootlessError::Refused { remedy, source }
}

/// The holder's life. Its first argument is the file that users of the namespace lock.
pub(crate) fn main(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> i32 {
    let (Some(users), Some(line)) = (arguments.next(), inherited(LINE)) else {
        return 2;
    };
    if set_up(line).is_err() {
        return 1;
    }
    let users = std::path::PathBuf::from(users);
    let mut idle = 0;
    while idle < 2 {
        std::thread::sleep(LOOK);
        match Lock::try_exclusive(&users) {
            Ok(None) => idle = 0,
            Ok(Some(_)) if idle == 0 => idle = 1,
            Ok(Some(_lock)) => {
                // Whoever comes now waits for the lock, and finds no holder then.
                idle = 2;
                let _ = remove_file(&users.with_file_name("holder.json"));
            }
            // Its directory is gone, as at the end of a login.
            Err(_) => idle = 2,
        }
    }
    0
}

/// Makes the namespaces, waits for their ids, and makes them fit for use.
fn set_up(line: OwnedFd) -> io::Result<()> {
    let mut line = UnixStream::from(line);
    let mut tell = |result: io::Result<()>| {
        let code = result
            .as_ref()
            .err()
            .map_or(0, |e| e.raw_os_error().unwrap_or(libc::EIO));
        line.write_all(&code.to_ne_bytes())?;
        result.and_then(|()| {
            let mut word = [0];
            line.read(&mut word).map(drop)
        })
    };
    tell(namespace::unshare(
        UnshareFlags::NEWUSER | UnshareFlags::NEWNET,
    ))?;
    let ready = std::env::set_current_dir("/").and_then(|()| namespace::bring_up_loopback());
    tell(ready)
}
