//! Layers on a real file system: what unpacking makes of archives, and round trips.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::*;

mod over;
mod trees;

pub(crate) use trees::{Planned, Step, build, steps, without_whiteouts};

/// A directory on a file system with `trusted` and `user` attributes; says why there is none.
fn place() -> Option<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    Some(
        tempfile::Builder::new()
            .prefix("gantry-layer-")
            .tempdir_in("/var/tmp")
            .unwrap(),
    )
}

fn entry(path: &str, kind: Kind) -> Entry {
    let mode = if kind == Kind::Directory {
        0o750
    } else {
        0o640
    };
    Entry {
        uid: 7,
        gid: 8,
        ..plain(path, kind, mode, 1_000_000, 0)
    }
}

/// An archive of entries, files with content.
fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, data) in entries {
        writer
            .header(&Entry {
                size: data.len() as u64,
                ..entry.clone()
            })
            .unwrap();
        writer.data(data).unwrap();
        writer.pad(data.len() as u64).unwrap();
    }
    writer.finish().unwrap()
}

fn unpack_into(directory: &Path, entries: &[(Entry, &[u8])]) -> Result<Unpacked, LayerError> {
    fs::create_dir(directory).unwrap();
    unpack(archive(entries).as_slice(), directory, Limits::default())
}

/// Everything that must survive, by path.
pub(crate) fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut links: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut next = vec![PathBuf::new()];
    while let Some(folder) = next.pop() {
        let mut names: Vec<_> = fs::read_dir(root.join(&folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            let path = folder.join(name);
            let full = root.join(&path);
            let data = fs::symlink_metadata(&full).unwrap();
            let mut text = format!(
                "{:o} {}:{} {} {:x}",
                data.mode(),
                data.uid(),
                data.gid(),
                data.mtime(),
                data.rdev()
            );
            if data.is_file() {
                text += &format!(" {:?}", digest::sha256(&fs::read(&full).unwrap()));
                let file = fs::File::open(&full).unwrap();
                text += &format!(" {:?}", holes::segments(&file, data.len()).unwrap());
            }
            if data.is_symlink() {
                text += &format!(" -> {:?}", fs::read_link(&full).unwrap());
            } else if data.is_file() || data.is_dir() {
                text += &format!(
                    " {:?} {}",
                    merged::xattrs(fs::File::open(&full).unwrap()).unwrap(),
                    merged::is_opaque(&full)
                );
            }
            if data.nlink() > 1 && !data.is_dir() {
                // All names of one file, told by the first.
                let first = links.entry(data.ino()).or_insert_with(|| path.clone());
                text += &format!(" = {}", first.display());
            }
            if data.is_dir() {
                next.push(path.clone());
            }
            all.insert(path, text);
        }
        next.sort_by(|a, b| b.cmp(a));
    }
    all
}

mod digest {
    pub fn sha256(bytes: &[u8]) -> crate::content::Digest {
        crate::content::Digest::of(bytes)
    }
}

#[test]
fn chain_ids_are_those_of_the_specification() {
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    assert_eq!(chain_id(None, &a), a);
    assert_eq!(
        chain_id(Some(&a), &b),
        Digest::of(format!("{a} {b}").as_bytes())
    );
}

#[test]
fn whiteouts_take_overlay_form_and_act_on_lower_layers_only() {
    let Some(place) = place() else { return };
    let root = place.path().join("diff");
    let empty: &[u8] = b"";
    unpack_into(
        &root,
        &[
            (entry("d/", Kind::Directory), empty),
            (entry("d/.wh.gone", Kind::File), empty),
            (entry("d/.wh..wh.plnk", Kind::File), empty),
            (entry("o/", Kind::Directory), empty),
            (entry("o/kept", Kind::File), b"x"),
            (entry("o/.wh..wh..opq", Kind::File), empty),
            // Deleted below and made anew here, in both orders.
            (entry(".wh.first", Kind::File), empty),
            (entry("first/", Kind::Directory), empty),
            (entry("second/", Kind::Directory), empty),
            (entry(".wh.second", Kind::File), empty),
            (entry("file", Kind::File), b"y"),
            (entry(".wh.file", Kind::File), empty),
        ],
    )
    .unwrap();
    assert!(merged::is_deletion(
        &fs::symlink_metadata(root.join("d/gone")).unwrap()
    ));
    assert!(!root.join("d/.wh..wh.plnk").exists());
    for opaque in ["o", "first", "second"] {
        assert!(merged::is_opaque(&root.join(opaque)), "{opaque}");
    }
    assert!(!merged::is_opaque(&root.join("d")));
    assert_eq!(fs::read(root.join("file")).unwrap(), b"y");
    assert_eq!(fs::read(root.join("o/kept")).unwrap(), b"x");
}

