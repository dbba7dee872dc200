//! Builds of one project at the same time: what they share is done once.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Instant;

use support::Sandbox;

/// Four services of two Dockerfiles that begin alike: a stage that takes its time and counts in a cache mount.
fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    let slow = "FROM host AS slow\nRUN --mount=type=cache,target=/count sleep 2; echo once >> /count/runs; cp /count/runs /runs; date +%s%N > /made\n";
    let mut compose = "services:\n".to_owned();
    for service in ["a", "b", "c", "d"] {
        let rest = "FROM host\nCOPY --from=slow /runs /made /shared/\n";
        sandbox.write(
            &format!("{service}/Dockerfile"),
            &format!("{slow}{rest}RUN echo {service} > /own\n"),
        );
        compose += &format!(
            "  {service}:\n    image: app-{service}\n    build: {service}\n    command: \"true\"\n"
        );
    }
    sandbox.write("compose.yaml", &compose);
    sandbox
}

/// What the shared stage wrote, as each service's image has it.
fn shared(sandbox: &Sandbox, file: &str) -> Vec<String> {
    let read = |service: &str| {
        let (image, path) = (format!("app-{service}"), format!("/shared/{file}"));
        let run = ["container", "run", "--rm", &image, "cat", &path];
        sandbox.ok(&run).stdout()
    };
    ["a", "b", "c", "d"].into_iter().map(read).collect()
}

#[test]
fn a_stage_that_services_share_runs_once() {
    need_kernel!();
    let sandbox = project();
    let begun = Instant::now();
    sandbox.ok(&["build"]);
    let took = begun.elapsed();
    assert_eq!(shared(&sandbox, "runs"), ["once\n"; 4]);
    let made = shared(&sandbox, "made");
    assert!(made.iter().all(|time| *time == made[0]), "{made:?}");
    // Four one after the other would sleep for eight seconds.
    assert!(took.as_secs() < 8, "{took:?}");

    // Without the cache it runs again, and once again.
    sandbox.ok(&["build", "--no-cache"]);
    let again = shared(&sandbox, "made");
    assert!(again.iter().all(|time| *time == again[0]), "{again:?}");
    assert_ne!(again[0], made[0]);
    sandbox.finish();
}

#[test]
fn up_builds_what_services_share_once() {
    need_kernel!();
    let sandbox = project();
    sandbox.ok(&["up", "--build", "--no-start"]);
    assert_eq!(shared(&sandbox, "runs"), ["once\n"; 4]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_shared_stage_that_fails_fails_all_and_says_why_once_each() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let file = "FROM host AS slow\nRUN echo reason-of-failure >&2; false\nFROM host\nCOPY --from=slow /x /x\n";
    for service in ["a", "b"] {
        sandbox.write(&format!("{service}/Dockerfile"), file);
    }
    sandbox.write(
        "compose.yaml",
        "services:\n  a: {image: app-a, build: a}\n  b: {image: app-b, build: b}\n",
    );
    let run = sandbox.run(&["build"]).expect_code(1);
    run.expect_stderr(&["reason-of-failure", "Dockerfile:2"]);
    // What a failed step printed is no progress: it is told where nothing else is.
    for quiet in [
        &["build", "-q", "a"][..],
        &["build", "--progress", "quiet", "a"],
        &["--progress", "quiet", "build", "a"],
        &["image", "build", "-q", "a"],
    ] {
        let run = sandbox.run(quiet).expect_code(1);
        let run = run.expect_stderr(&["\nreason-of-failure\n", "Dockerfile:2", "^^^^"]);
        assert_eq!(run.stdout(), "");
    }
    let up = sandbox.run(&["up", "--quiet-build"]).expect_code(1);
    up.expect_stderr(&[" reason-of-failure\n"]);
    let locks = sandbox.root().join("build/locks");
    let left = fs::read_dir(&locks)
        .map(Iterator::count)
        .unwrap_or_default();
    assert!(left <= 1, "{left} locks");
    sandbox.finish();
}

#[test]
fn a_service_is_built_after_those_it_is_made_of_named_or_not() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        r#"services:
  base: {build: {dockerfile_inline: "FROM host\nRUN echo base > /made"}}
  top:
    build:
      dockerfile_inline: "FROM below\nRUN cat /made"
      additional_contexts: {below: "service:base"}
      tags: [top:further]
    image: top:main
"#,
    );
    sandbox.ok(&["build", "top"]);
    sandbox.ok(&["image", "inspect", "top:further"]);
    sandbox
        .ok(&["build", "--check"])
        .expect_stdout(&["Check complete, no warnings found."]);
    sandbox
        .ok(&["--dry-run", "push", "top"])
        .expect_stdout(&["image top:main push", "image top:further push"]);
    sandbox.write(
        "compose.yaml",
        "services: {odd: {build: {dockerfile_inline: \"from host\\nMAINTAINER me\"}}}\n",
    );
    sandbox
        .run(&["build", "--check"])
        .expect_code(1)
        .expect_stdout(&["warnings found: 2"]);
    sandbox.finish();
}

#[test]
fn what_a_build_uses_is_not_pruned() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("base/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox.write(
        "top/Dockerfile",
        "FROM host AS slow\nRUN sleep 2\nFROM base:1\nCOPY --from=slow /etc/hostname /\n",
    );
    let project = sandbox.project();
    let folder = |name: &str| project.join(name).display().to_string();
    sandbox.ok(&["image", "build", "-q", "-t", "base:1", &folder("base")]);
    let mut build = sandbox.spawn(&["image", "build", "-t", "top:1", &folder("top")]);
    // All bases are known when a step runs.
    let mut told = BufReader::new(build.stderr.take().expect("piped"));
    let mut text = String::new();
    while !text.contains("RUN sleep") {
        assert_ne!(told.read_line(&mut text).expect("a line"), 0, "{text}");
    }
    sandbox.ok(&["system", "prune", "-af"]);
    told.read_to_string(&mut text).expect("the rest");
    assert!(build.wait().expect("it ends").success(), "{text}");
    sandbox.ok(&[
        "image",
        "inspect",
        "top:1",
        "-f",
        "{{.Config.Env}}{{.Config.Healthcheck}}",
    ]);
    sandbox.finish();
}
