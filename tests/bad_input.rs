//! Wrong input of every kind: what the user reads, with file, line and column where there is
//! one, the exit code, and never a panic. Tables; one line is one mistake.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use support::Sandbox;

const UP: &[&str] = &["up", "-d"];

/// A project of one service with one more attribute, which begins at line 4, column 5.
fn service(attribute: &str) -> String {
    format!("services:\n  web:\n    image: host\n    {attribute}\n    labels: {{ a: b }}\n")
}

/// Runs the executable on a compose file and expects a refusal with these pieces of text.
#[track_caller]
fn refuse(sandbox: &Sandbox, compose: &[u8], args: &[&str], code: i32, pieces: &[&str]) {
    fs::write(sandbox.project().join("compose.yaml"), compose).expect("compose file");
    refuse_args(sandbox, args, code, pieces);
}

#[track_caller]
fn refuse_args(sandbox: &Sandbox, args: &[&str], code: i32, pieces: &[&str]) {
    let run = sandbox.run(args);
    let stderr = run.stderr();
    let file = fs::read(sandbox.project().join("compose.yaml")).unwrap_or_default();
    let context = format!(
        "gantry {}\n{}\n--- stderr, code {}\n{stderr}",
        args.join(" "),
        String::from_utf8_lossy(&file[..file.len().min(2000)]),
        run.code()
    );
    assert_eq!(run.code(), code, "{context}");
    assert!(!stderr.contains("panicked"), "{context}");
    for piece in pieces {
        assert!(stderr.contains(piece), "no `{piece}`: {context}");
    }
}

