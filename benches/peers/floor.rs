//! The floor: what the bare system calls of a container's life cost on this machine,
//! without records, logs, limits, seccomp or supervision. Measured in a process of its
//! own, in a network namespace of its own, so nothing of the machine is touched.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{Error, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Which floor stands beside a figure.
#[derive(Clone, Copy)]
pub enum Floor {
    /// Start and end of one small static program.
    Process,
    /// One container: namespaces, overlay, /proc, /dev, pivot_root, exec, end.
    Container {
        /// With a network namespace and a veth pair on a bridge.
        network: bool,
    },
    /// So many containers with network, one after the other, until the last has begun.
    Containers(usize),
}

const FLAG: &str = "--floor";

impl Floor {
    /// Takes `rounds` samples.
    pub fn measure(self, rounds: usize) -> Vec<Duration> {
        let (network, containers) = match self {
            Floor::Process => return (0..rounds).map(|_| process()).collect(),
            Floor::Container { network } => (network, 1),
            Floor::Containers(count) => (true, count),
        };
        let exe = std::env::current_exe().expect("own path");
        let output = Command::new(exe)
            .args([
                FLAG,
                &u8::from(network).to_string(),
                &containers.to_string(),
                &rounds.to_string(),
            ])
            .stderr(Stdio::inherit())
            .output()
            .expect("the floor runs");
        assert!(output.status.success(), "the floor failed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines()
            .map(|line| Duration::from_nanos(line.parse().expect("nanoseconds")))
            .collect()
    }

    /// Runs the child's part when the arguments ask for it; true if they did.
    pub fn dispatch() -> bool {
        let args: Vec<String> = std::env::args().collect();
        let Some(at) = args.iter().position(|arg| arg == FLAG) else {
            return false;
        };
        let number = |n: usize| args[at + n].parse::<usize>().expect("a number");
        child(number(1) == 1, number(2), number(3));
        true
    }
}

fn process() -> Duration {
    let start = Instant::now();
    let status = Command::new("/bin/busybox")
        .arg("true")
        .status()
        .expect("busybox");
    assert!(status.success());
    start.elapsed()
}

/// Prints one line of nanoseconds a round.
fn child(network: bool, containers: usize, rounds: usize) {
    let dir = tempfile::Builder::new()
        .prefix("gantry-floor-")
        .tempdir_in("/var/tmp")
        .expect("folder");
    let lower = dir.path().join("lower");
    for folder in ["proc", "dev", "bin"] {
        fs::create_dir_all(lower.join(folder)).expect("folder");
    }
    fs::copy("/bin/busybox", lower.join("bin/true")).expect("busybox");
    // SAFETY: plain system calls on this single-threaded process's own namespaces.
    check("unshare", unsafe {
        libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS)
    });
    // SAFETY: in the mount namespace made above.
    check("private", unsafe {
        libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        )
    });
    let bridge = Link::bridge();
    for round in 0..rounds {
        let start = Instant::now();
        let mut running = Vec::new();
        // Names of their own: the kernel clears the former round's away in its own time.
        for n in (0..containers).map(|n| round * containers + n) {
            let upper = dir.path().join(format!("upper{n}"));
            fs::create_dir_all(dir.path().join(format!("work{n}"))).expect("folder");
            fs::create_dir_all(&upper).expect("folder");
            running.push(Container::start(dir.path(), n, network.then_some(&bridge)));
        }
        let begun = start.elapsed();
        running.into_iter().for_each(Container::wait);
        // One container is timed to its end, as `run` is; many until all have begun, as `up` is.
        let took = if containers == 1 {
            start.elapsed()
        } else {
            begun
        };
        println!("{}", took.as_nanos());
    }
}

struct Container {
    pid: libc::pid_t,
    _netns: Option<OwnedFd>,
}

impl Container {
    /// Returns when the program has been executed.
    fn start(dir: &Path, n: usize, bridge: Option<&Link>) -> Self {
        let outside = open("/proc/self/ns/net");
        let netns = bridge.map(|bridge| {
            let host = Link::socket();
            // SAFETY: this process is single-threaded and goes back below.
            check("netns", unsafe { libc::unshare(libc::CLONE_NEWNET) });
            let netns = open("/proc/self/ns/net");
            host.veth(n, bridge, &netns);
            netns
        });
        let (mut read, write) = std::io::pipe().expect("pipe");
        let flags = libc::CLONE_NEWPID
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWCGROUP;
        // SAFETY: all zeroes is a valid clone_args.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = flags as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        // SAFETY: like fork(2) in a single-threaded process; the child only makes system calls.
        let pid = unsafe {
            libc::syscall(
                libc::SYS_clone3,
                &raw mut args,
                size_of::<libc::clone_args>(),
            )
        };
        check("clone3", pid as i32);
        if pid == 0 {
            enter(dir, n);
        }
        drop(write);
        // The pipe closes at the program's execve.
        let mut text = String::new();
        read.read_to_string(&mut text).expect("pipe");
        if netns.is_some() {
            // SAFETY: back to the namespace this single-threaded process came from.
            check("setns", unsafe {
                libc::setns(outside.as_raw_fd(), libc::CLONE_NEWNET)
            });
        }
        Self {
            pid: pid as libc::pid_t,
            _netns: netns,
        }
    }

