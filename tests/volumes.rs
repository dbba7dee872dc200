//! Volumes by themselves: archives of their content, and file systems behind them.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::Sandbox;

fn data(sandbox: &Sandbox, volume: &str) -> PathBuf {
    sandbox.root().join("volumes").join(volume).join("_data")
}

/// All that an archive should keep of a file.
fn looks(path: &Path) -> (u32, u32, u32, u64, u64, i64, i64, Option<Vec<u8>>) {
    let meta = fs::symlink_metadata(path).expect("it is there");
    let mut value = vec![0; 64];
    let attribute = rustix::fs::lgetxattr(path, "user.note", value.as_mut_slice())
        .ok()
        .map(|length| value[..length].to_vec());
    (
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.nlink(),
        meta.rdev(),
        meta.mtime(),
        meta.mtime_nsec(),
        attribute,
    )
}

#[test]
fn a_volume_comes_back_from_its_archive_as_it_was() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.ok(&["volume", "create", "data"]);
    let from = data(&sandbox, "data");
    fs::create_dir(from.join("sub")).expect("a directory");
    fs::write(from.join("sub/file"), "content").expect("a file");
    fs::hard_link(from.join("sub/file"), from.join("again")).expect("a hard link");
    symlink("/etc/passwd", from.join("link")).expect("a symbolic link");
    fs::write(from.join(".wh.kept"), "no whiteout").expect("a file");
    let nothing = rustix::fs::makedev(0, 0);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        from.join("device"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o600),
        nothing,
    )
    .expect("a device that would mean a deletion in a layer");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(from.join("sub/file"), "user.note", b"hello", flags).expect("attribute");
    chown(from.join("sub/file"), Some(70), Some(71)).expect("an owner");
    let mode = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(from.join("sub/file"), mode(0o4750)).expect("a mode");
    chown(&from, Some(999), Some(998)).expect("an owner");
    fs::set_permissions(&from, mode(0o700)).expect("a mode");

    sandbox.ok(&["volume", "export", "-o", "data.tar", "data"]);
    sandbox.ok(&["volume", "import", "copy", "data.tar"]);
    // One that exists is as good as a new one; one that cannot be filled is not made.
    let again = sandbox.ok(&["volume", "create", "copy"]).stdout();
    assert_eq!(again, "copy\n");
    sandbox.write("junk.tar", "junk");
    let junk = ["volume", "import", "junk", "junk.tar"];
    sandbox.run(&junk).expect_code(1);
    let names = sandbox.ok(&["volume", "ls", "-q"]).stdout();
    assert!(!names.contains("junk"), "{names}");
    let to = data(&sandbox, "copy");
    for name in ["", "sub", "sub/file", "again", "link", ".wh.kept", "device"] {
        assert_eq!(looks(&to.join(name)), looks(&from.join(name)), "{name}");
    }
    assert_eq!(fs::read(to.join("again")).expect("content"), b"content");
    assert_eq!(
        fs::read_link(to.join("link")).expect("link"),
        Path::new("/etc/passwd")
    );
    // The same content is the same archive.
    sandbox.ok(&["volume", "export", "-o", "copy.tar", "copy"]);
    let archive = |name: &str| fs::read(sandbox.project().join(name)).expect("an archive");
    assert_eq!(archive("data.tar"), archive("copy.tar"));
    sandbox.finish();
}

/// `one.tar`, which holds `new`, and the volume `two`, which holds `old`.
fn archive_and_volume() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ok(&["volume", "create", "one"]);
    fs::write(data(&sandbox, "one").join("new"), "new").expect("a file");
    sandbox.ok(&["volume", "export", "-o", "one.tar", "one"]);
    sandbox.ok(&["volume", "create", "two"]);
    fs::write(data(&sandbox, "two").join("old"), "old").expect("a file");
    sandbox
}

