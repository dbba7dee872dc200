//! Flags of `container` as Docker reads them: attached, given twice, empty, long; and what `cp` does with them.

#[macro_use]
mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use support::{GANTRY, Run, Sandbox};

fn inspect(sandbox: &Sandbox, name: &str, template: &str) -> String {
    let args = ["container", "inspect", "-f", template, name];
    sandbox.ok(&args).stdout().trim().to_owned()
}

#[track_caller]
fn create(sandbox: &Sandbox, options: &[&str]) -> Run {
    sandbox.ok(&[&["container", "create"], options, &["host", "true"]].concat())
}

/// An image with nothing but `/dir/f`.
fn build_small(sandbox: &Sandbox) {
    sandbox.write("context/f", "file");
    sandbox.write("context/Dockerfile", "FROM scratch\nCOPY f /dir/f\n");
    sandbox.ok(&["image", "build", "-q", "-t", "small", "context"]);
}

#[test]
fn short_flags_take_values_that_are_attached() {
    need_kernel!();
    let sandbox = Sandbox::new();
    create(
        &sandbox,
        &[
            "--name=first",
            "-p18377:80",
            "-eA=1",
            "-m64m",
            "-v/x",
            "-w/tmp",
            "-c512",
            "-u=0",
            "-i=false",
            "-P=false",
            "-la=b",
            "-ieB=2",
        ],
    );
    let template = "{{.HostConfig.Memory}} {{.HostConfig.CpuShares}} {{.Config.WorkingDir}} \
                    {{.Config.User}} {{.Config.OpenStdin}} {{.Config.Labels.a}} \
                    {{json .HostConfig.PortBindings}} {{json .Config.Env}} {{json .Mounts}}";
    let made = inspect(&sandbox, "first", template);
    assert!(made.starts_with("67108864 512 /tmp 0 true b "), "{made}");
    for part in ["18377", "A=1", "B=2", "\"/x\""] {
        assert!(made.contains(part), "{part}: {made}");
    }

    // What follows the image is the command's, what comes before it is known or refused.
    let words = ["echo", "-p18377:80", "--rm", "-it", "--", "-Z"];
    let echoed = sandbox.run_in_new(&["-w/tmp"], &words).expect_code(0);
    assert_eq!(echoed.stdout(), "-p18377:80 --rm -it -- -Z\n");
    for flag in ["--frobnicate", "-Z", "-Zx=1"] {
        let named = if flag.starts_with("-Z") { "-Z" } else { flag };
        sandbox
            .run_in_new(&[flag], &["true"])
            .expect_code(125)
            .expect_stderr(&[named]);
        sandbox
            .run(&["container", "create", flag, "host", "true"])
            .expect_code(2)
            .expect_stderr(&[named]);
    }

    sandbox.start_sleeper("web", &["--network", "none"]);
    let script = "echo $A; pwd; echo $1";
    sandbox
        .ok(&[
            "container",
            "exec",
            "-eA=1",
            "-w/tmp",
            "web",
            "sh",
            "-c",
            script,
            "-",
            "-eB",
        ])
        .expect_stdout(&["1\n/tmp\n-eB\n"]);
    // Not flags of ours, though we have some of these names.
    sandbox
        .run(&["container", "exec", "web", "-it"])
        .expect_code(127);
    sandbox
        .run(&["container", "exec", "web", ""])
        .expect_code(127);
    sandbox
        .run(&["container", "exec", "web"])
        .expect_code(2)
        .expect_stderr(&["command"]);
    sandbox.finish();
}

