//! How long a start takes, beside the system calls no start can do without.
//!
//! `floor` makes by hand what a container of Docker's defaults needs (clone with its namespaces, overlay, the usual
//! mounts and nodes, pivot_root, execve) and nothing else; `ours` is [`prepare`], [`Parked::release`] and the wait.
//! Both run `/bin/true` without a network and take turns, so the machine's mood hits both. Root only.
//! `cargo bench -p gantry-engine --bench floor [rounds]`.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result goes to its stdout"
)]

use std::error::Error;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use gantry_engine::cgroup::{Cgroup, Entry, Layout};
use gantry_engine::mount::{Overlay, RootMount};
use gantry_engine::runtime::defaults::{self, SysAccess};
use gantry_engine::runtime::seccomp::Seccomp;
use gantry_engine::runtime::{Init, Launch, Lookup, NetNs, Stdio, prepare};
use gantry_engine::sys::process::{Fork, Forked, exit_now, wait};
use gantry_engine::sys::program::{Program, Vector};
use oci_spec::runtime::{
    LinuxBuilder, LinuxResources, LinuxResourcesBuilder, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, UserBuilder,
};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let rounds = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let rounds: usize = rounds.unwrap_or(100);
    if !rustix::process::geteuid().is_root() {
        println!("skipped: containers need root here");
        return Ok(());
    }
    let scratch = std::env::temp_dir().join(format!("gantry-floor-{}", std::process::id()));
    let result = measure(&scratch, rounds);
    let _ = std::fs::remove_dir_all(&scratch);
    result
}

/// Durations of one kind.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn row(&mut self, name: &str) {
        self.0.sort_unstable();
        let micros = |at: usize| self.0.get(at).map_or(0, Duration::as_micros);
        let (median, last) = (self.0.len() / 2, self.0.len().saturating_sub(1));
        println!(
            "{name:28} {:>7} {:>7} {:>7}",
            micros(0),
            micros(median),
            micros(last * 9 / 10)
        );
    }
}

