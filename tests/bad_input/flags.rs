//! Wrong words on the command line, and names of things that do not exist.

use super::{refuse_args, service};
use crate::support::Sandbox;

#[test]
fn a_wrong_flag_is_a_usage_error() {
    let sandbox = Sandbox::of_compose(&service("command: [\"true\"]"));
    let table: &[(&str, &[&str])] = &[
        ("bogus", &["unrecognized subcommand 'bogus'"]),
        ("up --bogus", &["--bogus"]),
        ("up --scale web", &["SERVICE=NUM"]),
        ("up --scale web=x", &["`x` is not a number"]),
        ("up --scale web=-1", &["`-1` is not a number"]),
        ("up -t x", &["--timeout"]),
        ("up --pull perhaps", &["`always`"]),
        (
            "up -d --abort-on-container-exit",
            &["--detach", "incompatible"],
        ),
        ("up --force-recreate --no-recreate", &["incompatible"]),
        ("up --build --no-build", &["incompatible"]),
        ("scale web=x", &["`x` is not a number"]),
        ("logs --tail x", &["--tail"]),
        ("logs --since tomorrowish", &["tomorrowish", "42m"]),
        ("exec web", &["needs a command"]),
        ("exec --index x web true", &["--index"]),
        ("run -v bad:x:y:z:q web true", &["too many colons"]),
        ("run -p 99999:1 web true", &["99999:1"]),
        ("port web", &["PRIVATE_PORT"]),
        ("port web x", &["PRIVATE_PORT"]),
        ("ps --status bogus", &["bogus", "running"]),
        ("ps --filter a=b", &["status="]),
        ("config --format bogus", &["`yaml` or `json`"]),
        ("down --rmi bogus", &["`local` or `all`"]),
        ("down -t x", &["--timeout"]),
        ("wait", &["SERVICE"]),
        ("cp a b", &["SERVICE:PATH"]),
        ("events --since x", &["`x` is not a time"]),
        ("--ansi bogus up", &["bogus", "auto"]),
        ("--progress bogus up", &["bogus", "plain"]),
        ("--parallel x up", &["--parallel"]),
        ("container run", &["IMAGE"]),
        ("container ls --filter bogus=x", &["bogus"]),
        ("container ls --format {{", &["template"]),
        ("image pull UP:x", &["lower case"]),
        ("image build --output type=bogus .", &["bogus"]),
        ("network create --driver warp n", &["bridge"]),
        ("volume create -d warp v", &["local"]),
    ];
    for (line, pieces) in table {
        let args: Vec<&str> = line.split(' ').collect();
        refuse_args(&sandbox, &args, 2, pieces);
    }
}

