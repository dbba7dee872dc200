//! A bundle whose root shows this machine's programs, and the executable that runs it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Run, Sandbox, wait_for};

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The container's id in every test.
pub const ID: &str = "one";

/// A bundle of one test's own.
pub struct Bundle {
    pub sandbox: Sandbox,
    pub dir: PathBuf,
    /// Written to `config.json` by every [`Bundle::oci`].
    pub config: Value,
}

impl Bundle {
    /// With this program.
    pub fn new(args: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let dir = sandbox.project().join("bundle");
        let rootfs = dir.join("rootfs");
        for name in ["etc", "work", "tmp"] {
            fs::create_dir_all(rootfs.join(name)).expect("root");
        }
        let mut mounts = vec![
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
            json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "ptmxmode=0666", "mode=0620"]}),
        ];
        // The machine's programs, in the places where it has them.
        for name in ["usr", "bin", "sbin", "lib", "lib64"] {
            let path = Path::new("/").join(name);
            match fs::read_link(&path) {
                Ok(target) => symlink(target, rootfs.join(name)).expect("link"),
                Err(_) if path.exists() => mounts.push(json!({
                    "destination": path, "source": path, "options": ["rbind", "ro"]
                })),
                Err(_) => {}
            }
        }
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "hostname": "inside",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": args,
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "cwd": "/",
            },
            "mounts": mounts,
            "linux": {
                "namespaces": [
                    {"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"},
                ],
            },
            "annotations": {"com.example.key": "value"},
        });
        Self {
            sandbox,
            dir,
            config,
        }
    }

    /// With a shell script.
    pub fn script(text: &str) -> Self {
        Self::new(&["sh", "-c", text])
    }

    /// Adds to or changes the configuration: members of `change` replace those of the same path.
    pub fn change(&mut self, change: Value) -> &mut Self {
        merge(&mut self.config, change);
        self
    }

    /// Adds a mount.
    pub fn mount(&mut self, mount: Value) {
        let mounts = self.config["mounts"].as_array_mut().expect("a list");
        mounts.push(mount);
    }

    /// A file of the root.
    pub fn root(&self, path: &str) -> PathBuf {
        self.dir.join("rootfs").join(path)
    }

    /// The executable with an operation, in the bundle.
    pub fn command(&self, args: &[&str]) -> Command {
        let text = serde_json::to_string_pretty(&self.config).expect("JSON");
        fs::write(self.dir.join("config.json"), text).expect("config");
        let mut command = self.sandbox.command(&["oci"]);
        command.args(args).current_dir(&self.dir);
        command
    }

    /// Does an operation. Its output goes to files: a container that lives on would keep pipes open.
    pub fn oci(&self, args: &[&str]) -> Run {
        let (stdout, stderr) = (self.dir.join("stdout"), self.dir.join("stderr"));
        // A new file each time: a container of an earlier command still writes into that one's.
        let open = |path: &Path| {
            let _ = fs::remove_file(path);
            fs::File::create(path).expect("a file for output")
        };
        let status = self
            .command(args)
            .stdout(open(&stdout))
            .stderr(open(&stderr))
            .status()
            .expect("the executable starts");
        let read = |path: &Path| fs::read(path).expect("output");
        let output = std::process::Output {
            status,
            stdout: read(&stdout),
            stderr: read(&stderr),
        };
        Run::of(args, output)
    }

    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Run {
        self.oci(args).expect_code(0)
    }

    /// What the whole life of a container prints.
    #[track_caller]
    pub fn run(&self) -> String {
        self.ok(&["run", ID]).stdout()
    }

    /// The state of the container.
    #[track_caller]
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.ok(&["state", ID]).stdout()).expect("JSON")
    }

    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("text").to_owned()
    }

    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.state()["pid"].as_i64().expect("a process") as i32
    }

    #[track_caller]
    pub fn await_status(&self, wanted: &str) {
        let found = wait_for(LIMIT, || (self.status() == wanted).then_some(()));
        assert!(found.is_some(), "{} instead of {wanted}", self.status());
    }

    /// Cgroups of this test's containers.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let mark = format!("-{ID}");
        let hierarchies = fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten();
        let own = self.cgroup_mark();
        hierarchies
            .map(|entry| entry.path())
            .chain([PathBuf::from("/sys/fs/cgroup")])
            .flat_map(|place| fs::read_dir(place.join("gantry-oci")).into_iter().flatten())
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().ends_with(&mark))
            .filter(|path| path.to_string_lossy().contains(&own))
            .collect()
    }

    /// What the cgroups of this sandbox have in their names.
    fn cgroup_mark(&self) -> String {
        use sha2::{Digest as _, Sha256};
        let dir = self.sandbox.root().join("run/oci").join(ID);
        let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
        digest[..4].iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Deletes what is there, and expects that nothing is left.
    #[track_caller]
    pub fn finish(self) {
        self.ok(&["delete", "--force", ID]);
        self.assert_clean();
        self.sandbox.expect_nothing_left();
    }

    /// No state, no cgroup.
    #[track_caller]
    pub fn assert_clean(&self) {
        let state = self.sandbox.root().join("run/oci");
        let left: Vec<PathBuf> = fs::read_dir(state)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .chain(self.cgroups())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.oci(&["delete", "--force", ID]);
        }
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
