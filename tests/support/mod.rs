//! A sandbox for tests that run the executable: its own `--root`, its own project
//! folder, a cleared environment, and a check that nothing is left behind.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod archive;
pub mod pty;
pub mod registry;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The executable under test.
pub const GANTRY: &str = env!("CARGO_BIN_EXE_gantry");

/// Why kernel tests cannot run here, if they cannot.
pub fn kernel_refusal() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root");
    }
    if !fs::read_to_string("/proc/filesystems").is_ok_and(|f| f.contains("overlay")) {
        return Some("needs overlayfs");
    }
    None
}

/// Ends the calling test with a printed reason where kernel tests cannot run.
#[macro_export]
macro_rules! need_kernel {
    () => {
        if let Some(reason) = $crate::support::kernel_refusal() {
            eprintln!("skipped: {reason}");
            return;
        }
    };
}

/// Ends the calling test with a printed reason where a program is missing.
#[macro_export]
macro_rules! need_program {
    ($($name:expr),+) => {
        $(if $crate::support::find_program($name).is_none() {
            eprintln!("skipped: needs the program {}", $name);
            return;
        })+
    };
}

/// A program in PATH or the places where servers are.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.is_file())
}

/// An engine root and a project folder of one test's own.
pub struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    /// Makes an empty one. It lies below `/var/tmp`, because overlayfs wants a real disk.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("gantry-test-")
            .tempdir_in("/var/tmp")
            .expect("a temporary folder");
        let sandbox = Self { dir };
        // What hides `/` now is not ours.
        sandbox.traces();
        fs::create_dir_all(sandbox.project()).expect("project folder");
        sandbox
    }

    /// Makes one whose project is a copy of a folder below `examples/`.
    pub fn of_example(name: &str) -> Self {
        let sandbox = Self::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples")
            .join(name);
        copy_tree(&source, &sandbox.project());
        sandbox
    }

    /// Makes one whose project is one compose file.
    pub fn of_compose(text: &str) -> Self {
        let sandbox = Self::new();
        sandbox.write("compose.yaml", text);
        sandbox
    }

    /// The engine's root.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Whether no container was ever made, or all are gone.
    pub fn has_no_container(&self) -> bool {
        fs::read_dir(self.root().join("containers"))
            .map_or(true, |mut containers| containers.next().is_none())
    }

    /// The project folder; its name, and so the project's, differs from test to test.
    pub fn project(&self) -> PathBuf {
        let unique = self.dir.path().file_name().expect("name").to_string_lossy();
        let unique = unique.trim_start_matches("gantry-test-").to_lowercase();
        self.dir.path().join(format!("p{unique}"))
    }

    /// Writes a file of the project, with its folders.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.project().join(path);
        fs::create_dir_all(file.parent().expect("parent")).expect("folder");
        fs::write(file, text).expect("project file");
    }

    /// The executable with arguments, in the project folder, ready to be changed.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(GANTRY);
        command.args(args);
        command
    }

    /// A program in the same surroundings.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .current_dir(self.project())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("GANTRY_ROOT", self.root())
            .stdin(Stdio::null());
        command
    }

    /// Starts it on a terminal of so many rows and columns. Needs the program `setsid`.
    pub fn on_terminal(&self, rows: u16, columns: u16, args: &[&str]) -> pty::Pty {
        // The terminal must be the controlling one, or Ctrl-C reaches nobody.
        let mut command = self.program("setsid");
        command.args(["--ctty", GANTRY]).args(args);
        command.env("TERM", "xterm");
        pty::Pty::spawn(command, rows, columns)
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        let output = self.command(args).output().expect("the executable starts");
        Run::of(args, output)
    }

    /// Runs it and expects exit code 0.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Run {
        self.run(args).expect_code(0)
    }

    /// Runs a program in a container that is gone after it; without a network, unless the options name one.
    pub fn run_in_new(&self, options: &[&str], program: &[&str]) -> Run {
        let network: &[&str] = match options.contains(&"--network") {
            true => &[],
            false => &["--network", "none"],
        };
        let command = ["container", "run", "--rm"];
        self.run(&[&command, network, options, &["host"], program].concat())
    }

    /// Starts a container that sleeps.
    #[track_caller]
    pub fn start_sleeper(&self, name: &str, options: &[&str]) {
        let command = ["container", "run", "-d", "--name", name];
        self.ok(&[&command, options, &["host", "sleep", "1000"]].concat());
    }

    /// What a script prints in a running container, without white space at its ends.
    #[track_caller]
    pub fn inside(&self, name: &str, script: &str) -> String {
        let command = ["container", "exec", name, "sh", "-c", script];
        self.ok(&command).stdout().trim().to_owned()
    }

    /// Starts it with piped output, to be ended by the test.
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the executable starts")
    }

    /// What of this sandbox lives in the kernel: processes, mounts, cgroups, interfaces.
    pub fn traces(&self) -> Traces {
        Traces::of(self.dir.path())
    }

    /// Removes every container and network, then expects that nothing is left.
    #[track_caller]
    pub fn finish(self) {
        self.expect_nothing_left();
    }

    /// As [`Sandbox::finish`], for those who only borrow it.
    #[track_caller]
    pub fn expect_nothing_left(&self) {
        let marks = self.marks();
        self.clear();
        let traces = wait_for(Duration::from_secs(10), || {
            let traces = self.traces().with(&marks);
            traces.is_empty().then_some(traces)
        })
        .unwrap_or_else(|| self.traces().with(&marks));
        assert!(traces.is_empty(), "left behind: {traces:#?}");
    }

    /// Names of what the engine has in the kernel without this sandbox's path in them.
    fn marks(&self) -> Marks {
        let ids = self.run(&["network", "ls", "-q"]).stdout();
        Marks {
            bridges: ids
                .split_whitespace()
                .map(|id| format!("gt-{id}"))
                .collect(),
            cgroup: self
                .ok(&["system", "info", "-f", "{{.CgroupParent}}"])
                .stdout()
                .trim()
                .to_owned(),
        }
    }

    fn clear(&self) {
        let ids = self.run(&["container", "ls", "-aq"]).stdout();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            let mut args = vec!["container", "rm", "-f", "-v"];
            args.extend(ids);
            self.run(&args);
        }
        self.run(&["system", "prune", "-f", "--volumes"]);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A failed test must not leave its containers to the next one.
        if std::thread::panicking() {
            self.clear();
        }
    }
}