#[test]
fn a_wrong_attribute_is_refused_at_its_place() {
    let sandbox = Sandbox::new();
    // Attribute, the column that is pointed at, what must be said.
    let table: &[(&str, usize, &[&str])] = &[
        ("ports: [\"99999:80\"]", 13, &["99999", "HOST:CONTAINER"]),
        ("ports: [\"8000-8002:80-81\"]", 13, &["different lengths"]),
        ("ports: [\"1.2.3.999:80:80\"]", 13, &["not an IP address"]),
        ("ports: [\"80:80/x\"]", 13, &["`x` is not a protocol"]),
        ("ports: [{ target: 0 }]", 13, &["`0` is not a port"]),
        ("expose: [x]", 14, &["`x` is not a port"]),
        ("expose: [\"9-8\"]", 14, &["`9-8` is not a port"]),
        ("mem_limit: lots", 16, &["invalid size `lots`", "`512m`"]),
        ("mem_limit: -5", 16, &["cannot be negative"]),
        ("mem_limit: 1k", 16, &["6 MiB"]),
        ("shm_size: 5q", 15, &["invalid size `5q`"]),
        ("cpus: many", 11, &["must be a number"]),
        ("cpuset: a-b", 13, &["`a-b` is not a list of numbers"]),
        ("pids_limit: x", 17, &["must be an integer"]),
        ("blkio_config: { weight: 5 }", 29, &["between 10 and 1000"]),
        ("oom_score_adj: 5000", 20, &["between -1000 and 1000"]),
        (
            "stop_grace_period: 5 parsecs",
            24,
            &["invalid duration", "`1m30s`"],
        ),
        (
            "stop_signal: SIGNO",
            18,
            &["invalid signal: SIGNO", "SIGTERM"],
        ),
        (
            "healthcheck: { interval: 1x }",
            30,
            &["invalid duration `1x`"],
        ),
        ("healthcheck: { test: [FOO] }", 26, &["CMD-SHELL"]),
        (
            "restart: sometimes",
            14,
            &["`sometimes` is no restart policy"],
        ),
        ("restart: on-failure:x", 14, &["on-failure[:N]"]),
        (
            "depends_on: [db]",
            18,
            &["undefined service \"db\"", "add `db:`"],
        ),
        ("depends_on: [web]", 18, &["cycle", "web -> web"]),
        (
            "networks: [lan]",
            16,
            &["undefined network lan", "add `lan:`"],
        ),
        (
            "networks: { default: { ipv4_address: 300.1.1.1 } }",
            42,
            &["300.1.1.1"],
        ),
        (
            "networks: { default: { mac_address: zz } }",
            41,
            &["unicast MAC"],
        ),
        ("mac_address: zz", 18, &["unicast MAC"]),
        ("network_mode: service:db", 19, &["\"db\""]),
        (
            "volumes: [\"data:/x\"]",
            15,
            &["undefined volume data", "add `data:`"],
        ),
        (
            "volumes: [\"./a:relative\"]",
            15,
            &["`relative` is not an absolute path"],
        ),
        ("volumes: [\"./a:/\"]", 15, &["over the container's root"]),
        ("volumes: [\"/a:/b:ro:z:q\"]", 15, &["too many colons"]),
        (
            "volumes: [{ type: bogus, target: /x }]",
            23,
            &["`bogus`", "`bind`"],
        ),
        (
            "tmpfs: [relative]",
            13,
            &["`relative` is not an absolute path"],
        ),
        ("tmpfs: [/]", 13, &["over the container's root"]),
        ("tmpfs: [\"/x:size=abc\"]", 13, &["size=abc"]),
        (
            "secrets: [token]",
            15,
            &["undefined secret token", "add `token:`"],
        ),
        (
            "configs: [thing]",
            15,
            &["undefined config thing", "add `thing:`"],
        ),
        (
            "cap_add: [SYS_NOTHING]",
            15,
            &["unknown capability `SYS_NOTHING`", "NET_ADMIN"],
        ),
        (
            "security_opt: [\"bogus:1\"]",
            20,
            &["bogus:1", "no-new-privileges"],
        ),
        (
            "sysctls: { kernel.panic: 1 }",
            30,
            &["kernel.panic", "would change the host"],
        ),
        (
            "ulimits: { nofile: { soft: 9, hard: 5 } }",
            16,
            &["above the hard limit"],
        ),
        ("ulimits: { bogus: 5 }", 16, &["unknown ulimit `bogus`"]),
        ("device_cgroup_rules: [bogus]", 27, &["`c 42:* rmw`"]),
        ("extra_hosts: [\"a:notip\"]", 19, &["names no IP address"]),
        ("dns: [notip]", 11, &["`notip` is not an IP address"]),
        ("container_name: a b", 21, &["must match"]),
        ("environment: [5]", 19, &["must be a string", "quote it"]),
        ("environment: [\"=x\"]", 5, &["has no name"]),
        ("environment: { A: \"a\\0b\" }", 23, &["`A` holds a NUL"]),
        ("command: [\"a\\0b\"]", 5, &["`command` holds a NUL"]),
        ("command: \"unclosed 'quote\"", 14, &["close the quote"]),
        (
            "env_file: missing.env",
            15,
            &["missing.env not found", "required: false"],
        ),
        (
            "working_dir: here",
            18,
            &["`here` is not an absolute path", "begin it with `/`"],
        ),
        ("init: maybe", 11, &["must be a boolean"]),
        ("scale: -1", 12, &["greater than or equal to 0"]),
        ("deploy: { mode: global }", 21, &["`replicated`"]),
        (
            "deploy: { resources: { limits: { memory: 1k } } }",
            46,
            &["6 MiB"],
        ),
        ("pull_policy: perhaps", 18, &["`perhaps`", "`always`"]),
        ("logging: { driver: pigeon }", 24, &["pigeon", "json-file"]),
        (
            "logging: { options: { max-size: huge } }",
            37,
            &["max-size=huge", "10m"],
        ),
        (
            "logging: { options: { tag: x } }",
            32,
            &["tag=x", "max-file"],
        ),
        ("ipc: bogus", 10, &["`ipc: bogus`", "service:NAME"]),
        ("runtime: kata", 14, &["runtimes are not supported"]),
        ("gpus: all", 5, &["GPU", "devices"]),
        (
            "develop: { watch: [{ action: dance, path: . }] }",
            34,
            &["`dance`", "`sync`"],
        ),
        ("extends: { service: db }", 14, &["\"db\" not found"]),
        ("comand: [x]", 5, &["comand", "did you mean `command`?"]),
        ("command: \"${X:?tell me}\"", 15, &["X", "tell me"]),
        (
            "command: \"${X\"",
            15,
            &["invalid interpolation format", "$$"],
        ),
    ];
    for (attribute, column, pieces) in table {
        let place = format!("compose.yaml:4:{column}");
        let pieces: Vec<&str> = [place.as_str()].iter().chain(*pieces).copied().collect();
        refuse(&sandbox, service(attribute).as_bytes(), UP, 1, &pieces);
    }
    assert!(!sandbox.root().join("containers").exists());
}

