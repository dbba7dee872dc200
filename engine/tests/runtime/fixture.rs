//! A container under test: this machine's root under a writable layer, Docker's defaults.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use gantry_engine::cgroup::{Cgroup, Layout};
use gantry_engine::mount::{Overlay, RootMount};
use gantry_engine::runtime::defaults::{self, SysAccess};
use gantry_engine::runtime::seccomp::Seccomp;
use gantry_engine::runtime::{
    Exit, Init, Launch, Lookup, NetNs, Parked, RuntimeError, Started, Stdio, Warning, prepare,
};
use oci_spec::runtime::{
    LinuxBuilder, LinuxResources, LinuxResourcesBuilder, Mount, MountBuilder, ProcessBuilder,
    RootBuilder, Spec, SpecBuilder, UserBuilder,
};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// One container, to be changed before it runs.
pub struct Container {
    pub spec: Spec,
    pub root: RootMount,
    pub limits: LinuxResources,
    pub init: Init,
    pub user: Option<String>,
    pub groups: Vec<String>,
    pub seccomp: Seccomp<'static>,
    pub netns: NetNs<'static>,
    pub cgroup: Cgroup,
    pub name: String,
    pub scratch: tempfile::TempDir,
    host_mounts: usize,
}

/// What came out.
pub struct Output {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
    pub warnings: Vec<Warning>,
}

/// A container with the given command.
pub fn container(arguments: &[&str]) -> Container {
    let scratch = tempfile::tempdir().expect("temporary directory");
    for directory in ["mask", "upper", "work"] {
        std::fs::create_dir(scratch.path().join(directory)).expect("made");
    }
    let root = RootMount::Overlay(Overlay {
        lower: vec![scratch.path().join("mask"), "/".into()],
        upper: Some(scratch.path().join("upper")),
        work: Some(scratch.path().join("work")),
        volatile: true,
    });
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("gantry-test-{}-{number}", std::process::id());
    let layout = Layout::detect().expect("cgroups are mounted");
    Container {
        spec: spec(arguments),
        root,
        limits: LinuxResourcesBuilder::default()
            .devices(defaults::device_rules())
            .build()
            .expect("valid"),
        init: Init::Payload,
        user: None,
        groups: Vec::new(),
        seccomp: Seccomp::Default,
        netns: NetNs::New,
        cgroup: Cgroup::open(&layout, &name).expect("a good name"),
        name,
        scratch,
        host_mounts: host_mounts(),
    }
}

/// A container whose command is this very executable, as the probe.
pub fn probe(arguments: &[&str]) -> Container {
    let own = std::env::current_exe().expect("known");
    let own = own.to_str().expect("UTF-8").to_owned();
    container(&[&[own.as_str(), "--inside"], arguments].concat())
}

fn spec(arguments: &[&str]) -> Spec {
    let user = UserBuilder::default().uid(0u32).gid(0u32);
    let process = ProcessBuilder::default()
        .args(arguments.iter().map(|&a| a.to_owned()).collect::<Vec<_>>())
        .env(vec![format!("PATH={}", defaults::PATH)])
        .cwd("/")
        .user(user.build().expect("valid"))
        .capabilities(defaults::capability_sets(&defaults::capabilities()))
        .rlimits(vec![])
        .no_new_privileges(false)
        .build()
        .expect("valid");
    let linux = LinuxBuilder::default()
        .namespaces(defaults::namespaces())
        .masked_paths(defaults::masked_paths())
        .readonly_paths(defaults::readonly_paths())
        .build()
        .expect("valid");
    let root = RootBuilder::default().path("/").readonly(false);
    SpecBuilder::default()
        .root(root.build().expect("valid"))
        .process(process)
        .mounts(defaults::mounts(defaults::SHM_SIZE, SysAccess::ReadOnly))
        .hostname("box")
        .linux(linux)
        .build()
        .expect("valid")
}

/// A bind mount.
pub fn bind(source: &Path, destination: &str, options: &[&str]) -> Mount {
    let options = [&["rbind"], options].concat();
    MountBuilder::default()
        .typ("bind")
        .source(source)
        .destination(destination)
        .options(options.iter().map(|&o| o.to_owned()).collect::<Vec<_>>())
        .build()
        .expect("valid")
}

