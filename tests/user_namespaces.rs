//! Containers whose root is nobody outside: `--userns private`.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::time::Duration;

use support::{Sandbox, find_program};

const PRIVATE: [&str; 2] = ["--userns", "private"];

/// A place for a test, or `None` where layers cannot be shown under other ids.
fn place(sandbox: Sandbox) -> Option<Sandbox> {
    let tried = sandbox.run_in_new(&PRIVATE, &["true"]);
    if tried.stderr().contains("map the ids") {
        eprintln!("skipped: this file system maps no ids");
        sandbox.finish();
        return None;
    }
    tried.expect_code(0);
    Some(sandbox)
}

/// A container with a user namespace, without a network.
#[track_caller]
fn start(sandbox: &Sandbox, name: &str, options: &[&str]) {
    let private = ["--userns", "private", "--network", "none"];
    sandbox.start_sleeper(name, &[&private, options].concat());
}

/// The users of a container's first process for the machine.
fn user_outside(sandbox: &Sandbox, name: &str) -> u32 {
    let args = ["container", "inspect", name, "--format", "{{.State.Pid}}"];
    let pid = sandbox.ok(&args).stdout().trim().to_owned();
    fs::metadata(format!("/proc/{pid}"))
        .expect("it lives")
        .uid()
}

#[test]
fn root_inside_is_nobody_outside() {
    need_kernel!();
    let Some(sandbox) = place(Sandbox::new()) else {
        return;
    };
    start(&sandbox, "one", &[]);
    start(&sandbox, "two", &[]);
    let users = ["one", "two"].map(|name| user_outside(&sandbox, name));
    assert!(users.iter().all(|user| *user >= 524_288), "{users:?}");
    assert_ne!(users[0], users[1], "each has ids of its own");

    assert_eq!(sandbox.inside("one", "id -u; id -g"), "0\n0");
    let map = sandbox.inside("one", "cat /proc/self/uid_map");
    let map: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(map, ["0", users[0].to_string().as_str(), "65536"]);
    // The files of the image are the container's, and every user can be had.
    let files =
        "stat -c %u /etc/passwd / /etc/hosts; touch /x && chown 65534:7 /x && stat -c %u:%g /x";
    assert_eq!(sandbox.inside("one", files), "0\n0\n0\n65534:7");
    let other = "setpriv --reuid 4000 --regid 4000 --clear-groups id -u";
    assert_eq!(sandbox.inside("one", other), "4000");
    // What belongs to the machine's root is out of reach, by whatever way.
    let kernel = "echo 1 2>/dev/null > /proc/sys/kernel/panic || echo refused";
    assert_eq!(sandbox.inside("one", kernel), "refused");
    sandbox.ok(&["container", "rm", "-f", "one", "two"]);
    sandbox.finish();
}

#[test]
fn namespaces_are_the_containers_own_with_every_right_over_them() {
    need_kernel!();
    let Some(sandbox) = place(Sandbox::new()) else {
        return;
    };
    let script = "ip link set lo down && ip link set lo up && mount -t tmpfs none /mnt && hostname other && hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let rights = ["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"];
    let calls = ["--security-opt", "seccomp=unconfined"];
    let options = [&PRIVATE[..], &rights, &calls].concat();
    let told = sandbox.run_in_new(&options, &["sh", "-c", script]);
    assert_eq!(told.expect_code(0).stdout(), "other\n0\n");
    sandbox.finish();
}

