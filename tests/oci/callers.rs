//! What programs that call a runtime rely on: the log, pid files, descriptors, the features document, a safe executable.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use crate::bundle::{Bundle, ID, LIMIT};
use crate::support::{Run, wait_for};

#[test]
fn errors_are_in_the_log_as_json() {
    need_kernel!();
    let mut bundle = Bundle::new(&["true"]);
    let log = bundle.dir.join("log");
    let path = log.to_str().expect("text").to_owned();
    let options = ["--log", &path, "--log-format", "json"];
    bundle.ok(&[&options[..], &["create", ID]].concat());
    assert_eq!(fs::read_to_string(&log).expect("made"), "");
    bundle.ok(&["delete", "--force", ID]);
    bundle.change(json!({"process": {"args": ["nosuchprogram"]}}));
    bundle
        .oci(&[&options[..], &["create", ID]].concat())
        .expect_code(127);
    let text = fs::read_to_string(&log).expect("written");
    let line: Value = serde_json::from_str(&text).expect("a line of JSON");
    assert_eq!(line["level"], "error");
    let message = line["msg"].as_str().expect("text");
    assert!(message.contains("executable file not found"), "{message}");
    assert!(line["time"].as_str().is_some_and(|time| time.contains('T')));
    bundle.finish();
}

#[test]
fn the_pid_is_written_down() {
    need_kernel!();
    let bundle = Bundle::new(&["true"]);
    bundle.ok(&["create", "--pid-file", "pid", ID]);
    let pid = fs::read_to_string(bundle.dir.join("pid")).expect("written");
    assert_eq!(pid, bundle.pid().to_string());
    bundle.finish();
}

#[test]
fn state_is_nobody_elses_business() {
    need_kernel!();
    let bundle = Bundle::new(&["true"]);
    bundle.ok(&["create", ID]);
    let dir = bundle.sandbox.root().join("run/oci");
    for path in [dir.clone(), dir.join(ID)] {
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", path.display());
    }
    bundle.finish();
}

#[test]
fn descriptors_are_passed_on_when_the_caller_has_them() {
    need_kernel!();
    need_program!("bash");
    let bundle = Bundle::script("ls /proc/self/fd | tr '\\n' ' '; cat <&4");
    let command = bundle.command(&["run", "--preserve-fds", "2", ID]);
    let call = |redirections: &str| {
        let args: Vec<String> = command
            .get_args()
            .map(|arg| format!("'{}'", arg.to_string_lossy()))
            .collect();
        let mut bash = Command::new("bash");
        let line = format!(
            "exec {} {} {redirections}",
            crate::support::GANTRY,
            args.join(" ")
        );
        bash.args(["-c", &line])
            .current_dir(&bundle.dir)
            .env("GANTRY_ROOT", bundle.sandbox.root());
        bash.output().expect("bash")
    };
    let output = call("3</dev/null 4<<<four 5</dev/null");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // 5 is not asked for; what `ls` itself opens comes after those that it was given.
    assert_eq!(
        text,
        "0 1 2 3 4 5 four\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let output = call("3</dev/null");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && text.contains("descriptor 4"),
        "{text}"
    );
    bundle.assert_clean();
    bundle.finish();
}

#[test]
fn without_asking_no_descriptor_gets_in() {
    need_kernel!();
    need_program!("bash");
    let bundle = Bundle::script("ls /proc/self/fd | tr '\\n' ' '");
    drop(bundle.command(&[]));
    let line = format!("exec {} oci run {ID} 7</ 8</etc", crate::support::GANTRY);
    let output = Command::new("bash")
        .args(["-c", &line])
        .current_dir(&bundle.dir)
        .env("GANTRY_ROOT", bundle.sandbox.root())
        .output()
        .expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 1 2 3 ");
    bundle.finish();
}

#[test]
fn the_executable_cannot_be_written_through_a_waiting_container() {
    need_kernel!();
    let bundle = Bundle::new(&["true"]);
    // A copy that nobody else runs: an executable that runs is «text file busy» in any case.
    let copy = bundle.dir.join("gantry");
    fs::copy(crate::support::GANTRY, &copy).expect("a copy");
    drop(bundle.command(&[]));
    let create = Command::new(&copy)
        .args(["oci", "create", ID])
        .current_dir(&bundle.dir)
        .env("GANTRY_ROOT", bundle.sandbox.root())
        .status();
    assert!(create.expect("starts").success());
    let link = format!("/proc/{}/exe", bundle.pid());
    let held = rustix::fs::open(link, OFlags::PATH, Mode::empty()).expect("opens");
    bundle.ok(&["delete", "--force", ID]);
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    let written = wait_for(LIMIT, || {
        match fs::OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => None,
            other => Some(other),
        }
    });
    let error = written.expect("it has ended").expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    bundle.finish();
}

/// A directory of the machine's that the caller passes on is a descriptor of the program's, and no working directory.
#[test]
fn a_preserved_directory_is_no_way_out() {
    need_kernel!();
    let mut bundle = Bundle::new(&["sleep", "60"]);
    let with_directory = |bundle: &Bundle, args: &[&str]| {
        let command = bundle.command(args);
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3</etc; exec \"$@\"", "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.current_dir(&bundle.dir).env_clear();
        shell.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        Run::of(args, shell.output().expect("starts"))
    };
    bundle.ok(&["create", ID]);
    bundle.ok(&["start", ID]);
    let exec = [
        "exec",
        "--preserve-fds",
        "1",
        "--cwd",
        "/proc/self/fd/3",
        ID,
        "pwd",
    ];
    let run = with_directory(&bundle, &exec).expect_code(1);
    assert_eq!(run.stdout(), "");
    run.expect_stderr(&["/proc/self/fd/3"]);
    bundle.ok(&["delete", "--force", ID]);
    bundle.change(json!({"process": {"cwd": "/proc/self/fd/3", "args": ["pwd"]}}));
    let run = with_directory(&bundle, &["run", "--preserve-fds", "1", ID]).expect_code(1);
    assert_eq!(run.stdout(), "");
    run.expect_stderr(&["/proc/self/fd/3"]);
    bundle.finish();
}

#[test]
fn features_name_what_there_is() {
    need_kernel!();
    let bundle = Bundle::new(&["true"]);
    let text = bundle.ok(&["features"]).stdout();
    let features: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert_eq!(features["hooks"].as_array().map(Vec::len), Some(6));
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    // What is said there is what happens.
    let mut named = Bundle::new(&["true"]);
    let all = features["linux"]["capabilities"].clone();
    let mut options = features["mountOptions"].as_array().expect("a list").clone();
    let of_tmpfs = json!("tmpcopyup");
    options.retain(|option| *option != of_tmpfs);
    named.change(json!({"process": {"capabilities": {"bounding": all}}}));
    named.mount(json!({"destination": "/tmp", "source": "/tmp", "options": options}));
    named.mount(json!({"destination": "/work", "type": "tmpfs", "options": [of_tmpfs]}));
    named.ok(&["run", ID]);
    bundle.finish();
    named.finish();
}
