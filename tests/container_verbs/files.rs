//! Files that go in and out, and images made of them.

use super::*;

#[test]
fn diff_and_commit_tell_what_was_changed_and_keep_it() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper(
        "web",
        &["--network", "none", "-e", "A=1", "-v", "data:/data"],
    );
    sandbox.inside("web",
        "echo new > /new; rm -r /usr/share/doc; mkdir /usr/share/doc; echo >> /etc/passwd; echo x > /data/x",
    );
    let diff = sandbox.ok(&["container", "diff", "web"]).stdout();
    let lines: Vec<&str> = diff.lines().collect();
    for line in [
        "A /new",
        "C /etc",
        "C /etc/passwd",
        "C /usr",
        "C /usr/share",
        "C /usr/share/doc",
    ] {
        assert!(lines.contains(&line), "no `{line}` in:\n{diff}");
    }
    // The directory was made anew: what it had is gone.
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("D /usr/share/doc/")),
        "{diff}"
    );
    for absent in ["/data", "/etc/hosts", "/proc", "/dev"] {
        assert!(
            !lines.iter().any(|line| line.ends_with(absent)),
            "{absent} in:\n{diff}"
        );
    }
    let id = sandbox
        .ok(&[
            "container",
            "commit",
            "-a",
            "me",
            "-m",
            "why",
            "-c",
            "CMD [\"cat\", \"/new\"]",
            "-c",
            "ENV B=2",
            "web",
            "shop:1",
        ])
        .stdout();
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(inspect(&sandbox, "web", "{{.State.Status}}"), "running");
    sandbox
        .ok(&["container", "run", "--rm", "--network", "none", "shop:1"])
        .expect_stdout(&["new"]);
    let script = "ls /usr/share/doc | wc -l; echo $A$B; ls -d /data 2>/dev/null; true";
    let seen = sandbox
        .ok(&[
            "container",
            "run",
            "--rm",
            "--network",
            "none",
            "shop:1",
            "bash",
            "-c",
            script,
        ])
        .stdout();
    assert_eq!(seen, "0\n12\n");
    sandbox
        .ok(&[
            "image",
            "inspect",
            "-f",
            "{{.Author}} {{.Config.Cmd}} {{.Id}}",
            "shop:1",
        ])
        .expect_stdout(&["me [cat /new]", id.trim()]);
    sandbox
        .ok(&["image", "history", "shop:1"])
        .expect_stdout(&["why"]);
    sandbox
        .run(&["container", "commit", "-c", "RUN rm -rf /", "web"])
        .expect_code(1)
        .expect_stderr(&["RUN rm -rf /", "CMD, ENTRYPOINT"]);
    sandbox.ok(&["image", "rm", "-f", "shop:1"]);
    sandbox.finish();
}

#[test]
fn export_writes_the_root_without_its_mounts() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("context/f", "file");
    sandbox.write("context/Dockerfile", "FROM scratch\nCOPY f /dir/f\n");
    sandbox.ok(&["image", "build", "-q", "-t", "small", "context"]);
    sandbox.ok(&[
        "container",
        "create",
        "--name",
        "small",
        "-v",
        "data:/data",
        "small",
        "/none",
    ]);
    sandbox.ok(&["container", "cp", "context/f", "small:/data/in-volume"]);
    sandbox.ok(&["container", "export", "-o", "out.tar", "small"]);
    let mut names = paths_in(&sandbox, "out.tar");
    names.retain(|name| !name.starts_with("data"));
    assert_eq!(names, ["dir/", "dir/f"]);
    sandbox
        .run(&["container", "export", "nobody"])
        .expect_code(1);
    sandbox.ok(&["container", "rm", "small"]);
    sandbox.ok(&["image", "rm", "small"]);
    sandbox.finish();
}