#[test]
fn volumes_and_binds_have_the_owners_that_they_should() {
    need_kernel!();
    let Some(sandbox) = place(Sandbox::new()) else {
        return;
    };
    let shared = sandbox.project().join("shared");
    fs::create_dir_all(&shared).expect("a directory");
    chown(&shared, Some(1234), Some(1234)).expect("given away");
    let bind = format!("{}:/plain", shared.display());
    let mapped = format!("{}:/mapped:idmap", shared.display());
    let volumes = ["-v", "data:/data", "-v", &bind, "-v", &mapped];
    start(&sandbox, "one", &volumes);
    let script = "stat -c %u /data /plain /mapped; touch /data/file /mapped/file; chown 33 /data/file; touch /plain/file 2>/dev/null || echo closed";
    assert_eq!(sandbox.inside("one", script), "0\n65534\n0\nclosed");
    let outside = |path: &Path| fs::metadata(path).expect("made").uid();
    assert_eq!(outside(&shared.join("file")), 1234);
    assert_eq!(outside(&sandbox.root().join("volumes/data/_data/file")), 33);
    // A container without such a namespace sees the volume as it is.
    let look = ["stat", "-c", "%u", "/data/file"];
    let seen = sandbox.run_in_new(&["-v", "data:/data"], &look);
    assert_eq!(seen.stdout(), "33\n");
    sandbox.ok(&["container", "rm", "-f", "one"]);
    sandbox.ok(&["volume", "rm", "data"]);
    sandbox.finish();
}

#[test]
fn files_go_in_and_out_with_their_owners() {
    need_kernel!();
    let Some(sandbox) = place(Sandbox::new()) else {
        return;
    };
    start(&sandbox, "one", &[]);
    sandbox.write("file", "text");
    let file = sandbox.project().join("file");
    let from = file.to_str().expect("text");
    sandbox.ok(&["container", "cp", from, "one:/srv/file"]);
    let look = "stat -c %u:%g /srv/file; cat /srv/file; chown 12:13 /srv/file; rm /etc/passwd";
    assert_eq!(sandbox.inside("one", look), "0:0\ntext");
    let archive = sandbox
        .ok(&["container", "cp", "one:/srv/file", "-"])
        .stdout();
    // tar's header: user at 108, group at 116, octal.
    let ids = [108, 116].map(|at| u32::from_str_radix(&archive[at..at + 7], 8));
    assert_eq!(ids, [Ok(12), Ok(13)]);
    // On disk the ids are those inside: an image of it is as any other.
    sandbox.ok(&["container", "commit", "one", "kept"]);
    let args = [
        "container",
        "run",
        "--rm",
        "--network",
        "none",
        "kept",
        "stat",
        "-c",
        "%u:%g",
        "/srv/file",
    ];
    assert_eq!(sandbox.ok(&args).stdout(), "12:13\n");
    let changes = sandbox.ok(&["container", "diff", "one"]).stdout();
    assert!(changes.contains("D /etc/passwd"), "{changes}");
    sandbox.ok(&["container", "rm", "-f", "one"]);
    sandbox.finish();
}

#[test]
fn streams_belong_to_whoever_runs() {
    need_kernel!();
    let Some(sandbox) = place(Sandbox::new()) else {
        return;
    };
    let command = ["container", "run", "-d", "--name", "one", "--user", "33"];
    let program = [
        "host",
        "sh",
        "-c",
        "echo first > /dev/stdout; echo second > /dev/stderr; exec sleep 1000",
    ];
    sandbox.ok(&[&command[..], &PRIVATE, &program].concat());
    let logs = support::wait_for(Duration::from_secs(20), || {
        let run = sandbox.ok(&["container", "logs", "one"]);
        let told = run.stdout() + &run.stderr();
        (told.contains("first") && told.contains("second")).then_some(told)
    });
    assert!(logs.is_some(), "both lines arrive");
    let script = "echo third > /dev/stdout; id -u";
    let exec = [
        "container",
        "exec",
        "--user",
        "44",
        "one",
        "sh",
        "-c",
        script,
    ];
    assert_eq!(sandbox.ok(&exec).stdout(), "third\n44\n");
    sandbox.ok(&["container", "restart", "-t", "0", "one"]);
    assert_eq!(sandbox.inside("one", "id -u"), "33");
    sandbox.ok(&["container", "rm", "-f", "one"]);
    sandbox.finish();
}

