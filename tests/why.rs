//! `why`: every source of a value with its place, which won and which lost.

mod support;

use support::{Run, Sandbox};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::of_compose(
        r#"include: [sub/inc.yaml]
x-env: &env
  LOG: debug
  MODE: anchor
services:
  base:
    image: host
    environment: {DB_URL: "postgres://base", EXTRA: one}
  web:
    extends: {service: base}
    environment:
      <<: *env
      MODE: own
      DB_URL: postgres://${DB_HOST:-db}:${DB_PORT:-5432}/dev
      FROM_SHELL:
      UNSET:
    env_file: [web.env, web2.env]
    ports: ["8080:80"]
  far:
    extends: {service: farbase, file: far.yaml}
    image: host:latest
"#,
    );
    for (file, text) in [
        (
            "compose.override.yaml",
            "services:\n  web:\n    environment:\n      - DB_URL=postgres://${DB_HOST:-db}/prod\n    image: ${IMG:-host}\n    hostname: ${IMG-unused}h\n",
        ),
        ("web.env", "DB_URL=from-file\nONLY=one\n"),
        ("web2.env", "ONLY=two\nLOG=x\n"),
        (".env", "DB_HOST=dotenv\nIMG=\n"),
        ("sub/inc.yaml", "services:\n  inc:\n    image: host\n"),
        (
            "far.yaml",
            "services:\n  farbase:\n    image: nginx\n    hostname: h\n",
        ),
    ] {
        sandbox.write(file, text);
    }
    sandbox
}

fn why(sandbox: &Sandbox, args: &[&str]) -> Run {
    let output = sandbox
        .command(&[&["why"], args].concat())
        .env("DB_HOST", "shell")
        .env("FROM_SHELL", "yes")
        .output()
        .expect("the executable starts");
    Run::of(args, output)
}

#[track_caller]
fn check(path: &str, expected: &str) {
    let sandbox = sandbox();
    let run = why(&sandbox, &[path]).expect_code(0);
    let folder = format!("{}/", sandbox.project().display());
    assert_eq!(run.stdout().replace(&folder, ""), expected);
}

#[test]
fn files_override_extend_and_lose_to_attributes() {
    check(
        "services.web.environment.DB_URL",
        r#"services.web.environment.DB_URL = "postgres://shell/prod"
  won   compose.override.yaml:4:9  compose file
        written as "DB_URL=postgres://${DB_HOST:-db}/prod"
          DB_HOST won   "shell"  process environment
          DB_HOST lost  .env:1:1  "dotenv"  env file, of lower precedence
          DB_HOST lost  "db"  default in the text, the variable decides
  lost  compose.yaml:14:15  "postgres://shell:5432/dev"  compose file, replaced by the value above
        written as "postgres://${DB_HOST:-db}:${DB_PORT:-5432}/dev"
          DB_HOST won   "shell"  process environment
          DB_HOST lost  .env:1:1  "dotenv"  env file, of lower precedence
          DB_HOST lost  "db"  default in the text, the variable decides
          DB_PORT won   "5432"  default in the text
  lost  compose.yaml:8:27  "postgres://base"  compose file, replaced by the value above
  lost  web.env:1:1  "from-file"  env_file or label_file, an attribute wins over a file
"#,
    );
}

#[test]
fn a_key_beats_what_is_merged_in() {
    check(
        "services.web.environment.MODE",
        r#"services.web.environment.MODE = "own"
  won   compose.yaml:13:13  compose file
  lost  compose.yaml:4:9  "anchor"  compose file, a key beside `<<` wins
"#,
    );
}

#[test]
fn a_later_env_file_beats_an_earlier_one() {
    check(
        "services.web.environment.ONLY",
        r#"services.web.environment.ONLY = "two"
  won   web2.env:1:1  env_file or label_file
  lost  web.env:2:1  "one"  env_file or label_file, replaced by the value above
"#,
    );
}

#[test]
fn a_name_alone_takes_the_variable() {
    check(
        "services.web.environment.FROM_SHELL",
        r#"services.web.environment.FROM_SHELL = "yes"
  won   compose.yaml:15:17  compose file
        written as "FROM_SHELL"
          FROM_SHELL won   "yes"  process environment
"#,
    );
    check(
        "services.web.environment.UNSET",
        "services.web.environment.UNSET = null\n  won   compose.yaml:16:12  compose file\n",
    );
}

#[test]
fn an_empty_variable_loses_only_with_a_colon() {
    check(
        "services.web.image",
        r#"services.web.image = "host"
  won   compose.override.yaml:5:12  compose file
        written as "${IMG:-host}"
          IMG won   "host"  default in the text
          IMG lost  .env:2:1  ""  env file, of lower precedence
  lost  compose.yaml:7:12  "host"  compose file, replaced by the value above
"#,
    );
    check(
        "services.web.hostname",
        r#"services.web.hostname = "h"
  won   compose.override.yaml:6:15  compose file
        written as "${IMG-unused}h"
          IMG won   .env:2:1  ""  env file
          IMG lost  "unused"  default in the text, the variable decides
"#,
    );
}

#[test]
fn other_files_say_what_led_there() {
    check(
        "services.far",
        r#"services.far.image = "host:latest"
  won   compose.yaml:21:12  compose file
  lost  far.yaml:3:12  "nginx"  file extended at compose.yaml:20:39, inherited through `extends` at compose.yaml:20:14
services.far.hostname = "h"
  won   far.yaml:4:15  file extended at compose.yaml:20:39
services.far.networks.default = null
  won   default
"#,
    );
    check(
        "services.inc.image",
        "services.inc.image = \"host\"\n  won   sub/inc.yaml:3:12  file included at compose.yaml:1:11\n",
    );
}

#[test]
fn a_wrong_path_is_told_with_what_there_is() {
    let sandbox = sandbox();
    for (path, hints) in [
        ("services.web.imag", &["did you mean `image`?"][..]),
        ("services.wbe", &["base", "web", "far", "inc"]),
        (
            "services.web.ports[3]",
            &["no `3`", "`services.web.ports[0]`"],
        ),
        ("services.web.image.x", &["the path ends there"]),
    ] {
        why(&sandbox, &[path]).expect_code(1).expect_stderr(hints);
    }
}

#[test]
fn programs_read_json() {
    let sandbox = sandbox();
    let run = why(&sandbox, &["services.web.image", "--format", "json"]).expect_code(0);
    let list: serde_json::Value = serde_json::from_str(&run.stdout()).expect("JSON");
    let sources = &list[0]["sources"];
    assert_eq!(sources[0]["verdict"], "won");
    assert_eq!(sources[0]["location"]["line"], 5);
    assert_eq!(sources[0]["variables"][0]["sources"][1]["verdict"], "lost");
    assert_eq!(sources[1]["verdict"], "lost");
    assert_eq!(sources[1]["reason"], "replaced by the value above");
}
