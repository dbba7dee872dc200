//! `system doctor`: what is tried, and what is said of it.

mod support;

use support::Sandbox;

#[test]
fn everything_is_tried_and_told() {
    let sandbox = Sandbox::new();
    let text = sandbox.ok(&["system", "doctor"]).stdout();
    for what in ["user", "layers", "networks", "firewall", "limits", "space"] {
        let line = text
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(what));
        assert!(line.is_some(), "no `{what}` in\n{text}");
    }
    let json = sandbox
        .ok(&["system", "doctor", "--format", "json"])
        .stdout();
    let list: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let layers = list
        .as_array()
        .and_then(|list| list.iter().find(|one| one["what"] == "layers"));
    assert_eq!(layers.expect("layers")["condition"], "ok");
    sandbox.finish();
}
