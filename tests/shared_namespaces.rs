//! Namespaces of the machine and of other containers, and what goes with them.

mod support;

use support::Sandbox;

#[test]
fn shared_memory_goes_with_the_ipc_namespace() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper("one", &["--network", "none", "--shm-size", "3m"]);
    sandbox.inside("one", "echo hello >/dev/shm/x");
    let joins = ["--network", "none", "--ipc", "container:one"];
    let look =
        "cat /dev/shm/x; df -k /dev/shm | tail -n 1 | awk '{print $2}'; echo back >/dev/shm/y";
    let seen = sandbox
        .run_in_new(&joins, &["sh", "-c", look])
        .expect_code(0);
    assert_eq!(seen.stdout(), "hello\n3072\n");
    assert_eq!(sandbox.inside("one", "cat /dev/shm/y"), "back");
    sandbox.finish();
}

#[test]
fn without_shared_memory_there_is_no_place_for_it() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let none = ["--network", "none", "--ipc", "none"];
    let look = "test ! -e /dev/shm && test -d /dev/mqueue && echo yes >/dev/null";
    let seen = sandbox.run_in_new(&none, &["sh", "-c", look]);
    seen.expect_code(0);
    sandbox.start_sleeper("one", &none);
    let mode = [
        "container",
        "inspect",
        "-f",
        "{{.HostConfig.IpcMode}}",
        "one",
    ];
    assert_eq!(sandbox.ok(&mode).stdout(), "none\n");
    let joins = ["--network", "none", "--ipc", "container:one"];
    let refused = sandbox.run_in_new(&joins, &["true"]).expect_code(125);
    assert!(
        refused.stderr().contains("`one` has no shared memory"),
        "{}",
        refused.stderr()
    );
    sandbox.finish();
}

#[test]
fn the_name_of_the_machine_goes_with_its_network() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let seen = sandbox.run_in_new(
        &["--network", "host"],
        &["cat", "/proc/sys/kernel/hostname"],
    );
    assert_eq!(seen.expect_code(0).stdout(), name);
    sandbox.finish();
}

#[test]
fn devices_are_added_to_those_of_the_privileged() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let options = [
        "--network",
        "none",
        "--privileged",
        "--device",
        "/dev/null:/dev/mine",
    ];
    let seen = sandbox.run_in_new(
        &options,
        &["sh", "-c", "test -c /dev/mine && test -c /dev/zero"],
    );
    seen.expect_code(0);
    sandbox.finish();
}
