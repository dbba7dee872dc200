//! A layer over another one: its digest goes on where that one's stood.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use super::place;
use crate::layer::checkpoints::Checkpoints;
use crate::layer::digest::digest_merged;
use crate::layer::{TarOptions, merged};

/// What a layer made over another one does to a path of it.
#[derive(Clone, Copy, Debug)]
enum Change {
    Content,
    Mode,
    Touch,
    Delete,
    Add,
    Opaque,
}

fn change() -> impl Strategy<Value = (usize, Change)> {
    use Change::{Add, Content, Delete, Mode, Opaque, Touch};
    let what = prop::sample::select(vec![Content, Mode, Touch, Delete, Add, Opaque]);
    (0..27_usize, what)
}

/// The directories of a path in an upper tree, as overlayfs copies them up.
fn copy_up(upper: &Path, lower: &Path, path: &Path) {
    for directory in path.ancestors().skip(1).collect::<Vec<_>>().iter().rev() {
        let to = upper.join(directory);
        if !directory.as_os_str().is_empty() && !to.exists() {
            fs::create_dir(&to).unwrap();
            merged::copy_attributes(&lower.join(directory), &to).unwrap();
        }
    }
}

fn change_one(upper: &Path, lower: &Path, path: &Path, change: Change) {
    copy_up(upper, lower, path);
    let parent = upper.join(path.parent().unwrap());
    let time = fs::metadata(&parent).unwrap().modified().unwrap();
    let file = upper.join(path);
    if file.exists() || fs::symlink_metadata(&file).is_ok() {
        return;
    }
    match change {
        Change::Content => fs::write(&file, "changed").unwrap(),
        Change::Mode => {
            fs::copy(lower.join(path), &file).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Change::Touch => return,
        Change::Delete => {
            let mode = Mode::empty();
            rustix::fs::mknodat(CWD, &file, FileType::CharacterDevice, mode, 0).unwrap();
        }
        Change::Add => fs::write(file.with_extension("new"), "new").unwrap(),
        Change::Opaque => {
            let flags = XattrFlags::empty();
            rustix::fs::setxattr(&parent, crate::sys::overlay::opaque(), b"y", flags).unwrap();
        }
    }
    // The time of a directory is its source's again.
    fs::File::open(&parent).unwrap().set_modified(time).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_digest_that_goes_on_from_a_checkpoint_is_that_of_all(
        changes in prop::collection::vec(change(), 0..4),
        more in prop::collection::vec(change(), 0..3),
    ) {
        let Some(place) = place() else { return Ok(()) };
        let (lower, upper) = (place.path().join("lower"), place.path().join("upper"));
        let mut paths = Vec::new();
        for number in 0..27 {
            let (a, b, c) = (number / 9, number / 3 % 3, number % 3);
            let path = PathBuf::from(format!("a{a}/b{b}/c{c}"));
            fs::create_dir_all(lower.join(&path).parent().unwrap()).unwrap();
            fs::write(lower.join(&path), vec![b'x'; number * 300]).unwrap();
            paths.push(path);
        }
        fs::hard_link(lower.join("a0/b0/c0"), lower.join("a2/link")).unwrap();
        fs::create_dir(&upper).unwrap();
        for (number, change) in &changes {
            change_one(&upper, &lower, &paths[*number], *change);
        }
        let options = TarOptions::default();
        let mut known = Checkpoints::default();
        digest_merged(&[&lower], &options, &mut known).unwrap();
        let whole = |upper: &Path| {
            digest_merged(&[upper, &lower], &options, &mut Checkpoints::default()).unwrap()
        };
        let directories = [&upper, &lower];
        prop_assert_eq!(digest_merged(&directories, &options, &mut known).unwrap(), whole(&upper));
        // The next one goes on from what this one was.
        let second = place.path().join("second");
        fs::create_dir(&second).unwrap();
        for (number, change) in changes.iter().chain(&more) {
            change_one(&second, &lower, &paths[*number], *change);
        }
        let directories = [&second, &lower];
        prop_assert_eq!(digest_merged(&directories, &options, &mut known).unwrap(), whole(&second));
    }
}