#[test]
fn ways_out_are_refused_and_leave_nothing_outside() {
    let Some(place) = place() else { return };
    let empty: &[u8] = b"";
    let secret = place.path().join("secret");
    fs::write(&secret, "s").unwrap();
    let up = |path: &str| vec![(entry(path, Kind::File), b"evil".as_slice())];
    let outside = place.path().to_str().unwrap().to_owned();
    let cases: Vec<Vec<(Entry, &[u8])>> = vec![
        up("../evil"),
        up("a/../../evil"),
        vec![(entry("h", Kind::HardLink(b"../secret".to_vec())), empty)],
        vec![(
            entry("h", Kind::HardLink(secret.as_os_str().as_bytes().to_vec())),
            empty,
        )],
        vec![(entry("h", Kind::HardLink(b"missing".to_vec())), empty)],
        vec![
            (entry("d/", Kind::Directory), empty),
            (entry("h", Kind::HardLink(b"d".to_vec())), empty),
        ],
        vec![(entry(".wh.", Kind::File), empty)],
        vec![(entry(".wh...", Kind::File), empty)],
        vec![(entry(".wh.a/b", Kind::File), empty)],
        vec![
            (
                entry("s", Kind::Symlink(outside.clone().into_bytes())),
                empty,
            ),
            (entry("s/evil", Kind::File), b"evil"),
            (entry("x/../y", Kind::File), empty),
        ],
    ];
    for (index, case) in cases.iter().enumerate() {
        assert!(
            unpack_into(&place.path().join(format!("case{index}")), case).is_err(),
            "case {index}"
        );
        assert!(!place.path().join("evil").exists(), "case {index}");
    }
    assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
}

