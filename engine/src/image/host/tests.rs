//! The built-in image on this machine.

use std::path::Path;

use crate::image::ImageStore;
use crate::snapshot::View;

/// Says why a test cannot run here.
fn store() -> Option<(tempfile::TempDir, ImageStore)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    // On the file system of the machine's root: an overlay's parts are checked against each other.
    let root = tempfile::Builder::new()
        .prefix("gantry-host-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let store = ImageStore::open(root.path()).unwrap();
    Some((root, store))
}

#[test]
fn secrets_and_the_rest_of_the_machine_do_not_appear() {
    let Some((_root, store)) = store() else {
        return;
    };
    let view = View::open(&store.host().unwrap().lower()).unwrap();
    for hidden in [
        "/etc/shadow",
        "/etc/gshadow",
        "/etc/ssh",
        "/etc/machine-id",
        "/etc/sudoers",
        "/lost+found",
        "/work",
        "/root/.bashrc",
        "/var/lib/dpkg",
        "/home/x",
    ] {
        assert!(view.open_file(hidden).is_err(), "{hidden}");
    }
    let names = |path: &str| -> Vec<String> {
        let directory = rustix::fs::Dir::read_from(view.open_dir(path).unwrap()).unwrap();
        directory
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect()
    };
    for name in names("/") {
        let known = [
            "etc", "usr", "bin", "sbin", "boot", "dev", "home", "media", "mnt", "opt", "proc",
            "root", "run", "srv", "sys", "tmp", "var",
        ];
        assert!(
            known.contains(&name.as_str()) || name.starts_with("lib"),
            "{name}"
        );
    }
    for empty in [
        "/root",
        "/home",
        "/tmp",
        "/opt",
        "/var/log",
        "/var/lib/misc",
        "/dev",
    ] {
        assert_eq!(names(empty), Vec::<String>::new(), "{empty}");
    }
    assert!(
        view.read("/etc/passwd", 1 << 20)
            .unwrap()
            .starts_with(b"root:x:0:0")
    );
    assert!(view.open_file("/bin/sh").is_ok());
    assert_eq!(view.read("/etc/hosts", 10).unwrap(), b"");
}

#[test]
fn a_mask_is_made_once_and_found_again() {
    let Some((root, store)) = store() else { return };
    let first = store.host_base().unwrap();
    let stamp = root.path().join("host/current");
    let made = std::fs::metadata(&stamp).unwrap().modified().unwrap();
    let another = || ImageStore::open(root.path()).unwrap();
    assert_eq!(another().host_base().unwrap(), first);
    let now = std::fs::metadata(&stamp).unwrap().modified().unwrap();
    assert_eq!(now, made, "the mask was not made again");
    // A damaged stamp makes it anew, with the same content and so the same name.
    std::fs::write(&stamp, "x\ny\n").unwrap();
    assert_eq!(another().host_base().unwrap(), first);
    assert!(first.mask.is_dir() && first.lower()[1] == Path::new("/"));
}

#[test]
fn it_cannot_be_named_removed_or_confused_with_the_registrys() {
    let Some((_root, store)) = store() else {
        return;
    };
    let host = store.resolve("host").unwrap();
    assert_eq!(store.resolve(&host.id.to_string()).unwrap().id, host.id);
    assert_eq!(store.resolve(&host.id.short()).unwrap().id, host.id);
    assert!(store.resolve("docker.io/library/host").is_err());
    assert!(store.tag(&host.id, &"x:1".parse().unwrap()).is_err());
    assert!(store.remove("host", true, &Default::default()).is_err());
}