/// What the engine has in the kernel under names of its own.
struct Marks {
    bridges: Vec<String>,
    cgroup: String,
}

/// Kernel objects that carry a sandbox's path or belong to its processes.
#[derive(Debug, Default)]
pub struct Traces {
    pub processes: BTreeSet<String>,
    pub mounts: BTreeSet<String>,
    pub cgroups: BTreeSet<String>,
    pub interfaces: BTreeSet<String>,
}

impl Traces {
    fn of(dir: &Path) -> Self {
        let dir_text = dir.to_string_lossy();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut found = lines_with(&mounts, &dir_text);
        found.extend(hiding(&mounts));
        Self {
            processes: processes_of(&dir_text),
            mounts: found,
            ..Self::default()
        }
    }

    /// With the bridges and cgroups of these names that are there.
    fn with(mut self, marks: &Marks) -> Self {
        let there = |path: &str| Path::new(path).exists();
        self.interfaces.extend(
            marks
                .bridges
                .iter()
                .filter(|name| there(&format!("/sys/class/net/{name}")))
                .cloned(),
        );
        let hierarchies = fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten();
        let mut places: Vec<PathBuf> = hierarchies.map(|entry| entry.path()).collect();
        places.push(PathBuf::from("/sys/fs/cgroup"));
        let leaves = places.into_iter().map(|place| place.join(&marks.cgroup));
        self.cgroups.extend(
            leaves
                .filter(|path| path.exists())
                .map(|path| path.display().to_string()),
        );
        self
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
            && self.mounts.is_empty()
            && self.cgroups.is_empty()
            && self.interfaces.is_empty()
    }
}