#[test]
fn containers_share_namespaces_by_sharing_their_user_namespace() {
    need_kernel!();
    let Some(sandbox) = place(Sandbox::new()) else {
        return;
    };
    start(&sandbox, "one", &[]);
    let shared: Vec<&str> = ["--userns", "--pid", "--network", "--ipc"]
        .into_iter()
        .flat_map(|option| [option, "container:one"])
        .collect();
    let joined = sandbox.run_in_new(&shared, &["sh", "-c", "cat /proc/1/comm; kill 1"]);
    assert_eq!(joined.expect_code(0).stdout(), "sleep\n");
    sandbox.start_sleeper("plain", &["--network", "none"]);
    for (options, part) in [
        (
            &["--userns", "private", "--pid", "host"][..],
            "pid namespace of the machine",
        ),
        (&["--userns", "private", "--privileged"], "privileged"),
        (&["--userns", "private", "--runtime", "crun"], "own runtime"),
        (
            &["--userns", "private", "--ipc", "container:one"],
            "`container:one`",
        ),
        (
            &["--userns", "container:plain"],
            "no user namespace of its own",
        ),
        (&["--userns", "container:nobody"], "nobody"),
        (&["--userns", "keep-id"], "private, host or container:NAME"),
    ] {
        let run = sandbox.run_in_new(options, &["true"]);
        run.expect_code(125).expect_stderr(&[part]);
    }
    sandbox.ok(&["container", "rm", "-f", "one", "plain"]);
    sandbox.finish();
}

#[test]
fn a_project_runs_with_services_that_have_user_namespaces() {
    need_kernel!();
    if find_program("busybox").is_none() {
        eprintln!("skipped: no busybox");
        return;
    }
    let Some(sandbox) = place(Sandbox::of_compose(
        r#"services:
  web:
    image: host
    userns_mode: private
    init: true
    command: [sh, -c, "cat /run/secrets/key /note > /data/index.html && exec busybox httpd -f -p 80 -h /data"]
    secrets: [key]
    configs: [{source: note, target: /note}]
    volumes: ["data:/data"]
    healthcheck: {test: [CMD, test, -s, /data/index.html], interval: 100ms}
  near:
    image: host
    userns_mode: service:web
    network_mode: service:web
    depends_on: {web: {condition: service_healthy}}
    command: &fetch [sh, -c, "for n in $(seq 100); do busybox wget -q -O- http://web/ && exit; sleep 0.1; done; exit 1"]
  beside:
    image: host
    userns_mode: service:web
    network_mode: none
    command: [cat, /proc/self/uid_map]
  far:
    image: host
    depends_on: {web: {condition: service_healthy}}
    command: *fetch
volumes: {data: {}}
secrets: {key: {environment: KEY}}
configs: {note: {content: "and a note"}}
"#,
    )) else {
        return;
    };
    let output = sandbox
        .command(&["up", "-d", "--quiet-pull"])
        .env("KEY", "a key ")
        .output()
        .expect("the executable starts");
    support::Run::of(&["up"], output).expect_code(0);
    sandbox.ok(&["wait", "near", "far", "beside"]);
    let map = || {
        let logs = ["logs", "--no-log-prefix", "beside"];
        let map = sandbox.ok(&logs).stdout();
        map.split_whitespace().nth(1).map(str::to_owned)
    };
    let first = map().expect("it ran, and so after what it shares with");
    // Whose namespace is made again is made again itself, after it.
    let again = ["up", "-d", "--force-recreate", "web", "beside"];
    let up = sandbox.command(&again).env("KEY", "a key ").output();
    support::Run::of(&again, up.expect("started")).expect_code(0);
    sandbox.ok(&["wait", "beside"]);
    assert_ne!(map(), Some(first), "the new one has other ids");
    let logs = sandbox
        .ok(&["logs", "--no-log-prefix", "near", "far"])
        .stdout();
    assert_eq!(logs.matches("a key and a note").count(), 2, "{logs}");
    sandbox.ok(&["down", "-v"]);
    sandbox.finish();
}

#[test]
fn a_further_process_has_the_limits_of_the_container() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let limits = [
        "--ulimit",
        "nofile=500:600",
        "--oom-score-adj",
        "300",
        "--network",
        "none",
    ];
    sandbox.start_sleeper("one", &limits);
    let look = "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj";
    assert_eq!(sandbox.inside("one", look), "500\n600\n300");
    sandbox.ok(&["container", "rm", "-f", "one"]);
    sandbox.finish();
}
