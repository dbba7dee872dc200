//! An ordinary user's containers: the executable as a user without any privilege, who has a home,
//! a runtime directory, and one id.

mod support;

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::{Run, wait_for};

const LONG: Duration = Duration::from_secs(60);

/// A user that no file names.
struct User {
    id: u32,
    home: tempfile::TempDir,
}

impl User {
    /// `None` when this machine gives ordinary users no namespaces, or we are one.
    fn new(id: u32) -> Option<Self> {
        if let Some(why) = support::kernel_refusal() {
            eprintln!("skipped: {why}");
            return None;
        }
        // Not below /tmp, which may keep no attributes of users.
        let home = tempfile::Builder::new()
            .prefix("gantry-user")
            .tempdir_in("/var/tmp")
            .expect("a home");
        let user = Self { id, home };
        let copy = user.executable();
        fs::copy(env!("CARGO_BIN_EXE_gantry"), &copy).expect("a copy of the executable");
        fs::create_dir_all(user.project()).expect("project");
        fs::create_dir_all(user.runtime()).expect("runtime directory");
        for path in [
            user.home.path().to_owned(),
            copy,
            user.project(),
            user.runtime(),
        ] {
            if path.starts_with("/run") {
                continue;
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
            chown(&path, Some(id), Some(id)).expect("owner");
        }
        let possible = user
            .plain("unshare")
            .args(["--user", "--map-root-user", "true"])
            .status();
        if !possible.is_ok_and(|status| status.success()) {
            eprintln!("skipped: ordinary users have no user namespaces here");
            return None;
        }
        Some(user)
    }

    fn executable(&self) -> PathBuf {
        self.home.path().join("gantry")
    }

    fn project(&self) -> PathBuf {
        self.home.path().join("project")
    }

    /// That of the user's login, if they have one.
    fn runtime(&self) -> PathBuf {
        let login = PathBuf::from(format!("/run/user/{}", self.id));
        match login.join("bus").exists() {
            true => login,
            false => self.home.path().join("runtime"),
        }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.project().join(name);
        fs::write(&path, text).expect("written");
        chown(&path, Some(self.id), Some(self.id)).expect("owner");
    }

    /// A program as this user.
    fn plain(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.runtime())
            .current_dir(self.project())
            .uid(self.id)
            .gid(self.id);
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        let output = self.plain(self.executable()).args(args).output();
        Run::of(args, output.expect("started"))
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> Run {
        self.run(args).expect_code(0)
    }

    /// This user's processes with this in their command line.
    fn processes(&self, what: &str) -> Vec<i32> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let ours = entry.metadata().is_ok_and(|data| data.uid() == self.id);
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if ours
                && String::from_utf8_lossy(&line)
                    .replace('\0', " ")
                    .contains(what)
            {
                found.push(pid);
            }
        }
        found
    }
}

impl Drop for User {
    fn drop(&mut self) {
        support::kill_9(&self.processes(""));
    }
}

/// What a published port says.
fn answer(port: &str) -> Option<String> {
    let mut text = String::new();
    let mut stream = TcpStream::connect(port).ok()?;
    stream.set_read_timeout(Some(LONG)).ok()?;
    stream.read_to_string(&mut text).ok()?;
    (!text.is_empty()).then_some(text)
}

fn entries(path: &Path) -> usize {
    fs::read_dir(path).map_or(0, Iterator::count)
}