#[test]
fn cp_goes_both_ways_running_or_not_and_never_out() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper("web", &["--network", "none", "-v", "data:/data"]);
    sandbox.write("d/sub/file", "deep");
    sandbox.write("f", "flat");
    let file = |path: &str| fs::read_to_string(sandbox.project().join(path)).expect(path);
    sandbox
        .ok(&["container", "cp", "f", "web:/tmp/renamed"])
        .expect_stderr(&["Successfully copied", "web:/tmp/renamed"]);
    assert_eq!(
        sandbox
            .ok(&["container", "cp", "-q", "d", "web:/tmp"])
            .stderr(),
        ""
    );
    sandbox.ok(&["container", "cp", "d/.", "web:/data"]);
    let seen = sandbox.inside(
        "web",
        "cat /tmp/renamed /tmp/d/sub/file /data/sub/file; stat -c %u /tmp/renamed",
    );
    assert_eq!(seen, "flatdeepdeep0");
    sandbox.ok(&["container", "cp", "web:/tmp/d", "out"]);
    assert_eq!(file("out/sub/file"), "deep");
    // Volumes are there while it does not run, too.
    sandbox.ok(&["container", "stop", "-t", "0", "web"]);
    sandbox.ok(&["container", "cp", "f", "web:/data/stopped"]);
    sandbox.ok(&["container", "cp", "web:/data/sub/file", "from-volume"]);
    assert_eq!(file("from-volume"), "deep");
    sandbox.ok(&["container", "start", "web"]);
    assert_eq!(sandbox.inside("web", "cat /data/stopped"), "flat");

    // As tar streams.
    let mut child = sandbox
        .command(&["container", "cp", "-", "web:/opt"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("started");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o640);
    archive
        .append_data(&mut header, "x/y", &b"hi"[..])
        .expect("packed");
    let bytes = archive.into_inner().expect("packed");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(&bytes)
        .expect("taken");
    assert!(child.wait().expect("ended").success());
    assert_eq!(
        sandbox.inside("web", "cat /opt/x/y; stat -c %a /opt/x/y"),
        "hi640"
    );

    // Links in the container resolve inside it.
    let secret = sandbox.project().join("secret");
    fs::write(&secret, "of the machine").expect("written");
    let place = sandbox.project().display().to_string();
    sandbox.inside(
        "web",
        &format!("mkdir -p {place}; ln -s {place} /tmp/out; ln -s {place}/secret /tmp/secret"),
    );
    sandbox
        .run(&["container", "cp", "-L", "web:/tmp/secret", "-"])
        .expect_code(1);
    sandbox.ok(&["container", "cp", "f", "web:/tmp/out/evil"]);
    assert!(!sandbox.project().join("evil").exists());

    for (from, to, reason) in [
        ("web:/tmp/renamed", "nowhere/", "nowhere/"),
        ("web:/missing", ".", "web:/missing"),
        ("f", "web:/missing/f", "web:/missing"),
        ("missing", "web:/tmp", "missing"),
        ("f", "nobody:/tmp", "nobody"),
    ] {
        sandbox
            .run(&["container", "cp", from, to])
            .expect_code(1)
            .expect_stderr(&[reason]);
    }
    for (from, to) in [
        ("f", "d"),
        ("web:/tmp", "web:/opt"),
        ("d", "web:/tmp/renamed"),
    ] {
        sandbox.run(&["container", "cp", from, to]).expect_code(2);
    }
    sandbox.finish();
}

#[test]
fn compose_exports_and_commits_services() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:\n  web: { image: small, network_mode: none, command: /none }\n",
    );
    sandbox.write("context/f", "file");
    sandbox.write("context/Dockerfile", "FROM scratch\nCOPY f /f\n");
    sandbox.ok(&["image", "build", "-q", "-t", "small", "context"]);
    sandbox.ok(&["create"]);
    sandbox.ok(&["cp", "context/Dockerfile", "web:/added"]);
    sandbox.ok(&["export", "-o", "out.tar", "web"]);
    let names = paths_in(&sandbox, "out.tar");
    assert!(names.contains(&"added".to_owned()), "{names:?}");
    sandbox
        .ok(&["commit", "-m", "why", "-c", "LABEL a=b", "web", "made:1"])
        .expect_stdout(&["sha256:"]);
    sandbox
        .ok(&[
            "image",
            "inspect",
            "-f",
            "{{.Config.Labels.a}} {{len .RootFS.Layers}}",
            "made:1",
        ])
        .expect_stdout(&["b 2"]);
    sandbox
        .run(&["export", "-o", "out.tar", "nobody"])
        .expect_code(1);
    sandbox.ok(&["down"]);
    sandbox.finish();
}
