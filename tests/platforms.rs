//! Images of several platforms, from the build to another machine.

mod support;

use support::registry::{Registry, Wants};
use support::{Run, Sandbox};

const BOTH: &str = "linux/amd64,linux/arm64";

fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "app/Dockerfile",
        "FROM scratch\nARG TARGETARCH\nENV ARCH=$TARGETARCH\nCOPY for-$TARGETARCH /own\nCMD [\"/own\"]\n",
    );
    sandbox.write("app/for-amd64", "amd");
    sandbox.write("app/for-arm64", "arm");
    sandbox
}

/// What the image of a platform has as `ARCH`.
fn arch(sandbox: &Sandbox, name: &str, platform: &str) -> String {
    let template = "{{.Architecture}} {{json .Config.Env}}";
    let args = [
        "image",
        "inspect",
        "--platform",
        platform,
        "-f",
        template,
        name,
    ];
    sandbox.ok(&args).stdout()
}

fn has_both(sandbox: &Sandbox, name: &str) {
    for (platform, arch_of) in [("linux/amd64", "amd64"), ("linux/arm64", "arm64")] {
        let seen = arch(sandbox, name, platform);
        assert!(seen.starts_with(arch_of), "{platform}: {seen}");
        assert!(
            seen.contains(&format!("ARCH={arch_of}")),
            "{platform}: {seen}"
        );
    }
    let tree = sandbox.ok(&["image", "ls", "--tree"]).stdout();
    let rows: Vec<&str> = tree.lines().collect();
    assert_eq!(rows.len(), 4, "{tree}");
    assert!(rows[1].starts_with(name), "{tree}");
    assert!(
        rows[2].starts_with("├─ linux/") && rows[3].starts_with("└─ linux/"),
        "{tree}"
    );
    // Without the tree it is one image.
    let list = sandbox.ok(&["image", "ls", "-q"]).stdout();
    assert_eq!(list.lines().count(), 1, "{list}");
}

fn build(sandbox: &Sandbox, name: &str) -> Run {
    sandbox.ok(&[
        "image",
        "build",
        "-q",
        "--platform",
        BOTH,
        "-t",
        name,
        "app",
    ])
}

#[test]
fn all_platforms_travel_by_registry() {
    need_kernel!();
    need_program!("docker-registry");
    let (one, other) = (project(), project());
    let registry = Registry::start(&one.project(), Wants::Nothing);
    let name = format!("{}/team/app:1", registry.address);
    build(&one, &name);
    has_both(&one, &name);
    one.ok(&["image", "push", "-q", &name]);

    for platform in ["linux/amd64", "linux/arm64"] {
        other.ok(&["image", "pull", "-q", "--platform", platform, &name]);
    }
    has_both(&other, &name);
    other
        .run(&["image", "pull", "-q", "--platform", "linux/s390x", &name])
        .expect_code(1)
        .expect_stderr(&["linux/s390x", "linux/amd64"]);
    // What is pushed again is the same index.
    let copy = format!("{}/team/copy:1", registry.address);
    other.ok(&["image", "tag", &name, &copy]);
    other.ok(&["image", "push", "-q", &copy]);
    // One platform alone is an image like any other.
    let alone = format!("{}/team/alone:1", registry.address);
    other.ok(&["image", "tag", &name, &alone]);
    other.ok(&["image", "push", "-q", "--platform", "linux/arm64", &alone]);
    for known in [&name, &copy, &alone] {
        other.ok(&["image", "rm", known]);
    }
    assert_eq!(other.ok(&["image", "ls", "-q"]).stdout(), "");
    other.ok(&["image", "pull", "-q", "--platform", "linux/arm64", &copy]);
    assert!(arch(&other, &copy, "linux/arm64").starts_with("arm64"));
    other
        .run(&["image", "inspect", "--platform", "linux/amd64", &copy])
        .expect_code(1)
        .expect_stderr(&["linux/amd64", "linux/arm64"]);
    other.ok(&["image", "pull", "-q", "--platform", "linux/arm64", &alone]);
    drop(registry);
    one.finish();
    other.finish();
}

#[test]
fn all_platforms_travel_by_archive() {
    need_kernel!();
    let (one, other) = (project(), project());
    build(&one, "app:1");
    let archive = one.project().join("app.tar").display().to_string();
    one.ok(&["image", "save", "-o", &archive, "app:1"]);
    other
        .ok(&["image", "load", "-i", &archive])
        .expect_stdout(&["Loaded image: app:1"]);
    has_both(&other, "app:1");
    other
        .run(&["image", "load", "--platform", "linux/s390x", "-i", &archive])
        .expect_code(1)
        .expect_stderr(&["linux/s390x"]);
    one.finish();
    other.finish();
}

