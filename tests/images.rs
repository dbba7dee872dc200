//! Images from archives, a real registry and builds; a full disk.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::archive::docker_archive;
use support::registry::{Registry, Wants};
use support::{Sandbox, wait_for};

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn a_docker_archive_loads_and_runs() {
    need_kernel!();
    need_program!("busybox");
    let sandbox = Sandbox::new();
    let archive = docker_archive(&sandbox.project(), "small:1", 10);
    sandbox
        .ok(&["image", "load", "-i", &path_text(&archive)])
        .expect_stdout(&["small:1"]);
    sandbox
        .ok(&[
            "container",
            "run",
            "--rm",
            "small:1",
            "/bin/sh",
            "-c",
            "echo $FROM_IMAGE",
        ])
        .expect_stdout(&["yes"]);
    sandbox.ok(&["image", "rm", "small:1"]);
    sandbox.finish();
}

#[test]
fn a_saved_image_loads_again_with_the_same_id() {
    need_kernel!();
    need_program!("busybox");
    let sandbox = Sandbox::new();
    let archive = docker_archive(&sandbox.project(), "small:1", 10);
    sandbox.ok(&["image", "load", "-i", &path_text(&archive)]);
    let id = sandbox.ok(&["image", "ls", "-q", "--no-trunc"]).stdout();
    let saved = path_text(&sandbox.project().join("saved.tar"));
    sandbox.ok(&["image", "save", "-o", &saved, "small:1"]);
    sandbox.ok(&["image", "rm", "small:1"]);
    sandbox.ok(&["image", "load", "-i", &saved]);
    assert_eq!(
        sandbox.ok(&["image", "ls", "-q", "--no-trunc"]).stdout(),
        id
    );
    sandbox.finish();
}

#[test]
fn an_image_goes_to_a_registry_and_comes_back() {
    need_kernel!();
    need_program!("busybox", "docker-registry");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), Wants::Nothing);
    let name = format!("{}/team/small:1", registry.address);
    let archive = docker_archive(&sandbox.project(), &name, 3_000_000);
    sandbox.ok(&["image", "load", "-i", &path_text(&archive)]);
    sandbox.ok(&["image", "push", &name]);
    sandbox.ok(&["image", "rm", &name]);
    assert_eq!(sandbox.ok(&["image", "ls", "-q"]).stdout(), "");

    sandbox.write(
        "compose.yaml",
        &format!("services:\n  one:\n    image: {name}\n    command: [/bin/sh, -c, 'echo pulled $$FROM_IMAGE']\n"),
    );
    sandbox.ok(&["up"]).expect_stdout(&["pulled yes"]);
    sandbox.ok(&["down", "--rmi", "all"]);
    assert_eq!(sandbox.ok(&["image", "ls", "-q"]).stdout(), "");
    sandbox
        .run(&[
            "image",
            "pull",
            &format!("{}/team/small:2", registry.address),
        ])
        .expect_stderr(&["small:2"]);
    drop(registry);
    sandbox.finish();
}

#[test]
fn a_registry_with_a_password_wants_it() {
    need_kernel!();
    need_program!("busybox", "docker-registry");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), Wants::Password);
    let name = format!("{}/small:1", registry.address);
    let archive = docker_archive(&sandbox.project(), &name, 10);
    sandbox.ok(&["image", "load", "-i", &path_text(&archive)]);
    let refused = sandbox.run(&["image", "push", &name]);
    assert_eq!(refused.code(), 1);
    refused.expect_stderr(&[&registry.address]);
    let auths =
        serde_json::json!({ "auths": { &registry.address: { "auth": "dXNlcjpwYXNzd29yZA==" } } });
    let home = sandbox.project().parent().expect("parent").join(".docker");
    fs::create_dir_all(&home).expect("folder");
    fs::write(home.join("config.json"), auths.to_string()).expect("config.json");
    sandbox.ok(&["image", "push", &name]);
    sandbox.ok(&["image", "rm", &name]);
    sandbox.ok(&["image", "pull", &name]);
    drop(registry);
    sandbox.finish();
}

