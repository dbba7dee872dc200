//! What must not be inside: descriptors, our executable, our memory.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::AsFd;

use gantry_engine::runtime::{Exit, Init, Stdio};
use gantry_engine::sys::{Executable, process, spawn_role};

use super::Case;
use super::fixture::{Pipes, container, probe, secret};

pub const CASES: &[Case] = &[
    (
        "hygiene::only_three_descriptors_reach_the_program",
        descriptors,
    ),
    ("hygiene::init_holds_none_of_ours", init_descriptors),
    (
        "hygiene::parked_processes_cannot_be_looked_into",
        parked_memory,
    ),
    ("hygiene::a_role_gets_exactly_its_descriptors", role),
    ("hygiene::our_executable_cannot_be_written", executable),
    ("hygiene::a_failed_start_leaves_nothing", failures),
];

fn descriptors() {
    let container = probe(&["descriptors"]);
    let _leak = secret(container.scratch.path());
    let text = container.output();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (number, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("{number}=pipe:")), "{text}");
    }
}

fn init_descriptors() {
    let mut container = container(&[
        "sh",
        "-c",
        "ls -l /proc/1/fd 2>&1; cat /proc/1/comm; tr -d '\\0' </proc/1/cmdline",
    ]);
    container.init = Init::Reaper;
    let _leak = secret(container.scratch.path());
    let output = container.run().expect("runs");
    // Not dumpable: even root inside cannot look at it, let alone reach its executable.
    assert!(
        output.stdout.contains("Permission denied"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.ends_with("gantry-init\ngantry-init"),
        "{}",
        output.stdout
    );
    assert!(!output.stdout.contains("secret"), "{}", output.stdout);
}

fn parked_memory() {
    let container = container(&["true"]);
    let _leak = secret(container.scratch.path());
    let (stdio, _pipes) = Pipes::new();
    let parked = container.prepare(stdio).expect("prepared");
    let directory = format!("/proc/{}/fd", parked.pid().as_raw_pid());
    let open = std::fs::read_dir(directory).expect("readable").count();
    assert_eq!(open, 4, "three streams and the line to us");
}

fn role() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let _leak = secret(directory.path());
    let executable = Executable::current().expect("ours");
    let (mut out, stdout) = {
        let (out, stdout) = rustix::pipe::pipe().expect("pipe");
        (std::fs::File::from(out), stdout)
    };
    let null = std::fs::File::open("/dev/null").expect("opens");
    // The second is to become the first and the other way round.
    let arguments = ["role", "--inside", "descriptors"].map(OsStr::new);
    let fds = [null.as_fd(), stdout.as_fd(), null.as_fd(), null.as_fd()];
    let child = spawn_role(&executable, &arguments, &fds).expect("spawned");
    drop(stdout);
    let mut text = String::new();
    out.read_to_string(&mut text).expect("readable");
    assert_eq!(
        process::wait(child.pidfd.as_fd()).expect("ended"),
        Exit::Code(0)
    );
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[0] == "0=/dev/null" && lines[1].starts_with("1=pipe:"),
        "{text}"
    );
    assert!(lines[3] == "3=/dev/null", "{text}");
}

fn executable() {
    let executable = Executable::current().expect("ours");
    let (out, stdout) = rustix::pipe::pipe().expect("pipe");
    let null = std::fs::File::open("/dev/null").expect("opens");
    let arguments = ["role", "--inside", "wait-for-term"].map(OsStr::new);
    let fds = [null.as_fd(), stdout.as_fd(), null.as_fd()];
    let child = spawn_role(&executable, &arguments, &fds).expect("spawned");
    let mut ready = [0; 5];
    std::fs::File::from(out)
        .read_exact(&mut ready)
        .expect("ready");
    let path = format!("/proc/{}/exe", child.pid.as_raw_pid());
    // While it runs, the file is busy for everyone; the mount it belongs to says what holds afterwards, when a
    // descriptor taken now is opened again for writing.
    let flags = rustix::fs::OFlags::PATH;
    let taken = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).expect("opens");
    let mount = rustix::fs::fstatvfs(&taken).expect("known").f_flag;
    assert!(mount.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    let term = rustix::process::Signal::TERM;
    rustix::process::pidfd_send_signal(&child.pidfd, term).expect("sent");
    assert_eq!(
        process::wait(child.pidfd.as_fd()).expect("ended"),
        Exit::Code(42)
    );
}

fn failures() {
    let before = children();
    let mut container = container(&["true"]);
    container.user = Some("none".to_owned());
    assert!(container.prepare(Stdio::Null).is_err());
    container.user = None;
    container.process().set_args(Some(vec!["/none".to_owned()]));
    assert!(container.run().is_err());
    assert_eq!(
        children(),
        before,
        "no process is left, not even a dead one"
    );
}

fn children() -> String {
    std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default()
}
