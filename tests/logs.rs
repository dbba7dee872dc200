//! The log of a container: rotated under slow readers, written while supervisors die, long and
//! binary and split between two streams; and what `logs` picks out of it.

mod support;

use std::io::Read as _;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::{Sandbox, wait_for};

const LONG: Duration = Duration::from_secs(20);

/// A service that writes its numbered lines once `go/now` exists, and ends.
fn counter(lines: usize, logging: &str) -> Sandbox {
    let sandbox = Sandbox::of_compose(&format!(
        "services:
  count:
    image: host
    command: [bash, -c, \"while [ ! -e /go/now ]; do sleep 0.02; done; for i in $$(seq {lines}); do echo line $$i; done\"]
    volumes: [\"./go:/go\"]
    logging: {{ options: {{ {logging} }} }}
"
    ));
    sandbox.write("go/empty", "");
    sandbox
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("pid")).expect("pid");
    kill_process(pid, signal).expect("the process lives");
}

/// Whether a process is stopped by a signal.
fn is_stopped(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    status
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.starts_with(" T"))
}

/// Waits until the service has ended.
#[track_caller]
fn expect_ended(sandbox: &Sandbox) {
    wait_for(LONG, || {
        let all = sandbox.ok(&["ps", "-a", "--format", "json"]).stdout();
        all.contains("\"exited\"").then_some(())
    })
    .expect("the service ends");
}

/// The numbers of the lines in a text, in order.
#[track_caller]
fn numbers(text: &str) -> Vec<usize> {
    text.lines()
        .map(|line| {
            let number = line.strip_prefix("line ").and_then(|n| n.parse().ok());
            number.unwrap_or_else(|| panic!("not a whole line: {line:?}"))
        })
        .collect()
}

/// Everything a process prints until it ends.
fn rest(mut child: Child) -> String {
    let mut text = String::new();
    let mut out = child.stdout.take().expect("piped");
    out.read_to_string(&mut text).expect("output");
    child.wait().expect("it ends");
    text
}

/// Follows the log, stops following while everything is written, and goes on.
fn follow_slowly(sandbox: &Sandbox) -> Vec<usize> {
    sandbox.ok(&["up", "-d"]);
    let reader = sandbox.spawn(&["logs", "-f", "--no-log-prefix"]);
    // Once it watches the files it has opened what there is.
    wait_for(LONG, || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", reader.id())).ok()?;
        fds.flatten()
            .filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .any(|link| link.to_string_lossy().contains("inotify"))
            .then_some(())
    })
    .expect("it follows");
    signal(&reader, Signal::STOP);
    wait_for(LONG, || is_stopped(&reader).then_some(())).expect("stopped");
    sandbox.write("go/now", "");
    expect_ended(sandbox);
    signal(&reader, Signal::CONT);
    numbers(&rest(reader))
}

