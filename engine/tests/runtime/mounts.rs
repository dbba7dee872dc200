//! What the container sees, and that nothing in an image leads out of it.

use std::os::unix::fs::symlink;

use gantry_engine::mount::RootMount;
use gantry_engine::runtime::{RuntimeError, Stage};
use oci_spec::runtime::MountBuilder;

use super::Case;
use super::fixture::{bind, container};

pub const CASES: &[Case] = &[
    ("mounts::binds_of_files_and_directories", binds),
    (
        "mounts::a_read_only_bind_is_read_only_to_the_bottom",
        read_only_binds,
    ),
    ("mounts::a_link_at_a_mount_point_stays_inside", links),
    ("mounts::a_link_in_place_of_proc_is_refused", proc_link),
    ("mounts::binds_into_proc_are_refused", proc_bind),
    ("mounts::a_subpath_cannot_leave_its_volume", subpaths),
    ("mounts::memory_file_systems_take_options", tmpfs),
    ("mounts::a_read_only_root", read_only_root),
    ("mounts::a_plain_directory_as_root", directory_root),
    ("mounts::long_and_many_layers", layers),
    ("mounts::the_old_root_is_gone", old_root),
];

fn binds() {
    let mut container = container(&["sh", "-c", "cat /in/file /deep/er/name; echo new >/in/made"]);
    let host = container.scratch.path().join("host");
    std::fs::create_dir(&host).expect("made");
    std::fs::write(host.join("file"), "one\n").expect("written");
    container.mount(bind(&host, "/in", &[]));
    container.mount(bind(&host.join("file"), "/deep/er/name", &["ro"]));
    assert_eq!(container.output(), "one\none\n");
    assert_eq!(
        std::fs::read_to_string(host.join("made")).expect("made"),
        "new\n"
    );
}

fn read_only_binds() {
    // /sys of the host has further mounts below it, whichever version of cgroups it has.
    let script = "cd /in/fs/cgroup; [ ! -d memory ] || cd memory; touch /in/x; mkdir x; true";
    let mut container = container(&["sh", "-c", script]);
    container.mount(bind("/sys".as_ref(), "/in", &["ro"]));
    let output = container.run().expect("runs");
    assert_eq!(
        output.stderr.matches("Read-only file system").count(),
        2,
        "{}",
        output.stderr
    );
}

fn links() {
    let mut container = container(&["cat", "/out/passwd"]);
    let host = container.scratch.path().join("host");
    std::fs::create_dir(&host).expect("made");
    std::fs::write(host.join("passwd"), "inside\n").expect("written");
    // In the image, /out leads to the host's directory for mount points, by every trick.
    let target = container.scratch.path().join("victim");
    std::fs::create_dir(&target).expect("made");
    symlink(
        format!("../../../../../..{}", target.display()),
        container.upper().join("out"),
    )
    .expect("link");
    container.mount(bind(&host, "/out", &[]));
    assert_eq!(container.output(), "inside\n");
    let left = std::fs::read_dir(&target).expect("readable").count();
    assert_eq!(left, 0, "the host's directory was written to");
}

fn proc_link() {
    let container = container(&["true"]);
    // An opaque directory of the name would do; a link is what attacks use.
    symlink("/tmp", container.upper().join("proc")).expect("link");
    let error = container.run().err().expect("refused");
    assert!(
        matches!(&error, RuntimeError::Setup { stage: Stage::Mount, subject, .. } if subject.starts_with("/proc")),
        "{error}"
    );
}

fn proc_bind() {
    for destination in ["/proc/self", "/proc/1/attr", "/x/../proc/sys", "/proc"] {
        let mut container = container(&["true"]);
        container.mount(bind("/tmp".as_ref(), destination, &[]));
        let error = container.run().err().expect("refused").to_string();
        assert!(error.contains("/proc"), "{error}");
    }
}

fn subpaths() {
    let mut container = container(&["ls", "/data"]);
    let volume = container.scratch.path().join("volume");
    std::fs::create_dir_all(volume.join("inner/etc/good")).expect("made");
    std::fs::create_dir_all(volume.join("etc/good")).expect("made");
    symlink("/etc", volume.join("inner/link")).expect("link");
    container.mount(bind(&volume, "/data", &["subpath=inner/link"]));
    // The link's `/` is the volume's root, not the machine's.
    assert_eq!(container.output(), "good\n");
}

fn tmpfs() {
    let mut container = container(&["sh", "-c", "stat -c %a /t; grep ' /t ' /proc/mounts"]);
    let options = ["nosuid", "noexec", "size=65536", "mode=0700"];
    let mount = MountBuilder::default()
        .typ("tmpfs")
        .source("tmpfs")
        .destination("/t")
        .options(options.map(str::to_owned).to_vec());
    container.mount(mount.build().expect("valid"));
    let text = container.output();
    assert!(text.starts_with("700\n"), "{text}");
    assert!(
        text.contains("nosuid,noexec") && text.contains("size=64k"),
        "{text}"
    );
    let unknown = MountBuilder::default()
        .typ("tmpfs")
        .destination("/u")
        .options(vec!["nonsense=1".to_owned()]);
    container.mount(unknown.build().expect("valid"));
    assert!(container.run().is_err());
}

fn read_only_root() {
    let script = "touch /x || touch /etc/x || touch /dev/shm/fine && echo only there";
    let mut container = container(&["sh", "-c", script]);
    container
        .spec
        .root_mut()
        .as_mut()
        .expect("set")
        .set_readonly(Some(true));
    assert_eq!(container.output(), "only there\n");
}

fn directory_root() {
    let mut container = container(&["/bin/sh", "-c", "exit 3"]);
    container.root = RootMount::Directory {
        path: "/".into(),
        read_only: true,
    };
    let output = container.run().expect("runs");
    assert_eq!(output.exit.code(), 3, "{}", output.stderr);
}

fn layers() {
    let mut container = container(&["sh", "-c", "cat /layer-0 /layer-79"]);
    let RootMount::Overlay(overlay) = &mut container.root else {
        panic!("the fixture makes an overlay");
    };
    let long = "x".repeat(200);
    for number in 0..80 {
        let name = format!("{long},:\\{number}");
        let layer = container.scratch.path().join(&long).join(name);
        std::fs::create_dir_all(&layer).expect("made");
        std::fs::write(layer.join(format!("layer-{number}")), format!("{number}\n"))
            .expect("written");
        overlay.lower.insert(0, layer);
    }
    assert_eq!(container.output(), "0\n79\n");
}

fn old_root() {
    let text = container(&["cat", "/proc/self/mountinfo"]).output();
    let points = text.lines().filter_map(|line| line.split(' ').nth(4));
    let foreign: Vec<_> = points
        .filter(|point| {
            *point != "/"
                && !["/proc", "/dev", "/sys"]
                    .iter()
                    .any(|p| point.starts_with(p))
        })
        .collect();
    assert_eq!(foreign, [""; 0], "{text}");
    let roots = text
        .lines()
        .filter(|line| line.split(' ').nth(4) == Some("/"));
    assert_eq!(roots.count(), 1);
}