#[test]
fn an_archive_changes_a_volume_as_a_whole_or_not_at_all() {
    need_kernel!();
    let sandbox = archive_and_volume();
    let old = data(&sandbox, "two").join("old");

    sandbox
        .run(&["volume", "import", "two", "one.tar"])
        .expect_code(1)
        .expect_stderr(&["`two` is not empty", "--replace"]);
    let whole = fs::read(sandbox.project().join("one.tar")).expect("an archive");
    // Cut anywhere, between two members too.
    for length in (0..whole.len() - 512).step_by(256) {
        fs::write(sandbox.project().join("part.tar"), &whole[..length]).expect("a part of it");
        sandbox
            .run(&["volume", "import", "--replace", "two", "part.tar"])
            .expect_code(1)
            .expect_stderr(&["volume `two`", "damaged"]);
        assert!(old.exists());
    }

    let mounted = "type=volume,source=two,target=/data";
    sandbox.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "user",
        "--network",
        "none",
        "--mount",
        mounted,
        "host",
        "sleep",
        "1000",
    ]);
    sandbox
        .run(&["volume", "import", "--replace", "two", "one.tar"])
        .expect_code(1)
        .expect_stderr(&["`two` is in use by user"]);
    sandbox
        .run(&["volume", "export", "two", "-o", "two.tar"])
        .expect_code(0)
        .expect_stderr(&["in use by user"]);
    sandbox.ok(&["container", "stop", "-t", "0", "user"]);
    sandbox.ok(&["volume", "import", "--replace", "two", "one.tar"]);
    assert!(!old.exists());
    // The container that was stopped sees the new content.
    sandbox.ok(&["container", "start", "user"]);
    sandbox
        .ok(&["container", "exec", "user", "ls", "/data"])
        .expect_stdout(&["new\n"]);
    sandbox.ok(&["container", "rm", "-f", "user"]);

    // What only a container can reach, and what is not the engine's.
    sandbox.ok(&[
        "volume",
        "create",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "memory",
    ]);
    sandbox
        .run(&["volume", "export", "memory", "-o", "x.tar"])
        .expect_code(1)
        .expect_stderr(&["`memory`", "container cp"]);
    let device = format!("device={}", sandbox.project().display());
    sandbox.ok(&[
        "volume",
        "create",
        "-o",
        "type=none",
        "-o",
        "o=bind",
        "-o",
        &device,
        "bound",
    ]);
    sandbox
        .run(&["volume", "import", "bound", "one.tar"])
        .expect_code(1)
        .expect_stderr(&["`bound`", "unpack the archive there"]);
    sandbox.finish();
}

/// Killed between the exchange and the cleaning up, the new content is there and the next import works.
#[test]
fn an_import_that_is_killed_leaves_one_of_both() {
    need_kernel!();
    let sandbox = archive_and_volume();
    let import = ["volume", "import", "--replace", "two", "one.tar"];
    let token = sandbox.project().join("token");
    fs::write(&token, "").expect("a token");
    let killed = sandbox
        .command(&import)
        .env("GANTRY_CRASH_AT", "volume.replaced")
        .env("GANTRY_CRASH_TOKEN", &token)
        .output()
        .expect("the command");
    assert!(!killed.status.success() && !token.exists());
    assert!(data(&sandbox, "two").join("new").exists());
    sandbox.ok(&import);
    sandbox.ok(&["volume", "rm", "two"]);
    sandbox.finish();
}

/// A block device made of a file, gone at the end.
struct Loop(String);

