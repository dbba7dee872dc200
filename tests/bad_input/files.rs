//! Compose files and env files that cannot be read, or are not what they should be.

use std::fs;

use super::{UP, refuse, refuse_args, service};
use crate::support::Sandbox;

/// A file whose aliases stand for ten to the tenth values.
fn bomb() -> String {
    let mut text = "x-a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (inner, outer) in "abcdefghi".chars().zip("bcdefghij".chars()) {
        let items = [format!("*{inner}").as_str(); 10].join(",");
        text += &format!("x-{outer}: &{outer} [{items}]\n");
    }
    text + "services: { web: { image: host } }\n"
}

#[test]
fn a_wrong_file_is_refused() {
    let sandbox = Sandbox::new();
    let bomb = bomb();
    let deep = format!(
        "x-a: {}{}\nservices: {{}}\n",
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let chain = "services:\n  a: { image: host, depends_on: [b] }\n  b: { image: host, depends_on: [c] }\n  c: { image: host, depends_on: [a] }\n";
    let table: &[(&[u8], &[&str])] = &[
        (b"", &["empty compose file", "add `services:`"]),
        (b"# nothing\n", &["empty compose file"]),
        (
            b"services:\n  web:\n    image: h\xff\xfeost\n",
            &["compose.yaml", "not UTF-8"],
        ),
        // UTF-16: a text, then half a character, and a pair of which one is missing.
        (b"\xff\xfes\0e\0", &["must be a mapping"]),
        (b"\xff\xfes\0e", &["not UTF-8"]),
        (b"\xff\xfe\0\xd8e\0", &["not UTF-8"]),
        (
            b"services:\n  web:\n    image: h\0st\n",
            &[":3:", "unprintable"],
        ),
        (b"services:\n\tweb: {}\n", &[":2:", "indent with spaces"]),
        (b"hello", &[":1:1", "must be a mapping"]),
        (b"- a\n", &[":1:1", "must be a mapping"]),
        (b"services:\n", &["`services` must be a mapping"]),
        (
            b"services:\n  web:\n",
            &["`services.web` must be a mapping"],
        ),
        (
            b"services:\n  web: { init: true }\n",
            &[":2:3", "neither an image nor a build"],
        ),
        (
            b"services:\n  \"we b\": { image: host }\n",
            &[":2:3", "not a valid name"],
        ),
        (
            b"services:\n  a: { image: x }\n  a: { image: x }\n",
            &[":3:3", ":2:3", "already defined"],
        ),
        (b"services:\n  web: *nope\n", &[":2:8", "unknown anchor"]),
        (b"services: &a\n  web: *a\n", &[":2:8", "inside the value"]),
        (bomb.as_bytes(), &["aliases", ":6:"]),
        (deep.as_bytes(), &[":1:"]),
        (chain.as_bytes(), &[":2:", "a -> b -> c -> a"]),
        (b"include: [nope.yaml]\n", &[":1:11", "nope.yaml not found"]),
        (
            b"services: { a: { image: host } }\nnetworks: { default: { driver: warp } }\n",
            &[":2:32", "`warp`", "bridge"],
        ),
    ];
    for (text, pieces) in table {
        refuse(&sandbox, text, UP, 1, pieces);
    }
    let used =
        b"services: { a: { image: host, secrets: [s] } }\nsecrets: { s: { external: true } }\n";
    refuse(&sandbox, used, UP, 1, &[":2:", "secret store", "file:"]);
    assert!(sandbox.has_no_container());
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let sandbox = Sandbox::new();
    let project = sandbox.project();
    refuse_args(
        &sandbox,
        UP,
        1,
        &["no configuration file", "compose.yaml", "-f"],
    );
    refuse_args(
        &sandbox,
        &["-f", "nope.yaml", "up"],
        1,
        &["nope.yaml not found"],
    );
    refuse_args(&sandbox, &["-f", ".", "up"], 1, &["it is a directory"]);
    refuse_args(
        &sandbox,
        &["-f", "/dev/null", "up"],
        1,
        &["empty compose file"],
    );
    refuse_args(&sandbox, &["-f", "-", "up"], 1, &["empty compose file"]);
    fs::create_dir(project.join("compose.yaml")).expect("folder");
    refuse_args(&sandbox, UP, 1, &["compose.yaml", "it is a directory"]);
    fs::remove_dir(project.join("compose.yaml")).expect("folder");
    // Root reads any mode; a link to itself nobody can read.
    std::os::unix::fs::symlink("compose.yaml", project.join("compose.yaml")).expect("link");
    refuse_args(&sandbox, UP, 1, &["compose.yaml"]);
    fs::remove_file(project.join("compose.yaml")).expect("link");

    sandbox.write("compose.yaml", &service("init: true"));
    refuse_args(
        &sandbox,
        &["-p", "Bad Name", "up"],
        1,
        &["Bad Name", "lowercase", "-p"],
    );
    refuse_args(
        &sandbox,
        &["--env-file", "nope", "up"],
        1,
        &["nope not found"],
    );
    refuse_args(&sandbox, &["--env-file", ".", "up"], 1, &["is a directory"]);
    refuse_args(
        &sandbox,
        &["--root", "compose.yaml", "ps"],
        1,
        &["compose.yaml"],
    );
    refuse_args(
        &sandbox,
        &["--root", "/proc/nope", "ps"],
        1,
        &["/proc/nope"],
    );
}

#[test]
fn a_wrong_env_file_is_refused_at_its_place() {
    let sandbox = Sandbox::of_compose(&service("env_file: vars.env"));
    let table: &[(&[u8], &[&str])] = &[
        (b"FOO BAR\n", &[":1:1", "contains a space", "NAME=value"]),
        (b"GOOD=1\nA=\"x\n", &[":2:3", "quote is not closed"]),
        (b"A=\xff\xfe\n", &["not UTF-8"]),
        (b"\xff\xfeA\0=\0", &["not UTF-8"]),
        (b"\n\nA=${B:?no b}\n", &[":3:1", "no b"]),
        (b"A=${B\n", &[":1:1", "invalid interpolation"]),
    ];
    for name in [".env", "vars.env"] {
        for (text, pieces) in table {
            sandbox.write("vars.env", "A=1\n");
            sandbox.write(".env", "A=1\n");
            fs::write(sandbox.project().join(name), text).expect("env file");
            let pieces: Vec<&str> = [name].iter().chain(*pieces).copied().collect();
            refuse_args(&sandbox, UP, 1, &pieces);
        }
    }
}