#[test]
fn a_project_is_started_used_and_removed() {
    let Some(user) = User::new(54_321) else {
        return;
    };
    user.write(
        "serve.pl",
        "use IO::Socket::INET; use Sys::Hostname; $SIG{TERM} = sub { exit 0 };
my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die $!;
while (1) { my $c = $s->accept or next; print $c 'hello from ' . hostname(); close $c }\n",
    );
    user.write(
        "Dockerfile",
        "FROM host\nRUN echo built > /usr/local/share/word && mkdir /opt/x && chown 0:0 /opt/x\nCOPY serve.pl /srv/\n",
    );
    user.write(
        "compose.yaml",
        r#"
name: mine
services:
  web:
    build: .
    hostname: web
    command: [perl, /srv/serve.pl]
    ports: ["127.0.0.1::80"]
    volumes: ["data:/data", ".:/here"]
    healthcheck:
      test: ["CMD", "perl", "-MIO::Socket::INET", "-e", "exit !IO::Socket::INET->new('127.0.0.1:80')"]
      interval: 50ms
  client:
    image: host
    command: [sleep, infinity]
    stop_signal: SIGKILL
    mem_limit: 100m
    depends_on: {web: {condition: service_healthy}}
volumes:
  data:
"#,
    );
    // A limit that is not in force is said by name.
    user.ok(&["up", "-d", "--wait"])
        .expect_stderr(&["no cgroup controller `memory`"]);

    let port = user.ok(&["port", "web", "80"]).stdout();
    assert_eq!(answer(port.trim()).as_deref(), Some("hello from web"));

    // Names, networks of containers, what was built, and being root there.
    let seen = user.ok(&[
        "exec",
        "-T",
        "client",
        "bash",
        "-c",
        "exec 3<>/dev/tcp/web/80; cat <&3; echo; id -u; cat /proc/self/uid_map",
    ]);
    let lines = seen.stdout();
    assert!(lines.starts_with("hello from web\n0\n"), "{lines}");
    assert!(
        lines.split_whitespace().any(|word| word == "54321"),
        "{lines}"
    );
    let word = user.ok(&["exec", "-T", "web", "cat", "/usr/local/share/word"]);
    assert_eq!(word.stdout(), "built\n");

    // What a container writes into a bind is the user's.
    user.ok(&[
        "exec",
        "-T",
        "web",
        "sh",
        "-c",
        "echo a > /here/made; echo b > /data/kept",
    ]);
    let made = fs::metadata(user.project().join("made")).expect("made");
    assert_eq!((made.uid(), made.gid()), (54_321, 54_321));

    let top = user.ok(&["top", "web"]).stdout();
    assert!(top.contains("perl /srv/serve.pl"), "{top}");
    let stats = user.ok(&[
        "stats",
        "--no-stream",
        "--format",
        "{{.Name}} {{.MemUsage}}",
    ]);
    assert!(!stats.stdout().contains(" 0B /"), "{}", stats.stdout());

    // A supervisor that is killed is replaced, and nothing else notices.
    support::kill_9(&user.processes("__supervisor launch"));
    user.ok(&["ps"])
        .expect_stdout(&["mine-web-1", "mine-client-1"]);
    assert_eq!(
        answer(user.ok(&["port", "web", "80"]).stdout().trim()).as_deref(),
        Some("hello from web")
    );

    user.ok(&["restart", "web"]);
    let kept = user.ok(&["exec", "-T", "web", "cat", "/data/kept"]);
    assert_eq!(kept.stdout(), "b\n");
    user.ok(&["down", "-v"]);

    let run = user.runtime().join("gantry");
    assert_eq!(entries(&run.join("c")), 0);
    assert_eq!(
        entries(&user.home.path().join(".local/share/gantry/containers")),
        0
    );
    // The namespaces go when nobody has used them for a while.
    let gone = wait_for(LONG, || user.processes("").is_empty().then_some(()));
    assert!(gone.is_some(), "{:?}", user.processes(""));
    assert!(!run.join("holder.json").exists());
}

#[test]
fn namespaces_stay_as_long_as_a_container_lives() {
    let Some(user) = User::new(54_326) else {
        return;
    };
    user.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "lonely",
        "host",
        "sleep",
        "infinity",
    ]);
    support::kill_9(&user.processes("__supervisor"));
    // A holder goes when it gets this lock.
    let mark = fs::File::open(user.runtime().join("gantry/users.lock")).expect("the mark");
    let free = rustix::fs::flock(&mark, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    assert!(free.is_err(), "nobody has marked that they are there");
    let word = user.ok(&[
        "container",
        "exec",
        "lonely",
        "sh",
        "-c",
        "ls /sys/class/net",
    ]);
    assert!(word.stdout().contains("eth0"), "{}", word.stdout());
    user.ok(&["container", "rm", "-f", "lonely"]);
}