impl Loop {
    /// `None` where the machine has none to give.
    fn of(image: &Path) -> Option<Self> {
        let made = Command::new("losetup")
            .args(["-f", "--show"])
            .arg(image)
            .output()
            .ok()?;
        let name = String::from_utf8(made.stdout).ok()?;
        made.status.success().then(|| Self(name.trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
fn a_file_system_on_a_device_is_mounted_by_who_uses_it() {
    need_kernel!();
    need_program!("mkfs.ext4", "losetup");
    let sandbox = Sandbox::new();
    let image = sandbox.project().join("disk");
    fs::File::create(&image)
        .and_then(|file| file.set_len(8 << 20))
        .expect("a file");
    let made = Command::new("mkfs.ext4").arg("-q").arg(&image).status();
    assert!(made.expect("mkfs.ext4").success());
    let Some(disk) = Loop::of(&image) else {
        eprintln!("skipped: this machine has no loop devices");
        return;
    };
    let device = format!("device={}", disk.0);
    sandbox.write(
        "compose.yaml",
        &format!(
            "services:\n  web:\n    image: host\n    network_mode: none\n    command: sh -c 'echo kept > /data/file; grep /data /proc/mounts'\n    volumes: [\"disk:/data\"]\nvolumes:\n  disk:\n    driver_opts: {{type: ext4, o: noatime, device: {}}}\n",
            disk.0
        ),
    );
    sandbox
        .ok(&["up", "--no-log-prefix"])
        .expect_stdout(&["ext4", "noatime"]);
    // The content of a stopped container's volume is reached too, and the device is nobody's then.
    sandbox.ok(&["cp", "web:/data/file", "file"]);
    assert_eq!(
        fs::read(sandbox.project().join("file")).expect("a file"),
        b"kept\n"
    );
    let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
    assert!(!mounts.contains(&disk.0), "{mounts}");
    sandbox.ok(&["down", "-v"]);
    sandbox.ok(&[
        "volume",
        "create",
        "-o",
        "type=ext4",
        "-o",
        &device,
        "-o",
        "o=ro",
        "closed",
    ]);
    let write = [
        "container",
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        "closed:/data",
        "host",
        "touch",
        "/data/x",
    ];
    sandbox
        .run(&write)
        .expect_code(1)
        .expect_stderr(&["Read-only"]);
    drop(disk);
    sandbox.finish();
}

#[test]
fn a_file_system_that_cannot_be_mounted_says_what_the_kernel_says() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let refused = |options: &[&str], texts: &[&str]| {
        let mut create = vec!["volume", "create", "vol"];
        options
            .iter()
            .for_each(|option| create.extend(["-o", option]));
        sandbox.ok(&create);
        let run = [
            "container",
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            "vol:/data",
            "host",
            "true",
        ];
        sandbox.run(&run).expect_code(125).expect_stderr(texts);
        sandbox.ok(&["volume", "rm", "vol"]);
    };
    refused(
        &["type=nosuchfs", "device=x"],
        &["/data", "nosuchfs", "this kernel has no such file system"],
    );
    refused(
        &["type=tmpfs", "device=tmpfs", "o=colour=red"],
        &["/data", "Unknown parameter 'colour'"],
    );
    refused(
        &["type=nfs", "device=:/x", "o=addr=nowhere.invalid"],
        &["`nowhere.invalid`", "no address"],
    );
    sandbox.finish();
}

/// A mount whose ids are mapped, of files of the one user into a container of the other.
#[test]
fn files_written_into_an_id_mapped_bind_belong_to_the_owner_of_the_directory() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let dir = sandbox.project().join("src");
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("old"), "x").expect("a file");
    for path in [&dir, &dir.join("old")] {
        chown(path, Some(4321), Some(8765)).expect("an owner");
    }
    let owner = |name: &str| {
        let meta = fs::metadata(dir.join(name)).expect("a file");
        (meta.uid(), meta.gid())
    };
    let script = "stat -c %u:%g /src/old; touch /src/$1; stat -c %u:%g /src/$1";
    let mapped = format!("{}:/src:idmap", dir.display());
    let as_mount = format!("type=bind,source={},target=/src,idmap", dir.display());
    let run = ["container", "run", "--rm", "--network", "none"];
    for (flags, name, seen) in [
        (&["-v", &mapped][..], "root", "0:0"),
        (&["--mount", &as_mount, "-u", "1:2"], "other", "1:2"),
        (&["-v", &mapped, "-u", "4321:8765"], "same", "4321:8765"),
    ] {
        let args = [&run[..], flags, &["host", "sh", "-c", script, "sh", name]].concat();
        assert_eq!(sandbox.ok(&args).stdout(), format!("{seen}\n{seen}\n"));
        assert_eq!(owner(name), (4321, 8765), "{name}");
    }
    // The same in a Compose file, in both of its forms; Docker Compose passes over it.
    sandbox.write(
        "compose.yaml",
        "services:
  short:
    image: host
    network_mode: none
    volumes: [\"./src:/src:idmap\"]
    command: touch /src/short
  long:
    image: host
    network_mode: none
    volumes: [{type: bind, source: ./src, target: /src, x-gantry: {idmap: true}}]
    command: touch /src/long
",
    );
    sandbox.ok(&["up"]);
    assert_eq!(
        (owner("short"), owner("long")),
        ((4321, 8765), (4321, 8765))
    );
    sandbox.ok(&["config"]).expect_stdout(&["idmap: true"]);
    sandbox.ok(&["down"]);
    sandbox
        .run(&[&run[..], &["-v", "/proc:/src:idmap", "host", "true"]].concat())
        .expect_code(125)
        .expect_stderr(&["/src", "its file system may not be able to"]);
    sandbox.finish();
}

/// An image of one layer, of several, and the machine's own; whole, and a directory or file of it.
#[test]
fn images_are_mounted_whole_and_in_part() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("one/d/e/file", "one layer");
    sandbox.write("one/Dockerfile", "FROM scratch\nCOPY d /d\n");
    sandbox.write("two/file", "two layers");
    sandbox.write("two/Dockerfile", "FROM one\nCOPY file /d/e/other\n");
    for name in ["one", "two"] {
        sandbox.ok(&["image", "build", "-q", "-t", name, name]);
    }
    let run = |mount: &str, path: &str| {
        let mount = format!("type=image,target=/x,source={mount}");
        let args = [
            "container",
            "run",
            "--rm",
            "--network",
            "none",
            "--mount",
            &mount,
            "host",
            "cat",
            path,
        ];
        sandbox.run(&args)
    };
    for (mount, path, text) in [
        ("one", "/x/d/e/file", "one layer"),
        ("two", "/x/d/e/other", "two layers"),
        ("one,image-subpath=d/e", "/x/file", "one layer"),
        ("two,image-subpath=d/e", "/x/file", "one layer"),
        ("two,image-subpath=d/e/other", "/x", "two layers"),
        ("host,image-subpath=usr", "/x/bin/true", ""),
    ] {
        run(mount, path).expect_code(0).expect_stdout(&[text]);
    }
    run("two,image-subpath=d/none", "/x")
        .expect_code(125)
        .expect_stderr(&["cannot find `d/none`"]);
    run("two,image-subpath=../../../etc", "/x/passwd").expect_code(125);
    sandbox.finish();
}

/// In a mount namespace of its own, a directory with a mount of its own below it.
fn with_mounts(sandbox: &Sandbox, script: &str) -> (String, String) {
    fs::create_dir_all(sandbox.project().join("d")).expect("a directory");
    let setup = "set -e; mount -t tmpfs none d; mkdir d/below; mount -t tmpfs none d/below";
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg(format!("{setup}; set +e; {script}"))
        .env("GANTRY", env!("CARGO_BIN_EXE_gantry"))
        .env("GANTRY_ROOT", sandbox.root())
        .current_dir(sandbox.project())
        .output()
        .expect("unshare runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr))
}

const RUN: &str = "$GANTRY container run --rm --network none";

#[test]
fn mounts_travel_only_from_where_they_may() {
    need_kernel!();
    let sandbox = Sandbox::new();
    for word in ["rshared", "rslave"] {
        let script = format!("{RUN} -v $PWD/d:/d:{word} host true");
        let (_, stderr) = with_mounts(&sandbox, &script);
        assert!(stderr.contains("--make-rshared"), "{word}: {stderr}");
        let script = format!("mount --make-rshared d; {RUN} -v $PWD/d:/d:{word} host echo ran");
        assert_eq!(with_mounts(&sandbox, &script).0, "ran\n", "{word}");
    }
    sandbox.finish();
}

#[test]
fn a_read_only_bind_is_so_to_the_bottom_unless_asked() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let write =
        "touch /d/x 2>/dev/null || echo refused; touch /d/below/x 2>/dev/null || echo refused";
    for (option, refused) in [
        ("readonly", 2),
        ("readonly,bind-recursive=readonly", 2),
        ("readonly,bind-recursive=writable", 1),
        ("bind-recursive=writable", 0),
    ] {
        let mount = format!("type=bind,source=$PWD/d,target=/d,{option}");
        let script = format!("{RUN} --mount {mount} host sh -c '{write}'");
        let (stdout, stderr) = with_mounts(&sandbox, &script);
        assert_eq!(
            stdout.lines().count(),
            refused,
            "{option}: {stdout}{stderr}"
        );
        assert_eq!(stderr, "", "{option}");
    }
    sandbox.finish();
}

#[test]
fn a_file_for_a_directory_is_named_with_its_source() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("dir/file", "text");
    let path = |name: &str| sandbox.project().join(name).display().to_string();
    let (dir, file) = (path("dir"), path("dir/file"));
    for (bind, part) in [
        (
            format!("{file}:/etc"),
            "a file cannot be mounted over a directory",
        ),
        (
            format!("{dir}:/etc/passwd"),
            "a directory cannot be mounted over a file",
        ),
    ] {
        let run = sandbox.run_in_new(&["-v", &bind], &["true"]);
        let source = bind.split(':').next().unwrap_or_default();
        run.expect_code(125).expect_stderr(&[part, source]);
    }
    sandbox.finish();
}
