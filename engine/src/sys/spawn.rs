//! Running our own executable again, in a role, from a process with threads.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::mount::{MountAttr, Reach, mount_setattr};
use super::program::{Program, Vector};

/// Our own executable as something a container can never write to: a read-only clone of its
/// mount, or a sealed copy in memory where that is not allowed.
///
/// A process that enters a container can be found there as `/proc/<pid>/exe`; written through that
/// link, the host's file would be the attacker's (CVE-2019-5736).
#[derive(Debug)]
pub struct Executable {
    file: OwnedFd,
}

const SELF: &str = "/proc/self/exe";

impl Executable {
    /// Of this process.
    pub fn current() -> io::Result<Self> {
        if let Ok(file) = read_only_clone() {
            return Ok(Self { file });
        }
        let file = rustix::fs::open(SELF, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        // We may run from such a clone already, which belongs to no namespace and cannot be cloned again.
        let file = if is_read_only()? {
            file
        } else {
            sealed_copy()?
        };
        Ok(Self { file })
    }
}

impl Executable {
    /// Replaces this process by the same program run from such an executable, with the same arguments and
    /// environment; returns at once when it runs from one.
    pub fn seal_ourselves() -> io::Result<()> {
        if is_sealed()? {
            return Ok(());
        }
        let file = match read_only_clone() {
            Ok(file) => file,
            // Nobody who may clone no mount may make this one writable.
            Err(_) if is_read_only()? => return Ok(()),
            Err(_) => sealed_copy()?,
        };
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let text = |bytes: Vec<u8>| Ok::<_, io::Error>(CString::new(bytes)?);
        let arguments = std::env::args_os()
            .map(|argument| text(argument.into_vec()))
            .collect::<io::Result<Vec<_>>>()?;
        let environment = environment()?;
        let (arguments, environment) = (Vector::from(arguments), Vector::from(environment));
        Err(Program::new(&path, &arguments, &environment).execute())
    }
}

/// Whether nobody can write to the file that we run from, now or later.
fn is_sealed() -> io::Result<bool> {
    let file = rustix::fs::open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // A file of an ordinary file system has no seals to ask for.
    if rustix::fs::fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::WRITE)) {
        return Ok(true);
    }
    // A read-only mount that has a path could be made writable, or have a writable twin. A clone of ours has none.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let wanted = rustix::fs::StatxFlags::MNT_ID;
    let found = rustix::fs::statx(&file, "", rustix::fs::AtFlags::EMPTY_PATH, wanted)?;
    let id = found.stx_mnt_id.to_string();
    let attached = mounts
        .lines()
        .any(|line| line.split(' ').next() == Some(&id));
    Ok(is_read_only()? && !attached)
}

/// Whether the mount that we run from takes no writes.
fn is_read_only() -> io::Result<bool> {
    let flags = rustix::fs::statvfs(SELF)?.f_flag;
    Ok(flags.contains(StatVfsMountFlags::RDONLY))
}

fn environment() -> io::Result<Vec<CString>> {
    std::env::vars_os()
        .map(|(key, value)| {
            Ok(CString::new(
                [key.into_vec(), value.into_vec()].join(&b'='),
            )?)
        })
        .collect()
}

fn read_only_clone() -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, SELF, flags)?;
    let attr = MountAttr::set(MountAttrFlags::MOUNT_ATTR_RDONLY);
    mount_setattr(tree.as_fd(), attr, Reach::This)?;
    Ok(tree)
}

fn sealed_copy() -> io::Result<OwnedFd> {
    let mut source = std::fs::File::open(SELF)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = rustix::fs::memfd_create(c"gantry", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(c"gantry", flags))?;
    let mut copy = std::fs::File::from(copy);
    io::copy(&mut source, &mut copy)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    Ok(copy.into())
}

/// A role process just made. It is a child of ours until it ends or we do.
#[derive(Debug)]
pub struct RoleChild {
    /// Its pid.
    pub pid: Pid,
    /// A descriptor that names it for ever.
    pub pidfd: OwnedFd,
}