impl Container {
    /// Changes the process.
    pub fn process(&mut self) -> &mut oci_spec::runtime::Process {
        self.spec.process_mut().as_mut().expect("set above")
    }

    /// Changes the Linux part.
    pub fn linux(&mut self) -> &mut oci_spec::runtime::Linux {
        self.spec.linux_mut().as_mut().expect("set above")
    }

    /// Adds a mount.
    pub fn mount(&mut self, mount: Mount) {
        self.spec.mounts_mut().get_or_insert_default().push(mount);
    }

    /// The directory of what the container has written.
    pub fn upper(&self) -> PathBuf {
        self.scratch.path().join("upper")
    }

    /// Sets up, with these streams.
    pub fn prepare(&self, stdio: Stdio) -> Result<Parked, RuntimeError> {
        let layout = self.cgroup.layout();
        let (_, warnings) = Cgroup::create(layout, self.cgroup.path(), &self.limits)?;
        assert_eq!(warnings, [], "all limits of the fixture are known here");
        prepare(Launch {
            id: &self.name,
            spec: &self.spec,
            root: &self.root,
            netns: self.netns,
            userns: None,
            cgroup: Some(&self.cgroup),
            stdio,
            seccomp: self.seccomp,
            init: self.init,
            user: self.user.as_deref(),
            groups: &self.groups,
            preserved: 0,
            lookup: Lookup::AtStart,
            state: None,
        })
    }

    /// Runs to the end.
    pub fn run(&self) -> Result<Output, RuntimeError> {
        let (streams, mut pipes) = Pipes::new();
        let started = self.prepare(streams)?.release()?;
        let exit = started.wait()?;
        let warnings = started.warnings;
        Ok(Output {
            exit,
            stdout: pipes.read_stdout(),
            stderr: pipes.read_stderr(),
            warnings,
        })
    }

    /// Runs to the end; it must end well.
    #[track_caller]
    pub fn output(&self) -> String {
        let output = self.run().unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            panic!("{error} ({})", cause.unwrap_or_default())
        });
        assert_eq!(output.exit, Exit::Code(0), "{}", output.stderr);
        output.stdout
    }

    /// Starts it without streams.
    pub fn start(&self) -> Started {
        let parked = self.prepare(Stdio::Null).expect("prepared");
        parked.release().expect("released")
    }
}

impl Drop for Container {
    /// Nothing is left: no cgroup, no mount of ours in the host's namespace.
    fn drop(&mut self) {
        let _ = self.cgroup.kill(rustix::process::Signal::KILL);
        let removed = self.cgroup.remove();
        if std::thread::panicking() {
            return;
        }
        removed.expect("the cgroup goes");
        for hierarchy in self.cgroup.layout().hierarchies() {
            let directory = hierarchy.base().join(&self.name);
            assert!(!directory.exists(), "{} is left", directory.display());
        }
        assert_eq!(host_mounts(), self.host_mounts, "a mount reached the host");
    }
}

/// Mounts of ours in our own namespace: other programs mount and unmount meanwhile.
fn host_mounts() -> usize {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
    mounts.lines().filter(|line| line.contains(".tmp")).count()
}

/// Pipes for the three streams; standard input is at its end.
pub struct Pipes {
    stdout: std::fs::File,
    stderr: std::fs::File,
}

impl Pipes {
    pub fn new() -> (Stdio, Self) {
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
        let ((stdin, _), (out, stdout), (err, stderr)) = (pipe(), pipe(), pipe());
        let stdio = Stdio::Fds {
            stdin,
            stdout,
            stderr,
        };
        let pipes = Self {
            stdout: out.into(),
            stderr: err.into(),
        };
        (stdio, pipes)
    }

    /// Up to the end, when nobody holds the other side any more.
    pub fn read_stdout(&mut self) -> String {
        read(&mut self.stdout)
    }

    pub fn read_stderr(&mut self) -> String {
        read(&mut self.stderr)
    }
}

fn read(file: &mut std::fs::File) -> String {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("readable");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A descriptor of a file that must not be seen inside.
pub fn secret(directory: &Path) -> OwnedFd {
    let path = directory.join("secret");
    std::fs::write(&path, "secret").expect("written");
    // Not close-on-exec, as a careless caller would have it.
    let flags = rustix::fs::OFlags::RDONLY;
    rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).expect("opens")
}
