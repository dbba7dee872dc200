//! Names of warnings, and the files' wish not to see some of them:
//!
//! ```yaml
//! x-gantry: { silence: [latest-tag] }        # at top level: everywhere
//! services:
//!   web:
//!     x-gantry: { silence: [plain-secret] }  # in a service: there
//! ```

use super::diagnostic::{Diagnostic, Severity, did_you_mean};
use super::tree::{Node, Value};

/// Every warning by its stable name, with what it means.
pub const WARNINGS: &[(&str, &str)] = &[
    ("bad-size", "a number without a unit means nothing there"),
    ("bad-silence", "`x-gantry` cannot be read"),
    (
        "command-cut",
        "a command loses what follows an unquoted `;`, `&`, `|`, `<` or `>`",
    ),
    (
        "deprecated-external-name",
        "`external.name` is the old way to write `name`",
    ),
    ("duplicate-port", "two containers publish the same port"),
    ("latest-tag", "an image without a fixed version"),
    (
        "missing-bind-source",
        "a path that is mounted does not exist",
    ),
    (
        "missing-health-tool",
        "a healthcheck runs a program that its image lacks",
    ),
    ("no-effect", "an attribute means nothing on one machine"),
    (
        "no-healthcheck",
        "a service waits for the health of one that has no healthcheck",
    ),
    ("obsolete-version", "`version` is ignored"),
    ("plain-secret", "a password or key stands in the file"),
    ("several-files", "several files could be meant"),
    (
        "unknown-mount-option",
        "an option of a mount that nobody knows",
    ),
    ("unknown-profile", "a profile that no service has"),
    (
        "unknown-word",
        "an attribute with few right words has another one",
    ),
    (
        "unset-variable",
        "a variable is blank because nobody set it",
    ),
    ("unused-config", "no service uses a config"),
    ("unused-network", "no service joins a network"),
    ("unused-secret", "no service uses a secret"),
    ("unused-volume", "no service mounts a volume"),
    (
        "yaml-1.1-boolean",
        "`yes`, `no`, `on` and `off` are no booleans in YAML 1.2",
    ),
];

/// Drops the warnings that the files or the caller silenced, and tells about names that are none.
pub fn apply(tree: &Node, by_caller: &[String], problems: &mut Vec<Diagnostic>) {
    let mut wishes: Vec<(String, String)> = by_caller
        .iter()
        .map(|name| (String::new(), name.clone()))
        .collect();
    wishes.extend(of_node(tree, "", problems));
    let services = tree.get("services").and_then(Node::as_map);
    for (name, service) in services.into_iter().flatten() {
        wishes.extend(of_node(service, &format!("services.{name}"), problems));
    }
    problems.retain(|p| {
        p.severity == Severity::Error
            || !wishes
                .iter()
                .any(|(below, name)| name == p.code && is_below(&p.path, below))
    });
}

/// An unknown name, as a caller's flag may have it.
#[must_use]
pub fn unknown(name: &str) -> Option<String> {
    let names = || WARNINGS.iter().map(|(name, _)| *name);
    if names().any(|known| known == name) {
        return None;
    }
    let list: Vec<_> = names().collect();
    Some(
        did_you_mean(name, names()).unwrap_or_else(|| format!("the names are {}", list.join(", "))),
    )
}

fn is_below(path: &str, above: &str) -> bool {
    match path.strip_prefix(above) {
        Some(rest) => above.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']),
        None => false,
    }
}

/// What one `x-gantry` silences, with the path it counts below.
fn of_node(node: &Node, path: &str, problems: &mut Vec<Diagnostic>) -> Vec<(String, String)> {
    let Some(own) = node.get("x-gantry") else {
        return Vec::new();
    };
    let at = |key: &str| {
        if path.is_empty() {
            format!("x-gantry{key}")
        } else {
            format!("{path}.x-gantry{key}")
        }
    };
    let Value::Map(map) = &own.value else {
        problems.push(
            bad(own, "`x-gantry` must be a mapping")
                .at(at(""))
                .help("write `x-gantry: { silence: [NAME] }`"),
        );
        return Vec::new();
    };
    let mut wishes = Vec::new();
    for (key, value) in map {
        if key != "silence" {
            problems.push(
                Diagnostic::warning(
                    "bad-silence",
                    value.key.or(value.span),
                    format!("`{key}` is not known in `x-gantry`"),
                )
                .at(at(&format!(".{key}")))
                .help(
                    did_you_mean(key, ["silence"]).unwrap_or_else(|| {
                        "`silence` is, with a list of names of warnings".to_owned()
                    }),
                ),
            );
            continue;
        }
        let items = match &value.value {
            Value::Seq(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        for item in items {
            let name = item.as_str().unwrap_or_default();
            match unknown(name) {
                None => wishes.push((path.to_owned(), name.to_owned())),
                Some(help) => problems.push(
                    bad(item, format!("`{}` is no name of a warning", item.value))
                        .at(at(".silence"))
                        .help(help),
                ),
            }
        }
    }
    wishes
}

fn bad(node: &Node, message: impl Into<String>) -> Diagnostic {
    Diagnostic::warning("bad-silence", node.place(), message)
}
