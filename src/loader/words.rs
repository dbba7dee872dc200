//! Attributes that have few right words though every text loads, as it does with docker compose:
//! what is wrong is refused by whoever runs the project. Those who ask are told beforehand.

use super::diagnostic::{Diagnostic, did_you_mean};
use super::tree::{Node, Path, Value};

/// What can be written somewhere.
struct Choice {
    at: &'static [&'static str],
    words: &'static [&'static str],
    /// Beginnings of words that name something, and what.
    prefixes: &'static [(&'static str, &'static str)],
}

const fn choice(at: &'static [&'static str], words: &'static [&'static str]) -> Choice {
    Choice {
        at,
        words,
        prefixes: &[],
    }
}

const SHARED: &[(&str, &str)] = &[("service:", "NAME"), ("container:", "NAME")];

const CHOICES: &[Choice] = &[
    Choice {
        prefixes: &[("on-failure:", "N")],
        ..choice(
            &["services", "*", "restart"],
            &["no", "always", "unless-stopped", "on-failure"],
        )
    },
    Choice {
        prefixes: SHARED,
        ..choice(&["services", "*", "ipc"], &["private", "shareable", "host"])
    },
    Choice {
        prefixes: SHARED,
        ..choice(&["services", "*", "pid"], &["private", "host"])
    },
    Choice {
        prefixes: SHARED,
        ..choice(&["services", "*", "uts"], &["private", "host"])
    },
    Choice {
        prefixes: SHARED,
        ..choice(
            &["services", "*", "network_mode"],
            &["none", "host", "bridge", "default"],
        )
    },
    Choice {
        prefixes: &[("every_", "DURATION")],
        ..choice(
            &["services", "*", "pull_policy"],
            &[
                "always",
                "never",
                "build",
                "missing",
                "if_not_present",
                "refresh",
                "daily",
                "weekly",
            ],
        )
    },
    choice(
        &["services", "*", "isolation"],
        &["default", "process", "hyperv"],
    ),
    choice(
        &["services", "*", "deploy", "mode"],
        &["replicated", "global", "replicated-job", "global-job"],
    ),
    choice(
        &["services", "*", "deploy", "endpoint_mode"],
        &["vip", "dnsrr"],
    ),
    choice(
        &["services", "*", "deploy", "restart_policy", "condition"],
        &["none", "on-failure", "any"],
    ),
    choice(
        &["services", "*", "deploy", "update_config", "failure_action"],
        &["continue", "rollback", "pause"],
    ),
    choice(
        &[
            "services",
            "*",
            "deploy",
            "rollback_config",
            "failure_action",
        ],
        &["continue", "pause"],
    ),
    choice(
        &["services", "*", "ports", "*", "mode"],
        &["ingress", "host"],
    ),
    choice(
        &["services", "*", "volumes", "*", "bind", "propagation"],
        &[
            "private", "rprivate", "shared", "rshared", "slave", "rslave",
        ],
    ),
];

impl Choice {
    fn allows(&self, text: &str) -> bool {
        let begins = |(prefix, _): &(&str, &str)| {
            text.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty())
        };
        text.is_empty() || self.words.contains(&text) || self.prefixes.iter().any(begins)
    }

    /// What to write instead.
    fn help(&self, text: &str) -> String {
        let named = |(prefix, name): (&str, &str)| {
            let prefix = format!("{prefix}:");
            let known = did_you_mean(&prefix, self.prefixes.iter().map(|(prefix, _)| *prefix))?;
            Some(known.replace("`?", &format!("{name}`?")))
        };
        did_you_mean(text, self.words.iter().copied())
            .or_else(|| text.split_once(':').and_then(named))
            .unwrap_or_else(|| {
                let words = self.words.iter().map(|word| format!("`{word}`"));
                let named = self
                    .prefixes
                    .iter()
                    .map(|(prefix, what)| format!("`{prefix}{what}`"));
                format!("use {}", words.chain(named).collect::<Vec<_>>().join(", "))
            })
    }
}

/// Warns of every word that is none of those that can be written.
pub(super) fn check(root: &Node, problems: &mut Vec<Diagnostic>) {
    for choice in CHOICES {
        each(root, choice.at, &Path::default(), &mut |node, path| {
            let Some(text) = node.as_str().filter(|text| !choice.allows(text)) else {
                return;
            };
            problems.push(
                Diagnostic::warning(
                    "unknown-word",
                    node.place(),
                    format!("`{text}` means nothing as `{path}`"),
                )
                .at(path)
                .help(choice.help(text)),
            );
        });
    }
}

/// What to write instead of a word that was refused; `None` where any text can be right.
pub fn advice(root: &Node, dotted: &str) -> Option<String> {
    let mut found = None;
    for choice in CHOICES {
        each(root, choice.at, &Path::default(), &mut |node, path| {
            if let Some(text) = node.as_str().filter(|text| !choice.allows(text))
                && path.to_string() == dotted
            {
                found = Some(choice.help(text));
            }
        });
    }
    found
}

/// Every node that a pattern leads to.
fn each(node: &Node, pattern: &[&str], path: &Path, found: &mut dyn FnMut(&Node, &Path)) {
    let Some((first, rest)) = pattern.split_first() else {
        return found(node, path);
    };
    match &node.value {
        Value::Map(map) if *first == "*" => {
            for (key, child) in map {
                each(child, rest, &path.key(key), found);
            }
        }
        Value::Seq(items) if *first == "*" => {
            for (i, item) in items.iter().enumerate() {
                each(item, rest, &path.index(i), found);
            }
        }
        _ => {
            if let Some(child) = node.get(first) {
                each(child, rest, &path.key(first), found);
            }
        }
    }
}
