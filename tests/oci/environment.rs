//! Mounts, namespaces, limits and protections of the configuration.

use std::fs;

use serde_json::json;

use crate::bundle::{Bundle, ID};

#[test]
fn mounts_come_in_order_with_their_options() {
    need_kernel!();
    let mut bundle = Bundle::script(
        "cut -d' ' -f5,6 /proc/self/mountinfo | grep -E '^/(a|b) |^/b/in' | sort; cat /b/in/file; echo x > /b/in/file",
    );
    let host = bundle.dir.join("host");
    fs::create_dir(&host).expect("folder");
    fs::write(host.join("file"), "from the host\n").expect("file");
    bundle.mount(
        json!({"destination": "/a", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "nodev", "noexec", "size=64k"]}),
    );
    bundle.mount(json!({"destination": "/b", "type": "tmpfs", "source": "tmpfs"}));
    bundle.mount(json!({"destination": "/b/in", "source": host, "options": ["bind", "ro"]}));
    let run = bundle.oci(&["run", ID]);
    assert_eq!(
        run.stdout(),
        "/a rw,nosuid,nodev,noexec,relatime\n/b rw,relatime\n/b/in ro,relatime\nfrom the host\n"
    );
    assert!(run.stderr().contains("Read-only"), "{}", run.stderr());
    bundle.finish();
}

#[test]
fn a_read_only_root_and_protected_paths() {
    need_kernel!();
    let mut bundle = Bundle::script(
        "echo x > /work/file; cat /etc/secret; ls -A /etc/hidden; echo x > /proc/sys/kernel/domainname; echo end",
    );
    fs::write(bundle.root("etc/secret"), "told\n").expect("file");
    fs::create_dir(bundle.root("etc/hidden")).expect("folder");
    fs::write(bundle.root("etc/hidden/file"), "").expect("file");
    bundle.change(json!({
        "root": {"readonly": true},
        "linux": {"maskedPaths": ["/etc/secret", "/etc/hidden", "/no/such"], "readonlyPaths": ["/proc/sys"]},
    }));
    let run = bundle.oci(&["run", ID]).expect_code(0);
    assert_eq!(run.stdout(), "end\n");
    assert_eq!(
        run.stderr().matches("Read-only").count(),
        2,
        "{}",
        run.stderr()
    );
    bundle.finish();
}

#[test]
fn names_and_kernel_parameters() {
    need_kernel!();
    let mut bundle = Bundle::script(
        "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward",
    );
    bundle.change(json!({
        "domainname": "example.test",
        "linux": {"sysctl": {"net.ipv4.ip_forward": "1"}},
    }));
    assert_eq!(bundle.run(), "inside\nexample.test\n1\n");
    bundle.finish();
}

#[test]
fn namespaces_are_new_shared_or_the_callers() {
    need_kernel!();
    let first = Bundle::new(&["sleep", "60"]);
    first.ok(&["create", ID]);
    let pid = first.pid();
    let link = |pid: i32, name: &str| {
        let path = fs::read_link(format!("/proc/{pid}/ns/{name}")).expect("namespace");
        path.display().to_string()
    };
    let mut second =
        Bundle::script("for n in net uts ipc pid cgroup; do readlink /proc/self/ns/$n; done");
    let path = |name: &str| format!("/proc/{pid}/ns/{name}");
    second.change(json!({"linux": {"namespaces": [
        {"type": "mount"},
        {"type": "network", "path": path("net")},
        {"type": "uts", "path": path("uts")},
        {"type": "ipc"},
        {"type": "pid", "path": path("pid")},
    ]}}));
    let printed = second.run();
    let inside: Vec<&str> = printed.lines().collect();
    let own = std::process::id() as i32;
    assert_eq!(inside[0], link(pid, "net"));
    assert_eq!(inside[1], link(pid, "uts"));
    assert_ne!(inside[2], link(pid, "ipc"));
    assert_ne!(inside[2], link(own, "ipc"));
    assert_eq!(inside[3], link(pid, "pid"));
    assert_eq!(inside[4], link(own, "cgroup"), "not listed: the caller's");
    first.finish();
    second.finish();
}

#[test]
fn limits_are_in_force_and_devices_out_of_reach() {
    need_kernel!();
    let mut bundle = Bundle::script(
        "for n in $(seq 20); do sleep 5 & done 2>&1 | grep -c fork; mknod /dev/mine b 7 0; cat /dev/mine; \
         head -c1 /dev/zero | wc -c",
    );
    let all = json!(["CAP_MKNOD"]);
    bundle.change(json!({
        "process": {"capabilities": {"bounding": all, "permitted": all, "effective": all}},
        "linux": {"resources": {"pids": {"limit": 9}, "memory": {"limit": 256 << 20}}},
    }));
    bundle.ok(&["create", ID]);
    let cgroups = bundle.cgroups();
    let read = |name: &str| {
        let mut files = cgroups.iter().map(|dir| dir.join(name));
        files.find_map(|file| fs::read_to_string(file).ok())
    };
    assert_eq!(read("pids.max").as_deref(), Some("9\n"));
    let memory = read("memory.limit_in_bytes").or_else(|| read("memory.max"));
    assert_eq!(memory.as_deref(), Some("268435456\n"));
    bundle.ok(&["start", ID]);
    bundle.await_status("stopped");
    bundle.ok(&["delete", ID]);
    let run = bundle.oci(&["run", ID]);
    assert!(
        run.stdout().ends_with("\n1\n") && !run.stdout().starts_with("0\n"),
        "{}",
        run.stdout()
    );
    assert!(
        run.stderr().contains("Operation not permitted"),
        "{}",
        run.stderr()
    );
    bundle.finish();
}

#[test]
fn a_cgroup_path_is_the_callers_choice() {
    need_kernel!();
    let mut bundle = Bundle::new(&["sleep", "60"]);
    let name = format!("gantry-oci-test-{}", std::process::id());
    bundle.change(json!({"linux": {"cgroupsPath": format!("/{name}/leaf")}}));
    bundle.ok(&["create", ID]);
    let text = fs::read_to_string(format!("/proc/{}/cgroup", bundle.pid())).expect("cgroups");
    assert!(
        text.lines().any(|l| l.ends_with(&format!("/{name}/leaf"))),
        "{text}"
    );
    bundle.ok(&["delete", "--force", ID]);
    let places = fs::read_dir("/sys/fs/cgroup")
        .expect("hierarchies")
        .flatten();
    for place in places.map(|e| e.path()).chain(["/sys/fs/cgroup".into()]) {
        assert!(!place.join(&name).join("leaf").exists());
        // The parent was ours too, and is nobody's now.
        let _ = fs::remove_dir(place.join(&name));
    }
    bundle.finish();
}

#[test]
fn a_system_call_filter_of_the_configuration() {
    need_kernel!();
    let mut bundle =
        Bundle::script("mkdir /work/dir; echo $?; grep Seccomp: /proc/self/status | tr '\\t' ' '");
    bundle.change(json!({"linux": {"seccomp": {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
    }}}));
    let run = bundle.oci(&["run", ID]);
    assert_eq!(run.stdout(), "1\nSeccomp: 2\n");
    assert!(run.stderr().contains("No space left"), "{}", run.stderr());
    bundle.finish();
}