#[test]
fn run_of_compose_takes_them_too() {
    need_kernel!();
    let sandbox = Sandbox::of_compose("services:\n  web: { image: host, command: 'true' }\n");
    let script = "echo $A; pwd; echo $1";
    sandbox
        .ok(&[
            "run",
            "--rm",
            "-p18378:80",
            "-eA=1",
            "-w/tmp",
            "web",
            "sh",
            "-c",
            script,
            "-",
            "-eB",
        ])
        .expect_stdout(&["1\n/tmp\n-eB\n"]);
    sandbox
        .run(&["run", "--frobnicate", "web"])
        .expect_code(2)
        .expect_stderr(&["--frobnicate"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn the_last_of_a_flag_counts_and_lists_grow() {
    need_kernel!();
    let sandbox = Sandbox::new();
    create(
        &sandbox,
        &[
            "--name", "first", "--name", "last", "-m", "64m", "-m", "32m", "-h", "a", "-h", "b",
            "-i=false", "-i", "-e", "A=1", "-e", "B=2",
        ],
    );
    let template =
        "{{.HostConfig.Memory}} {{.Config.Hostname}} {{.Config.OpenStdin}} {{json .Config.Env}}";
    let made = inspect(&sandbox, "last", template);
    assert!(made.starts_with("33554432 b true "), "{made}");
    assert!(made.contains("A=1") && made.contains("B=2"), "{made}");
    sandbox
        .ok(&[
            "container",
            "ps",
            "-a",
            "--format",
            "{{.ID}}",
            "--format",
            "{{.Names}}",
        ])
        .expect_stdout(&["last\n"]);
    sandbox.start_sleeper("web", &["--network", "none"]);
    let seen = sandbox.ok(&["container", "exec", "-w", "/", "-w", "/tmp", "web", "pwd"]);
    assert_eq!(seen.stdout(), "/tmp\n");
    sandbox.finish();
}

#[test]
fn only_input_is_attached_and_the_exit_code_is_known() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let run = sandbox.run_in_new(&["-a", "stdin"], &["sh", "-c", "echo unheard; exit 7"]);
    assert_eq!(run.expect_code(7).stdout(), "");
    sandbox.finish();
}

#[test]
fn zero_and_nothing_ask_for_nothing() {
    need_kernel!();
    let sandbox = Sandbox::new();
    create(
        &sandbox,
        &[
            "-m",
            "0",
            "--cpus",
            "0",
            "--memory-swap",
            "0",
            "--memory-reservation=0",
            "--cpu-shares=0",
            "--shm-size=0",
            "--name=",
            "--workdir=",
            "--user=",
            "--stop-signal=",
            "--cpuset-cpus=",
            "--ip=",
            "--ip6=",
            "--mac-address=",
            "--cgroup-parent=",
            "--platform=",
            "--runtime=",
            "--hostname=",
            "--cidfile=",
            "--health-cmd=",
            "--health-interval=0s",
            "--health-retries=0",
        ],
    );
    let ids = sandbox.ok(&["container", "ls", "-aq"]).stdout();
    let id = ids.trim();
    assert_eq!(inspect(&sandbox, id, "{{.Config.Hostname}}"), id);
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpusetCpus}}";
    assert_eq!(inspect(&sandbox, id, limits), "0 0");

    sandbox
        .run_in_new(&["--detach-keys=", "--cidfile="], &["true"])
        .expect_code(0);
    sandbox.start_sleeper("web", &["--network", "none", "--memory", "64m"]);
    // Something is asked for, even if nothing changes.
    sandbox.ok(&["container", "update", "--cpus", "0", "-m", "0", "web"]);
    assert_eq!(
        inspect(&sandbox, "web", "{{.HostConfig.Memory}}"),
        "67108864"
    );
    sandbox.run(&["container", "update", "web"]).expect_code(2);
    sandbox.ok(&[
        "container",
        "exec",
        "--detach-keys=",
        "--workdir=",
        "--user=",
        "web",
        "true",
    ]);
    for bounds in [
        &["--since", "", "--until", ""][..],
        &["--tail", "-1"],
        &["--tail=-5"],
    ] {
        sandbox.ok(&[&["container", "logs"], bounds, &["web"]].concat());
    }
    sandbox.finish();
}

#[test]
fn options_in_other_words() {
    need_kernel!();
    let sandbox = Sandbox::new();
    create(
        &sandbox,
        &[
            "--name=first",
            "-p",
            "published=18379,target=80,protocol=udp",
            "--dns-opt",
            "ndots:2",
            "--dns-option",
            "rotate",
            "--stop-timeout",
            "-1",
            "--annotation",
            "a",
            "-v",
            "/x",
        ],
    );
    let template = "{{json .HostConfig.PortBindings}} {{json .HostConfig.DnsOptions}} \
                    {{json .HostConfig.Annotations}}";
    let made = inspect(&sandbox, "first", template);
    for part in ["80/udp", "18379", "ndots:2", "rotate", "{\"a\":\"\"}"] {
        assert!(made.contains(part), "{part}: {made}");
    }
    for (index, mode) in ["z", "Z", "rw,z", "ro", ""].iter().enumerate() {
        let (name, from) = (format!("--name=from{index}"), format!("first:{mode}"));
        create(&sandbox, &[&name, "--volumes-from", &from]);
        let writable = inspect(
            &sandbox,
            &format!("from{index}"),
            "{{(index .Mounts 0).RW}}",
        );
        assert_eq!(writable, (*mode != "ro").to_string(), "{mode}");
    }
    let volume = "type=volume,src=mem,dst=/m,volume-opt=type=tmpfs,volume-opt=device=tmpfs,\
                  \"volume-opt=o=size=1m,mode=700\"";
    sandbox
        .run_in_new(&["--mount", volume], &["df", "--output=size", "/m"])
        .expect_code(0)
        .expect_stdout(&["1024"]);
    sandbox
        .ok(&["volume", "inspect", "-f", "{{json .Options}}", "mem"])
        .expect_stdout(&["size=1m,mode=700"]);
    sandbox.finish();
}

