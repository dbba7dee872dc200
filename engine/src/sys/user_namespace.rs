//! Whether this process is in a user namespace of somebody's own, where root is not the machine's
//! root, and which ids there are (user_namespaces(7)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::process::{Gid, Signal, Uid};
use rustix::thread::{CapabilitiesSecureBits, LinkNameSpaceType, UnshareFlags};

use super::namespace::{self, unshare};
use super::process::{self, Fork, Forked};

/// The ids that exist here.
#[derive(Debug, PartialEq, Eq)]
struct Ids(Vec<Range>);

/// A line of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    /// The first id here.
    inside: u64,
    /// What that one is for the namespace around.
    outside: u64,
    count: u64,
}

impl Range {
    const ALL: Self = Self {
        inside: 0,
        outside: 0,
        count: u32::MAX as u64,
    };

    fn holds(self, id: u64) -> bool {
        (self.inside..self.inside.saturating_add(self.count)).contains(&id)
    }
}

/// Whether ids here are those of the machine. Found out once: not to be asked before a namespace
/// is entered.
pub fn is_initial() -> bool {
    users().are_all()
}

/// The owner to give a file that should belong to these ids: itself, or root in place of an id
/// that does not exist here, which no file can belong to.
pub fn owner(uid: u32, gid: u32) -> (Uid, Gid) {
    let nearest = |ids: &Ids, id| if ids.hold(id) { id } else { 0 };
    let (uid, gid) = (nearest(users(), uid), nearest(groups(), gid));
    (Uid::from_raw(uid), Gid::from_raw(gid))
}

/// What a user of this namespace is for the one around it. Not kept: it is asked before a
/// namespace is entered, too.
pub fn outside(uid: u32) -> Option<u32> {
    let uid = u64::from(uid);
    let ids = Ids::read("/proc/self/uid_map");
    let range = ids.0.iter().find(|range| range.holds(uid))?;
    u32::try_from(uid - range.inside + range.outside).ok()
}

/// A new namespace that nobody is in, with these lines of `uid_map` and `gid_map`: for what takes its ids from one.
/// The process must have one thread.
pub fn with_maps(users: &str, groups: &str) -> io::Result<OwnedFd> {
    let fork = Fork {
        namespaces: libc::CLONE_NEWUSER as u64,
        ..Fork::default()
    };
    let (parent, alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match fork.run()? {
        Forked::Child => stay(parent),
        Forked::Parent { pid, pidfd } => {
            let file = |name: &str| format!("/proc/{}/{name}", pid.as_raw_pid());
            let made = std::fs::write(file("uid_map"), users)
                .and_then(|()| std::fs::write(file("gid_map"), groups))
                .and_then(|()| std::fs::File::open(file("ns/user")));
            end(pidfd.as_fd())?;
            drop(alive);
            made.map(OwnedFd::from)
        }
    }
}

/// A new network namespace that belongs to this user namespace. The process must have one thread.
pub fn network_of(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    visited(
        namespace,
        || unshare(UnshareFlags::NEWNET),
        |proc| std::fs::File::open(format!("{proc}/ns/net")).map(OwnedFd::from),
    )
}

/// The user and the group that a namespace's root is for us; `None` if it has none. The process must have one thread.
pub fn root_of(namespace: BorrowedFd<'_>) -> io::Result<Option<(u32, u32)>> {
    let root = |map: &str| {
        let ids = Ids::read(map);
        let root = ids.0.iter().find(|range| range.inside == 0);
        root.and_then(|range| u32::try_from(range.outside).ok())
    };
    visited(
        namespace,
        || Ok(()),
        |proc| Ok(root(&format!("{proc}/uid_map")).zip(root(&format!("{proc}/gid_map")))),
    )
}

/// Has a process enter a namespace and do something there, and looks at it by its directory of /proc.
fn visited<T>(
    namespace: BorrowedFd<'_>,
    act: impl FnOnce() -> io::Result<()>,
    look: impl FnOnce(&str) -> io::Result<T>,
) -> io::Result<T> {
    let (heard, said) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (parent, alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match Fork::default().run()? {
        Forked::Child => {
            let done = enter(namespace).and_then(|()| act());
            let errno = done.err().map(|e| e.raw_os_error().unwrap_or(libc::EIO));
            let _ = rustix::io::write(&said, &errno.unwrap_or(0).to_ne_bytes());
            stay(parent)
        }
        Forked::Parent { pid, pidfd } => {
            drop(said);
            let mut errno = [0; 4];
            let seen = match rustix::io::read(&heard, &mut errno) {
                Ok(4) if errno == [0; 4] => look(&format!("/proc/{}", pid.as_raw_pid())),
                Ok(4) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
                Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) => Err(error.into()),
            };
            end(pidfd.as_fd())?;
            drop(alive);
            seen
        }
    }
}

/// Enters a namespace, which gives this process every right over what belongs to it and leaves it none over
/// anything else. What its ids are is said by [`become_root`]. It must have one thread.
pub fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    namespace::enter(namespace, LinkNameSpaceType::User)
}