#[test]
fn a_slow_reader_loses_nothing_that_rotation_keeps() {
    need_kernel!();
    let sandbox = counter(3000, "max-size: 8k, max-file: \"200\"");
    let seen = follow_slowly(&sandbox);
    assert_eq!(seen, (1..=3000).collect::<Vec<_>>());
    let kept = sandbox.ok(&["logs", "--no-log-prefix"]).stdout();
    assert_eq!(numbers(&kept), seen);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_reader_that_fell_behind_goes_on_with_the_oldest_line_kept() {
    need_kernel!();
    for max_file in ["1", "2"] {
        let sandbox = counter(3000, &format!("max-size: 8k, max-file: \"{max_file}\""));
        let seen = follow_slowly(&sandbox);
        assert!(
            seen.is_sorted_by(|a, b| a < b),
            "doubled or out of order: {seen:?}"
        );
        assert_eq!(seen.last(), Some(&3000));
        let kept = numbers(&sandbox.ok(&["logs", "--no-log-prefix"]).stdout());
        assert!(kept.len() < 3000, "nothing was rotated away");
        assert!(seen.ends_with(&kept), "{kept:?} is not the end of {seen:?}");
        sandbox.ok(&["down"]);
        sandbox.finish();
    }
}

/// Every number from one to `last`, once and in order; the first place where it is not so is told.
#[track_caller]
fn expect_all(seen: &[usize], last: usize) {
    let wrong = seen.iter().zip(1..).find(|(seen, wanted)| *seen != wanted);
    assert_eq!((wrong, seen.len()), (None, last));
}

#[test]
fn supervisors_killed_amid_output_lose_and_double_no_line() {
    need_kernel!();
    const LINES: usize = 20_000;
    let sandbox = counter(LINES, "max-size: 100k, max-file: \"100\"");
    sandbox.ok(&["up", "-d"]);
    let reader = sandbox.spawn(&["logs", "-f", "--no-log-prefix"]);
    let reading = std::thread::spawn(move || rest(reader));
    sandbox.write("go/now", "");
    let mut killed = Vec::new();
    for _ in 0..4 {
        // Whoever follows the log replaces the supervisor.
        let next = wait_for(LONG, || {
            let now = support::supervisors(&sandbox);
            let fresh: Vec<i32> = now
                .into_iter()
                .filter(|pid| !killed.contains(pid))
                .collect();
            (!fresh.is_empty() || reading.is_finished()).then_some(fresh)
        })
        .expect("a supervisor");
        support::kill_9(&next);
        killed.extend(next);
    }
    assert!(killed.len() > 1, "{killed:?}");
    expect_ended(&sandbox);
    let kept = sandbox.ok(&["logs", "--no-log-prefix"]).stdout();
    expect_all(&numbers(&kept), LINES);
    expect_all(&numbers(&reading.join().expect("reader")), LINES);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn long_lines_bytes_and_streams_come_as_they_were_written() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  odd:
    image: host
    command:
      - bash
      - -c
      - |
        head -c 1048576 /dev/zero | tr '\\0' x; echo
        printf 'tab\\there \\\\ \\\"quoted\\\" <&> \\303\\274\\r\\n'
        printf 'bytes \\377\\376 end\\n'
        echo complaint >&2
        printf 'no line end'
",
    );
    sandbox.ok(&["up", "-d"]);
    expect_ended(&sandbox);
    let text = sandbox.ok(&["logs", "--no-log-prefix"]).stdout();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_by_key(|line| line.len());
    let long = lines.pop().expect("lines");
    assert!(
        long.len() == 1 << 20 && long.bytes().all(|b| b == b'x'),
        "{}",
        long.len()
    );
    for expected in [
        "tab\there \\ \"quoted\" <&> \u{fc}",
        "bytes \u{fffd}\u{fffd} end",
        "complaint",
        "no line end",
    ] {
        assert!(
            lines
                .iter()
                .any(|line| line.trim_end_matches('\r') == expected),
            "no {expected:?} in {lines:?}"
        );
    }
    assert_eq!(lines.len(), 4, "{lines:?}");
    // One prefix a line, however long it is.
    let prefixed = sandbox.ok(&["logs"]).stdout();
    assert_eq!(prefixed.matches("odd-1  | ").count(), 5);
    // The engine's own `logs` keeps the streams apart.
    let id = sandbox.ok(&["ps", "-aq"]).stdout();
    let run = sandbox.ok(&["container", "logs", id.trim()]);
    assert_eq!(run.stderr(), "complaint\n");
    assert!(!run.stdout().contains("complaint") && run.stdout().ends_with("no line end"));
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn logs_picks_by_time_and_number() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  a:
    image: host
    command: [bash, -c, \"for i in 1 2 3 4; do echo a $$i; sleep 0.02; done\"]
  b:
    image: host
    command: [bash, -c, \"for i in 1 2 3; do echo b $$i; sleep 0.02; done\"]
",
    );
    sandbox.ok(&["up", "-d"]);
    wait_for(LONG, || {
        let all = sandbox.ok(&["ps", "-a", "--format", "json"]).stdout();
        (all.matches("\"exited\"").count() == 2).then_some(())
    })
    .expect("both end");
    let logs = |args: &[&str]| {
        let args = [&["logs", "--no-log-prefix"], args].concat();
        let text = sandbox.ok(&args).stdout();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(logs(&[]).len(), 7);
    assert_eq!(logs(&["a"]), ["a 1", "a 2", "a 3", "a 4"]);
    // The number counts for each container.
    assert_eq!(logs(&["--tail", "1"]).len(), 2);
    assert_eq!(logs(&["-n", "2", "a"]), ["a 3", "a 4"]);
    assert!(logs(&["--tail", "0"]).is_empty());
    let timed: Vec<(String, String)> = logs(&["-t", "a"])
        .iter()
        .map(|line| {
            let (time, text) = line.split_once(' ').expect("a time");
            (time.to_owned(), text.to_owned())
        })
        .collect();
    assert!(timed.is_sorted(), "{timed:?}");
    let (second, third) = (timed[1].0.as_str(), timed[2].0.as_str());
    assert_eq!(logs(&["--since", third, "a"]), ["a 3", "a 4"]);
    assert_eq!(logs(&["--until", second, "a"]), ["a 1", "a 2"]);
    assert_eq!(
        logs(&["--since", second, "--until", third, "a"]),
        ["a 2", "a 3"]
    );
    assert_eq!(logs(&["--since", second, "--tail", "1", "a"]), ["a 4"]);
    assert_eq!(logs(&["--since", "1h", "a"]).len(), 4);
    assert!(logs(&["--until", "1h", "a"]).is_empty());
    // Following what has ended prints it and ends.
    assert_eq!(logs(&["-f", "a"]).len(), 4);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn following_until_a_moment_ends_there() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  talk:
    image: host
    command: [bash, -c, \"trap 'exit 0' TERM; while true; do echo word; sleep 0.05; done\"]
",
    );
    sandbox.ok(&["up", "-d"]);
    let mut reader = sandbox.spawn(&["logs", "-f", "--until", "0s"]);
    let ended = wait_for(LONG, || reader.try_wait().expect("wait"));
    // Never leave it behind, whatever came of it.
    let _ = reader.kill();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn lines_carry_what_the_options_name() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let run = [
        "container",
        "run",
        "-d",
        "--name",
        "it",
        "-l",
        "team=a b",
        "-l",
        "other=x",
        "-e",
        "STAGE=dev",
        "--log-opt",
        "labels=team,missing",
        "--log-opt",
        "env=STAGE",
        "--log-opt",
        "tag={{.Name}}/{{.ImageName}}",
        "--log-opt",
        "mode=non-blocking",
        "--log-opt",
        "max-buffer-size=256k",
        "host",
        "echo",
        "hello",
    ];
    sandbox.ok(&run);
    sandbox.ok(&["container", "wait", "it"]);
    assert_eq!(sandbox.ok(&["container", "logs", "it"]).stdout(), "hello\n");
    assert_eq!(
        sandbox
            .ok(&["container", "logs", "--details", "it"])
            .stdout(),
        "STAGE=dev,tag=it%2Fhost,team=a+b hello\n"
    );
    let path = sandbox
        .ok(&["container", "inspect", "-f", "{{.LogPath}}", "it"])
        .stdout();
    let text = std::fs::read_to_string(path.trim()).expect("the log");
    let expected = "{\"log\":\"hello\\n\",\"stream\":\"stdout\",\"attrs\":{\"STAGE\":\"dev\",\"tag\":\"it/host\",\"team\":\"a b\"},\"time\":";
    assert!(text.starts_with(expected), "{text}");
    sandbox.ok(&["container", "rm", "it"]);
    sandbox.finish();
}

#[test]
fn compressed_files_are_read_as_others() {
    need_kernel!();
    let sandbox = counter(20_000, "max-size: 200k, max-file: '50', compress: 'true'");
    sandbox.ok(&["up", "-d"]);
    let follower = {
        let mut command = sandbox.command(&["logs", "-f", "--no-log-prefix", "count"]);
        command
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("started")
    };
    sandbox.write("go/now", "");
    expect_ended(&sandbox);
    let all: Vec<usize> = (1..=20_000).collect();
    let followed = follower.wait_with_output().expect("ended");
    assert!(numbers(&String::from_utf8_lossy(&followed.stdout)) == all);
    let later = sandbox.ok(&["logs", "--no-log-prefix", "count"]).stdout();
    assert!(numbers(&later) == all);
    let tail = sandbox
        .ok(&["logs", "--no-log-prefix", "-n", "15000", "count"])
        .stdout();
    assert!(numbers(&tail) == all[5000..]);
    let id = sandbox.ok(&["ps", "-aq", "count"]).stdout();
    let path = sandbox
        .ok(&["container", "inspect", "-f", "{{.LogPath}}", id.trim()])
        .stdout();
    let packed = format!("{}.2.gz", path.trim());
    assert!(std::path::Path::new(&packed).exists(), "{packed}");
    sandbox.ok(&["down"]);
    sandbox.finish();
}