/// Mounts that lie over the machine's `/` or `/proc` since this process began: older kernels make the engine attach
/// mounts there, in a namespace of its own.
fn hiding(mounts: &str) -> Vec<String> {
    static BEFORE: OnceLock<usize> = OnceLock::new();
    let is_there = |line: &&str| matches!(line.split(' ').nth(4), Some("/" | "/proc"));
    let found = mounts.lines().filter(is_there).map(str::to_owned);
    let found: Vec<_> = found.collect();
    let before = *BEFORE.get_or_init(|| found.len());
    found.into_iter().skip(before).collect()
}

fn lines_with(text: &str, part: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.contains(part))
        .map(str::to_owned)
        .collect()
}

/// Processes whose command line or environment names the folder.
fn processes_of(dir: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let own = std::process::id().to_string();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || !name.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        for part in ["cmdline", "environ"] {
            let text = fs::read(entry.path().join(part)).unwrap_or_default();
            if String::from_utf8_lossy(&text).contains(dir) {
                let cmdline = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let cmdline = String::from_utf8_lossy(&cmdline).replace('\0', " ");
                found.insert(format!("{name} {cmdline}"));
            }
        }
    }
    found
}

/// Process ids of the supervisors of a sandbox.
pub fn supervisors(sandbox: &Sandbox) -> Vec<i32> {
    sandbox
        .traces()
        .processes
        .iter()
        .filter(|process| process.contains(" __supervisor "))
        .filter_map(|process| process.split(' ').next()?.parse().ok())
        .collect()
}

/// Process ids of the children of these.
pub fn children(processes: &[i32]) -> Vec<i32> {
    processes
        .iter()
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok())
        .flat_map(|children| {
            let pids = children.split_whitespace().map(str::parse);
            pids.collect::<Result<Vec<_>, _>>().expect("process ids")
        })
        .collect()
}

/// Ends processes without asking, and waits until they have let go of everything.
pub fn kill_9(processes: &[i32]) {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let mut dying = Vec::new();
    for process in processes {
        let pid = Pid::from_raw(*process).expect("a process id");
        // It may have ended by itself.
        if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            dying.push(pidfd);
        }
    }
    for pidfd in dying {
        let mut fds = [rustix::event::PollFd::new(
            &pidfd,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).expect("poll");
    }
}

/// What one run of the executable did.
pub struct Run {
    args: Vec<String>,
    output: Output,
}

impl Run {
    /// A run that was started by hand.
    pub fn of(args: &[&str], output: Output) -> Self {
        Self {
            args: args.iter().map(ToString::to_string).collect(),
            output,
        }
    }

    /// Standard output as text.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Exit code; -1 after a signal.
    pub fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    /// Fails the test, with all output, unless the exit code is this one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            code,
            "gantry {}\nstatus {}\n--- stdout\n{}\n--- stderr\n{}",
            self.args.join(" "),
            self.output.status,
            self.stdout(),
            self.stderr()
        );
        self
    }

    /// Fails the test unless standard error holds every text, and no panic.
    #[track_caller]
    pub fn expect_stderr(self, texts: &[&str]) -> Self {
        let stderr = self.stderr();
        assert!(!stderr.contains("panicked at"), "panic: {stderr}");
        for text in texts {
            assert!(stderr.contains(text), "no `{text}` in:\n{stderr}");
        }
        self
    }

    /// Fails the test unless standard output holds every text.
    #[track_caller]
    pub fn expect_stdout(self, texts: &[&str]) -> Self {
        let stdout = self.stdout();
        for text in texts {
            assert!(
                stdout.contains(text),
                "no `{text}` in:\n{stdout}\n--- stderr\n{}",
                self.stderr()
            );
        }
        self
    }
}

/// Polls until there is an answer or the time is over.
pub fn wait_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Copies a folder with its modes.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copy");
        }
    }
}
