//! Random trees, and the round trips that must keep everything of them.

use super::*;

/// One thing to do to a tree.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    File(Vec<u8>),
    /// Blocks of data and holes.
    Sparse(Vec<bool>),
    Folder(bool),
    Link(String),
    HardLink(usize),
    Whiteout,
    Fifo,
    Device(u32, u32),
}

/// Path, what, mode, owner, time, attribute.
pub(crate) type Planned = (Vec<usize>, Step, u32, u32, i64, Option<Vec<u8>>);

pub(crate) fn steps() -> impl Strategy<Value = Vec<Planned>> {
    let step = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..2000).prop_map(Step::File),
        1 => proptest::collection::vec(any::<bool>(), 1..5).prop_map(Step::Sparse),
        3 => any::<bool>().prop_map(Step::Folder),
        1 => "[a-z/.]{1,150}".prop_map(Step::Link),
        1 => (0_usize..10).prop_map(Step::HardLink),
        1 => Just(Step::Whiteout),
        1 => Just(Step::Fifo),
        1 => (1_u32..300, 0_u32..300).prop_map(|(major, minor)| Step::Device(major, minor)),
    ];
    let path = proptest::collection::vec(0_usize..6, 1..4);
    let attribute = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
    let one = (
        path,
        step,
        0_u32..0o10000,
        prop_oneof![0_u32..70_000, Just(3_000_000)],
        prop_oneof![0_i64..2_000_000_000, Just(-5), Just(9_000_000_000)],
        attribute,
    );
    proptest::collection::vec(one, 0..25)
}

fn name(index: usize) -> String {
    // Short, longer than ustar's field, with blanks, beyond ASCII.
    ["a", "b", "with blank", "ünï", "c", &"long".repeat(30)][index].to_owned()
}

/// A file of large blocks, some of them holes.
fn sparse(path: &Path, blocks: &[bool]) {
    const LENGTH: u64 = 64 << 10;
    let file = fs::File::create(path).unwrap();
    for (number, _) in blocks.iter().enumerate().filter(|(_, data)| **data) {
        let at = number as u64 * LENGTH;
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; LENGTH as usize], at).unwrap();
    }
    file.set_len(blocks.len() as u64 * LENGTH).unwrap();
}

/// Makes a tree.
pub(crate) fn build(root: &Path, steps: &[Planned]) {
    let mut files: Vec<PathBuf> = Vec::new();
    for (path, step, mode, owner, _, attribute) in steps {
        let path = root.join(path.iter().map(|part| name(*part)).collect::<PathBuf>());
        let parent = path.parent().unwrap();
        if fs::symlink_metadata(&path).is_ok() || fs::create_dir_all(parent).is_err() {
            continue;
        }
        match step {
            Step::File(bytes) => {
                fs::write(&path, bytes).unwrap();
                files.push(path.clone());
            }
            Step::Sparse(blocks) => {
                sparse(&path, blocks);
                files.push(path.clone());
            }
            Step::Folder(opaque) => {
                fs::create_dir(&path).unwrap();
                if *opaque {
                    rustix::fs::lsetxattr(
                        &path,
                        crate::sys::overlay::opaque(),
                        b"y",
                        XattrFlags::empty(),
                    )
                    .unwrap();
                }
            }
            Step::Link(target) => symlink(target, &path).unwrap(),
            Step::HardLink(index) => {
                if let Some(target) = files.get(*index) {
                    fs::hard_link(target, &path).unwrap();
                }
                continue;
            }
            Step::Whiteout => {
                rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0)
                    .unwrap();
                continue;
            }
            Step::Fifo => {
                rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
                    .unwrap()
            }
            Step::Device(major, minor) => rustix::fs::mknodat(
                CWD,
                &path,
                FileType::BlockDevice,
                Mode::empty(),
                rustix::fs::makedev(*major, *minor),
            )
            .unwrap(),
        }
        std::os::unix::fs::lchown(&path, Some(*owner), Some(*owner / 2)).unwrap();
        if matches!(step, Step::File(_) | Step::Sparse(_) | Step::Folder(_)) {
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode | 0o500)).unwrap();
            if let Some(value) = attribute {
                rustix::fs::lsetxattr(&path, "user.some", value, XattrFlags::empty()).unwrap();
            }
        }
    }
    // Times last, deepest first: making members changes a directory's.
    let mut paths: Vec<PathBuf> = describe(root)
        .into_keys()
        .map(|path| root.join(path))
        .collect();
    paths.reverse();
    for (index, path) in paths.iter().enumerate() {
        let data = fs::symlink_metadata(path).unwrap();
        if merged::is_deletion(&data) {
            continue;
        }
        let time = Timespec {
            tv_sec: steps[index % steps.len()].4,
            tv_nsec: 0,
        };
        rustix::fs::utimensat(
            CWD,
            path,
            &Timestamps {
                last_access: time,
                last_modification: time,
            },
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }
}

/// A whiteout has no owner or time of its own.
pub(crate) fn without_whiteouts(mut all: BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    for text in all.values_mut() {
        if text.starts_with("20") && text.ends_with(" 0") {
            *text = "whiteout".to_owned();
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_survives_writing_and_unpacking(steps in steps()) {
        let Some(place) = place() else { return Ok(()) };
        let (before, after) = (place.path().join("before"), place.path().join("after"));
        fs::create_dir(&before).unwrap();
        fs::create_dir(&after).unwrap();
        for path in [&before, &after] {
            chown(path, Some(0), Some(0)).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        build(&before, &steps);
        let mut bytes = Vec::new();
        write_tar(&before, &mut bytes, &TarOptions::default()).unwrap();
        let unpacked = unpack(bytes.as_slice(), &after, Limits::default()).unwrap();
        prop_assert_eq!(unpacked.diff_id, Digest::of(&bytes));
        prop_assert_eq!(without_whiteouts(describe(&before)), without_whiteouts(describe(&after)));
        // And the copy's archive is the same, byte for byte: nothing hidden got lost.
        prop_assert_eq!(digest_tree(&after, &TarOptions::default()).unwrap().0, unpacked.diff_id);
    }

    #[test]
    fn arbitrary_archives_never_panic_or_escape(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let Some(place) = place() else { return Ok(()) };
        let root = place.path().join("diff");
        fs::create_dir(&root).unwrap();
        let _ = unpack(bytes.as_slice(), &root, Limits { bytes: 1 << 20, ..Limits::default() });
        prop_assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