#[test]
fn a_wrong_file_is_refused() {
    let sandbox = Sandbox::new();
    let bomb = {
        let mut text = "x-a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (inner, outer) in "abcdefghi".chars().zip("bcdefghij".chars()) {
            let items = [format!("*{inner}").as_str(); 10].join(",");
            text += &format!("x-{outer}: &{outer} [{items}]\n");
        }
        text + "services: { web: { image: host } }\n"
    };
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
        (b"\xff\xfes\0e\0", &["not UTF-8"]),
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
        (
            b"services: { a: { image: host } }\nsecrets: { s: { external: true } }\n",
            &[],
        ),
    ];
    for (text, pieces) in &table[..table.len() - 1] {
        refuse(&sandbox, text, UP, 1, pieces);
    }
    let used =
        b"services: { a: { image: host, secrets: [s] } }\nsecrets: { s: { external: true } }\n";
    refuse(&sandbox, used, UP, 1, &[":2:", "secret store", "file:"]);
    assert!(!sandbox.root().join("containers").exists());
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
    refuse_args(&sandbox, &["-f", ".", "up"], 1, &["Is a directory"]);
    refuse_args(
        &sandbox,
        &["-f", "/dev/null", "up"],
        1,
        &["empty compose file"],
    );
    refuse_args(&sandbox, &["-f", "-", "up"], 1, &["empty compose file"]);
    fs::create_dir(project.join("compose.yaml")).expect("folder");
    refuse_args(&sandbox, UP, 1, &["compose.yaml", "Is a directory"]);
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
        ("container run --memory x host", &["--memory", "512m"]),
        ("container run --cpus x host", &["--cpus"]),
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