/// Runs `executable` with `arguments` (the first is the process's name, the second the role) and our environment
/// in a session of its own, with exactly these descriptors: `fds[i]` becomes descriptor `i`. All others are closed;
/// signal dispositions and mask are the default ones. Safe from a process with threads.
pub fn spawn_role(
    executable: &Executable,
    arguments: &[&OsStr],
    fds: &[BorrowedFd<'_>],
) -> io::Result<RoleChild> {
    // The descriptors are copied out of the way first: as targets of dup2 are filled in turn, a
    // source among them could be gone before its own turn.
    let free = fds.len() as i32 + 1;
    let sources = fds
        .iter()
        .map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, free))
        .collect::<Result<Vec<_>, _>>()?;
    let file = rustix::io::fcntl_dupfd_cloexec(&executable.file, free)?;

    let text = |bytes: Vec<u8>| {
        CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
    };
    let path = text(format!("/proc/self/fd/{}", file.as_raw_fd()).into_bytes())?;
    let arguments = arguments
        .iter()
        .map(|a| text(a.as_bytes().to_vec()))
        .collect::<io::Result<Vec<_>>>()?;
    let environment = environment()?;

    let mut actions = Actions::new()?;
    for (target, source) in sources.iter().enumerate() {
        actions.duplicate(source.as_fd(), target as i32)?;
    }
    actions.close_from(fds.len() as i32, file.as_fd())?;
    let attributes = Attributes::new()?;
    let pid = attributes.spawn(&path, &actions, &arguments, &environment)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(RoleChild { pid, pidfd })
}

/// `posix_spawn_file_actions_t` with a destructor.
struct Actions(libc::posix_spawn_file_actions_t);

fn answer(error: libc::c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = std::mem::MaybeUninit::uninit();
        // SAFETY: the call initialises what it is given.
        answer(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: it has succeeded.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    fn duplicate(&mut self, source: BorrowedFd<'_>, target: i32) -> io::Result<()> {
        // SAFETY: the object is initialised; descriptors are numbers here.
        answer(unsafe {
            libc::posix_spawn_file_actions_adddup2(&mut self.0, source.as_raw_fd(), target)
        })
    }

    /// Closes everything from `first` on. The executable itself is spared: it is opened by its
    /// number later, and closed by execve.
    fn close_from(&mut self, first: i32, executable: BorrowedFd<'_>) -> io::Result<()> {
        let executable = executable.as_raw_fd();
        for fd in first..executable {
            // SAFETY: as above; closing a number that is not open is not an error here.
            answer(unsafe { libc::posix_spawn_file_actions_addclose(&mut self.0, fd) })?;
        }
        #[cfg(target_env = "gnu")]
        // SAFETY: as above.
        match unsafe { libc::posix_spawn_file_actions_addclosefrom_np(&mut self.0, executable + 1) }
        {
            // The executable has the last number that the limit of descriptors allows.
            libc::EBADF => {}
            result => answer(result)?,
        }
        Ok(())
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: it was initialised and is not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

/// `posix_spawnattr_t` with a destructor: new session, default signals, nothing blocked.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        const POSIX_SPAWN_SETSID: libc::c_int = 0x80;
        let flags = libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID;
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: the call initialises what it is given.
        answer(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: it has succeeded.
        let mut this = Self(unsafe { attributes.assume_init() });
        let mut set = std::mem::MaybeUninit::uninit();
        // SAFETY: the attributes are initialised; each set is initialised before it is read.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            answer(libc::posix_spawnattr_setsigmask(&mut this.0, set.as_ptr()))?;
            libc::sigfillset(set.as_mut_ptr());
            answer(libc::posix_spawnattr_setsigdefault(
                &mut this.0,
                set.as_ptr(),
            ))?;
            answer(libc::posix_spawnattr_setflags(
                &mut this.0,
                flags as libc::c_short,
            ))?;
        }
        Ok(this)
    }

    fn spawn(
        &self,
        path: &CString,
        actions: &Actions,
        arguments: &[CString],
        environment: &[CString],
    ) -> io::Result<Pid> {
        let pointers = |strings: &[CString]| -> Vec<*mut libc::c_char> {
            let ends = strings.iter().map(|s| s.as_ptr().cast_mut());
            ends.chain([std::ptr::null_mut()]).collect()
        };
        let mut pid = 0;
        // SAFETY: all objects are initialised, both vectors end with a null pointer and their
        // strings outlive the call, which copies nothing and writes only `pid`.
        answer(unsafe {
            libc::posix_spawn(
                &mut pid,
                path.as_ptr(),
                &actions.0,
                &self.0,
                pointers(arguments).as_ptr(),
                pointers(environment).as_ptr(),
            )
        })?;
        Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it was initialised and is not used again.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

/// A descriptor that our starter has put at this number (at most once in a process's life);
/// `None` when there is none. It is closed by execve from now on.
pub fn inherited(number: i32) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: the call takes no pointer; a number that is no descriptor is answered with EBADF.
    let set = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: it is open, was given to this process at its start, and is taken by nobody else: roles
    // call this once for each descriptor that `spawn_role` was given for them.
    (set == 0).then(|| unsafe { OwnedFd::from_raw_fd(number) })
}