/// Docker's codes: 125 says that it was not the program that failed.
#[test]
fn a_program_that_cannot_run_has_dockers_exit_codes() {
    crate::need_kernel!();
    let sandbox = Sandbox::new();
    let before: &[(&str, &[&str])] = &[
        ("container run --bogus host", &["--bogus"]),
        ("container run --memory x host", &["--memory", "512m"]),
        ("container run --cpus x host", &["--cpus"]),
        (
            "container run --cpus 99999 host true",
            &["0.01 to", "CPUs available"],
        ),
        ("container run -e =x host", &["no name"]),
        ("container run -p x host", &["--publish"]),
        ("container run -v a:b:c:d host", &["--volume"]),
        (
            "container run --restart sometimes host",
            &["unless-stopped"],
        ),
        ("container run --mount type=bogus host", &["--mount"]),
        ("container run --ulimit x host", &["soft[:hard]"]),
        ("container run --log-driver x host", &["json-file"]),
        (
            "container run --env-file nope host",
            &["nope", "No such file"],
        ),
        ("container run --ip 1.2 host", &["--ip"]),
        ("container run --cidfile / host", &["exists already"]),
        ("container run --add-host x host", &["host:ip"]),
        ("container run --attach bogus host", &["stdin"]),
        ("container run --network nope host true", &["nope"]),
        (
            "container run --mount type=bind,source=/nope,target=/x host true",
            &["/nope"],
        ),
        (
            "container run --rm --restart always host true",
            &["--rm", "choose one"],
        ),
        (
            "container run --stop-signal X host true",
            &["invalid signal: X"],
        ),
        (
            "container run --workdir rel host true",
            &["`rel`", "absolute"],
        ),
        ("container run --platform plan9 host true", &["plan9"]),
        ("container run --pull never nope:1 true", &["nope:1"]),
        (
            "container run -u nobody-here host true",
            &["nobody-here", "passwd"],
        ),
        ("container exec --bogus one true", &["--bogus"]),
    ];
    let check = |table: &[(&str, &[&str])], code| {
        for (line, pieces) in table {
            let args: Vec<&str> = line.split(' ').collect();
            refuse_args(&sandbox, &args, code, pieces);
        }
    };
    check(before, 125);
    sandbox.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "one",
        "host",
        "sleep",
        "60",
    ]);
    sandbox.ok(&["container", "create", "--name", "made", "host", "true"]);
    let missing = &["no-such-program", "not found"];
    check(
        &[
            ("container run --rm host no-such-program", missing),
            ("container exec one no-such-program", missing),
        ],
        127,
    );
    check(
        &[
            ("container run --rm host /etc/passwd", &["/etc/passwd"]),
            ("container run --rm host /etc", &["/etc"]),
            ("container exec one /etc/passwd", &["/etc/passwd"]),
            ("container exec -u nobody-here one true", &["nobody-here"]),
        ],
        126,
    );
    check(&[("container run --name one host true", &["`one`"])], 125);
    // What has nothing to do with a program is as with any other verb.
    check(
        &[
            ("container create --name one host true", &["`one`"]),
            ("container create --network nope host true", &["nope"]),
            ("container exec nope true", &["no such container: nope"]),
            ("container exec made true", &["not running"]),
            ("container exec -d one no-such-program", missing),
        ],
        1,
    );
    sandbox.finish();
}

#[test]
fn a_thing_that_does_not_exist_is_named() {
    crate::need_kernel!();
    let sandbox = Sandbox::of_compose(&service("command: [\"true\"]"));
    let table: &[(&str, &[&str])] = &[
        ("up nobody", &["no such service: nobody", "web"]),
        ("up --scale nobody=2", &["`nobody`"]),
        ("up --attach nobody", &["`nobody`"]),
        ("logs nobody", &["`nobody` not found", "web"]),
        ("exec nobody true", &["`nobody` not found", "web"]),
        ("exec web true", &["not found", "gantry up -d web"]),
        ("run nobody true", &["nobody", "web"]),
        ("port nobody 80", &["`nobody`"]),
        ("ps nobody", &["`nobody`"]),
        ("top nobody", &["`nobody`"]),
        ("stop nobody", &["`nobody`"]),
        ("down nobody", &["`nobody`"]),
        ("wait nobody", &["`nobody`"]),
        ("config --hash nobody", &["`nobody`"]),
        ("container stop nope", &["no such container: nope"]),
        ("container inspect nope", &["no such container: nope"]),
        ("image rm nope", &["no such image: `nope`"]),
        ("image inspect nope", &["no such image: `nope`"]),
        ("image push host", &["`host`"]),
        ("image save host", &["`host` cannot be saved"]),
        ("network rm nope", &["no network `nope`"]),
        ("network create --subnet x n", &["CIDR"]),
        (
            "network create --subnet 10.9.0.0/24 --gateway 11.0.0.1 n",
            &["11.0.0.1", "10.9.0.0/24"],
        ),
        ("network create host", &["`host`"]),
        ("volume rm nope", &["no such volume: nope"]),
    ];
    for (line, pieces) in table {
        let args: Vec<&str> = line.split(' ').collect();
        refuse_args(&sandbox, &args, 1, pieces);
    }
    sandbox.finish();
}
