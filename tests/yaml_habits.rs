//! Habits of real Compose files: what docker compose reads, prints and refuses, and in which way.
//! Each expectation was seen with docker compose 2.40; the cases of one test show one rule.

mod support;

use support::{Run, Sandbox};

/// What `config` with these flags does with a service of these attributes, and what follows it.
fn config(attributes: &str, rest: &str, args: &[&str]) -> Run {
    config_of(&file(attributes, rest), &[], args)
}

fn file(attributes: &str, rest: &str) -> String {
    let attributes: String = attributes.lines().map(|l| format!("    {l}\n")).collect();
    format!("name: p\nservices:\n  a:\n    image: i\n{attributes}{rest}")
}

/// The same with more files, and `V=1_000` and `X=x` in the environment. The project lies in
/// `/project`, as far as what is printed says.
fn config_of(compose: &str, files: &[(&str, &str)], args: &[&str]) -> Run {
    let sandbox = Sandbox::of_compose(compose);
    for (name, text) in files {
        sandbox.write(name, text);
    }
    let args: Vec<&str> = ["config"].iter().chain(args).copied().collect();
    let mut command = sandbox.command(&args);
    let output = command.env("V", "1_000").env("X", "x").output();
    let mut output = output.expect("gantry runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let project = sandbox.project().display().to_string();
    output.stdout = text.replace(&project, "/project").into_bytes();
    Run::of(&args, output)
}

#[track_caller]
fn prints(attributes: &str, rest: &str, lines: &str) {
    config(attributes, rest, &[])
        .expect_code(0)
        .expect_stdout(&[lines]);
}

#[track_caller]
fn refuses(attributes: &str, args: &[&str], words: &str) {
    config(attributes, "", args)
        .expect_code(1)
        .expect_stderr(&[words]);
}

#[test]
fn a_lone_dash_may_stand_in_brackets() {
    prints(
        "command: [tar, xf, -]",
        "",
        "- tar\n      - xf\n      - '-'\n",
    );
    prints("command: [-, a]\nlabels: {a: -}", "", "a: '-'\n");
    refuses("command: [- a]", &[], "there is no value here");
}

#[test]
fn quoted_text_continues_at_any_column() {
    let text = "name: p\nservices:\n  a:\n    image: i\n    command: \"a\n    b\"\n    user: 'x\ny'\n    hostname: \"a\\\n  b\"\n    environment: {A: \"x\n  y\"}\n";
    config_of(text, &[], &[]).expect_code(0).expect_stdout(&[
        "- a\n      - b\n",
        "A: x y\n",
        "hostname: ab\n",
        "user: x y\n",
    ]);
}

#[test]
fn a_colon_at_the_end_is_text_in_brackets() {
    prints("command: [a:, b]\nlabels: {K: x:}", "", "K: 'x:'\n");
    for flow in ["command: [:a]", "labels: {K: :a}", "command: [a?]"] {
        refuses(flow, &[], "this is not valid YAML");
    }
    refuses("command: [?a]", &[], "must be a string");
}

#[test]
fn a_comment_needs_no_blank_after_quotes_and_brackets() {
    prints(
        "command: 'a'#c\ncap_add: [B]#c\nuser: b#c",
        "",
        "user: b#c\n",
    );
}

#[test]
fn a_tab_may_follow_a_colon() {
    prints("command:\ta", "", "- a\n");
    refuses("\tcommand: a", &[], "a tab stands where lines are indented");
}

#[test]
fn escapes_are_those_of_go_yaml() {
    prints(r#"user: "\x41\u00e9\'""#, "", "user: Aé'\n");
    refuses(r#"user: "\/""#, &[], "this is no escape sequence");
}

#[test]
fn anchors_reach_later_documents() {
    let text = "name: p\nservices:\n  a:\n    image: &x i\n---\nservices:\n  b:\n    image: *x\n";
    config_of(text, &[], &[])
        .expect_code(0)
        .expect_stdout(&["b:\n    image: i\n"]);
    refuses("user: *x", &[], "unknown anchor");
}

#[test]
fn binary_values_are_decoded() {
    let attributes =
        "hostname: !!binary aGk=\ncommand: [!!binary aGk=]\nenvironment: {K: !!binary aGk=}";
    prints(attributes, "", "K: hi\n    hostname: hi\n");
    refuses("hostname: !!binary a?", &[], "as a `!!binary`");
}

#[test]
fn an_empty_tag_says_nothing() {
    let text = config("command: !\nhostname: ! hi", "", &[])
        .expect_code(0)
        .stdout();
    assert!(
        !text.contains("command") && text.contains("hostname: hi\n"),
        "{text}"
    );
}

const PART: &str = "services:\n  b:\n    image: i\n    volumes: [./x:/y]\n";

#[test]
fn an_include_takes_the_null_device_as_env_file() {
    let text = file("", "include: [{path: i/c.yaml, env_file: /dev/null}]\n");
    config_of(&text, &[("i/c.yaml", PART)], &[]).expect_code(0);
    let text = file("", "include: [{path: i/c.yaml, env_file: i}]\n");
    config_of(&text, &[("i/c.yaml", PART)], &[]).expect_code(1);
}

#[test]
fn paths_of_an_include_are_relative_to_a_directory_that_is_there() {
    for (directory, source) in [
        ("gone", "/project/x\n"),
        ("no/such", "/project/no/x\n"),
        ("i", "/project/i/x\n"),
        ("/gone", "source: /gone/x\n"),
    ] {
        let include = format!("include: [{{path: i/c.yaml, project_directory: {directory}}}]\n");
        config_of(&file("", &include), &[("i/c.yaml", PART)], &[])
            .expect_code(0)
            .expect_stdout(&[source]);
    }
}

#[test]
fn an_include_of_nothing_includes_nothing() {
    for item in ["null", "{}", "{path: []}", "{path: null}", "{x-a: 1}"] {
        let run = config("", &format!("include: [{item}]\n"), &[]).expect_code(0);
        assert_eq!(run.stderr(), "", "{item}");
    }
    for item in [
        "\"\"",
        "1",
        "{path: 1}",
        "{path: [null]}",
        "{env_file: gone}",
    ] {
        config("", &format!("include: [{item}]\n"), &[]).expect_code(1);
    }
    config("", "include: [{paths: a}]\n", &[])
        .expect_code(0)
        .expect_stderr(&[
            "`paths` means nothing in `include[0]`",
            "did you mean `path`?",
        ]);
}

#[test]
fn an_included_secret_that_has_its_value_conflicts() {
    let part = |name: &str| {
        format!("services:\n  {name}:\n    image: i\nsecrets: {{s: {{environment: X}}}}\n")
    };
    let both = |include: &str, rest: &str| {
        let text = file("", &format!("include: {include}\n{rest}"));
        let files = [("i.yaml", part("b")), ("j.yaml", part("c"))];
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        config_of(&text, &files, &[])
    };
    both("[i.yaml]", "secrets: {s: {environment: X}}\n")
        .expect_code(1)
        .expect_stderr(&["secrets.s conflicts with imported resource"]);
    both("[i.yaml, j.yaml]", "").expect_code(0);
}

#[test]
fn ssh_keys_are_printed_as_docker_compose_prints_them() {
    let text = config("build: {context: ., ssh: {a: /b, default: null}}", "", &[]).stdout();
    assert!(text.contains("- 'a: /b'\n        - default\n"), "{text}");
    // What is printed loads again.
    config_of(&text, &[], &[])
        .expect_code(0)
        .expect_stdout(&["- 'a: /b'\n"]);
}

#[test]
fn dates_and_infinite_numbers_are_printed_as_such() {
    let rest = "x-d: [2024-01-01, 2024-1-2 3:4:5.50, 2024-01-01T02:03:04+02:00, 2024-02-30]\nx-n: [.inf, -.inf, .nan]\n";
    prints("cpus: Inf", rest, "cpus: .inf\n");
    let dates = "x-d:\n  - 2024-01-01T00:00:00Z\n  - 2024-01-02T03:04:05.5Z\n  - 2024-01-01T02:03:04+02:00\n  - 2024-02-30\n";
    prints("", rest, dates);
    prints("", rest, "x-n:\n  - .inf\n  - -.inf\n  - .nan\n");
    for flags in [
        &["--format", "json"][..],
        &["--no-interpolate", "--format", "json"],
    ] {
        let run = config("", rest, flags);
        assert_ne!(run.code(), 0);
        run.expect_stderr(&["JSON has no number `.inf`"]);
    }
    config("", "x-d: 2024-01-01\n", &["--format", "json"])
        .expect_code(0)
        .expect_stdout(&["\"x-d\": \"2024-01-01T00:00:00Z\""]);
}

#[test]
fn floats_are_printed_as_go_prints_them() {
    for (cpus, yaml, json) in [
        ("9223372036854775807", "9.223372e+18", "9223372000000000000"),
        ("123456789", "1.2345679e+08", "123456790"),
        ("1000000", "1e+06", "1000000"),
        ("999999", "999999", "999999"),
        ("0.5", "0.5", "0.5"),
    ] {
        prints(&format!("cpus: {cpus}"), "", &format!("cpus: {yaml}\n"));
        let attributes = format!("deploy: {{resources: {{limits: {{cpus: {cpus}}}}}}}");
        prints(&attributes, "", &format!("cpus: {yaml}\n"));
        config(&attributes, "", &["--format", "json"])
            .expect_stdout(&[&format!("\"cpus\": {json}\n")]);
    }
    prints(
        "labels: {a: 1000000.5}",
        "x-a: 1000000.0\n",
        "a: \"1.0000005e+06\"\n",
    );
    prints(
        "",
        "x-a: [1e6, 1e-5, 123456.0]\n",
        "- 1e+06\n  - 1e-05\n  - 123456\n",
    );
    config("", "x-a: [1e20, 2.0, 1e21, 1e-7]\n", &["--format", "json"])
        .expect_stdout(&["100000000000000000000,\n    2,\n    1e+21,\n    1e-7\n"]);
}

#[test]
fn yaml_has_what_docker_compose_has() {
    prints("command: [<<]", "", "- <<\n");
    prints("memswap_limit: -1", "", "memswap_limit: \"-1\"\n");
    prints("post_start: [{command: }]", "", "post_start:\n      - {}\n");
    let secrets = "secrets: {c: {environment: X}}\nconfigs: {c: {content: x}}\n";
    prints("secrets: [{source: c, mode: -1}]", secrets, "mode: 0-1\n");
    for flags in [&[][..], &["--format", "json"]] {
        let text = config("configs: [c]", "configs: {c: {environment: X}}\n", flags);
        assert!(!text.expect_code(0).stdout().contains("content"));
    }
    let networks = "networks: {n: {ipam: {x-b: 1, config: [{subnet: 10.1.0.0/24, x-a: 1}]}}}\n";
    let text = config("networks: [n]", networks, &[]).stdout();
    assert!(text.contains("x-b: 1") && !text.contains("x-a"), "{text}");
}

#[test]
fn a_mode_is_a_whole_number() {
    for mode in ["1.5", "8.0", "1e3"] {
        let text = file(
            &format!("configs: [{{source: c, mode: {mode}}}]"),
            "configs: {c: {content: x}}\n",
        );
        config_of(&text, &[], &[])
            .expect_code(1)
            .expect_stderr(&["is not a whole number"]);
    }
}

#[test]
fn without_interpolation_lists_are_what_docker_compose_makes_of_them() {
    let attributes = "environment: []\nbuild: {context: ., args: [B]}";
    let flags = ["--no-interpolate", "--format", "json"];
    config(attributes, "", &flags).expect_stdout(&["\"args\": null", "\"environment\": null"]);
    let flags = ["--no-interpolate", "--no-normalize", "--format", "json"];
    config(attributes, "", &flags).expect_stdout(&["\"environment\": []"]);
    let attributes = "build: {context: ., additional_contexts: [x=./p, y]}";
    config(attributes, "", &["--no-interpolate"])
        .expect_stdout(&["/project/x=./p\n", "/project/y\n"]);
}

#[test]
fn what_docker_compose_refuses_is_refused() {
    refuses("cpu_percent: 1e3", &[], "must be between 0 and 100");
    refuses("blkio_config: {weight: \"10\"}", &[], "expected an integer");
    for args in [&["--no-interpolate"][..], &["--variables"]] {
        refuses("ulimits: {nofile: \"1\"}", args, "is not a limit");
        refuses(
            "build: {context: ., ulimits: {nofile: $X}}",
            args,
            "is not a limit",
        );
        refuses("volumes: [./x:/y:ro:rw]", args, "too many colons");
        refuses("volumes: [\"\"]", args, "it is empty");
        config("volumes: [$X, \"${A}:/b\"]\nulimits: {nofile: 1}", "", args).expect_code(0);
    }
    for line in ["A \n", "A\t\n", "A =1\n"] {
        let text = file("env_file: [{path: e, format: raw}]", "");
        config_of(&text, &[("e", line)], &[]).expect_code(1);
    }
}

#[test]
fn numbers_of_variables_may_have_marks_between_digits() {
    for key in ["mem_limit", "memswap_limit", "shm_size", "mem_swappiness"] {
        prints(&format!("{key}: $V"), "", &format!("{key}: \"1000\"\n"));
    }
    prints("cpus: $V", "", "cpus: 1000\n");
    refuses("cpus: ${V}_", &[], "must be a number");
}

#[test]
fn a_size_that_no_number_holds_is_none() {
    let run = config("mem_limit: 9223372036854775808", "", &[]).expect_code(0);
    assert!(!run.stdout().contains("mem_limit"));
    run.expect_stderr(&["has no unit and is ignored"]);
}

#[test]
fn what_docker_compose_accepts_is_accepted() {
    for (attributes, rest, args) in [
        (
            "env_file: [{path: gone, required: false, format: foo}]",
            "",
            &[][..],
        ),
        (
            "extends: {service: b, file: null}",
            "  b: {image: i, user: x}\n",
            &[],
        ),
        (
            "volumes: [{type: bind, target: /x}]",
            "",
            &["--no-path-resolution"],
        ),
        ("", "", &["--format", ""]),
        ("", "", &["--services", "--format", "x"]),
    ] {
        config(attributes, rest, args).expect_code(0);
    }
    refuses(
        "volumes: [{type: bind, target: /x}]",
        &[],
        "Source must not be empty",
    );
}

#[test]
fn container_names_are_compared_where_containers_are_described() {
    let check = |args: &[&str]| {
        config(
            "container_name: nn",
            "  b: {image: i, container_name: nn}\n",
            args,
        )
    };
    for flag in [
        "--services",
        "--volumes",
        "--images",
        "--profiles",
        "--networks",
        "--models",
        "--environment",
        "--hash=*",
    ] {
        check(&[flag]).expect_code(0);
    }
    // Only one of them is selected.
    check(&["a"]).expect_code(0);
    for args in [&[][..], &["-q"], &["--format", "json"], &["--no-normalize"]] {
        check(args)
            .expect_code(1)
            .expect_stderr(&["is already in use by service a"]);
    }
}

#[test]
fn what_only_the_model_needs_is_checked_with_the_model() {
    let mode = "volumes: [{type: tmpfs, target: /x, tmpfs: {mode: '1777'}}]";
    let network = "networks: [x-n]";
    for args in [&["--no-interpolate"][..], &["--variables"]] {
        config(mode, "", args).expect_code(0);
        config(network, "networks: {x-n: }\n", args).expect_code(0);
    }
    config(mode, "", &[]).expect_code(1);
    config(network, "networks: {x-n: }\n", &[]).expect_code(1);
    config(network, "networks: {x-n: }\n", &["--no-consistency"])
        .expect_code(0)
        .expect_stdout(&["'#extensions': {}\n"]);
}

#[test]
fn an_empty_env_file_has_its_place_in_the_hash() {
    let run = config("env_file: ''", "", &["--hash", "*"]).expect_code(0);
    let text = r#"{"command":null,"entrypoint":null,"env_file":[""],"image":"i","networks":{"default":null}}"#;
    use sha2::Digest as _;
    let hash = base16ct::lower::encode_string(&sha2::Sha256::digest(text));
    assert_eq!(run.stdout(), format!("a {hash}\n"));
}

#[test]
fn variables_are_listed_as_docker_compose_lists_them() {
    let row = |text: &str| -> Vec<(String, bool, String, String)> {
        let attributes = format!("command: \"{text}\"");
        let run = config(&attributes, "", &["--variables", "--format", "json"]).expect_code(0);
        let document: serde_json::Value = serde_json::from_str(&run.stdout()).expect("JSON");
        let text = |v: &serde_json::Value| v.as_str().unwrap_or("?").to_owned();
        let rows = document
            .as_object()
            .into_iter()
            .flat_map(|map| map.values());
        rows.map(|v| {
            let required = v["Required"] == true;
            (
                text(&v["Name"]),
                required,
                text(&v["DefaultValue"]),
                text(&v["PresenceValue"]),
            )
        })
        .collect()
    };
    let of = |name: &str, required: bool, default: &str, presence: &str| {
        (
            name.to_owned(),
            required,
            default.to_owned(),
            presence.to_owned(),
        )
    };
    let nameless = of("", false, "", "");
    for text in ["${}", "${", "${:-x}", "${ U }", "${U:x}", "a${}b${}"] {
        assert_eq!(row(text), std::slice::from_ref(&nameless), "{text}");
    }
    for (text, want) in [
        ("${U:+${U?x}}", of("U", true, "", "")),
        ("${U:-${U?x}}", of("U", true, "", "")),
        ("${U:+b}${U:-c}", of("U", false, "", "b")),
        ("${U:-c}${U:+b}", of("U", false, "c", "")),
        ("${U+${U-x}}", of("U", false, "x", "")),
        ("$U $$U", of("U", false, "", "")),
    ] {
        assert_eq!(row(text), [want], "{text}");
    }
    assert_eq!(row("$ $1 $$"), []);
}

/// An override file over services `a` and `b`, which have ports; `a` has an environment too.
#[track_caller]
fn overridden(over: &str) -> Run {
    let text = "name: p\nservices:\n  a: {image: i, ports: ['80:80'], environment: {A: '1', B: '2'}}\n  b: {image: i, ports: ['81:80']}\n";
    config_of(text, &[("compose.override.yaml", over)], &[])
}

#[test]
fn what_an_anchor_resets_is_reset_where_it_is_met_first() {
    let own = "services: {a: &a {ports: !reset null}, b: *a}\n";
    let text = overridden(own).expect_code(0).stdout();
    assert!(!text.contains("published: \"80\""), "{text}");
    assert!(text.contains("published: \"81\""), "{text}");
    overridden("x-a: &a {ports: !reset null}\nservices: {a: {<<: *a}}\n")
        .expect_code(0)
        .expect_stdout(&["published: \"80\""]);
    overridden("x-m: &m {image: z}\nservices: {a: {<<: *m, image: !reset null}}\n")
        .expect_code(0)
        .expect_stdout(&["    image: z\n"]);
}

#[test]
fn a_star_resets_every_key() {
    let text = overridden("services: {a: {environment: {'*': !reset null}}}\n")
        .expect_code(0)
        .stdout();
    assert!(!text.contains("environment"), "{text}");
}

#[test]
fn services_are_never_null() {
    overridden("services:\n")
        .expect_code(1)
        .expect_stderr(&["`services`"]);
}

#[test]
fn numbers_of_two_types_differ_for_an_include() {
    for (own, code) in [("1", 1), ("1.0", 0)] {
        let text =
            format!("name: p\ninclude: [b.yaml]\nservices: {{a: {{image: i, cpus: {own}}}}}\n");
        let included = "services: {a: {image: i, cpus: 1.0}}\n";
        config_of(&text, &[("b.yaml", included)], &[]).expect_code(code);
    }
}

#[test]
fn an_include_says_what_is_wrong_with_it() {
    for (include, words) in [
        (
            "[1]",
            "`include[0]` must be a path or a mapping with `path`, not an integer",
        ),
        (
            "[{path: [1]}]",
            "`include[0].path` must be a path or a list of paths, not an integer",
        ),
        (
            "[{path: b, env_file: {}}]",
            "`include[0].env_file` must be a path or a list of paths, not a mapping",
        ),
        (
            "[{path: b, project_directory: []}]",
            "`include[0].project_directory` must be a path, not a list",
        ),
    ] {
        let text = format!("name: p\ninclude: {include}\nservices: {{a: {{image: i}}}}\n");
        config_of(&text, &[], &[])
            .expect_code(1)
            .expect_stderr(&[words]);
    }
}

#[test]
fn an_empty_list_of_an_extension_is_null_in_json() {
    let rest = "x-a: []\nx-b: {b: [[]]}\n";
    config("", rest, &["--format", "json"])
        .expect_code(0)
        .expect_stdout(&["\"x-a\": null", "\"b\": [\n      null\n    ]"]);
    config("", rest, &[])
        .expect_code(0)
        .expect_stdout(&["x-a: []\n"]);
}

#[test]
fn an_offset_may_have_sixty_minutes() {
    prints(
        "",
        "x-a: 2001-01-01T00:00:00+01:60\nx-b: 2001-01-01T00:00:00-00:60\n",
        "x-a: 2001-01-01T00:00:00+02:00\nx-b: 2001-01-01T00:00:00-01:00\n",
    );
}

#[test]
fn lines_may_end_as_on_other_systems() {
    for end in ["\r\n", "\r"] {
        let text = format!("name: p{end}services:{end}  a:{end}    image: *x{end}");
        let run = config_of(&text, &[], &[]).expect_code(1);
        run.expect_stderr(&["compose.yaml:4:12", "4 |     image: *x\n"]);
    }
    config_of("\u{feff}name: *x\n", &[], &[])
        .expect_code(1)
        .expect_stderr(&["compose.yaml:1:7"]);
}
