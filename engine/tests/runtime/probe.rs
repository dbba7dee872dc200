//! What runs inside: system calls made by hand, memory eaten, descriptors listed.

#![expect(clippy::print_stdout, reason = "the probe's answers go to its stdout")]
#![expect(unsafe_code, reason = "system calls that no library offers")]

use std::process::ExitCode;

/// Runs a probe by name.
pub fn run(arguments: &[String]) -> ExitCode {
    match arguments.first().map(String::as_str) {
        Some("calls") => calls(),
        Some("descriptors") => descriptors(),
        Some("eat") => eat(),
        Some("wait-for-term") => wait_for_term(),
        other => {
            println!("unknown probe {other:?}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The errno of system calls with harmless arguments.
fn calls() {
    let calls: [(&str, libc::c_long, [libc::c_long; 3]); 7] = [
        ("getpid", libc::SYS_getpid, [0; 3]),
        ("keyctl", libc::SYS_keyctl, [0; 3]),
        ("clone3", libc::SYS_clone3, [0; 3]),
        (
            "unshare",
            libc::SYS_unshare,
            [libc::CLONE_NEWUSER as _, 0, 0],
        ),
        ("socket-vsock", libc::SYS_socket, [40, 1, 0]),
        ("bpf", libc::SYS_bpf, [0; 3]),
        ("unknown", 9999, [0; 3]),
    ];
    for (name, number, [a, b, c]) in calls {
        // SAFETY: the arguments are numbers; no call among these writes to our memory.
        let answer = unsafe { libc::syscall(number, a, b, c) };
        let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        println!("{name}={}", if answer < 0 { error } else { 0 });
    }
}

/// Every open descriptor and what it is.
fn descriptors() {
    for fd in 0..4096 {
        if let Ok(target) = std::fs::read_link(format!("/proc/self/fd/{fd}")) {
            println!("{fd}={}", target.display());
        }
    }
}

/// Takes memory until someone objects.
fn eat() {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    for _ in 0..512 {
        eaten.push(vec![1; 1 << 20]);
    }
    println!("{}", eaten.len());
}

/// Ends with 42 on SIGTERM.
fn wait_for_term() {
    extern "C" fn end(_: libc::c_int) {
        // SAFETY: _exit is allowed in a signal handler.
        unsafe { libc::_exit(42) }
    }
    // SAFETY: the handler makes one async-signal-safe call.
    unsafe { libc::signal(libc::SIGTERM, end as *const () as libc::sighandler_t) };
    println!("ready");
    loop {
        // SAFETY: no argument.
        unsafe { libc::pause() };
    }
}
