//! Rules of Dockerfiles that only a whole build shows: what a check tells, what is refused before anything runs, what
//! reaches an image's configuration and a command's environment.

mod support;

use support::Sandbox;

fn of_dockerfile(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", text);
    sandbox
}

#[test]
fn a_check_tells_warnings_and_then_what_is_wrong() {
    need_kernel!();
    let sandbox = of_dockerfile("FROM scratch as a\nEXPOSE 80\nEXPOSE abc\nCMD x\n");
    let run = sandbox
        .run(&["image", "build", "--check", "."])
        .expect_code(1)
        .expect_stdout(&["1 warning has been found", "FromAsCasing"])
        .expect_stderr(&["invalid container port `abc`", "Dockerfile:3"]);
    assert!(!run.stdout().contains("JSONArgs"), "{}", run.stdout());
    sandbox.write("Dockerfile", "FROM scratch\nENV A=${B:?gone}\n");
    let run = sandbox
        .run(&["image", "build", "--check", "."])
        .expect_code(1)
        .expect_stderr(&["B: gone", "Dockerfile:2"]);
    assert!(!run.stdout().contains("complete, no"), "{}", run.stdout());
    sandbox.write("compose.yaml", "services: {a: {build: .}}\n");
    let run = sandbox.run(&["build", "--check"]).expect_code(1);
    assert!(!run.stdout().contains("no warnings"), "{}", run.stdout());
    run.expect_stderr(&["B: gone"]);
    // All stages are looked at, unless one is asked for.
    sandbox.write(
        "Dockerfile",
        "FROM scratch AS a\nVOLUME \"\"\nFROM scratch AS b\nCOPY Dockerfile /\n",
    );
    let check = ["image", "build", "--check", "."];
    sandbox
        .run(&check)
        .expect_code(1)
        .expect_stderr(&["Dockerfile:2"]);
    sandbox.ok(&["image", "build", "--check", "--target", "b", "."]);
    sandbox.ok(&["image", "build", "-q", "-t", "it", "."]);
    // A check that is asked for by an argument takes the place of the file's.
    sandbox.write(
        "Dockerfile",
        "# check=skip=all; error=true\nFROM scratch as a\nCOPY . /\n",
    );
    sandbox
        .run(&check)
        .expect_code(1)
        .expect_stderr(&["invalid `check` directive", "Dockerfile:1"]);
    let argument = ["--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all"];
    sandbox.ok(&[&check[..], &argument].concat());
    sandbox.finish();
}

#[test]
fn what_is_wrong_is_told_before_anything_runs() {
    need_kernel!();
    let sandbox = of_dockerfile("FROM host\nRUN echo I-ran\nRUN --mount=type=nothing true\n");
    let run = sandbox
        .run(&["image", "build", "."])
        .expect_code(1)
        .expect_stderr(&["unsupported mount type `nothing`", "Dockerfile:3"]);
    assert!(!run.stderr().contains("I-ran\n"), "{}", run.stderr());
    sandbox.finish();
}

#[test]
fn names_of_stages() {
    need_kernel!();
    let sandbox = of_dockerfile("FROM scratch AS b\nCOPY Dockerfile /\nFROM B\n");
    let build = ["image", "build", "-q", "."];
    sandbox
        .run(&build)
        .expect_code(1)
        .expect_stderr(&["invalid image name `B`", "Dockerfile:3"]);
    sandbox.write(
        "Dockerfile",
        "FROM scratch AS b\nCOPY Dockerfile /\nFROM b\nCOPY Dockerfile /x\n",
    );
    sandbox.ok(&[&build[..], &["--target", "B"]].concat());
    sandbox
        .run(&[&build[..], &["--target", "0"]].concat())
        .expect_code(1)
        .expect_stderr(&["there is no stage `0`"]);
    sandbox.finish();
}

#[test]
fn configurations_are_as_they_are_written() {
    need_kernel!();
    let sandbox = of_dockerfile(
        "FROM --platform=linux/riscv64 scratch\nARG $X=1\nWORKDIR /a/../app/\nCOPY Dockerfile x\n\
         WORKDIR d\nWORKDIR /app/\nWORKDIR //\nWORKDIR /app/\nWORKDIR $NONE\n\
         USER 1\nUSER $NONE\nENV $NONE=1\n\
         EXPOSE 80 443/tcp +81\nHEALTHCHECK --interval=1s NONE\n",
    );
    sandbox.ok(&["image", "build", "-q", "-t", "it", "."]);
    let inspect = |format: &str| {
        let told = sandbox.ok(&["image", "inspect", "it", "-f", format]);
        told.stdout().trim_end().to_owned()
    };
    assert_eq!(inspect("{{.Config.WorkingDir}}|{{.Config.User}}"), "/app/|");
    assert_ne!(inspect("{{.Architecture}}"), "riscv64");
    let texts = [
        "image",
        "history",
        "--no-trunc",
        "--format",
        "{{.CreatedBy}}",
        "it",
    ];
    let expected = "HEALTHCHECK &{[\"NONE\"] \"0s\" \"0s\" \"0s\" \"0s\" '\\x00'}\n\
        EXPOSE [81/tcp 443/tcp 80/tcp]\nENV =1\nUSER \nUSER 1\n\
        WORKDIR /app/\nWORKDIR /app/\nWORKDIR //\nWORKDIR /app/\nWORKDIR /app/d\n\
        COPY Dockerfile x # buildkit\nWORKDIR /a/../app/\nARG $X=1\n";
    assert_eq!(sandbox.ok(&texts).stdout(), expected);
    sandbox.finish();
}

#[test]
fn proxies_reach_commands_in_both_spellings_and_no_key() {
    need_kernel!();
    let sandbox = of_dockerfile(
        "FROM host\nENV NO_PROXY=own\nRUN env | grep -i _proxy | sort >&2; echo ran >&2\n",
    );
    let build = |argument: &str| {
        let words = [
            "image",
            "build",
            "--progress",
            "plain",
            "--build-arg",
            argument,
        ];
        let run = sandbox.ok(&[&words[..], &["--build-arg", "no_proxy=n", "."]].concat());
        run.stderr()
    };
    let told = build("HTTP_PROXY=p");
    for entry in ["HTTP_PROXY=p", "http_proxy=p", "NO_PROXY=n", "no_proxy=n"] {
        assert!(told.contains(entry), "{entry}: {told}");
    }
    // The result is the same one.
    let again = build("http_proxy=q");
    assert!(!again.contains("http_proxy=q\n"), "{again}");
    sandbox.finish();
}

#[test]
fn a_given_argument_takes_the_place_of_a_wrong_default_and_of_the_target_platform() {
    need_kernel!();
    let sandbox = of_dockerfile(
        "FROM scratch AS base\nARG TARGETSTAGE\nLABEL stage=$TARGETSTAGE\nFROM base AS end\nARG A=${B:?}\n\
         LABEL a=$A\nCOPY Dockerfile /\n",
    );
    sandbox.ok(&[
        "image",
        "build",
        "-q",
        "--build-arg",
        "A=1",
        "-t",
        "it",
        ".",
    ]);
    let labels = sandbox.ok(&["image", "inspect", "it", "-f", "{{.Config.Labels}}"]);
    assert_eq!(labels.stdout().trim_end(), "map[a:1 stage:end]");
    sandbox.finish();
}