fn measure(scratch: &Path, rounds: usize) -> Result<(), Failure> {
    let layout = Layout::detect()?;
    let path = format!("gantry-floor-{}", std::process::id());
    let limits = LinuxResourcesBuilder::default()
        .devices(defaults::device_rules())
        .build()?;
    let spec = spec()?;
    let [
        mut floor,
        mut cgroups,
        mut prepared,
        mut released,
        mut reaped,
        mut ours,
    ] = std::array::from_fn(|_| Times::default());
    for round in 0..rounds + 5 {
        let root = root(&scratch.join(round.to_string()))?;
        let other = self::root(&scratch.join(format!("{round}-floor")))?;
        let keep = round >= 5;

        let name = format!("{path}-{round}-floor");
        let (group, _) = Cgroup::create(&layout, &name, &LinuxResources::default())?;
        let begin = Instant::now();
        bare_start(&other, &group.entry()?)?;
        let time = begin.elapsed();
        group.remove()?;
        if keep {
            floor.0.push(time);
        }

        let begin = Instant::now();
        let (group, _) = Cgroup::create(&layout, &format!("{path}-{round}"), &limits)?;
        let made = Instant::now();
        let parked = prepare(Launch {
            id: &path,
            spec: &spec,
            root: &root,
            netns: NetNs::Host,
            userns: None,
            cgroup: Some(&group),
            stdio: Stdio::Null,
            seccomp: Seccomp::Default,
            init: Init::Payload,
            user: None,
            groups: &[],
            preserved: 0,
            lookup: Lookup::AtStart,
            state: None,
        })?;
        let ready = Instant::now();
        let started = parked.release()?;
        let runs = Instant::now();
        started.wait()?;
        let end = Instant::now();
        group.remove()?;
        if keep {
            cgroups.0.push(made - begin);
            prepared.0.push(ready - made);
            released.0.push(runs - ready);
            reaped.0.push(end - runs);
            ours.0.push(end - made);
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!(
        "{rounds} rounds, layout {}, load {}",
        layout.name(),
        load.trim()
    );
    println!(
        "{:28} {:>7} {:>7} {:>7}",
        "microseconds", "min", "median", "p90"
    );
    floor.row("floor: clone to reaped");
    ours.row("ours: prepare to reaped");
    prepared.row("  prepare");
    released.row("  release");
    reaped.row("  run and reap");
    cgroups.row("  (cgroups made before)");
    Ok(())
}

fn root(directory: &Path) -> Result<RootMount, Failure> {
    for name in ["mask", "upper", "work"] {
        std::fs::create_dir_all(directory.join(name))?;
    }
    Ok(RootMount::Overlay(Overlay {
        lower: vec![directory.join("mask"), "/".into()],
        upper: Some(directory.join("upper")),
        work: Some(directory.join("work")),
        volatile: true,
    }))
}

fn spec() -> Result<Spec, Failure> {
    let process = ProcessBuilder::default()
        .args(vec!["/bin/true".to_owned()])
        .env(vec![format!("PATH={}", defaults::PATH)])
        .cwd("/")
        .user(UserBuilder::default().uid(0u32).gid(0u32).build()?)
        .capabilities(defaults::capability_sets(&defaults::capabilities()))
        .rlimits(vec![])
        .no_new_privileges(false)
        .build()?;
    let linux = LinuxBuilder::default()
        .namespaces(defaults::namespaces())
        .masked_paths(defaults::masked_paths())
        .readonly_paths(defaults::readonly_paths())
        .build()?;
    Ok(SpecBuilder::default()
        .root(RootBuilder::default().path("/").readonly(false).build()?)
        .process(process)
        .mounts(defaults::mounts(defaults::SHM_SIZE, SysAccess::ReadOnly))
        .hostname("floor")
        .linux(linux)
        .build()?)
}

/// The bare calls, up to the end of `/bin/true`.
fn bare_start(root: &RootMount, entry: &Entry) -> Result<(), Failure> {
    let namespaces =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
    let fork = Fork {
        namespaces: namespaces as u64,
        cgroup: entry.directory.as_ref().map(AsFd::as_fd),
        ..Fork::default()
    };
    match fork.run()? {
        Forked::Child => {
            let _ = bare_child(root, entry);
            exit_now(1)
        }
        Forked::Parent { pidfd, .. } => match wait(pidfd.as_fd())?.code() {
            0 => Ok(()),
            code => Err(format!("the bare start ended with {code}").into()),
        },
    }
}

fn bare_child(root: &RootMount, entry: &Entry) -> Result<(), Failure> {
    for task in &entry.tasks {
        task.join()?;
    }
    let attr = gantry_engine::sys::mount::MountAttr::propagate(libc::MS_SLAVE);
    let old = gantry_engine::mount::open_root(Path::new("/"))?;
    let reach = gantry_engine::sys::mount::Reach::Recursive;
    gantry_engine::sys::mount::mount_setattr(old.as_fd(), attr, reach)?;
    let tree = gantry_engine::mount::detached_root(root)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&tree, "", CWD, "/", flags)?;
    rustix::process::fchdir(&tree)?;
    for (kind, place) in [
        ("proc", c"proc"),
        ("tmpfs", c"dev"),
        ("devpts", c"dev/pts"),
        ("sysfs", c"sys"),
        ("mqueue", c"dev/mqueue"),
        ("tmpfs", c"dev/shm"),
    ] {
        bare_mount(kind, place)?;
    }
    for minor in [3, 5, 7, 8, 9] {
        let number = rustix::fs::makedev(1, minor);
        let kind = FileType::CharacterDevice;
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(CWD, format!("dev/{minor}"), kind, mode, number)?;
    }
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    let (arguments, environment) = (Vector::new(["true"])?, Vector::new([])?);
    Err(Program::new(c"/bin/true", &arguments, &environment)
        .execute()
        .into())
}

fn bare_mount(kind: &str, place: &CStr) -> Result<(), Failure> {
    let _ = rustix::fs::mkdirat(CWD, place, Mode::from_raw_mode(0o755));
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if kind == "devpts" {
        fsconfig_set_string(&fs, "ptmxmode", "0666")?;
    }
    fsconfig_create(&fs)?;
    let tree = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    move_mount(
        &tree,
        "",
        CWD,
        place,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    Ok(())
}
