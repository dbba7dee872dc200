//! The tools under measurement and the stack they run: services that do nothing and
//! stop on SIGTERM at once, from one small image that each tool builds itself.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ports;

/// What is measured of each tool.
pub trait Tool {
    /// `container run --rm IMAGE true` on a network.
    fn run_true(&self, network: &str);
    /// A Compose verb on a project of so many services.
    fn compose(&self, services: usize, args: &[&str]);
    /// The command, for verbs of `container` that all tools have.
    fn command(&self) -> Command;
    /// Ids of the processes that relay a published port.
    fn relays(&self, port: u16) -> Vec<u32>;

    /// Runs a server in a container; the port of this machine where it is published.
    fn publish(&self) -> u16 {
        let mut args = vec![
            "container",
            "run",
            "-d",
            "--name",
            SERVER,
            "-p",
            "127.0.0.1::80",
            IMAGE,
        ];
        args.extend(ports::SERVER);
        run(self.command(), &args);
        let mut command = self.command();
        command.args(["container", "port", SERVER, "80"]);
        let output = command.output().expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let port = text.rsplit(':').next().and_then(|port| port.parse().ok());
        port.unwrap_or_else(|| panic!("no port in `{text}`"))
    }

    /// Removes the server.
    fn unpublish(&self) {
        self.remove(SERVER);
    }

    /// Runs a program of the image to its end, what it writes in the container's log.
    fn log(&self, name: &str, program: &[&str]) {
        let flags = [
            "container",
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "none",
            // Everything is kept: by default the oldest lines make room.
            "--log-opt",
            "max-size=1g",
            IMAGE,
        ];
        run(self.command(), &[&flags, program].concat());
        run(self.command(), &["container", "wait", name]);
    }

    /// Removes a container.
    fn remove(&self, name: &str) {
        run(self.command(), &["container", "rm", "-f", name]);
    }
}

const SERVER: &str = "gantry-bench-port";

const IMAGE: &str = "gantry-bench:latest";
const SERVICE: &str = "    image: gantry-bench:latest\n    pull_policy: never\n    command: [sh, -c, \"trap 'exit 0' TERM; sleep 100000 & wait\"]\n";

/// This build of Gantry, with a root of its own.
pub struct Gantry {
    dir: tempfile::TempDir,
}

impl Gantry {
    /// Makes the root, the image and the projects.
    pub fn set_up() -> Self {
        let dir = folder();
        // As by default, where the run directory is `/run/gantry`.
        let memory = dir.path().join("root/run");
        fs::create_dir_all(&memory).expect("run directory");
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &memory, "tmpfs", flags, None).expect("tmpfs");
        let gantry = Self { dir };
        run(
            gantry.command(),
            &[
                "image",
                "build",
                "-q",
                "-t",
                IMAGE,
                &text(&gantry.dir.path().join("image")),
            ],
        );
        gantry
    }

    /// Private memory of all processes of a role (`__supervisor`) that this executable runs in, in bytes.
    pub fn private_memory(role: &str) -> u64 {
        let processes = Self::processes(role).into_iter();
        processes.map(private_bytes).sum()
    }

    /// Processes of a role that this executable runs in.
    fn processes(role: &str) -> Vec<u32> {
        let program = fs::metadata(env!("CARGO_BIN_EXE_gantry")).expect("program");
        processes(|path, words| {
            use std::os::unix::fs::MetadataExt;
            let same = fs::metadata(path.join("exe"))
                .is_ok_and(|exe| exe.ino() == program.ino() && exe.dev() == program.dev());
            same && words.get(1).is_some_and(|word| word == role)
        })
    }

    /// Removes everything.
    pub fn tear_down(self) {
        run(
            self.command(),
            &["system", "prune", "-a", "-f", "--volumes"],
        );
        let memory = self.dir.path().join("root/run");
        rustix::mount::unmount(memory, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
    }
}

impl Tool for Gantry {
    fn run_true(&self, network: &str) {
        run(
            self.command(),
            &[
                "container",
                "run",
                "--rm",
                "--network",
                network,
                IMAGE,
                "true",
            ],
        );
    }