    fn wait(self) {
        let mut status = 0;
        // SAFETY: waits for a child of this process.
        check("wait", unsafe {
            libc::waitpid(self.pid, &raw mut status, 0)
        });
        assert_eq!(status, 0, "the program failed");
    }
}

/// In the child: the mounts, then the program.
fn enter(dir: &Path, n: usize) -> ! {
    let at = |name: &str| CString::new(format!("{}/{name}", dir.display())).expect("path");
    let options = CString::new(format!(
        "lowerdir={0}/lower,upperdir={0}/upper{n},workdir={0}/work{n},volatile",
        dir.display()
    ))
    .expect("options");
    let root = at("lower");
    // SAFETY: mounts in this child's own mount namespace, then execve.
    unsafe {
        mount(c"overlay", &root, c"overlay", 0, &options);
        check("chdir", libc::chdir(root.as_ptr()));
        mount(c"proc", c"proc", c"proc", 0, c"");
        mount(c"tmpfs", c"dev", c"tmpfs", 0, c"size=64k");
        check(
            "pivot_root",
            libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) as i32,
        );
        check("umount", libc::umount2(c".".as_ptr(), libc::MNT_DETACH));
        let argv = [c"true".as_ptr(), std::ptr::null()];
        libc::execv(c"/bin/true".as_ptr(), argv.as_ptr());
        libc::_exit(111)
    }
}

/// # Safety
/// Must be called in a mount namespace of the caller's own.
unsafe fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong, options: &CStr) {
    // SAFETY: all pointers are valid C strings.
    check("mount", unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    });
}

/// A route netlink socket, or the bridge made through one.
struct Link {
    socket: OwnedFd,
    bridge: u32,
}

impl Link {
    fn socket() -> Self {
        // SAFETY: a new socket of this process.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                libc::NETLINK_ROUTE,
            )
        };
        check("netlink", fd);
        Self {
            // SAFETY: `fd` is open and owned by nobody else.
            socket: unsafe { OwnedFd::from_raw_fd(fd) },
            bridge: 0,
        }
    }

    fn bridge() -> Self {
        let mut link = Self::socket();
        let kind = attribute(18, &attribute(1, b"bridge\0"));
        link.request(&[attribute(3, b"floor0\0"), kind].concat());
        // SAFETY: a lookup by name in this process's namespace.
        link.bridge = unsafe { libc::if_nametoindex(c"floor0".as_ptr()) };
        link
    }

    /// One message: the pair, its end on the bridge, up, and its peer in the namespace.
    fn veth(&self, n: usize, bridge: &Link, netns: &OwnedFd) {
        let name = format!("f{n}\0");
        let peer = [
            header(0),
            attribute(3, b"eth0\0"),
            attribute(28, &netns.as_raw_fd().to_ne_bytes()),
        ]
        .concat();
        let data = attribute(2, &attribute(1, &peer));
        let info = attribute(18, &[attribute(1, b"veth\0"), data].concat());
        self.request(
            &[
                attribute(3, name.as_bytes()),
                attribute(10, &bridge.bridge.to_ne_bytes()),
                info,
            ]
            .concat(),
        );
    }

    /// RTM_NEWLINK with NLM_F_REQUEST | ACK | CREATE | EXCL.
    fn request(&self, attributes: &[u8]) {
        let body = [&header(libc::IFF_UP as u32)[..], attributes].concat();
        let mut message = Vec::new();
        message.extend(((body.len() + 16) as u32).to_ne_bytes());
        message.extend(16u16.to_ne_bytes());
        message.extend(0x605u16.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        let mut socket = fs::File::from(self.socket.try_clone().expect("socket"));
        socket.write_all(&message).expect("netlink request");
        let mut answer = [0; 4096];
        let length = socket.read(&mut answer).expect("netlink answer");
        let code = i32::from_ne_bytes(answer[16..20].try_into().expect("four bytes"));
        assert!(
            length >= 20 && code == 0,
            "netlink: {}",
            Error::from_raw_os_error(-code)
        );
    }
}

/// struct ifinfomsg (rtnetlink(7)).
fn header(flags: u32) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes
}

/// struct rtattr with its padding.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn open(path: &str) -> OwnedFd {
    fs::File::open(path).expect("namespace").into()
}

fn check(what: &str, result: i32) {
    if result < 0 {
        eprintln!("floor: {what}: {}", Error::last_os_error());
        std::process::exit(1);
    }
}
