//! Volumes of an NFS server: the kernel's own, in the virtual machine that `tests/vm/run` makes.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use support::Sandbox;

/// The kernel's NFS server, which is the machine's own: started only where nothing else lives.
struct NfsServer {
    mounts: Child,
    export: PathBuf,
}

impl NfsServer {
    /// In the virtual machine that tests make (`tests/vm/run`); `None` elsewhere.
    fn start(export: &Path) -> Option<Self> {
        let words = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        if !words.contains("gantry.dir=") || !Path::new("/usr/sbin/rpc.nfsd").exists() {
            return None;
        }
        let run = |words: &[&str]| {
            let status = Command::new(words[0]).args(&words[1..]).status();
            assert!(status.expect("it runs").success(), "{words:?}");
        };
        run(&["modprobe", "-a", "nfsd", "nfsv4"]);
        run(&["mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd"]);
        let options = "rw,no_root_squash,insecure,no_subtree_check,fsid=0";
        run(&[
            "exportfs",
            "-o",
            options,
            &format!("127.0.0.1:{}", export.display()),
        ]);
        let mounts = Command::new("rpc.mountd")
            .args(["--foreground", "--no-nfs-version", "3"])
            .spawn()
            .expect("rpc.mountd");
        let fds = PathBuf::from(format!("/proc/{}/fd", mounts.id()));
        let listens = support::wait_for(Duration::from_secs(30), || {
            let files = fs::read_dir(&fds).ok()?.flatten();
            let mut names = files.filter_map(|entry| fs::read_link(entry.path()).ok());
            names.find(|name| name.ends_with("nfsd.export/channel"))
        });
        assert!(listens.is_some(), "rpc.mountd");
        run(&["rpc.nfsd", "--no-nfs-version", "3", "2"]);
        // Nobody has anything to reclaim.
        fs::write("/proc/fs/nfsd/v4_end_grace", "Y").expect("no grace");
        Some(Self {
            mounts,
            export: export.to_owned(),
        })
    }
}

impl Drop for NfsServer {
    fn drop(&mut self) {
        let run = |words: &[&str]| Command::new(words[0]).args(&words[1..]).status();
        let _ = run(&[
            "exportfs",
            "-u",
            &format!("127.0.0.1:{}", self.export.display()),
        ]);
        let _ = run(&["rpc.nfsd", "0"]);
        let _ = self.mounts.kill();
        let _ = self.mounts.wait();
        let _ = run(&["umount", "/proc/fs/nfsd"]);
    }
}

#[test]
fn an_nfs_volume_is_the_servers_directory() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let export = sandbox.project().join("export");
    fs::create_dir(&export).expect("a directory");
    fs::write(export.join("theirs"), "from the server\n").expect("a file");
    let Some(server) = NfsServer::start(&export) else {
        eprintln!("skipped: the NFS server of a machine is started only in the virtual one");
        return;
    };
    let create = |name: &str, device: &str| {
        let device = format!("device={device}");
        let words = [
            "volume",
            "create",
            name,
            "-o",
            "type=nfs",
            "-o",
            "o=addr=127.0.0.1,vers=4.2,rw",
        ];
        sandbox.ok(&[&words[..], &["-o", &device]].concat());
    };
    create("share", ":/");
    let script = "cat /data/theirs; echo from inside >/data/ours; stat -f -c %T /data";
    let run = sandbox.run_in_new(&["-v", "share:/data"], &["sh", "-c", script]);
    assert_eq!(run.expect_code(0).stdout(), "from the server\nnfs\n");
    let written = fs::read_to_string(export.join("ours")).expect("it is there");
    assert_eq!(written, "from inside\n");
    // It is mounted by the container, and so by nobody afterwards.
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(" nfs4 "), "{mounts}");
    create("wrong", ":/nowhere");
    let run = sandbox.run_in_new(&["-v", "wrong:/data"], &["true"]);
    run.expect_code(125).expect_stderr(&["/data", "nowhere"]);
    drop(server);
    sandbox.ok(&["volume", "rm", "share", "wrong"]);
    sandbox.finish();
}