#[test]
fn compose_builds_all_and_runs_one() {
    need_kernel!();
    let sandbox = project();
    let host = if cfg!(target_arch = "x86_64") {
        "linux/amd64"
    } else {
        "linux/arm64"
    };
    sandbox.write(
        "compose.yaml",
        "services:\n  app:\n    image: app:1\n    build:\n      context: app\n      platforms: [linux/arm64, linux/amd64]\n",
    );
    sandbox.ok(&["build"]);
    has_both(&sandbox, "app:1");
    sandbox.ok(&["image", "rm", "app:1"]);
    sandbox.ok(&["create", "--build"]);
    assert!(arch(&sandbox, "app:1", host).contains("ARCH="));
    let foreign = if host.ends_with("amd64") {
        "linux/arm64"
    } else {
        "linux/amd64"
    };
    sandbox
        .run(&["image", "inspect", "--platform", foreign, "app:1"])
        .expect_code(1);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn programs_of_other_platforms_need_an_emulator() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write(
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\nRUN [\"/x\"]\n",
    );
    sandbox
        .run(&["image", "build", "--platform", "linux/mips64le", "."])
        .expect_code(1)
        .expect_stderr(&["linux/mips64le", "binfmt_misc", "qemu-user-static"]);
    sandbox.finish();
}

#[test]
fn the_environment_names_the_platform_of_what_names_none() {
    need_kernel!();
    let sandbox = project();
    let run = |platform: &str, args: &[&str]| {
        let mut command = sandbox.command(args);
        command.env("DOCKER_DEFAULT_PLATFORM", platform);
        Run::of(args, command.output().expect("the executable starts"))
    };
    let arch_of = |name: &str| {
        let args = ["image", "inspect", "-f", "{{.Architecture}}", name];
        sandbox.ok(&args).stdout()
    };
    let ours = gantry_engine::image::Platform::host().to_string();
    let other = if ours.contains("arm64") {
        "linux/amd64"
    } else {
        "linux/arm64"
    };
    let other_arch = format!("{}\n", &other["linux/".len()..]);
    run(other, &["image", "build", "-q", "-t", "by-env", "app"]).expect_code(0);
    assert_eq!(arch_of("by-env"), other_arch);
    let flag = [
        "image",
        "build",
        "-q",
        "--platform",
        &ours,
        "-t",
        "by-flag",
        "app",
    ];
    run(other, &flag).expect_code(0);
    assert_ne!(arch_of("by-flag"), other_arch);

    // Of containers too, where it is refused before anything is pulled unless it can run.
    run(&ours, &["container", "run", "--rm", "host", "true"]).expect_code(0);
    run("linux/s390x", &["container", "create", "nothing:here"])
        .expect_code(1)
        .expect_stderr(&["linux/s390x"]);
    run("what?", &["container", "run", "--rm", "host", "true"])
        .expect_code(125)
        .expect_stderr(&["DOCKER_DEFAULT_PLATFORM `what?`"]);

    sandbox.write(
        "compose.yaml",
        "services:\n  a: {image: composed, build: app}\n  b: {image: own, build: app, platform: ours}\n"
            .replace("ours", &ours)
            .as_str(),
    );
    run(other, &["build", "-q"]).expect_code(0);
    assert_eq!(arch_of("composed"), other_arch);
    assert_ne!(arch_of("own"), other_arch);
    sandbox.write(".env", "DOCKER_DEFAULT_PLATFORM=what?\n");
    sandbox
        .run(&["up"])
        .expect_code(2)
        .expect_stderr(&["DOCKER_DEFAULT_PLATFORM `what?`"]);
    sandbox.write(".env", "");
    sandbox.write(
        "compose.yaml",
        "services: {a: {build: {context: app, platforms: [linux/s390x]}}}\n",
    );
    run(other, &["build"]).expect_code(2).expect_stderr(&[
        "service `a`",
        "DOCKER_DEFAULT_PLATFORM",
        "linux/s390x",
    ]);
    sandbox.finish();
}

#[test]
fn one_platform_of_a_name_is_removed() {
    need_kernel!();
    let sandbox = project();
    build(&sandbox, "app");
    sandbox.ok(&["image", "rm", "--platform", "linux/arm64", "app"]);
    assert!(arch(&sandbox, "app", "linux/amd64").starts_with("amd64"));
    for verb in ["inspect", "rm"] {
        sandbox
            .run(&["image", verb, "--platform", "linux/arm64", "app"])
            .expect_code(1)
            .expect_stderr(&["linux/arm64", "linux/amd64"]);
    }
    sandbox
        .run(&["image", "rm", "--platform", "arm and leg", "app"])
        .expect_code(2)
        .expect_stderr(&["arm and leg"]);
    sandbox.ok(&["image", "rm", "--platform", "linux/amd64", "app"]);
    assert_eq!(sandbox.ok(&["image", "ls", "-aq"]).stdout(), "");
    sandbox.ok(&["system", "prune", "-af"]);
    sandbox.finish();
}