#[test]
fn a_user_without_a_runtime_directory_has_one_below_tmp() {
    let Some(user) = User::new(54_327) else {
        return;
    };
    let run = |args: &[&str]| {
        let mut command = user.plain(user.executable());
        let output = command.env_remove("XDG_RUNTIME_DIR").args(args).output();
        Run::of(args, output.expect("started")).expect_code(0)
    };
    let id = run(&["container", "run", "--rm", "host", "id", "-u"]);
    assert_eq!(id.stdout(), "0\n");
    run(&[
        "container",
        "run",
        "-d",
        "--name",
        "stays",
        "host",
        "sleep",
        "infinity",
    ]);
    assert_eq!(run(&["container", "ps", "-q"]).stdout().lines().count(), 1);
    run(&["container", "rm", "-f", "stays"]);
    let data = fs::metadata("/tmp/gantry-54327").expect("made");
    assert_eq!((data.uid(), data.mode() & 0o777), (54_327, 0o700));
    fs::remove_dir_all("/tmp/gantry-54327").expect("removed");
}

#[test]
fn what_one_user_has_others_do_not_see() {
    let (Some(one), Some(other)) = (User::new(54_322), User::new(54_323)) else {
        return;
    };
    one.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "same",
        "host",
        "sleep",
        "infinity",
    ]);
    other.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "same",
        "host",
        "sleep",
        "infinity",
    ]);
    let names = other.ok(&["container", "ps", "-q"]).stdout();
    assert_eq!(names.lines().count(), 1, "{names}");
    let secret = one.runtime().join("gantry/events.jsonl");
    assert!(secret.exists());
    let read = other.plain("cat").arg(&secret).output().expect("started");
    assert!(!read.status.success());
    for user in [&one, &other] {
        user.ok(&["container", "rm", "-f", "same"]);
    }
}

#[test]
fn an_id_that_the_user_does_not_have_is_named() {
    let Some(user) = User::new(54_324) else {
        return;
    };
    let run = user.run(&[
        "container",
        "run",
        "--rm",
        "--network",
        "none",
        "-u",
        "1000",
        "host",
        "id",
    ]);
    run.expect_code(125)
        .expect_stderr(&["user 1000", "/etc/subuid"]);
}

#[test]
fn the_doctor_says_what_an_ordinary_user_lacks() {
    let Some(user) = User::new(54_325) else {
        return;
    };
    let text = user.ok(&["system", "doctor"]).stdout();
    for expected in [
        "limited  user",
        "--add-subuids",
        "ok       layers",
        "ok       networks",
        "limits",
    ] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
}

#[test]
fn what_a_network_of_a_user_cannot_have_is_refused() {
    let Some(user) = User::new(54_326) else {
        return;
    };
    user.run(&[
        "network",
        "create",
        "-o",
        "gantry.network.publish=dnat",
        "n",
    ])
    .expect_code(1)
    .expect_stderr(&[
        "`gantry.network.publish: dnat` is invalid: an ordinary user has no packet filter",
    ]);
    let create = ["network", "create", "-d", "macvlan"];
    let internal = user.run(&[&create[..], &["own"]].concat());
    if internal.code() != 0 {
        internal.expect_stderr(&["this machine's kernel has no `macvlan`"]);
        eprintln!("skipped: the kernel has no macvlan");
        return;
    }
    user.run(&[&create[..], &["-o", "parent=lo0", "lan"]].concat())
        .expect_code(1)
        .expect_stderr(&["`parent: lo0` needs root", "a namespace of theirs"]);
    let run = ["container", "run", "-d", "--network", "own", "--name"];
    user.ok(&[&run[..], &["peer", "host", "sleep", "1000"]].concat());
    let ask = "exec getent hosts peer";
    user.ok(&[
        "container",
        "run",
        "--rm",
        "--network",
        "own",
        "host",
        "sh",
        "-c",
        ask,
    ]);
    user.ok(&["container", "rm", "-f", "peer"]);
    user.ok(&["network", "rm", "own"]);
}

