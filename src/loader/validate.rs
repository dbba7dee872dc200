//! Checks a tree against the attribute tables.
//!
//! Every problem is reported, and what is wrong is taken out of the tree, so that later phases
//! find only what they understand.

use std::collections::HashMap;

use super::diagnostic::{Diagnostic, did_you_mean};
use super::interpolate::explain;
use super::schema::{self, BOOL, INT, Keys, NULL, NUM, Others, Repeats, STR, Shape, Text};
use super::trail::Trail;
use super::tree::{Node, Value};

/// Longest list of attributes that a message holds.
const MOST_LISTED: usize = 12;

/// Checks a document; wrong parts are removed.
pub fn shapes(root: &mut Node, problems: &mut Vec<Diagnostic>) {
    Walk { problems }.node(root, &schema::ROOT, &Trail::ROOT);
}

struct Walk<'a> {
    problems: &'a mut Vec<Diagnostic>,
}

impl Walk<'_> {
    /// Whether the node may stay.
    fn node(&mut self, node: &mut Node, shape: &'static Shape, path: &Trail<'_>) -> bool {
        let found = match &node.value {
            Value::Null => NULL,
            Value::Bool(_) => BOOL,
            Value::Int(_) => INT,
            Value::Float(v) if v.fract() == 0.0 => INT,
            Value::Float(_) => NUM,
            Value::Str(_) => STR,
            Value::Time(_) => 0,
            Value::Seq(_) => {
                return match shape.list {
                    Some((item, repeats)) => self.list(node, item, repeats, path),
                    None => self.wrong_kind(node, shape, path),
                };
            }
            Value::Map(_) => {
                return match shape.map {
                    Some(keys) => self.map(node, keys, path),
                    None => self.wrong_kind(node, shape, path),
                };
            }
        };
        let allowed = shape.scalars | if shape.scalars & NUM != 0 { INT } else { 0 };
        if found & allowed == 0 {
            return self.wrong_kind(node, shape, path);
        }
        match wrong_value(node, shape, path) {
            Some(problem) => self.report(problem, node, path),
            None => true,
        }
    }

    fn report(&mut self, problem: Diagnostic, node: &Node, path: &Trail<'_>) -> bool {
        let problem = match &node.filled {
            Some(filled) => explain(problem, filled),
            None => problem,
        };
        self.problems.push(problem.at(path));
        false
    }

    fn wrong_kind(&mut self, node: &Node, shape: &Shape, path: &Trail<'_>) -> bool {
        let wanted = wanted(shape);
        let name = if path.is_root() {
            "a Compose file".to_owned()
        } else {
            format!("`{path}`")
        };
        let mut problem = Diagnostic::error(
            "bad-type",
            node.place(),
            format!("{name} must be {wanted}, not {}", node.kind()),
        );
        problem = match &node.value {
            Value::Bool(_) if !shape.hints.is_empty() => {
                problem.help(format!("write one of `{}`", shape.hints.join("`, `")))
            }
            Value::Str(text) if shape.map.is_some() && text.contains(':') => {
                let (key, value) = text.split_once(':').unwrap_or_default();
                problem.help(format!("put a blank after the colon: `{key}: {value}`"))
            }
            Value::Map(map) if shape.scalars & STR != 0 && takes_pairs(path) && map.len() == 1 => {
                let pair = map
                    .iter()
                    .next()
                    .map(|(key, value)| format!("{key}={}", value.value));
                problem.help(format!("write `- {}`", pair.unwrap_or_default()))
            }
            Value::Null => problem.help("give it a value, or remove the key"),
            Value::Int(_) | Value::Float(_) if is_duration(path) => {
                problem.help(format!("add a unit: `{}s`", node.value))
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Time(_)
                if shape.scalars & STR != 0 =>
            {
                problem.help(format!("quote it: `\"{}\"`", node.value))
            }
            Value::Map(map) if shape.list.is_some() => match map.first() {
                Some((key, _)) => {
                    problem.help(format!("begin each item with `- `, as in `- {key}`"))
                }
                None => problem.help("write `[]` for an empty list"),
            },
            Value::Seq(_) if shape.map.is_some() => {
                problem.help("remove the dashes: this takes `key: value` lines")
            }
            Value::Str(text) if shape.list.is_some() => {
                problem.help(format!("write it as a list: `- {text}`"))
            }
            Value::Map(_) | Value::Seq(_) => problem.help("write a single value"),
            _ => problem.help(format!("write {wanted}")),
        };
        self.report(problem, node, path)
    }

    fn list(
        &mut self,
        node: &mut Node,
        item: &'static Shape,
        repeats: Repeats,
        path: &Trail<'_>,
    ) -> bool {
        let Some(items) = node.as_seq_mut() else {
            return true;
        };
        if repeats == Repeats::Refused {
            let second = repetition(items);
            if let Some((i, j)) = second {
                self.problems.push(
                    Diagnostic::error(
                        "repeated-item",
                        items[i].place(),
                        format!("`{path}` items {} and {} are equal", j, i),
                    )
                    .at(path.index(i))
                    .related(items[j].place(), "the same item")
                    .help("remove one of them"),
                );
                items.remove(i);
            }
        }
        let mut index = 0;
        items.retain_mut(|entry| {
            index += 1;
            self.node(entry, item, &path.index(index - 1))
        });
        true
    }

    fn map(&mut self, node: &mut Node, keys: &'static Keys, path: &Trail<'_>) -> bool {
        let place = node.key.or(node.span);
        let Some(map) = node.as_map_mut() else {
            return true;
        };
        let mut complete = true;
        for required in keys.required {
            if !map.contains_key(*required) {
                complete = false;
                self.problems.push(
                    Diagnostic::error("missing-key", place, format!("`{path}` needs `{required}`"))
                        .at(path)
                        .help(format!("add `{required}:`")),
                );
            }
        }
        let present: Vec<String> = map.keys().cloned().collect();
        map.retain(|key, child| {
            let at = path.key(key);
            if let Some(attribute) = keys.known.iter().find(|a| a.name == key) {
                return self.node(child, attribute.shape, &at);
            }
            if keys.extensions && key.starts_with("x-") {
                return true;
            }
            match keys.others {
                Others::Any => true,
                Others::Named(_) if key.is_empty() => {
                    self.problems.push(
                        Diagnostic::error(
                            "bad-name",
                            child.key.or(child.span),
                            format!("`{path}` has an entry without a name"),
                        )
                        .at(at)
                        .help("write a name before the colon"),
                    );
                    false
                }
                Others::Named(shape) => self.node(child, shape, &at),
                Others::LowerNames(shape) => {
                    let lower = key.bytes().all(|b| b.is_ascii_lowercase());
                    !lower || self.node(child, shape, &at)
                }
                Others::LooseNames(shape) => !is_name(key) || self.node(child, shape, &at),
                Others::Names(shape) if is_name(key) => self.node(child, shape, &at),
                Others::Names(_) => {
                    self.problems.push(
                        Diagnostic::error(
                            "bad-name",
                            child.key.or(child.span),
                            format!("`{key}` is not a valid name"),
                        )
                        .at(at)
                        .help("use letters, digits, `.`, `_` and `-`"),
                    );
                    false
                }
                Others::Deny => {
                    self.unknown(key, child, keys, &present, path);
                    false
                }
            }
        });
        complete
    }

    fn unknown(
        &mut self,
        key: &str,
        child: &Node,
        keys: &Keys,
        present: &[String],
        path: &Trail<'_>,
    ) {
        let known = keys
            .known
            .iter()
            .map(|a| a.name)
            .filter(|n| !present.iter().any(|p| p == n));
        let in_service = path.matches(&["services", "*"]);
        let relocated = in_service.then(|| schema::relocated(key)).flatten();
        let root_hint = (path.is_root()
            && schema::SERVICE_KEYS.known.iter().any(|a| a.name == key))
        .then_some("this is an attribute of a service: put it under `services` and a name");
        let service_hint = (in_service && schema::ROOT_KEYS.known.iter().any(|a| a.name == key))
            .then_some("this is a top-level element: indent it less");
        let help = relocated
            .or(root_hint)
            .or(service_hint)
            .map(str::to_owned)
            .or_else(|| did_you_mean(key, known))
            .or_else(|| did_you_mean(key, keys.known.iter().map(|a| a.name)))
            .unwrap_or_else(|| {
                if keys.extensions {
                    "remove it, or name it `x-…` if it is an extension".to_owned()
                } else {
                    "remove it".to_owned()
                }
            });
        let mut allowed: Vec<&str> = keys.known.iter().map(|a| a.name).collect();
        allowed.sort_unstable();
        let place = if path.is_root() {
            "at top level".to_owned()
        } else {
            format!("in `{path}`")
        };
        let mut problem = Diagnostic::error(
            "unknown-key",
            child.key.or(child.span),
            format!("`{key}` is not allowed {place}"),
        )
        .at(path.key(key))
        .label("unknown key")
        .help(help);
        if allowed.len() <= MOST_LISTED {
            problem = problem.note(format!("allowed: `{}`", allowed.join("`, `")));
        }
        self.problems.push(problem);
    }
}