    fn compose(&self, services: usize, args: &[&str]) {
        compose(self.command(), self.dir.path(), services, args);
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
        command.env("GANTRY_ROOT", self.dir.path().join("root"));
        command
    }

    fn relays(&self, _: u16) -> Vec<u32> {
        Self::processes("__supervisor")
    }
}

/// Docker Engine and Docker Compose.
pub struct Docker {
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Docker {
    /// The peer, if its daemon answers.
    pub fn find() -> Option<Self> {
        let program = std::env::var_os("GANTRY_BENCH_DOCKER").unwrap_or_else(|| "docker".into());
        let program = PathBuf::from(program);
        let answers = |args: &[&str]| {
            Command::new(&program)
                .args(args)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        if !answers(&["info"]) || !answers(&["compose", "version"]) {
            return None;
        }
        let docker = Self {
            dir: folder(),
            program,
        };
        run(
            docker.command(),
            &[
                "build",
                "-q",
                "-t",
                IMAGE,
                &text(&docker.dir.path().join("image")),
            ],
        );
        Some(docker)
    }

    /// Versions of engine and Compose.
    pub fn version(&self) -> String {
        let ask = |args: &[&str]| {
            let output = self.command().args(args).output().expect("docker");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        format!(
            "Docker Engine {}, Compose {}",
            ask(&["version", "-f", "{{.Server.Version}}"]),
            ask(&["compose", "version", "--short"])
        )
    }

    /// Removes the image.
    pub fn tear_down(self) {
        run(self.command(), &["image", "rm", "-f", IMAGE]);
    }
}

impl Tool for Docker {
    fn run_true(&self, network: &str) {
        run(
            self.command(),
            &["run", "--rm", "--network", network, IMAGE, "true"],
        );
    }

    fn compose(&self, services: usize, args: &[&str]) {
        let mut command = self.command();
        command.arg("compose");
        compose(command, self.dir.path(), services, args);
    }

    fn command(&self) -> Command {
        Command::new(&self.program)
    }

    fn relays(&self, port: u16) -> Vec<u32> {
        let port = port.to_string();
        processes(|_, words| words[0].ends_with("docker-proxy") && words.contains(&port))
    }
}

/// Processes by their place in /proc and the words of their command lines.
fn processes(wanted: impl Fn(&Path, &[String]) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let path = PathBuf::from(format!("/proc/{pid}"));
        let line = fs::read_to_string(path.join("cmdline")).unwrap_or_default();
        let words: Vec<String> = line.split([' ', '\0']).map(str::to_owned).collect();
        wanted(&path, &words)
    })
    .collect()
}

fn compose(mut command: Command, dir: &Path, services: usize, args: &[&str]) {
    let file = dir.join(format!("stack{services}.yaml"));
    if !file.exists() {
        let mut yaml = format!("name: gantry-bench-{services}\nservices:\n");
        for n in 1..=services {
            write!(yaml, "  s{n}:\n{SERVICE}").expect("a string");
        }
        fs::write(&file, yaml).expect("compose file");
    }
    command.args(["-f", &text(&file)]);
    run(command, args);
}

/// A folder with the image's build context: a static busybox and its applets.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::Builder::new()
        .prefix("gantry-bench-")
        .tempdir_in("/var/tmp")
        .expect("folder");
    let bin = dir.path().join("image/root/bin");
    fs::create_dir_all(&bin).expect("folder");
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).is_file())
        .expect("the benchmark needs a static busybox (package busybox-static)");
    fs::copy(busybox, bin.join("busybox")).expect("busybox");
    // The server of published ports is this program.
    let own = std::env::current_exe().expect("own path");
    fs::copy(own, bin.join(ports::SERVER[0])).expect("own copy");
    for applet in ["sh", "true", "sleep"] {
        symlink("busybox", bin.join(applet)).expect("applet");
    }
    fs::write(
        dir.path().join("image/Dockerfile"),
        "FROM scratch\nCOPY root/ /\nCMD [\"sh\"]\n",
    )
    .expect("Dockerfile");
    dir
}

fn run(mut command: Command, args: &[&str]) {
    let output = command
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn private_bytes(process: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    rollup
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum::<u64>()
        * 1024
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