#[test]
fn links_of_the_archive_itself_resolve_inside() {
    let Some(place) = place() else { return };
    let root = place.path().join("diff");
    let empty: &[u8] = b"";
    let lib = vec![
        (entry("usr/lib/", Kind::Directory), empty),
        (entry("lib", Kind::Symlink(b"/usr/lib".to_vec())), empty),
        (entry("lib/x", Kind::File), b"x".as_slice()),
        (entry("up", Kind::Symlink(b"../../..".to_vec())), empty),
        (entry("up/etc/y", Kind::File), b"y"),
        (entry("h", Kind::HardLink(b"lib/x".to_vec())), empty),
    ];
    unpack_into(&root, &lib).unwrap();
    assert_eq!(fs::read(root.join("usr/lib/x")).unwrap(), b"x");
    assert_eq!(fs::read(root.join("etc/y")).unwrap(), b"y");
    assert_eq!(fs::metadata(root.join("h")).unwrap().nlink(), 2);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let Some(place) = place() else { return };
    let root = place.path().join("diff");
    let empty: &[u8] = b"";
    let long = "n".repeat(200);
    let special = Entry {
        mode: 0o4755,
        uid: 3_000_000,
        xattrs: vec![
            (b"user.k".to_vec(), b"v".to_vec()),
            (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
        ],
        ..entry("setuid", Kind::File)
    };
    unpack_into(
        &root,
        &[
            (entry("a/b", Kind::File), b"1"),
            (entry("a", Kind::File), b"2"),
            (entry("a/", Kind::Directory), empty),
            (entry("a/c", Kind::File), b"3"),
            (entry("l", Kind::Symlink(b"a".to_vec())), empty),
            (entry("l", Kind::File), b"4"),
            (special, b"5"),
            (entry(&format!("{long}/{long}"), Kind::File), b"6"),
            (entry("p", Kind::Fifo), empty),
            (entry("z", Kind::Char { major: 1, minor: 5 }), empty),
        ],
    )
    .unwrap();
    assert!(!root.join("a/b").exists());
    assert_eq!(fs::read(root.join("a/c")).unwrap(), b"3");
    assert_eq!(fs::metadata(root.join("a")).unwrap().mtime(), 1_000_000);
    assert_eq!(fs::read(root.join("l")).unwrap(), b"4");
    let data = fs::metadata(root.join("setuid")).unwrap();
    assert_eq!(
        (data.mode() & 0o7777, data.uid(), data.gid()),
        (0o4755, 3_000_000, 8)
    );
    assert_eq!(
        merged::xattrs(fs::File::open(root.join("setuid")).unwrap()).unwrap(),
        [(b"user.k".to_vec(), b"v".to_vec())]
    );
    assert!(root.join(&long).join(&long).exists());
    assert_eq!(
        fs::symlink_metadata(root.join("z")).unwrap().rdev(),
        rustix::fs::makedev(1, 5)
    );
}

#[test]
fn undescribed_parents_look_as_they_do_below() {
    let Some(place) = place() else { return };
    let (lower, upper) = (place.path().join("lower"), place.path().join("upper"));
    let empty: &[u8] = b"";
    unpack_into(
        &lower,
        &[
            (
                Entry {
                    mode: 0o1777,
                    ..entry("tmp/", Kind::Directory)
                },
                empty,
            ),
            (entry("old", Kind::File), empty),
        ],
    )
    .unwrap();
    let unpacked = unpack_into(
        &upper,
        &[
            (entry("tmp/x", Kind::File), empty),
            (entry("new/x", Kind::File), empty),
            (entry(".wh..wh..opq", Kind::File), empty),
        ],
    )
    .unwrap();
    assert_eq!(
        fs::metadata(upper.join("tmp")).unwrap().mode() & 0o7777,
        0o755
    );
    let time = fs::metadata(upper.join("new")).unwrap().mtime();
    assert_eq!(time, 0, "the same whenever it is unpacked");
    fill_implied(&unpacked, &upper, &[lower]).unwrap();
    let data = fs::metadata(upper.join("tmp")).unwrap();
    assert_eq!(
        (data.mode() & 0o7777, data.uid(), data.gid()),
        (0o1777, 7, 8)
    );
    assert_eq!(
        fs::metadata(upper.join("new")).unwrap().mode() & 0o7777,
        0o755
    );
    // An opaque root hides what lies below, name by name.
    assert!(merged::is_deletion(
        &fs::symlink_metadata(upper.join("old")).unwrap()
    ));
    assert!(merged::is_opaque(&upper.join("tmp")));
}

#[test]
fn sparse_files_keep_their_holes() {
    let Some(place) = place() else { return };
    let tar = std::process::Command::new("tar").arg("--version").output();
    if tar.is_err() {
        eprintln!("skipped: no tar program to write sparse archives");
        return;
    }
    let file = fs::File::create(place.path().join("s")).unwrap();
    file.set_len(64 << 20).unwrap();
    rustix::io::pwrite(&file, b"middle", 20 << 20).unwrap();
    for format in ["gnu", "pax"] {
        let output = std::process::Command::new("tar")
            .args(["-C"])
            .arg(place.path())
            .args(["--sparse", "--format", format, "-cf", "-", "s"])
            .output()
            .unwrap();
        assert!(output.stdout.len() < 1 << 20);
        let root = place.path().join(format);
        fs::create_dir(&root).unwrap();
        unpack(output.stdout.as_slice(), &root, Limits::default()).unwrap();
        let data = fs::metadata(root.join("s")).unwrap();
        assert_eq!(data.len(), 64 << 20);
        assert!(data.blocks() * 512 < 1 << 20);
        assert!(fs::read(root.join("s")).unwrap() == fs::read(place.path().join("s")).unwrap());
    }
}

#[test]
fn commit_renames_and_is_idempotent() {
    let Some(place) = place() else { return };
    let store = LayerStore::open(place.path()).unwrap();
    let upper = |name: &str| {
        let path = place.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("f"), "same").unwrap();
        fs::create_dir(path.join("new")).unwrap();
        rustix::fs::lsetxattr(
            path.join("new"),
            crate::sys::overlay::opaque(),
            b"y",
            XattrFlags::empty(),
        )
        .unwrap();
        for file in ["f", "new"] {
            let time = Timespec {
                tv_sec: 5,
                tv_nsec: 0,
            };
            rustix::fs::utimensat(
                CWD,
                path.join(file),
                &Timestamps {
                    last_access: time,
                    last_modification: time,
                },
                rustix::fs::AtFlags::empty(),
            )
            .unwrap();
        }
        path
    };
    let first = store
        .commit(&upper("u1"), None, &[], Kin::None, &|_| Ok(()))
        .unwrap();
    assert!(!place.path().join("u1").exists());
    // Nothing below is hidden by the new directory, so the marker went.
    assert!(!merged::is_opaque(&first.dir.join("new")));
    let again = store
        .commit(&upper("u2"), None, &[], Kin::None, &|_| Ok(()))
        .unwrap();
    assert_eq!(first, again);
    // Over a layer that has the directory, the marker means something.
    let second = store
        .commit(&upper("u3"), Some(&first.chain_id), &[], Kin::None, &|_| {
            Ok(())
        })
        .unwrap();
    assert!(merged::is_opaque(&second.dir.join("new")));
    assert_eq!(
        store.chain(&second.chain_id).unwrap(),
        [first.clone(), second.clone()]
    );
    assert_eq!(
        digest_tree(&second.dir, &TarOptions::default()).unwrap().0,
        second.diff_id
    );
    store.remove(&second.chain_id).unwrap();
    assert!(matches!(
        store.get(&second.chain_id),
        Err(LayerError::NotFound(_))
    ));
    let left: Vec<_> = fs::read_dir(place.path().join("layers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, [std::ffi::OsString::from(first.chain_id.hex())]);
}