fn wanted(shape: &Shape) -> String {
    let mut kinds = Vec::new();
    for (bit, name) in [
        (STR, "a string"),
        (BOOL, "a boolean"),
        (INT, "an integer"),
        (NUM, "a number"),
        (NULL, "null"),
    ] {
        if shape.scalars & bit != 0 {
            kinds.push(name);
        }
    }
    if shape.list.is_some() {
        kinds.push("a list");
    }
    if shape.map.is_some() {
        kinds.push("a mapping");
    }
    match kinds.as_slice() {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// The first item that equals an earlier one, and that one.
fn repetition(items: &[Node]) -> Option<(usize, usize)> {
    let mut seen: HashMap<u64, Vec<usize>> = HashMap::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let alike = seen.entry(item.content_hash()).or_default();
        if let Some(j) = alike.iter().copied().find(|j| items[*j].same(item)) {
            return Some((i, j));
        }
        alike.push(i);
    }
    None
}

/// Whether it is an item of a list that may be a mapping of keys and values.
fn takes_pairs(path: &Trail<'_>) -> bool {
    ["environment", "labels", "annotations", "sysctls"]
        .iter()
        .any(|attribute| path.matches(&["services", "*", attribute, "*"]))
        || path.matches(&["services", "*", "build", "args", "*"])
}

/// Whether the attribute is a span of time.
fn is_duration(path: &Trail<'_>) -> bool {
    path.last_key().is_some_and(|key| {
        matches!(
            key,
            "interval"
                | "timeout"
                | "start_period"
                | "start_interval"
                | "stop_grace_period"
                | "delay"
                | "monitor"
                | "window"
        )
    })
}

fn is_name(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// What is wrong with a value of the right kind.
fn wrong_value(node: &Node, shape: &Shape, path: &Trail<'_>) -> Option<Diagnostic> {
    let bad = |message| Diagnostic::error("bad-value", node.place(), message);
    let not_among = |text: &str, words: &[&'static str], more: &str| {
        let help = did_you_mean(text, words.iter().copied());
        bad(format!("`{path}` cannot be `{text}`"))
            .note(format!("allowed: `{}`{more}", words.join("`, `")))
            .help(help.unwrap_or_else(|| "use one of the allowed values".to_owned()))
    };
    match &node.value {
        Value::Str(text) if !shape.words.is_empty() && !shape.words.contains(&text.as_str()) => {
            Some(not_among(text, shape.words, ""))
        }
        Value::Str(text) => match shape.text {
            Text::ContainerName if !container_name(text) => Some(
                bad(format!(
                    "`{path}` must match [a-zA-Z0-9][a-zA-Z0-9_.-]+, got `{text}`"
                ))
                .help("use at least two letters, digits, `_`, `.` or `-`"),
            ),
            Text::PullPolicy if !pull_policy(text) => {
                let more = ", `every_<number><w|d|h|m|s>`";
                Some(not_among(text, &PULL_POLICIES, more))
            }
            _ => None,
        },
        Value::Int(_) | Value::Float(_) => {
            let (low, high) = shape.range?;
            let fits = match node.value {
                Value::Float(number) => (low as f64..=high as f64).contains(&number),
                Value::Int(number) => (i128::from(low)..=i128::from(high)).contains(&number),
                _ => true,
            };
            if fits {
                return None;
            }
            let number = &node.value;
            let wanted = match high {
                i64::MAX => format!("at least {low}"),
                high => format!("between {low} and {high}"),
            };
            Some(bad(format!("`{path}` must be {wanted}, got {number}")).help("change the number"))
        }
        _ => None,
    }
}

/// Those without a time.
const PULL_POLICIES: [&str; 8] = [
    "always",
    "never",
    "build",
    "if_not_present",
    "missing",
    "refresh",
    "daily",
    "weekly",
];

fn container_name(text: &str) -> bool {
    text.as_bytes().windows(2).any(|w| {
        w[0].is_ascii_alphanumeric()
            && (w[1].is_ascii_alphanumeric() || matches!(w[1], b'_' | b'.' | b'-'))
    })
}

fn pull_policy(text: &str) -> bool {
    let every = |text: &str| {
        text.match_indices("every_").any(|(i, m)| {
            let rest = &text[i + m.len()..];
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            digits > 0 && rest[digits..].starts_with(['w', 'd', 'h', 'm', 's'])
        })
    };
    PULL_POLICIES.iter().any(|p| text.contains(p)) || every(text)
}
