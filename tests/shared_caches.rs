//! Caches between machines: two roots that share nothing but a registry on loopback, or a directory.

mod support;

use support::archive::docker_archive;
use support::registry::{Registry, Wants};
use support::{Run, Sandbox};

/// Every `RUN` leaves another text, so that a layer that was made twice shows.
const DOCKERFILE: &str = "FROM base AS slow\nRUN echo $$ $(cat /proc/sys/kernel/random/uuid) > /slow\nFROM base\nCOPY --from=slow /slow /slow\nCOPY own /own\nRUN cat /proc/sys/kernel/random/uuid > /fast\n";

/// A root with the base image and the project.
fn machine() -> Sandbox {
    let sandbox = Sandbox::new();
    let archive = docker_archive(&sandbox.project(), "base", 10)
        .display()
        .to_string();
    sandbox.ok(&["image", "load", "-q", "-i", &archive]);
    sandbox.write("app/Dockerfile", DOCKERFILE);
    sandbox.write("app/own", "same everywhere");
    sandbox
}

fn build(sandbox: &Sandbox, more: &[&str]) -> Run {
    let mut args = vec!["image", "build", "--progress", "plain", "-t", "app", "app"];
    args.splice(2..2, more.iter().copied());
    sandbox.ok(&args)
}

/// What the steps wrote.
fn files(sandbox: &Sandbox) -> String {
    let cat = [
        "container",
        "run",
        "--rm",
        "app",
        "sh",
        "-c",
        "cat /slow /fast",
    ];
    sandbox.ok(&cat).stdout()
}

#[test]
fn a_registry_carries_the_steps_of_all_stages() {
    need_kernel!();
    need_program!("busybox", "docker-registry");
    let (one, other) = (machine(), machine());
    let registry = Registry::start(&one.project(), Wants::Nothing);
    let name = format!("{}/team/cache:main", registry.address);
    let to = format!("type=registry,ref={name},mode=max");
    build(&one, &["--cache-to", &to]).expect_stderr(&["exporting cache to"]);
    let from = format!("type=registry,ref={name}");
    build(&other, &["--cache-from", &from]).expect_stderr(&["importing cache manifest", "CACHED"]);
    assert_eq!(files(&other), files(&one));
    drop(registry);

    // Nobody is asked when there is nothing to do; what is not there is a warning.
    let again = build(&other, &["--cache-from", &from]);
    assert!(!again.stderr().contains("importing"), "{}", again.stderr());
    other.write("app/own", "something else");
    build(&other, &["--cache-from", &from]).expect_stderr(&["cannot use the cache", &name]);
    assert_ne!(files(&other), files(&one));
    one.finish();
    other.finish();
}

#[test]
fn an_image_brings_its_inline_cache() {
    need_kernel!();
    need_program!("busybox", "docker-registry");
    let (one, other) = (machine(), machine());
    for sandbox in [&one, &other] {
        sandbox.write(
            "app/Dockerfile",
            "FROM base\nCOPY own /slow\nRUN cat /proc/sys/kernel/random/uuid > /fast\n",
        );
    }
    let registry = Registry::start(&one.project(), Wants::Password);
    let name = format!("{}/app:1", registry.address);
    for sandbox in [&one, &other] {
        let config = format!(
            "{{\"auths\":{{\"{}\":{{\"auth\":\"dXNlcjpwYXNzd29yZA==\"}}}}}}",
            registry.address
        );
        let home = sandbox.project().with_file_name(".docker");
        std::fs::create_dir_all(&home).expect("folder");
        std::fs::write(home.join("config.json"), config).expect("config.json");
    }
    build(&one, &["--cache-to", "type=inline", "-t", &name]);
    one.ok(&["image", "push", "-q", &name]);
    build(&other, &["--cache-from", &name]).expect_stderr(&["CACHED"]);
    assert_eq!(files(&other), files(&one));
    // An image without one is of no use, and says so.
    build(&one, &["-t", &name]);
    one.ok(&["image", "push", "-q", &name]);
    other.write("app/own", "something else");
    build(&other, &["--cache-from", &name]).expect_stderr(&["without an inline cache"]);
    drop(registry);
    one.finish();
    other.finish();
}

#[test]
fn compose_writes_and_reads_a_directory() {
    need_kernel!();
    need_program!("busybox");
    let (one, other) = (machine(), machine());
    let folder = one.project().join("shared cache");
    let shared = folder.display();
    one.write(
        "compose.yaml",
        &format!("services:\n  app:\n    image: app\n    build:\n      context: app\n      cache_to: [\"type=local,dest={shared},mode=max\"]\n"),
    );
    one.ok(&["build"]);
    other.write(
        "compose.yaml",
        &format!("services:\n  app:\n    image: app\n    build:\n      context: app\n      cache_from: [\"type=local,src={shared}\"]\n"),
    );
    other.ok(&["build"]);
    assert_eq!(files(&other), files(&one));
    one.finish();
    other.finish();
}

#[test]
fn other_kinds_are_refused_by_name() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\n");
    for (flag, value) in [
        ("--cache-from", "type=gha"),
        ("--cache-to", "type=s3,bucket=b"),
        ("--cache-to", "type=azblob,name=n"),
        ("--cache-to", "type=local"),
    ] {
        let run = sandbox.run(&["image", "build", flag, value, "."]);
        run.expect_code(1).expect_stderr(&[flag, value]);
    }
}
