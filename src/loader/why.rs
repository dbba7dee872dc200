//! Where a value comes from: every source in order of precedence, the one that won and those
//! that lost.
//!
//! Nothing is computed again here. Loading notes in each node what it replaced
//! ([`super::tree::Lost`]) and which variables made it ([`super::tree::Filled`]); this reads it.

use serde_json::{Value as Json, json};

use super::diagnostic::did_you_mean;
use super::source::{Location, Reached, Sources, Span};
use super::tree::{Lost, Node, Rival, Use, Value};
use super::{Loaded, decode};

/// A value and its sources.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// The path asked for.
    pub path: String,
    /// The value.
    pub value: Json,
    /// Sources; the first one won.
    pub origins: Vec<Origin>,
}

/// One source of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// What kind of source it is, for people.
    pub kind: String,
    /// Its value.
    pub value: Json,
    /// Where it is written; `None` for what no file says.
    pub location: Option<Location>,
    /// Why a source of higher precedence won; empty for the winner.
    pub lost_to: String,
    /// The text before variables were filled in.
    pub written: Option<String>,
    /// Variables in the text.
    pub variables: Vec<Variable>,
}

/// A variable in the text of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Sources; the first one won.
    pub origins: Vec<Origin>,
}

/// There is no such path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no `{part}` in {around}")]
pub struct NoSuchPath {
    /// What was not found.
    pub part: String,
    /// The path up to there.
    pub around: String,
    /// What to ask for instead.
    pub help: String,
}

/// The leaves at and below a path, each with its sources.
///
/// # Errors
/// When nothing has that path.
pub fn why(loaded: &Loaded, path: &str) -> Result<Vec<Why>, NoSuchPath> {
    let mut node = &loaded.tree;
    let mut rest = path;
    while !rest.is_empty() {
        let Some((found, after)) = node.step(rest) else {
            let walked = path[..path.len() - rest.len()].trim_end_matches('.');
            return Err(missing(node, walked, rest));
        };
        node = found;
        rest = after;
    }
    let explain = Explain { loaded };
    let mut leaves = Vec::new();
    explain.leaves(node, path, &mut leaves);
    Ok(leaves)
}

fn missing(node: &Node, walked: &str, rest: &str) -> NoSuchPath {
    let part = rest
        .split(['.', '[', ']'])
        .find(|p| !p.is_empty())
        .unwrap_or(rest);
    let around = if walked.is_empty() {
        "the project".to_owned()
    } else {
        format!("`{walked}`")
    };
    let help = match &node.value {
        Value::Map(map) if !map.is_empty() => did_you_mean(part, map.keys().map(String::as_str))
            .unwrap_or_else(|| {
                let keys: Vec<_> = map.keys().map(String::as_str).collect();
                format!("there are: {}", keys.join(", "))
            }),
        Value::Seq(items) if !items.is_empty() => {
            format!(
                "it is a list: ask for `{walked}[0]` to `[{}]`",
                items.len() - 1
            )
        }
        _ => "the path ends there".to_owned(),
    };
    NoSuchPath {
        part: part.to_owned(),
        around,
        help,
    }
}

struct Explain<'a> {
    loaded: &'a Loaded,
}

