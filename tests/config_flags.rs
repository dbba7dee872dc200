//! What the flags of `config` print, byte for byte as docker compose 2.40 prints it, where
//! `tests/config_again.rs` and the compose cases cannot tell: layout, and flags with no effect.

mod support;

use support::Sandbox;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::of_compose(
        "name: flags
services:
  web:
    image: web:${TAG:-1<2}
    env_file: [web.env]
    environment: [OWN=1]
    label_file: [web.labels]
volumes:
  data: {}
x-note: {b: 1, a: [{d: 1, c: 2}]}
",
    );
    sandbox.write("web.env", "FROM_FILE=yes\n");
    sandbox.write("web.labels", "from.file=yes\n");
    sandbox
}

#[test]
fn json_has_its_parts_in_order_and_no_last_line_break() {
    let text = sandbox().ok(&["config", "--format", "json"]).stdout();
    let expected = r#"{
  "name": "flags",
  "networks": {
    "default": {
      "name": "flags_default",
      "ipam": {}
    }
  },
  "services": {
    "web": {
      "command": null,
      "entrypoint": null,
      "environment": {
        "FROM_FILE": "yes",
        "OWN": "1"
      },
      "image": "web:1\u003c2",
      "labels": {
        "from.file": "yes"
      },
      "networks": {
        "default": null
      }
    }
  },
  "x-note": {
    "a": [
      {
        "c": 2,
        "d": 1
      }
    ],
    "b": 1
  }
}"#;
    assert_eq!(text, expected);
}

#[test]
fn variables_are_indented_by_four() {
    let sandbox = sandbox();
    let printed = |form| {
        sandbox
            .ok(&["config", "--variables", "--format", form])
            .stdout()
    };
    let json = "{
    \"TAG\": {
        \"Name\": \"TAG\",
        \"DefaultValue\": \"1\\u003c2\",
        \"PresenceValue\": \"\",
        \"Required\": false
    }
}

";
    assert_eq!(printed("json"), json);
    let yaml = "TAG:
    name: TAG
    defaultvalue: 1<2
    presencevalue: \"\"
    required: false
";
    assert_eq!(printed("yaml"), yaml);
}

/// Env files are part of `environment` with the flag and without, and must be there.
#[test]
fn env_files_are_resolved_whatever_is_asked() {
    let sandbox = sandbox();
    for flags in [&[][..], &["--no-normalize"], &["--no-interpolate"]] {
        for form in ["yaml", "json"] {
            let mut args = vec!["config", "--format", form];
            args.extend(flags);
            let without = sandbox.ok(&args).stdout();
            args.push("--no-env-resolution");
            assert_eq!(sandbox.ok(&args).stdout(), without, "{flags:?}");
        }
    }
    sandbox.write(
        "compose.yaml",
        "services: {web: {image: a, env_file: gone.env}}\n",
    );
    for args in [&["config"][..], &["config", "--no-env-resolution"]] {
        let output = sandbox.run(args);
        assert_eq!(output.code(), 1, "{args:?}");
        assert!(
            output.stderr().contains("gone.env not found"),
            "{}",
            output.stderr()
        );
    }
}

#[test]
fn nothing_is_printed_quietly() {
    let sandbox = Sandbox::of_compose("services: {web: {build: .}}\n");
    for args in [
        &["config", "-q"][..],
        &["config", "-q", "--format", "json"],
        &["config", "-q", "--lock-image-digests"],
    ] {
        assert_eq!(sandbox.ok(args).stdout(), "", "{args:?}");
    }
}