/// The user of whom `tests/vm/run` has a login, with a systemd of their own.
const LOGGED_IN: u32 = 54_330;

#[test]
fn a_systemd_of_the_users_own_gives_limits() {
    if !Path::new(&format!("/run/user/{LOGGED_IN}/bus")).exists() {
        eprintln!("skipped: needs a login of user {LOGGED_IN}, as in tests/vm/run");
        return;
    }
    let Some(user) = User::new(LOGGED_IN) else {
        return;
    };
    let run = [
        "container",
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "none",
    ];
    let limits = [
        "--memory",
        "50m",
        "--pids-limit",
        "30",
        "host",
        "sleep",
        "1000",
    ];
    // The first command tells what else is missing.
    user.ok(&["container", "ls"]);
    let stderr = user.ok(&[&run[..], &limits[..]].concat()).stderr();
    assert_eq!(stderr, "", "every limit is in force");
    let inside = |file: &str| {
        let path = format!("/sys/fs/cgroup/{file}");
        user.ok(&["container", "exec", "web", "cat", &path])
            .stdout()
    };
    assert_eq!(inside("memory.max"), "52428800\n");
    assert_eq!(inside("pids.max"), "30\n");
    user.ok(&[
        "container",
        "update",
        "--memory",
        "60m",
        "--memory-swap",
        "60m",
        "web",
    ]);
    assert_eq!(inside("memory.max"), "62914560\n");
    user.ok(&["container", "stats", "--no-stream"])
        .expect_stdout(&["60MiB"]);
    user.ok(&["container", "pause", "web"]);
    user.ok(&["container", "ls"]).expect_stdout(&["(Paused)"]);
    user.ok(&["container", "unpause", "web"]);
    // What wants more than its limit is killed, and that is told.
    let greedy = [
        "container",
        "run",
        "--name",
        "greedy",
        "--network",
        "none",
        "--memory",
        "20m",
        "--memory-swap",
        "20m",
        "host",
    ];
    let grow = ["perl", "-e", "my $x = 'x' x 80_000_000; sleep 100"];
    user.run(&[&greedy[..], &grow[..]].concat())
        .expect_code(137);
    user.ok(&[
        "container",
        "inspect",
        "-f",
        "{{.State.OOMKilled}}",
        "greedy",
    ])
    .expect_stdout(&["true"]);
    // A new supervisor finds the cgroup where it is.
    support::kill_9(&user.processes("__supervisor"));
    user.ok(&["container", "ls"]).expect_stdout(&["web"]);
    assert_eq!(inside("memory.max"), "62914560\n");
    user.write(
        "Dockerfile",
        "FROM host\nRUN cat /proc/self/cgroup > /which\n",
    );
    user.ok(&["image", "build", "-q", "-t", "built", "."]);
    user.ok(&["system", "doctor"])
        .expect_stdout(&["cgroups v2"]);
    // A unit of theirs starts what a restart policy wants.
    user.ok(&["system", "install"])
        .expect_stdout(&["/.config/systemd/user/gantry.service", "enable-linger"]);
    user.ok(&["container", "rm", "-f", "web", "greedy"]);
    let scope = fs::read_to_string(user.runtime().join("gantry/scope.json")).expect("a scope");
    let scope: serde_json::Value = serde_json::from_str(&scope).expect("a record");
    let path = scope["path"].as_str().expect("a path");
    let below = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).expect("the scope").flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.map(|entry| entry.path()).collect()
    };
    // What all containers have in common goes with the scope, when the holder does.
    let roots = below(Path::new(&format!("/sys/fs/cgroup{path}")));
    let left: Vec<PathBuf> = roots.iter().flat_map(|root| below(root)).collect();
    assert!(left.is_empty(), "{left:?}");
}