/// Becomes the root of the namespace that was entered: until then the process has ids that nobody has there.
pub fn become_root() -> io::Result<()> {
    let (gid, uid) = (Gid::from_raw(0), Uid::from_raw(0));
    set_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Does something with files in the name of a user and a group, with all the rights that this thread has otherwise: what
/// is made is theirs. Who is known here by other ids than where the file lies can make nothing there.
pub fn in_the_name_of<T>(uid: u32, gid: u32, f: impl FnOnce() -> T) -> io::Result<T> {
    // Else the change of ids would take rights over files away.
    let bits = rustix::thread::capabilities_secure_bits()?;
    rustix::thread::set_capabilities_secure_bits(bits | CapabilitiesSecureBits::NO_SETUID_FIXUP)?;
    let _back = Back {
        bits,
        uid: nix::unistd::setfsuid(uid.into()),
        gid: nix::unistd::setfsgid(gid.into()),
    };
    Ok(f())
}

/// What a thread was before it acted in another's name.
struct Back {
    bits: CapabilitiesSecureBits,
    uid: nix::unistd::Uid,
    gid: nix::unistd::Gid,
}

impl Drop for Back {
    fn drop(&mut self) {
        nix::unistd::setfsuid(self.uid);
        nix::unistd::setfsgid(self.gid);
        // What was in force a moment ago is allowed.
        let _ = rustix::thread::set_capabilities_secure_bits(self.bits);
    }
}

/// Until it is killed, or the parent has died, who holds the other end of this pipe: the process is there for its
/// namespaces. It must not hold what else the parent had: a lock of a parent that was killed would never be free.
fn stay(parent: OwnedFd) -> ! {
    let closed = process::close_all_but(&[parent.as_fd()]);
    while closed.is_ok() && rustix::io::read(&parent, &mut [0; 1]) == Err(rustix::io::Errno::INTR) {
    }
    process::exit_now(0)
}

fn end(child: BorrowedFd<'_>) -> io::Result<()> {
    let _ = rustix::process::pidfd_send_signal(child, Signal::KILL);
    process::wait(child).map(drop)
}

/// Whether this group exists here.
pub fn has_group(gid: u32) -> bool {
    groups().hold(gid)
}

/// Gives this process these groups and no others. `false` where nobody may do that: in a namespace that its user made
/// without help. The kernel is asked first, as /proc may be a container's.
pub fn set_groups(list: &[Gid]) -> Result<bool, rustix::io::Errno> {
    let denied =
        || std::fs::read("/proc/self/setgroups").is_ok_and(|text| text.starts_with(b"deny"));
    match rustix::thread::set_thread_groups(list) {
        Err(rustix::io::Errno::PERM) if denied() => Ok(false),
        other => other.map(|()| true),
    }
}

/// The last of the groups that exist here from 0 on without a gap.
pub fn last_group() -> u32 {
    let mut next = 0;
    while let Some(range) = groups().0.iter().find(|range| range.holds(next)) {
        next = range.inside.saturating_add(range.count);
    }
    u32::try_from(next.saturating_sub(1)).unwrap_or(u32::MAX)
}

fn users() -> &'static Ids {
    static USERS: OnceLock<Ids> = OnceLock::new();
    USERS.get_or_init(|| Ids::read("/proc/self/uid_map"))
}

fn groups() -> &'static Ids {
    static GROUPS: OnceLock<Ids> = OnceLock::new();
    GROUPS.get_or_init(|| Ids::read("/proc/self/gid_map"))
}

impl Ids {
    /// All of them where the kernel has no user namespaces, and no such file.
    fn read(map: &str) -> Self {
        std::fs::read_to_string(map).map_or(Self(vec![Range::ALL]), |map| Self::parse(&map))
    }

    /// Lines of three numbers, as the fields of [`Range`].
    fn parse(map: &str) -> Self {
        let range = |line: &str| {
            let mut numbers = line
                .split_ascii_whitespace()
                .map(|number| number.parse().ok());
            Some(Range {
                inside: numbers.next()??,
                outside: numbers.next()??,
                count: numbers.next()??,
            })
        };
        Self(map.lines().filter_map(range).collect())
    }

    fn are_all(&self) -> bool {
        self.0 == [Range::ALL]
    }

    fn hold(&self, id: u32) -> bool {
        self.0.iter().any(|range| range.holds(u64::from(id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_map_of_all_ids_is_the_machines() {
        assert!(Ids::parse("         0          0 4294967295\n").are_all());
        for map in [
            "         0       1000          1\n",
            "0 1000 1\n1 100000 65536\n",
            "",
        ] {
            assert!(!Ids::parse(map).are_all(), "{map:?}");
        }
    }

    #[test]
    fn ids_are_those_of_the_ranges() {
        let ids = Ids::parse("0 1000 1\n1 100000 65536\n");
        for (id, there) in [
            (0, true),
            (1, true),
            (65536, true),
            (65537, false),
            (u32::MAX, false),
        ] {
            assert_eq!(ids.hold(id), there, "{id}");
        }
        let line = Range {
            inside: 7,
            outside: 8,
            count: 1,
        };
        assert_eq!(Ids::parse("0 x\n7 8 1\n1 2"), Ids(vec![line]));
    }
}
