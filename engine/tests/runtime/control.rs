//! Parking, init, terminals, exec, namespaces shared.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use gantry_engine::runtime::seccomp::Seccomp;
use gantry_engine::runtime::{
    Exec, ExecTarget, Exit, Init, NetNs, Started, Stdio, WindowSize, defaults, exec,
};
use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType, Process};
use rustix::process::{Signal, pidfd_send_signal};

use super::Case;
use super::fixture::{Container, Pipes, container, probe};

pub const CASES: &[Case] = &[
    ("control::a_parked_container_has_not_begun", parked),
    ("control::dropping_a_parked_container_ends_it", dropped),
    ("control::init_forwards_and_reaps", init),
    ("control::init_passes_the_code_on", init_code),
    ("control::a_terminal_of_its_own", terminal),
    ("control::exec_enters_everything", exec_inside),
    ("control::exec_reports_what_is_missing", exec_missing),
    ("control::exec_with_a_terminal", exec_terminal),
    ("control::exec_of_a_dead_container_is_an_error", exec_dead),
    ("control::namespaces_of_another_container", joined),
    ("control::the_hosts_network", host_network),
    (
        "control::the_end_of_a_foreign_process_is_known",
        foreign_exit,
    ),
];

fn parked() {
    let container = container(&["touch", "/begun"]);
    let parked = container.prepare(Stdio::Null).expect("prepared");
    let file = container.upper().join("begun");
    assert!(!file.exists());
    assert!(parked.warnings().is_empty());
    let exit = parked.release().expect("released").wait().expect("ended");
    assert_eq!(exit, Exit::Code(0));
    assert!(file.exists());
}

fn dropped() {
    let container = container(&["touch", "/begun"]);
    let parked = container.prepare(Stdio::Null).expect("prepared");
    let pid = parked.pid();
    drop(parked);
    assert!(!container.upper().join("begun").exists());
    assert!(rustix::process::test_kill_process(pid).is_err());
}

/// Reads a line; whoever writes it has then got that far.
fn line(file: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while file.read(&mut byte).is_ok_and(|n| n == 1) && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

fn run_piped(container: &Container) -> (Started, std::fs::File) {
    let (out, stdout) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
    let null = || {
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).expect("opens")
    };
    let stdio = Stdio::Fds {
        stdin: null(),
        stdout,
        stderr: null(),
    };
    let started = container.prepare(stdio).expect("prepared").release();
    (started.expect("released"), out.into())
}

fn init() {
    let mut container = probe(&["wait-for-term"]);
    container.init = Init::Reaper;
    let (started, mut out) = run_piped(&container);
    assert_eq!(line(&mut out), "ready");
    pidfd_send_signal(&started.pidfd, Signal::TERM).expect("sent");
    assert_eq!(started.wait().expect("ended"), Exit::Code(42));
}

fn init_code() {
    // The program leaves an orphan behind; its own code is what counts.
    let mut container = container(&["sh", "-c", "sleep 60 & sh -c 'exit 1'; echo $$; exit 9"]);
    container.init = Init::Reaper;
    let output = container.run().expect("runs");
    assert_eq!(output.exit, Exit::Code(9));
    assert_ne!(output.stdout, "1\n");
    let mut missing = super::fixture::container(&["no-such-program"]);
    missing.init = Init::Reaper;
    assert_eq!(missing.run().err().expect("refused").exit_code(), 127);
}

fn terminal() {
    let script = "test -t 0 && test -t 2 && test -e /dev/console && stty size && tty && read x && echo got $x";
    let container = container(&["sh", "-c", script]);
    let size = Some(WindowSize {
        rows: 33,
        columns: 99,
    });
    let mut parked = container
        .prepare(Stdio::Terminal { size })
        .expect("prepared");
    let mut master = std::fs::File::from(parked.terminal().expect("asked for"));
    let started = parked.release().expect("released");
    assert_eq!(line(&mut master), "33 99");
    assert_eq!(line(&mut master), "/dev/pts/0");
    master.write_all(b"hello\n").expect("typed");
    assert_eq!(line(&mut master), "hello", "the echo");
    assert_eq!(line(&mut master), "got hello");
    assert_eq!(started.wait().expect("ended"), Exit::Code(0));
}

fn process(container: &mut Container, arguments: &[&str]) -> Process {
    let mut process = container.process().clone();
    process.set_args(Some(arguments.iter().map(|&a| a.to_owned()).collect()));
    process
}

fn target<'a>(started: &'a Started, container: &'a Container) -> ExecTarget<'a> {
    ExecTarget {
        userns: None,
        init: started.pidfd.as_fd(),
        cgroup: Some(&container.cgroup),
    }
}

fn run_exec(
    container: &Container,
    started: &Started,
    process: &Process,
    stdio: Stdio,
) -> Result<Started, gantry_engine::runtime::RuntimeError> {
    exec(Exec {
        target: target(started, container),
        process,
        stdio,
        seccomp: Seccomp::Default,
        user: None,
        groups: &[],
        preserved: 0,
    })
}