#[test]
fn a_thing_that_does_not_exist_is_named() {
    need_kernel!();
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

#[test]
fn what_the_machine_does_not_have_is_named_with_its_service() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let table: &[(&str, &[&str])] = &[
        (
            "user: nobodyatall",
            &["`web`", "find user `nobodyatall`", "/etc/passwd"],
        ),
        (
            "user: \"0:nogroupatall\"",
            &["find group `nogroupatall`", "/etc/group"],
        ),
        (
            "working_dir: /etc/passwd",
            &["working directory", "`/etc/passwd`"],
        ),
        ("devices: [/no/such/dev]", &["`/no/such/dev`"]),
        (
            "security_opt: [\"seccomp=/no/such/file\"]",
            &["/no/such/file"],
        ),
        ("network_mode: nolan", &["no network `nolan`"]),
        (
            "network_mode: container:nobody",
            &["no such container: nobody"],
        ),
        (
            "platform: plan9/vax",
            &["plan9/vax", "its own architecture"],
        ),
        (
            "secrets: [s]\nsecrets: { s: { file: ./nope } }\nx-a:\n   b: c",
            &["nope"],
        ),
    ];
    for (attribute, pieces) in table {
        let compose = service(&format!("command: [\"true\"]\n    {attribute}"));
        let compose = compose.replace("\nx-a:\n   b: c\n    labels: { a: b }", "");
        refuse(&sandbox, compose.as_bytes(), UP, 1, pieces);
    }
    for (command, code, pieces) in [
        (
            "[/no/such/program]",
            127,
            &["`/no/such/program` not found"][..],
        ),
        (
            "[nosuchprogram]",
            127,
            &["`nosuchprogram` not found in $PATH"],
        ),
        (
            "[/etc/passwd]",
            126,
            &["`/etc/passwd`", "Permission denied"],
        ),
        ("[/etc]", 126, &["`/etc`", "Is a directory"]),
    ] {
        let compose = service(&format!("command: {command}"));
        refuse(&sandbox, compose.as_bytes(), UP, 1, pieces);
        refuse_args(&sandbox, &["run", "--rm", "-T", "web"], code, pieces);
    }
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_missing_external_thing_is_named_with_the_command_that_makes_it() {
    need_kernel!();
    let sandbox = Sandbox::new();
    refuse(
        &sandbox,
        b"services: { web: { image: host, networks: [lan] } }\nnetworks: { lan: { external: true, name: office } }\n",
        UP,
        1,
        &["network `office`", "external", "gantry network create office"],
    );
    refuse(
        &sandbox,
        b"services: { web: { image: host, volumes: [\"data:/x\"] } }\nvolumes: { data: { external: true, name: archive } }\n",
        UP,
        1,
        &["volume `archive`", "external", "gantry volume create archive"],
    );
    sandbox.finish();
}

#[test]
fn a_limit_that_cannot_be_in_force_is_told() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&service("cpuset: \"4095\"\n    command: [\"true\"]"));
    // No machine of ours has that many processors.
    sandbox
        .ok(UP)
        .expect_stderr(&["warning:", "web-1", "cpuset"]);
    sandbox
        .ok(&["run", "--rm", "-T", "web"])
        .expect_stderr(&["warning:", "cpuset"]);
    sandbox
        .ok(&[
            "container",
            "run",
            "--rm",
            "--cpuset-cpus",
            "4095",
            "host",
            "true",
        ])
        .expect_stderr(&["warning:", "cpuset"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_wrong_dockerfile_is_refused_at_its_line() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let table: &[(&[u8], &[&str])] = &[
        (b"", &["Dockerfile", "empty", "FROM"]),
        (b"FROM host\nFRMO x\n", &["Dockerfile:2:1", "`FRMO`"]),
        (b"RUN x\n", &["Dockerfile:1:1", "before FROM"]),
        (
            b"FROM host\nRUN echo words; exit 7\n",
            &["words", "exit code: 7", "Dockerfile:2:1"],
        ),
        (
            b"FROM host\nRUN nosuchprogram\n",
            &["127", "Dockerfile:2:1"],
        ),
        (
            b"FROM host\nCOPY nope.txt /x\n",
            &["`/nope.txt` not found", "Dockerfile:2:1"],
        ),
        (
            b"FROM host\nCOPY --bogus a b\n",
            &["`--bogus`", "--chown", "Dockerfile:2:1"],
        ),
        (b"FROM host\n\0\xff\n", &["Dockerfile:2:1"]),
        (b"FROM ${NOPE}\n", &["${NOPE}", "Dockerfile:1:1"]),
        (
            b"FROM host\nRUN <<EOF\necho\n",
            &["heredoc `EOF`", "Dockerfile:2:1"],
        ),
        (
            b"FROM 127.0.0.1:9/x:1\n",
            &["127.0.0.1:9/x:1", "Dockerfile:1:1"],
        ),
        (b"FROM host\nUSER\n", &["Dockerfile:2:1"]),
        (b"FROM host\nEXPOSE x\n", &["Dockerfile:2:1"]),
    ];
    sandbox.write("compose.yaml", "services:\n  web:\n    build: .\n");
    for (text, pieces) in table {
        fs::write(sandbox.project().join("Dockerfile"), text).expect("Dockerfile");
        for args in [&["build"][..], &["image", "build", "."]] {
            refuse_args(&sandbox, args, 1, pieces);
        }
    }
    fs::write(sandbox.project().join("Dockerfile"), "FROM host AS a\n").expect("Dockerfile");
    for (line, pieces) in [
        ("image build --target nope .", &["`nope`"][..]),
        ("image build -f nope .", &["`nope`"]),
        ("image build -f . .", &["Is a directory"]),
        ("image build nope", &["build context `nope`"]),
        ("image build -t UP .", &["lower case"]),
        ("image build --platform x/y .", &["x/y"]),
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        refuse_args(&sandbox, &args, 1, pieces);
    }
    sandbox.finish();
}

/// A tar archive of files.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Names as they are: `append_data` would refuse the hostile ones.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, *content).expect("entry");
    }
    archive.into_inner().expect("archive")
}

