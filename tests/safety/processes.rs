//! What a process that enters a container brings along: its executable, its descriptors, its memory, its keys.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{GANTRY, Run, Sandbox, wait_for};
use crate::{LIMIT, await_log, log, until_up};

/// Finds processes inside that run the file of this device and inode, or begin to. Its argument says what to do then.
const HUNTER: &str = r#"
    use Fcntl; $| = 1;
    my ($file, $action) = @ARGV;
    my %done;
    print "up\n";
    while (1) {
        opendir(my $proc, "/proc") or die;
        for my $pid (grep { /^\d+$/ && !$done{$_} } readdir $proc) {
            # O_PATH: what is taken now can be opened again when nobody runs it any more.
            sysopen(my $exe, "/proc/$pid/exe", 0x200000) or next;
            my @stat = stat($exe);
            "$stat[0]:$stat[1]" eq $file or next;
            $done{$pid} = 1;
            print "found\n";
            $action eq "write" or next;
            for (1 .. 5000) {
                if (sysopen(my $write, "/proc/self/fd/" . fileno($exe), O_WRONLY)) {
                    print "opened for writing\n";
                    last;
                }
                # ETXTBSY: it still runs.
                if ($! != 26) { print "refused: $!\n"; last }
                select(undef, undef, undef, 0.001);
            }
        }
    }
"#;

fn device_and_inode(file: &Path) -> String {
    let stat = fs::metadata(file).expect("a file");
    format!("{}:{}", stat.dev(), stat.ino())
}

/// CVE-2019-5736: a command that is a script of `/proc/self/exe` makes us run inside.
#[test]
fn our_executable_cannot_be_written_from_inside() {
    need_kernel!();
    need_program!("perl");
    let sandbox = Sandbox::new();
    // One of its own: that of the supervisor runs all the time, and nobody can write to it as long.
    let ours = sandbox.project().join("ours");
    fs::copy(GANTRY, &ours).expect("copied");
    let script = "#!/proc/self/exe\n";
    sandbox.write("entry", script);
    fs::set_permissions(
        sandbox.project().join("entry"),
        fs::Permissions::from_mode(0o755),
    )
    .expect("mode");
    let bind = format!("{}:/entry", sandbox.project().join("entry").display());
    let file = device_and_inode(&ours);
    until_up(
        &sandbox,
        &["-v", &bind],
        &["perl", "-e", HUNTER, &file, "write"],
    );
    let decided = || {
        let log = log(&sandbox);
        let decided = |line: &&str| line.starts_with("refused") || line.starts_with("opened");
        log.lines()
            .filter(decided)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let exec = ["exec", "one", "/entry"];
    // A container in whose processes the hunter can look.
    let run = [
        "run",
        "--rm",
        "--pid",
        "container:one",
        "-v",
        &bind,
        "--entrypoint",
        "/entry",
        "host",
    ];
    for args in [&exec[..], &run] {
        let before = decided().len();
        let attempt = || {
            let mut command = Command::new(&ours);
            command.arg("container").args(args).env_clear();
            command.env("GANTRY_ROOT", sandbox.root());
            command.env("HOME", sandbox.project());
            command.output().expect("starts");
            wait_for(Duration::from_secs(3), || {
                (decided().len() > before).then_some(())
            })
        };
        wait_for(LIMIT, attempt).expect("it was caught");
        for how in decided() {
            assert_eq!(how, "refused: Read-only file system", "{args:?}");
        }
    }
    sandbox.finish();
}

/// CVE-2016-9962: while it waits to become the command, a process is the container's, and not yet only that. Without a filter
/// of system calls to load it has no more rights than the container either, which would keep others out.
#[test]
fn an_entering_process_cannot_be_looked_into() {
    need_kernel!();
    need_program!("perl");
    let file = device_and_inode(Path::new(GANTRY));
    // Our init, the first process of the second one, is none to look into either.
    for flags in [&["--init=false"][..], &["--init"]] {
        let sandbox = Sandbox::new();
        let flags = [flags, &["--security-opt", "seccomp=unconfined"]].concat();
        until_up(&sandbox, &flags, &["perl", "-e", HUNTER, &file, "look"]);
        for _ in 0..15 {
            sandbox.ok(&["container", "exec", "one", "true"]);
        }
        assert_eq!(log(&sandbox), "up\n", "{flags:?}");
        sandbox.finish();
    }
}

/// Runs a command line of ours with descriptors that the caller forgot to close.
fn with_leaks(sandbox: &Sandbox, args: &[&str]) -> Run {
    let script = "exec 5</ 7</etc 9</etc/passwd; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", GANTRY]).args(args);
    command.current_dir(sandbox.project()).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", sandbox.project());
    command.env("GANTRY_ROOT", sandbox.root());
    Run::of(args, command.output().expect("starts"))
}