#[test]
fn what_has_no_meaning_is_refused_before_anything_is_made() {
    need_kernel!();
    let sandbox = Sandbox::new();
    for (options, reason) in [
        (&["--device-read-iops", "/dev/null:1mb"][..], "whole number"),
        (&["--dns-search", ""], "not a domain"),
        (&["-v", "a:/x:ro,rw"], "only one"),
        (&["-v", "a:/x:z,Z"], "only one"),
        (&["--device", "/dev/zero:myz"], "`myz`"),
        (&["--mount", "type=volume,src=/abs,dst=/x"], "type=bind"),
        (
            &["--mount", "dst=/x,volume-opt=type=tmpfs"],
            "needs source=",
        ),
        (&["-l", ""], "no name"),
        (&["-l", "=x"], "no name"),
        (&["--annotation", "=x"], "no name"),
        (&["-p", "published=80"], "target="),
        (&["-p", "target=80,colour=red"], "`colour`"),
        (&["--volumes-from", "a:shared"], "`shared`"),
        (&["--network", "name=n,gw-priority=a"], "gw-priority"),
        (&["--network", "name=n,driver-opt=a=b"], "driver option `a`"),
        (
            &["--network", "name=n,link-local-ip=::1"],
            "not a link-local address",
        ),
        (&["--link-local-ip", "10.1.1.1"], "not a link-local address"),
        (&["--link-local-ip", "x"], "not an address"),
    ] {
        sandbox
            .run(&[&["container", "run"], options, &["host", "true"]].concat())
            .expect_code(125)
            .expect_stderr(&[reason]);
    }
    assert!(sandbox.has_no_container());
    sandbox.finish();
}

