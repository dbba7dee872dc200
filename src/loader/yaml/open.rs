//! Collections that are still open, and what is put into them.

use std::collections::{HashMap, HashSet};

use super::budget::Size;
use crate::loader::diagnostic::Diagnostic;
use crate::loader::source::Span;
use crate::loader::tree::{Map, Node, Path, Tag, Value};

/// A node that is finished.
pub(super) struct Done<'a> {
    pub(super) node: Node,
    /// Levels of collections in it.
    pub(super) height: usize,
    pub(super) as_key: AsKey<'a>,
}

/// What a node is if it stands where a key does.
#[derive(Clone, Copy)]
pub(super) enum AsKey<'a> {
    /// Its text.
    Text,
    /// `<<`.
    Merge,
    /// Its text, but told apart from other keys by the name of the alias, as docker compose does.
    Alias(&'a str),
}

/// A collection that is still open.
pub(super) struct Frame<'a> {
    pub(super) open: Open<'a>,
    pub(super) span: Span,
    pub(super) tag: Tag,
    pub(super) region: Region,
    pub(super) anchor: Option<&'a str>,
    /// What there was before it.
    pub(super) before: Size,
    /// Levels of collections in it so far.
    pub(super) height: usize,
}

/// What the tags around a value make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// No tag is around it.
    Plain,
    /// It is within `!override`: tags mean nothing there.
    Override,
    /// It is within `!reset`: nobody reads it.
    Reset,
}

impl Region {
    /// What it is within a value of this tag.
    pub(super) fn within(self, tag: Tag) -> Self {
        match (self, tag) {
            (Self::Plain, Tag::Reset) => Self::Reset,
            (Self::Plain, Tag::Override) => Self::Override,
            _ => self,
        }
    }
}

pub(super) enum Open<'a> {
    Seq(Vec<Node>),
    Map(Box<OpenMap<'a>>),
}

impl Open<'_> {
    pub(super) fn seq() -> Self {
        Self::Seq(Vec::new())
    }

    pub(super) fn map() -> Self {
        Self::Map(Box::default())
    }

    /// How many levels of collections what comes next brings. Of what is merged, the mapping and a
    /// list of mappings go.
    pub(super) fn levels_of(&self, next: &Done<'_>) -> usize {
        match self {
            Self::Map(map) if map.wants_merge() => match next.node.value {
                Value::Seq(_) => next.height.saturating_sub(2),
                _ => next.height.saturating_sub(1),
            },
            _ => next.height,
        }
    }
}

/// A mapping that is still open.
#[derive(Default)]
pub(super) struct OpenMap<'a> {
    pub(super) map: Map,
    /// The value of `<<`.
    pub(super) merge: Option<Node>,
    /// The key that waits for its value.
    key: Option<Key<'a>>,
    /// Keys that have been written and that `map` does not hold as they are told apart: `<<`,
    /// aliases, and what is reset.
    elsewhere: HashMap<String, Span>,
    /// Keys of `map` that aliases wrote.
    by_alias: HashSet<String>,
    bad_keys: bool,
}

struct Key<'a> {
    node: Node,
    role: AsKey<'a>,
}

impl<'a> OpenMap<'a> {
    /// Whether a key is what comes next.
    pub(super) fn wants_key(&self) -> bool {
        self.key.is_none()
    }

    /// Takes the next key.
    pub(super) fn add_key(&mut self, done: Done<'a>) {
        self.key = Some(Key {
            node: done.node,
            role: done.as_key,
        });
    }

    /// Takes the value of the key; `None` is for one that is reset.
    pub(super) fn add_value(&mut self, value: Option<Node>) -> Result<(), Box<Diagnostic>> {
        let Some(key) = self.key.take() else {
            return Ok(());
        };
        let Value::Str(text) = key.node.value else {
            return self.refuse(&key.node);
        };
        let place = key.node.span;
        let told_by = match key.role {
            AsKey::Alias(name) => name,
            AsKey::Text | AsKey::Merge => &text,
        };
        if let Some(first) = self.place_of(told_by) {
            return Err(Box::new(repeated(told_by, place, first)));
        }
        let is_elsewhere = value.is_none() || !matches!(key.role, AsKey::Text);
        if is_elsewhere {
            self.elsewhere.insert(told_by.to_owned(), place);
        }
        match (value, key.role) {
            (None, _) => {}
            (Some(value), AsKey::Merge) => self.merge = Some(value),
            (Some(mut value), role) => {
                value.key = place;
                match role {
                    AsKey::Alias(_) => self.by_alias.insert(text.clone()),
                    _ => self.by_alias.remove(&text),
                };
                self.map.insert(text, value);
            }
        }
        Ok(())
    }

    /// Where a key has been written before.
    fn place_of(&self, told_by: &str) -> Option<Span> {
        let by_text = || {
            let entry = self.map.get(told_by)?;
            (!self.by_alias.contains(told_by)).then_some(entry.key)
        };
        self.elsewhere.get(told_by).copied().or_else(by_text)
    }

    /// The problem of a key that is no text, once for each mapping.
    fn refuse(&mut self, key: &Node) -> Result<(), Box<Diagnostic>> {
        if std::mem::replace(&mut self.bad_keys, true) {
            return Ok(());
        }
        Err(Box::new(
            Diagnostic::error(
                "non-string-key",
                key.span,
                format!("keys must be strings, this is {}", key.kind()),
            )
            .help("quote it"),
        ))
    }

    /// Whether the value that comes next is one of `<<`.
    pub(super) fn wants_merge(&self) -> bool {
        matches!(&self.key, Some(key) if matches!(key.role, AsKey::Merge))
    }
}

fn repeated(key: &str, place: Span, first: Span) -> Diagnostic {
    Diagnostic::error(
        "duplicate-key",
        place,
        format!("key `{key}` is already defined in this mapping"),
    )
    .label("defined again here")
    .related(first, "first defined here")
    .help("keep one of the two")
}

/// The path of the value that is read now. What `<<` merges has the path of the mapping around it.
pub(super) fn path(stack: &[Frame<'_>]) -> Path {
    let mut path = Path::default();
    for frame in stack {
        match &frame.open {
            Open::Seq(items) => path = path.index(items.len()),
            Open::Map(map) => match &map.key {
                Some(key) if !matches!(key.role, AsKey::Merge) => {
                    path = path.key(key.node.as_str().unwrap_or_default());
                }
                _ => {}
            },
        }
    }
    path
}