#[test]
fn a_full_disk_corrupts_nothing() {
    need_kernel!();
    need_program!("busybox", "mount", "umount");
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.root()).expect("root");
    let root = path_text(&sandbox.root());
    let mount = |args: &[&str]| {
        assert!(
            Command::new("mount")
                .args(args)
                .status()
                .expect("mount")
                .success()
        )
    };
    mount(&["-t", "tmpfs", "-o", "size=16m", "none", &root]);
    let archive = docker_archive(&sandbox.project(), "large:1", 40_000_000);
    let full = sandbox.run(&["image", "load", "-i", &path_text(&archive)]);
    let listed = sandbox.run(&["image", "ls", "-q"]);
    mount(&["-o", "remount,size=256m", &root]);
    let again = sandbox.run(&["image", "load", "-i", &path_text(&archive)]);
    let runs = sandbox.run(&[
        "container",
        "run",
        "--rm",
        "large:1",
        "/bin/sh",
        "-c",
        "echo runs",
    ]);
    sandbox.run(&["image", "rm", "large:1"]);
    assert!(
        Command::new("umount")
            .arg(&root)
            .status()
            .expect("umount")
            .success()
    );
    full.expect_code(1)
        .expect_stderr(&["No space left on device"]);
    assert_eq!(listed.stdout(), "");
    again.expect_code(0);
    runs.expect_code(0).expect_stdout(&["runs"]);
    sandbox.finish();
}

#[test]
fn an_unchanged_build_is_cached_and_a_changed_file_is_seen() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write(
        "Dockerfile",
        "FROM host\nCOPY text /text\nRUN cat /text > /copied; date +%N > /stamp\n",
    );
    sandbox.write("text", "first");
    let build = || {
        sandbox
            .ok(&["image", "build", "-q", "-t", "app", "."])
            .stdout()
    };
    let first = build();
    assert_eq!(build(), first);
    sandbox.write("text", "second");
    assert_ne!(build(), first);
    sandbox
        .ok(&["container", "run", "--rm", "app", "cat", "/copied"])
        .expect_stdout(&["second"]);
    // The one that lost its name is listed, and no build step is an image.
    let list = ["image", "ls", "--format", "{{.Repository}}"];
    assert_eq!(sandbox.ok(&list).stdout(), "app\n<none>\n");
    let all = [&list[..], &["-a"]].concat();
    assert_eq!(sandbox.ok(&all).stdout(), sandbox.ok(&list).stdout());
    sandbox.finish();
}

/// Ids of images without a name.
fn nameless(sandbox: &Sandbox) -> Vec<String> {
    let args = ["image", "ls", "-q", "--filter", "dangling=true"];
    let ids = sandbox.ok(&args).stdout();
    ids.lines().map(str::to_owned).collect()
}

#[test]
fn a_rebuild_under_watch_keeps_nameless_images_only_when_asked() {
    need_kernel!();
    for (prune, kept) in [("--prune", false), ("--prune=false", true)] {
        let sandbox = Sandbox::of_compose(
            "services:
  web:
    build: .
    init: true
    command: [sleep, \"1000\"]
    develop: { watch: [{ action: rebuild, path: ./page }] }
",
        );
        sandbox.write("Dockerfile", "FROM host\nCOPY page /page\n");
        sandbox.write("page", "first");
        sandbox.ok(&["up", "-d"]);
        let mut watch = sandbox.spawn(&["watch", "--no-up", prune]);
        // Saved again until it shows: the watch may not have begun at the first save.
        let mut edition = 0;
        wait_for(Duration::from_secs(60), || {
            edition += 1;
            sandbox.write("page", &format!("edition {edition}"));
            std::thread::sleep(Duration::from_millis(500));
            let page = sandbox.run(&["exec", "-T", "web", "cat", "/page"]).stdout();
            (page == format!("edition {edition}")).then_some(())
        })
        .expect("the edit shows");
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&watch),
            rustix::process::Signal::INT,
        )
        .expect("the watch runs");
        watch.wait().expect("the watch ends");
        assert_eq!(!nameless(&sandbox).is_empty(), kept, "{prune}");
        sandbox.ok(&["down", "--rmi", "local"]);
        sandbox.finish();
    }
}

#[test]
fn an_archive_of_files_becomes_an_image_and_the_settings_given() {
    need_kernel!();
    need_program!("busybox", "tar");
    let sandbox = Sandbox::new();
    docker_archive(&sandbox.project(), "unused:1", 10);
    let files = path_text(&sandbox.project().join("image/layer.tar"));
    for (word, program) in [("", None), (".gz", Some("gzip")), (".xz", Some("xz"))] {
        let archive = match program {
            None => files.clone(),
            Some(program) if support::find_program(program).is_none() => continue,
            Some(program) => {
                let args = ["-k", "-f", files.as_str()];
                assert!(
                    Command::new(program)
                        .args(args)
                        .status()
                        .expect("it runs")
                        .success()
                );
                format!("{files}{word}")
            }
        };
        let import = [
            "image",
            "import",
            "-c",
            "ENV FROM=import",
            "-c",
            "CMD echo $FROM",
            "-m",
            "by hand",
            archive.as_str(),
            "imported:1",
        ];
        sandbox.ok(&import).expect_stdout(&["sha256:"]);
        sandbox
            .ok(&["container", "run", "--rm", "imported:1"])
            .expect_stdout(&["import"]);
    }
    sandbox
        .ok(&["image", "history", "--no-trunc", "imported:1"])
        .expect_stdout(&["by hand"]);
    sandbox.write("text", "no archive");
    sandbox.run(&["image", "import", "text"]).expect_code(1);
    sandbox
        .run(&["image", "import", "nowhere.tar"])
        .expect_code(1)
        .expect_stderr(&["nowhere.tar"]);
    sandbox
        .run(&["image", "import", "-c", "RUN x", &files])
        .expect_code(1)
        .expect_stderr(&["RUN x", "CMD"]);
    sandbox.ok(&["image", "prune", "-a", "-f"]);
    sandbox.finish();
}

