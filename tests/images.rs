//! Images from archives, a real registry and builds; a full disk.

mod support;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use support::{Sandbox, find_program, wait_for};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A Docker archive of one layer: a static busybox as /bin/sh, and a file of so many bytes.
fn docker_archive(dir: &Path, name: &str, ballast: usize) -> PathBuf {
    let layer = dir.join("layer");
    fs::create_dir_all(layer.join("bin")).expect("folder");
    fs::copy(
        find_program("busybox").expect("busybox"),
        layer.join("bin/sh"),
    )
    .expect("busybox");
    // Not compressible, so that the archive is as large as it says.
    let mut state = 1_u32;
    let bytes: Vec<u8> = (0..ballast)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    fs::write(layer.join("ballast"), bytes).expect("ballast");
    let image = dir.join("image");
    fs::create_dir_all(&image).expect("folder");
    tar(&layer, &image.join("layer.tar"));
    let diff_id = sha256(&fs::read(image.join("layer.tar")).expect("layer"));
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": { "Cmd": ["/bin/sh"], "Env": ["FROM_IMAGE=yes"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    });
    fs::write(image.join("config.json"), config.to_string()).expect("config");
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    fs::write(image.join("manifest.json"), manifest.to_string()).expect("manifest");
    let archive = dir.join("image.tar");
    tar(&image, &archive);
    archive
}

fn tar(dir: &Path, archive: &Path) {
    let status = Command::new("tar")
        .arg("-C")
        .arg(dir)
        .arg("-cf")
        .arg(archive)
        .arg(".")
        .status()
        .expect("tar");
    assert!(status.success());
}

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

/// Debian's registry server on an ephemeral loopback port.
struct Registry {
    server: Child,
    address: String,
}

impl Registry {
    fn start(dir: &Path, htpasswd: Option<&str>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .expect("port")
            .local_addr()
            .expect("port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut config = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{address}\" }}\n",
            dir.join("registry").display()
        );
        if let Some(line) = htpasswd {
            fs::write(dir.join("htpasswd"), line).expect("htpasswd");
            config += &format!(
                "auth: {{ htpasswd: {{ realm: test, path: {} }} }}\n",
                dir.join("htpasswd").display()
            );
        }
        fs::write(dir.join("registry.yml"), config).expect("registry.yml");
        let server = Command::new(find_program("docker-registry").expect("registry"))
            .arg("serve")
            .arg(dir.join("registry.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry starts");
        let registry = Self { server, address };
        wait_for(Duration::from_secs(20), || {
            TcpStream::connect(&registry.address).ok()
        })
        .expect("the registry answers");
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Ended below in any case; the child is ours.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn an_image_goes_to_a_registry_and_comes_back() {
    need_kernel!();
    need_program!("busybox", "docker-registry");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), None);
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
    // `user:password` with bcrypt, as `htpasswd -B` writes it.
    let line = "user:$2y$05$Q8XQNhfMziQEJ924UsV49OWVveePHKUebHTr0WNhdozuQJw.FRjte\n";
    let registry = Registry::start(&sandbox.project(), Some(line));
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