fn exec_inside() {
    let mut container = container(&["sleep", "60"]);
    let started = container.start();
    let script = "cat /proc/sys/kernel/hostname; grep -E '^(CapEff|Seccomp:)' /proc/self/status; \
                  readlink /proc/self/ns/pid /proc/1/ns/pid | uniq | wc -l; ls /proc/1/exe >/dev/null && tr '\\0' ' ' </proc/1/cmdline";
    let process = process(&mut container, &["sh", "-c", script]);
    let (stdio, mut pipes) = Pipes::new();
    let inside = run_exec(&container, &started, &process, stdio).expect("started");
    let members = container.cgroup.pids().expect("listed");
    assert!(members.contains(&started.pid));
    assert_eq!(inside.wait().expect("ended"), Exit::Code(0));
    let expected = "box\nCapEff:\t00000000a80425fb\nSeccomp:\t2\n1\nsleep 60 ";
    assert_eq!(pipes.read_stdout(), expected, "{}", pipes.read_stderr());
    // Our own next child is one of the host again.
    let own = std::fs::read_link("/proc/self/ns/pid").expect("readable");
    let next = std::fs::read_link("/proc/self/ns/pid_for_children").expect("readable");
    assert_eq!(own, next);
}

fn exec_missing() {
    let mut container = container(&["sleep", "60"]);
    let started = container.start();
    for (command, code) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        let process = process(&mut container, &[command]);
        let error = run_exec(&container, &started, &process, Stdio::Null);
        assert_eq!(error.expect_err("refused").exit_code(), code);
    }
    let mut process = process(&mut container, &["true"]);
    process.set_cwd("/no/such/directory".into());
    let error = run_exec(&container, &started, &process, Stdio::Null);
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("/no/such/directory"), "{error}");
}

fn exec_terminal() {
    let mut container = container(&["sleep", "60"]);
    let started = container.start();
    let process = process(&mut container, &["sh", "-c", "tty; stty size"]);
    let size = Some(WindowSize {
        rows: 10,
        columns: 20,
    });
    let inside = run_exec(&container, &started, &process, Stdio::Terminal { size });
    let mut inside = inside.expect("started");
    let mut master = std::fs::File::from(inside.terminal.take().expect("asked for"));
    assert_eq!(line(&mut master), "/dev/pts/0");
    assert_eq!(line(&mut master), "10 20");
    assert_eq!(inside.wait().expect("ended"), Exit::Code(0));
}

fn exec_dead() {
    let mut container = container(&["true"]);
    let started = container.start();
    started.wait().expect("ended");
    let process = process(&mut container, &["true"]);
    let error = run_exec(&container, &started, &process, Stdio::Null);
    assert_eq!(error.expect_err("refused").exit_code(), 125);
}

fn joined() {
    let first = container(&["sleep", "60"]);
    let started = first.start();
    let pid = started.pid.as_raw_pid();
    let mut second = container(&[
        "sh",
        "-c",
        "tr '\\0' ' ' </proc/1/cmdline; cat /proc/sys/kernel/hostname; readlink /proc/self/ns/ipc",
    ]);
    second.spec.set_hostname(None);
    let mut namespaces = defaults::namespaces();
    for namespace in &mut namespaces {
        let name = match namespace.typ() {
            LinuxNamespaceType::Pid => "pid",
            LinuxNamespaceType::Uts => "uts",
            LinuxNamespaceType::Ipc => "ipc",
            _ => continue,
        };
        *namespace = LinuxNamespaceBuilder::default()
            .typ(namespace.typ())
            .path(format!("/proc/{pid}/ns/{name}"))
            .build()
            .expect("valid");
    }
    second.linux().set_namespaces(Some(namespaces));
    let ipc = std::fs::read_link(format!("/proc/{pid}/ns/ipc")).expect("readable");
    let expected = format!("sleep 60 box\n{}\n", ipc.display());
    assert_eq!(second.output(), expected);
}

fn host_network() {
    let mut container = container(&["readlink", "/proc/self/ns/net"]);
    container.netns = NetNs::Host;
    let own = std::fs::read_link("/proc/self/ns/net").expect("readable");
    assert_eq!(container.output().trim(), own.to_str().expect("UTF-8"));
    let own_one =
        super::fixture::container(&["cat", "/sys/class/net/lo/operstate", "/proc/net/dev"]);
    let text = own_one.output();
    assert!(text.contains("lo:") && !text.contains("eth0:"), "{text}");
}

fn foreign_exit() {
    let container = container(&["sh", "-c", "exit 42"]);
    let parked = container.prepare(Stdio::Null).expect("prepared");
    let pidfd = parked.pidfd().try_clone_to_owned().expect("cloned");
    let started = parked.release().expect("released");
    started.wait().expect("reaped");
    let deadline = Instant::now() + Duration::from_secs(5);
    let exit = gantry_engine::sys::process::exit_of(pidfd.as_fd());
    assert!(Instant::now() < deadline);
    // Kernels before 6.15 do not say.
    assert!(matches!(exit, None | Some(Exit::Code(42))), "{exit:?}");
}