#[test]
fn an_archive_loads_whatever_it_is_compressed_with() {
    need_kernel!();
    need_program!("busybox");
    let sandbox = Sandbox::new();
    let archive = path_text(&docker_archive(&sandbox.project(), "small:1", 10));
    for (program, ending) in [
        ("gzip", "gz"),
        ("bzip2", "bz2"),
        ("xz", "xz"),
        ("zstd", "zst"),
    ] {
        if support::find_program(program).is_none() {
            eprintln!("skipped: needs the program {program}");
            continue;
        }
        let args = ["-k", "-f", archive.as_str()];
        assert!(
            Command::new(program)
                .args(args)
                .status()
                .expect("it runs")
                .success()
        );
        sandbox
            .ok(&["image", "load", "-i", &format!("{archive}.{ending}")])
            .expect_stdout(&["small:1"]);
        sandbox.ok(&["image", "rm", "small:1"]);
    }
    sandbox.finish();
}

/// The largest file below a folder.
fn largest(folder: &Path) -> std::path::PathBuf {
    let mut found = (0, std::path::PathBuf::new());
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("folder").flatten() {
            let metadata = entry.metadata().expect("metadata");
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.len() > found.0 {
                found = (metadata.len(), entry.path());
            }
        }
    }
    found.1
}

/// Changes one byte of a file.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(file, bytes).expect("the file");
}

#[test]
fn damage_is_found_and_repaired_from_the_registry() {
    need_kernel!();
    need_program!("busybox", "docker-registry");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), Wants::Nothing);
    let name = format!("{}/small:1", registry.address);
    let archive = docker_archive(&sandbox.project(), &name, 2_000_000);
    sandbox.ok(&["image", "load", "-q", "-i", &path_text(&archive)]);
    sandbox.ok(&["image", "push", "-q", &name]);
    sandbox.ok(&["image", "rm", &name]);
    sandbox.ok(&["image", "pull", "-q", &name]);
    sandbox
        .ok(&["system", "check"])
        .expect_stdout(&["what their names say"]);
    let id = sandbox.ok(&["image", "ls", "-q"]).stdout();
    let config = fs::read_dir(sandbox.root().join("images"))
        .expect("images")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().replace(".json", ""))
        .find(|name| name.starts_with(id.trim()))
        .expect("the record");
    let blobs = sandbox.root().join("blobs/sha256");
    for (file, word) in [
        (largest(&sandbox.root().join("layers")), "layer sha256:"),
        (largest(&blobs), "blob sha256:"),
        (blobs.join(config), "blob sha256:"),
    ] {
        damage(&file);
        // It is still there to be seen, and to be removed.
        sandbox.ok(&["image", "ls"]).expect_stdout(&["small"]);
        sandbox
            .run(&["system", "check", "--dry-run"])
            .expect_code(1)
            .expect_stdout(&[word]);
        sandbox
            .ok(&["system", "check"])
            .expect_stdout(&[word, "pulled", "everything is repaired"]);
        sandbox.ok(&["system", "check", "-q"]);
        let run = [
            "container",
            "run",
            "--rm",
            name.as_str(),
            "/bin/sh",
            "-c",
            "echo whole",
        ];
        sandbox.ok(&run).expect_stdout(&["whole"]);
    }
    // Without the registry nothing is taken away, and the image is named.
    drop(registry);
    damage(&largest(&sandbox.root().join("layers")));
    sandbox
        .run(&["system", "check"])
        .expect_code(1)
        .expect_stdout(&["not repaired", "small:1"])
        .expect_stderr(&["cannot pull"]);
    sandbox.finish();
}

#[test]
fn a_search_is_refused_by_name() {
    Sandbox::new()
        .run(&["image", "search", "--limit", "3", "nginx"])
        .expect_code(1)
        .expect_stderr(&["`image search` is not supported", "image pull"]);
}
