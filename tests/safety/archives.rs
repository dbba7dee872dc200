//! Archives that try to leave the place where they are unpacked: as a layer, by `ADD`, `cp` and `volume import`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::support::{Run, Sandbox};
use crate::{names, until_up};

/// A member: its type, its name, what it links to, its content.
type Member = (EntryType, String, String, &'static [u8]);

fn archive(members: &[Member]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (kind, name, link, content) in members {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // As they are: the safe calls would refuse the hostile ones.
        assert!(name.len() <= 100 && link.len() <= 100, "{name} {link}");
        let bytes = header.as_mut_bytes();
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        archive.append(&header, *content).expect("a member");
    }
    archive.into_inner().expect("an archive")
}

/// A directory that nobody here has any business in.
struct Outside {
    dir: PathBuf,
}

impl Outside {
    fn new(sandbox: &Sandbox) -> Self {
        let dir = sandbox.project().join("outside");
        fs::create_dir(&dir).expect("folder");
        fs::write(dir.join("secret"), "untouched").expect("file");
        fs::create_dir(dir.join("kept")).expect("folder");
        fs::write(dir.join("kept/file"), "untouched").expect("file");
        Self { dir }
    }

    /// Ways to get there, each an archive.
    fn ways(&self) -> Vec<(&'static str, Vec<u8>)> {
        let dir = self.dir.display().to_string();
        let up = "../".repeat(12) + dir.trim_start_matches('/');
        let file = |name: &str| {
            (
                EntryType::Regular,
                name.to_owned(),
                String::new(),
                &b"written"[..],
            )
        };
        let link = |kind, name: &str, to: &str| (kind, name.to_owned(), to.to_owned(), &b""[..]);
        let (soft, hard) = (EntryType::Symlink, EntryType::Link);
        let way = || link(soft, "way", &dir);
        vec![
            ("a path upwards", archive(&[file(&format!("{up}/made"))])),
            ("an absolute path", archive(&[file(&format!("{dir}/made"))])),
            ("through a link", archive(&[way(), file("way/made")])),
            (
                "through a link upwards",
                archive(&[link(soft, "way", &up), file("way/made")]),
            ),
            (
                "over a link",
                archive(&[link(soft, "way", &format!("{dir}/secret")), file("way")]),
            ),
            (
                "a hard link",
                archive(&[link(hard, "stolen", &format!("{dir}/secret"))]),
            ),
            (
                "a hard link upwards",
                archive(&[link(hard, "stolen", &format!("{up}/secret"))]),
            ),
            (
                "a hard link through a link",
                archive(&[way(), link(hard, "stolen", "way/secret")]),
            ),
            (
                "a hard link to a link",
                archive(&[
                    link(soft, "one", &format!("{dir}/secret")),
                    link(hard, "stolen", "one"),
                    file("stolen"),
                ]),
            ),
            (
                "a whiteout",
                archive(&[way(), file("way/.wh.secret"), file("way/kept/.wh.file")]),
            ),
            (
                "an opaque whiteout",
                archive(&[way(), file("way/.wh..wh..opq")]),
            ),
            (
                "a whiteout upwards",
                archive(&[file(&format!("{up}/.wh.secret"))]),
            ),
            (
                "a whiteout of ..",
                archive(&[way(), file("way/.wh..."), file(".wh..")]),
            ),
            (
                "a directory's mode",
                archive(&[
                    way(),
                    (EntryType::Directory, "way/".to_owned(), String::new(), b""),
                ]),
            ),
        ]
    }

    /// Nothing was made, removed or changed.
    #[track_caller]
    fn expect_untouched(&self, what: &str) {
        assert_eq!(names(&self.dir), ["kept", "secret"], "{what}");
        for file in ["secret", "kept/file"] {
            let text = fs::read_to_string(self.dir.join(file)).expect("there");
            assert_eq!(text, "untouched", "{what}");
        }
        use std::os::unix::fs::MetadataExt as _;
        let stat = |path: &Path| fs::metadata(path).expect("there");
        assert_eq!(stat(&self.dir.join("secret")).nlink(), 1, "{what}");
        assert_eq!(stat(&self.dir).mode() & 0o777, 0o755, "{what}");
    }
}

/// Tries every way with this unpacker; it may refuse, and say so.
fn try_all(sandbox: &Sandbox, outside: &Outside, unpack: impl Fn(&Path) -> Run) {
    let file = sandbox.project().join("evil.tar");
    for (what, bytes) in outside.ways() {
        fs::write(&file, bytes).expect("archive");
        let run = unpack(&file).expect_stderr(&[]);
        assert!(
            !run.stdout().contains("untouched"),
            "{what}: {}",
            run.stdout()
        );
        outside.expect_untouched(what);
    }
}

#[test]
fn a_layer_stays_in_its_place() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let outside = Outside::new(&sandbox);
    try_all(&sandbox, &outside, |file| {
        let file = file.display().to_string();
        sandbox.run(&["image", "import", &file, "evil"])
    });
    sandbox.finish();
}

#[test]
fn an_added_archive_stays_in_its_place() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let outside = Outside::new(&sandbox);
    // The mask of what the machine's own files are is not in the way: what is read is said.
    sandbox.write(
        "Dockerfile",
        "FROM host\nADD evil.tar /in/\nRUN for f in $(find /in -links +1 -type f); do cat $f; done\n",
    );
    sandbox.write(".dockerignore", "outside\n");
    try_all(&sandbox, &outside, |_| {
        sandbox.run(&["image", "build", "--progress", "plain", "-t", "evil", "."])
    });
    sandbox.finish();
}

#[test]
fn a_copied_archive_stays_in_its_container() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let outside = Outside::new(&sandbox);
    // The container has such links of its own, too.
    let script = format!(
        "mkdir /work; ln -s {0} /work/way; ln -s {0} /way; echo up; exec sleep 60",
        outside.dir.display()
    );
    until_up(&sandbox, &["-v", "data:/data"], &["sh", "-c", &script]);
    for target in ["one:/work", "one:/data", "one:/way"] {
        try_all(&sandbox, &outside, |file| {
            let input = fs::File::open(file).expect("opens");
            let args = ["container", "cp", "-", target];
            let output = sandbox.command(&args).stdin(input).output();
            Run::of(&args, output.expect("starts"))
        });
    }
    sandbox.finish();
}

#[test]
fn an_imported_volume_stays_in_its_place() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let outside = Outside::new(&sandbox);
    sandbox.ok(&["volume", "create", "data"]);
    let content = sandbox.root().join("volumes/data/_data");
    try_all(&sandbox, &outside, |file| {
        // One that a container has prepared.
        let _ = symlink(&outside.dir, content.join("way"));
        let file = file.display().to_string();
        sandbox.run(&["volume", "import", "--replace", "data", &file])
    });
    sandbox.finish();
}
