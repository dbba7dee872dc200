//! System call filter, masked and read-only paths, devices.

use gantry_engine::runtime::seccomp::Seccomp;

use super::Case;
use super::fixture::{container, probe};

pub const CASES: &[Case] = &[
    ("confinement::the_filter_answers_as_dockers", verdicts),
    ("confinement::unconfined_is_unfiltered", unconfined),
    ("confinement::masked_paths_are_empty", masks),
    (
        "confinement::protected_paths_are_read_only",
        read_only_paths,
    ),
    ("confinement::devices_beyond_the_list_are_refused", devices),
    (
        "confinement::sysctls_are_set_and_foreign_ones_refused",
        sysctls,
    ),
    ("confinement::the_machines_keys_are_out_of_reach", keys),
];

fn verdicts() {
    let text = probe(&["calls"]).output();
    let expected = [
        ("getpid", 0),
        ("keyctl", libc::EPERM),
        ("clone3", libc::ENOSYS),
        ("unshare", libc::EPERM),
        ("socket-vsock", libc::EPERM),
        ("bpf", libc::EPERM),
        ("unknown", libc::ENOSYS),
    ];
    let expected: String = expected.map(|(n, e)| format!("{n}={e}\n")).concat();
    assert_eq!(text, expected);
}

fn unconfined() {
    let mut container = container(&["grep", "^Seccomp:", "/proc/self/status"]);
    container.seccomp = Seccomp::Unconfined;
    assert_eq!(container.output(), "Seccomp:\t0\n");
}

fn masks() {
    let script = "for f in keys interrupts timer_list kcore; do test -e /proc/$f && wc -c </proc/$f; done; \
                  for d in /proc/acpi /proc/scsi /sys/firmware; do test -d $d && ls -A $d; done; true";
    let text = container(&["sh", "-c", script]).output();
    assert!(!text.is_empty());
    assert!(text.lines().all(|line| line == "0"), "{text}");
}

fn read_only_paths() {
    let script = "for f in /proc/sys/kernel/domainname /proc/sysrq-trigger /proc/irq/default_smp_affinity \
                  /sys/kernel/profiling /sys/fs/cgroup/memory/tasks; do \
                  test -e $f && (echo 1 >$f) 2>/dev/null && echo $f; done; true";
    assert_eq!(container(&["sh", "-c", script]).output(), "");
}

fn devices() {
    let script = "mknod /disk b 254 0 && head -c1 /disk; mknod /mem c 1 1 && head -c1 /mem; \
                  head -c4 /dev/zero | wc -c; echo x >/dev/null && head -c2 /dev/urandom | wc -c";
    let output = container(&["sh", "-c", script]).run().expect("runs");
    assert_eq!(output.stdout, "4\n2\n");
    assert_eq!(
        output.stderr.matches("Operation not permitted").count(),
        2,
        "{}",
        output.stderr
    );
}

fn sysctls() {
    let mut container = container(&["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]);
    let set = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
    container
        .linux()
        .set_sysctl(Some(set("net.ipv4.ip_unprivileged_port_start", "0")));
    assert_eq!(container.output(), "0\n");
    container
        .linux()
        .set_sysctl(Some(set("kernel.core_pattern", "|/evil")));
    let error = container.run().err().expect("refused").to_string();
    assert!(error.contains("kernel.core_pattern"), "{error}");
}

fn keys() {
    // The name in the description of the session keyring is the container's own.
    let mut container = container(&["cat", "/proc/self/status", "/proc/keys"]);
    container.linux().set_masked_paths(Some(Vec::new()));
    let text = container.output();
    assert!(text.contains(&format!("_ses.{}", container.name)), "{text}");
}