#[test]
fn wait_goes_on_and_prune_hears_an_answer_from_a_pipe() {
    need_kernel!();
    let sandbox = Sandbox::new();
    for (name, code) in [("w1", "exit 3"), ("w2", "exit 4")] {
        let run = ["container", "run", "--network", "none", "--name", name];
        let code = &["host", "sh", "-c", code][..];
        sandbox.run(&[&run, code].concat());
    }
    let waited = sandbox
        .run(&["container", "wait", "w1", "nope", "w2"])
        .expect_code(1)
        .expect_stderr(&["nope"]);
    assert_eq!(waited.stdout(), "3\n4\n");

    sandbox
        .run(&["container", "prune"])
        .expect_code(2)
        .expect_stderr(&["--force"]);
    let mut child = sandbox
        .command(&["container", "prune"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let answer = child.stdin.take().expect("piped").write_all(b"y\ny\n");
    answer.expect("taken");
    assert!(child.wait().expect("ended").success());
    assert!(sandbox.has_no_container());
    sandbox.finish();
}

#[test]
fn cp_of_a_root_is_whole_and_ends() {
    need_kernel!();
    let sandbox = Sandbox::new();
    build_small(&sandbox);
    let at = |path: &str| sandbox.project().join(path);
    let names = |path: &str| {
        let entries = fs::read_dir(at(path)).expect(path);
        entries.count()
    };
    sandbox.ok(&["container", "create", "--name", "made", "small", "/none"]);
    fs::create_dir(at("there")).expect("made");
    for (from, to) in [
        ("made:/", "out"),
        ("made:/.", "out2"),
        ("made:/dir/..", "out3"),
        ("made:", "there"),
    ] {
        sandbox.ok(&["container", "cp", from, to]);
        let file = fs::read_to_string(at(to).join("dir/f"));
        assert_eq!(file.expect(from), "file");
    }

    // Our own executable is a program that needs nothing of an image, and this verb waits for ever.
    let program = format!("{GANTRY}:/gantry:ro");
    sandbox.ok(&[
        "container",
        "run",
        "-d",
        "-i",
        "--name",
        "runs",
        "--network",
        "none",
        "-v",
        &program,
        "-v",
        "data:/data",
        "small",
        "/gantry",
        "lsp",
    ]);
    sandbox.ok(&["container", "cp", "context/f", "runs:/data/f"]);
    sandbox.ok(&["container", "cp", "runs:/", "live"]);
    for kept in ["live/dir/f", "live/data/f", "live/gantry"] {
        assert!(at(kept).is_file(), "{kept}");
    }
    for empty in ["live/proc", "live/sys", "live/dev"] {
        assert_eq!(names(empty), 0, "{empty}");
    }
    sandbox.ok(&["container", "rm", "-f", "made", "runs"]);
    sandbox.ok(&["image", "rm", "small"]);
    sandbox.finish();
}

#[test]
fn cp_writes_through_links_and_keeps_them() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper("web", &["--network", "none"]);
    sandbox.write("new", "new");
    let into = |path: &str| sandbox.ok(&["container", "cp", "new", &format!("web:{path}")]);
    sandbox.inside(
        "web",
        "mkdir -p /tmp/d/sub; cd /tmp/d; echo old > f; ln -s f l; ln -s /tmp/d/f abs; ln -s l two; \
         ln -s ../../../../../tmp/d/made dangling; ln -s /missing/x lost",
    );
    for link in ["l", "abs", "two"] {
        into(&format!("/tmp/d/{link}"));
        let script = format!("cd /tmp/d; cat f; echo old > f; test -L {link}");
        assert_eq!(sandbox.inside("web", &script), "new", "{link}");
    }
    into("/tmp/d/dangling");
    let seen = sandbox.inside("web", "cd /tmp/d; cat made; test -L dangling");
    assert_eq!(seen, "new");
    sandbox
        .run(&["container", "cp", "new", "web:/tmp/d/lost"])
        .expect_code(1)
        .expect_stderr(&["/missing"]);
    // By its letters, as Docker: `nowhere` need not be there.
    into("/tmp/nowhere/../b");
    assert_eq!(sandbox.inside("web", "cat /tmp/b"), "new");

    // And on this machine.
    let at = |path: &str| sandbox.project().join(path);
    fs::write(at("file"), "old").expect("written");
    symlink("file", at("link")).expect("linked");
    symlink("fresh", at("to-fresh")).expect("linked");
    for (link, file) in [("link", "file"), ("to-fresh", "fresh")] {
        sandbox.ok(&["container", "cp", "web:/tmp/b", link]);
        assert!(at(link).is_symlink(), "{link}");
        assert_eq!(fs::read_to_string(at(file)).expect(file), "new");
    }
    sandbox.finish();
}

#[test]
fn cp_out_copies_links_modes_and_contents_as_they_are() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper("web", &["--network", "none"]);
    sandbox.inside(
        "web",
        "mkdir -m 700 /tmp/d; echo text > /tmp/d/f; ln -s d /tmp/ld; ln -s nowhere /tmp/dang",
    );
    let out = |from: &str, to: &str| sandbox.ok(&["container", "cp", from, to]);
    let at = |path: &str| sandbox.project().join(path);
    for (from, to, target) in [
        ("web:/tmp/ld", "ld", "d"),
        ("web:/tmp/dang", "dang", "nowhere"),
    ] {
        out(from, to);
        assert_eq!(fs::read_link(at(to)).expect(to), Path::new(target));
    }
    for (from, to) in [
        ("web:/tmp/d", "d"),
        ("web:/tmp/d/.", "contents"),
        ("web:/tmp/ld/", "through"),
    ] {
        out(from, to);
        let mode = fs::metadata(at(to)).expect(to).permissions().mode();
        assert_eq!(mode & 0o7777, 0o700, "{from}");
        assert!(at(to).join("f").is_file(), "{from}");
    }
    sandbox
        .run(&["container", "cp", "-L", "web:/tmp/dang", "x"])
        .expect_code(1)
        .expect_stderr(&["web:/tmp/dang"]);
    let stream = sandbox.command(&["container", "cp", "web:/tmp/d/.", "-"]);
    let stream = { stream }.output().expect("started").stdout;
    let names: Vec<Vec<u8>> = tar::Archive::new(&stream[..])
        .entries()
        .expect("a tar")
        .map(|entry| entry.expect("whole").path_bytes().into_owned())
        .collect();
    assert_eq!(names, [&b"./"[..], b"./f"]);
    sandbox.finish();
}

#[test]
fn exit_codes_tell_why_nothing_ran() {
    need_kernel!();
    let sandbox = Sandbox::new();
    for (options, command, code) in [
        (&[][..], "nosuch", 127),
        (&[], "", 127),
        (&["--init"], "", 127),
        (&[], "/etc", 126),
        (&["--entrypoint", ""], "true", 0),
        (&["--workdir", "relative"], "true", 125),
    ] {
        let options = [&["--network", "none"][..], options].concat();
        sandbox.run_in_new(&options, &[command]).expect_code(code);
    }
    sandbox.finish();
}