#[test]
fn a_program_has_its_streams_and_nothing_else() {
    need_kernel!();
    let sandbox = Sandbox::new();
    until_up(&sandbox, &[], &["sh", "-c", "echo up; exec sleep 60"]);
    // What the shell itself opened to list them is gone when it looks again.
    let list = [
        "sh",
        "-c",
        "for fd in /proc/$$/fd/*; do [ -L $fd ] && echo $fd; done; :",
    ];
    for before in [
        &["container", "run", "--rm", "host"][..],
        &["container", "run", "--rm", "--init", "host"],
        &["container", "run", "--rm", "-t", "host"],
        &["container", "exec", "one"],
        &["container", "exec", "-t", "one"],
    ] {
        let found = with_leaks(&sandbox, &[before, &list].concat()).expect_code(0);
        let found = found.stdout();
        let numbers: Vec<&str> = found
            .lines()
            .filter_map(|line| line.trim_end().rsplit('/').next())
            .collect();
        // The shell may keep its terminal open a second time, at 255 or 10.
        let own = |number: &&str| !matches!(*number, "255" | "10");
        let numbers: Vec<&str> = numbers.into_iter().filter(own).collect();
        assert_eq!(numbers, ["0", "1", "2"], "{before:?}");
    }
    sandbox.finish();
}

/// CVE-2024-21626: a descriptor of the machine's, named as the working directory.
#[test]
fn a_working_directory_is_inside() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let outside = sandbox.project().join("outside-only");
    fs::create_dir(&outside).expect("folder");
    until_up(&sandbox, &[], &["sh", "-c", "echo up; exec sleep 60"]);
    let look = [
        "sh",
        "-c",
        "readlink /proc/self/cwd; ls -d ../../../../sys/fs/cgroup/*",
    ];
    for number in 3..14 {
        let directory = format!("/proc/self/fd/{number}");
        for before in [
            &["container", "run", "--rm", "-w", &directory, "host"][..],
            &["container", "exec", "-w", &directory, "one"],
        ] {
            let ran = with_leaks(&sandbox, &[before, &look].concat());
            // Before the program is there, not by it.
            assert!(
                matches!(ran.code(), 125 | 126),
                "{before:?}: {}",
                ran.stdout()
            );
            assert_eq!(ran.stdout(), "", "{before:?}");
        }
    }
    sandbox.finish();
}

/// Numbers of the system calls `add_key` and `keyctl`.
const KEY_CALLS: (&str, &str) = if cfg!(target_arch = "x86_64") {
    ("248", "250")
} else {
    ("217", "219")
};

/// What the caller's session may open is none of the container's business.
#[test]
fn the_callers_keys_stay_outside() {
    need_kernel!();
    need_program!("perl");
    let sandbox = Sandbox::new();
    let flags = ["--security-opt", "seccomp=unconfined"];
    until_up(&sandbox, &flags, &["sh", "-c", "echo up; exec sleep 60"]);
    let (add, control) = KEY_CALLS;
    // KEYCTL_JOIN_SESSION_KEYRING is 1, KEYCTL_SEARCH 10, the session's keyring -3.
    let with_key = format!(
        "syscall({control}, 1, 0) >= 0 or die \"no session: $!\"; my ($t, $n, $v) = ('user', 'callers', 'secret'); \
         syscall({add}, $t, $n, $v, 6, -3) >= 0 or die \"no key: $!\"; exec @ARGV"
    );
    let search = format!(
        "my ($t, $n) = ('user', 'callers'); print syscall({control}, 10, -3, $t, $n, 0) >= 0 ? 'found' : 'none'"
    );
    let run = |args: &[&str]| {
        let mut command = Command::new("perl");
        command.args(["-e", &with_key]).args(args);
        command.current_dir(sandbox.project()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", sandbox.project());
        command.env("GANTRY_ROOT", sandbox.root());
        Run::of(args, command.output().expect("starts"))
    };
    let look = ["perl", "-e", &search];
    // The search finds what is there.
    let outside = run(&look);
    assert_eq!(outside.stdout(), "found", "{}", outside.stderr());
    for before in [
        &[
            GANTRY,
            "container",
            "run",
            "--rm",
            flags[0],
            flags[1],
            "host",
        ][..],
        &[GANTRY, "container", "exec", "one"],
    ] {
        let inside = run(&[before, &look].concat()).expect_code(0);
        assert_eq!(inside.stdout(), "none", "{before:?}");
    }
    await_log(&sandbox, "up");
    sandbox.finish();
}