#[test]
fn a_damaged_archive_is_refused_and_leaves_no_image() {
    need_kernel!();
    use sha2::Digest as _;
    let sandbox = Sandbox::new();
    let layer = tar(&[("file", b"text")]);
    let digest: String = sha2::Sha256::digest(&layer)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let config = |digest: &str| {
        format!(
            r#"{{"architecture":"{}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#,
            if cfg!(target_arch = "x86_64") {
                "amd64"
            } else {
                "arm64"
            }
        )
    };
    let manifest =
        |layer: &str| format!(r#"[{{"Config":"c.json","RepoTags":["x:1"],"Layers":["{layer}"]}}]"#);
    let image = |manifest: &str, config: &str, layer: &[u8]| {
        tar(&[
            ("manifest.json", manifest.as_bytes()),
            ("c.json", config.as_bytes()),
            ("l.tar", layer),
        ])
    };
    let (right, other) = (config(&digest), config(&"0".repeat(64)));
    let good = image(&manifest("l.tar"), &right, &layer);
    let outside = tar(&[("../../../escape", b"x")]);
    let table: &[(&[u8], &[&str])] = &[
        (b"", &["not an image archive"]),
        (b"this is no archive, only some text", &["damaged"]),
        (&[0x55; 4096], &["damaged"]),
        (b"\x1f\x8b\x08\0garbage", &[]),
        (&good[..good.len() / 2], &["ends in the middle"]),
        (&tar(&[("x", b"1")]), &["manifest.json"]),
        (&tar(&[("manifest.json", b"{nope")]), &["manifest.json"]),
        (&tar(&[("manifest.json", b"[]")]), &[]),
        (&image(&manifest("zz.tar"), &right, &layer), &["`zz.tar`"]),
        (
            &image(&manifest("../../etc/passwd"), &right, &layer),
            &["does not hold"],
        ),
        (&image(&manifest("l.tar"), "{", &layer), &[]),
        (&image(&manifest("l.tar"), &right, &[0x55; 900]), &[]),
        (
            &image(&manifest("l.tar"), &other, &layer),
            &["should be", "unpacks to"],
        ),
        (&image(&manifest("l.tar"), &right, &outside), &[]),
    ];
    let file = sandbox.project().join("image.tar");
    for (bytes, pieces) in table {
        fs::write(&file, bytes).expect("archive");
        refuse_args(&sandbox, &["image", "load", "-i", "image.tar"], 1, pieces);
    }
    refuse_args(
        &sandbox,
        &["image", "load", "-i", "nope.tar"],
        1,
        &["nope.tar"],
    );
    refuse_args(
        &sandbox,
        &["image", "load", "-i", "."],
        1,
        &["Is a directory"],
    );
    assert!(!sandbox.ok(&["image", "ls"]).stdout().contains("x "));
    // The one that is right shows that the others were wrong only in what they should be.
    fs::write(&file, &good).expect("archive");
    sandbox.ok(&["image", "load", "-i", "image.tar"]);
    assert!(!sandbox.root().join("escape").exists());
    sandbox.finish();
}

#[test]
fn a_wrong_image_name_is_explained() {
    need_kernel!();
    let sandbox = Sandbox::new();
    for (name, piece) in [
        ("UPPER:x", "lower case"),
        ("a b", "a b"),
        ("x@sha256:123", "digest"),
        ("\"x:\"", "a tag is"),
        ("127.0.0.1:9/nothing:1", "127.0.0.1:9"),
    ] {
        let compose = format!("services:\n  web:\n    image: {name}\n");
        refuse(&sandbox, compose.as_bytes(), UP, 1, &[piece]);
    }
    sandbox.finish();
}

#[test]
fn a_bind_source_that_cannot_be_used_is_named() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("file", "");
    fs::set_permissions(
        sandbox.project().join("file"),
        fs::Permissions::from_mode(0o600),
    )
    .expect("mode");
    for (source, pieces) in [
        ("./nowhere", &["web", "nowhere"][..]),
        ("./file/below", &["web", "file/below", "Not a directory"]),
    ] {
        let compose = service(&format!(
            "volumes: [{{ type: bind, source: {source}, target: /x }}]"
        ));
        refuse(&sandbox, compose.as_bytes(), UP, 1, pieces);
    }
    sandbox.ok(&["down"]);
    sandbox.finish();
}