impl Explain<'_> {
    fn sources(&self) -> &Sources {
        &self.loaded.warnings.sources
    }

    fn leaves(&self, node: &Node, path: &str, found: &mut Vec<Why>) {
        match &node.value {
            Value::Map(map) if !map.is_empty() => {
                for (key, child) in map {
                    let at = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    self.leaves(child, &at, found);
                }
            }
            Value::Seq(items) if !items.is_empty() => {
                for (i, child) in items.iter().enumerate() {
                    self.leaves(child, &format!("{path}[{i}]"), found);
                }
            }
            _ => found.push(self.leaf(node, path)),
        }
    }

    fn leaf(&self, node: &Node, path: &str) -> Why {
        let key = path.rsplit('.').next().unwrap_or(path);
        let mut origins = Vec::new();
        let mut current = Some((node, String::new()));
        while let Some((node, lost_to)) = current {
            origins.push(self.origin(node, path, key, lost_to));
            current = node
                .lost
                .as_deref()
                .map(|Lost { node: lost, to }| (lost, self.rival(*to, node)));
        }
        Why {
            path: path.to_owned(),
            value: json_of(node, key),
            origins,
        }
    }

    fn origin(&self, node: &Node, path: &str, key: &str, lost_to: String) -> Origin {
        let filled = node.filled.as_deref();
        let variables = filled.map_or(&[][..], |f| f.variables.as_slice());
        Origin {
            kind: if path == "name" && !node.span.is_some() {
                "`-p`, COMPOSE_PROJECT_NAME or the project directory".to_owned()
            } else {
                self.kind(node.span)
            },
            value: json_of(node, key),
            location: self.sources().locate(node.span),
            lost_to,
            written: filled.map(|f| f.raw.clone()),
            variables: variables.iter().map(|used| self.variable(used)).collect(),
        }
    }

    /// What the text that holds a value is to the project.
    fn kind(&self, span: Span) -> String {
        let Some(source) = self.sources().get(span.file) else {
            return "default".to_owned();
        };
        let place = |span| {
            let place: Option<Location> = self.sources().locate(span);
            place.map_or_else(String::new, |p| format!(" at {p}"))
        };
        match self.sources().reached(&source.path) {
            Some(Reached::Include(by)) => format!("file included{}", place(by)),
            Some(Reached::Extends(by)) => format!("file extended{}", place(by)),
            None if self.loaded.project.compose_files.contains(&source.path) => {
                "compose file".to_owned()
            }
            None => "env_file or label_file".to_owned(),
        }
    }

    fn rival(&self, to: Rival, winner: &Node) -> String {
        match to {
            Rival::Later => "replaced by the value above".to_owned(),
            Rival::Explicit => "a key beside `<<` wins".to_owned(),
            Rival::Attribute => "an attribute wins over a file".to_owned(),
            Rival::Extending(span) => match self.sources().locate(span.or(winner.span)) {
                Some(place) => format!("inherited through `extends` at {place}"),
                None => "inherited through `extends`".to_owned(),
            },
        }
    }

    fn variable(&self, used: &Use) -> Variable {
        let mut origins = Vec::new();
        let said = |lost_to: &str| {
            used.argument.as_ref().map(|argument| Origin {
                kind: match argument.operator {
                    '+' => "replacement in the text".to_owned(),
                    _ => "default in the text".to_owned(),
                },
                value: json!(argument.text),
                location: None,
                lost_to: lost_to.to_owned(),
                written: None,
                variables: Vec::new(),
            })
        };
        let values = used.value.iter().chain(&used.lost);
        let default_wins = used.argument.as_ref().is_some_and(|a| a.used);
        if default_wins {
            origins.extend(said(""));
        }
        for (value, span) in values {
            let lost_to = match origins.last() {
                None => "",
                Some(_) => "of lower precedence",
            };
            origins.push(Origin {
                kind: self.variable_kind(&used.name, *span),
                value: json!(value),
                location: self.sources().locate(*span),
                lost_to: lost_to.to_owned(),
                written: None,
                variables: Vec::new(),
            });
        }
        if !default_wins {
            origins.extend(said("the variable decides"));
        }
        Variable {
            name: used.name.clone(),
            origins,
        }
    }

    fn variable_kind(&self, name: &str, span: Span) -> String {
        match self.sources().get(span.file) {
            Some(_) => "env file".to_owned(),
            None if name == "COMPOSE_PROJECT_NAME" => "name of the project".to_owned(),
            None => "process environment".to_owned(),
        }
    }
}

/// A value, without the `KEY=` that list entries have before they become mappings.
fn json_of(node: &Node, key: &str) -> Json {
    let value: Json = decode::decode(node).unwrap_or_default();
    match value.as_str() {
        Some(text) if text == key => Json::Null,
        Some(text) => match text
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix('='))
        {
            Some(rest) => json!(rest),
            None => value,
        },
        None => value,
    }
}

impl Why {
    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({
            "path": self.path,
            "value": self.value,
            "sources": origins_json(&self.origins),
        })
    }
}

fn origins_json(origins: &[Origin]) -> Vec<Json> {
    origins
        .iter()
        .enumerate()
        .map(|(rank, origin)| {
            let location = origin.location.as_ref();
            json!({
                "verdict": if rank == 0 { "won" } else { "lost" },
                "kind": origin.kind,
                "value": origin.value,
                "location": location.map(|l| json!({
                    "file": l.file, "line": l.line, "column": l.column,
                })),
                "reason": (rank > 0).then_some(&origin.lost_to),
                "written": origin.written,
                "variables": origin.variables.iter().map(|v| json!({
                    "name": v.name,
                    "sources": origins_json(&v.origins),
                })).collect::<Vec<_>>(),
            })
        })
        .collect()
}
