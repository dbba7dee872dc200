//! The untyped tree: YAML values that remember where they were written.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use indexmap::IndexMap;

use super::source::Span;

/// A mapping, in the order written.
pub type Map = IndexMap<String, Node>;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where the value is.
    pub span: Span,
    /// Where its key is; no place for list items.
    pub key: Span,
    /// Its tag, if it means something to Compose.
    pub tag: Tag,
    /// What variables were filled in.
    pub filled: Option<Arc<Filled>>,
    /// The value that this one replaced.
    pub lost: Option<Arc<Lost>>,
}

/// A value that another one replaced.
#[derive(Clone, Debug)]
pub struct Lost {
    /// The value; it may have replaced one itself.
    pub node: Node,
    /// Why it lost.
    pub to: Rival,
}

/// A row of values that replaced each other may be long: it is dropped one by one.
impl Drop for Lost {
    fn drop(&mut self) {
        let mut next = self.node.lost.take();
        while let Some(mut lost) = next.and_then(Arc::into_inner) {
            next = lost.node.lost.take();
        }
    }
}

/// What takes precedence over a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// A later file, document or entry of a list.
    Later,
    /// The service that extends the value's service, at this place.
    Extending(Span),
    /// A key beside `<<`.
    Explicit,
    /// `environment` or `labels` over a file of them.
    Attribute,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(String),
    /// An unquoted date or time, as written.
    Time(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping.
    Map(Map),
}

/// Tags of the Compose specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tag {
    /// None.
    #[default]
    None,
    /// `!reset`.
    Reset,
    /// `!override`.
    Override,
}

/// What interpolation did to a value.
#[derive(Debug)]
pub struct Filled {
    /// The text as written.
    pub raw: String,
    /// Variables used.
    pub variables: Vec<Use>,
}

/// The text after an operator of `${…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// `-` or `+`.
    pub operator: char,
    /// The text, with its own variables filled in.
    pub text: String,
    /// Whether it was used.
    pub used: bool,
}

/// A variable that a value was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Name.
    pub name: String,
    /// Its value and where it was written; no place in the process environment.
    pub value: Option<(String, Span)>,
    /// Values of lower precedence, the next one first.
    pub lost: Vec<(String, Span)>,
    /// What the text says for when it has none (`-`) or has one (`+`).
    pub argument: Option<Argument>,
}

impl Node {
    /// A value at a place.
    pub fn new(value: Value, span: Span) -> Self {
        Self {
            value,
            span,
            key: Span::NONE,
            tag: Tag::None,
            filled: None,
            lost: None,
        }
    }

    /// Text at a place.
    pub fn str(text: impl Into<String>, span: Span) -> Self {
        Self::new(Value::Str(text.into()), span)
    }

    /// A mapping at a place.
    pub fn map(map: Map, span: Span) -> Self {
        Self::new(Value::Map(map), span)
    }

    /// Another value at this place.
    pub fn with(&self, value: Value) -> Self {
        Self {
            value,
            span: self.span,
            key: self.key,
            tag: self.tag,
            filled: self.filled.clone(),
            lost: self.lost.clone(),
        }
    }

    /// This value, which takes precedence over another one.
    #[must_use]
    pub fn over(mut self, other: Self, rival: Rival) -> Self {
        self.replace(other, rival);
        self
    }

    /// Notes a value that this one takes precedence over, after those it has already.
    pub fn replace(&mut self, other: Self, to: Rival) {
        let mut last = &mut self.lost;
        while let Some(lost) = last {
            last = &mut Arc::make_mut(lost).node.lost;
        }
        *last = Some(Arc::new(Lost { node: other, to }));
    }

    /// The best place to point at.
    pub fn place(&self) -> Span {
        self.span.or(self.key)
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(m) => Some(m),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(m) => Some(m),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Seq(s) => Some(s),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_seq_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.value {
            Value::Seq(s) => Some(s),
            _ => None,
        }
    }

    /// The entry of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// The entry of a mapping.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.as_map_mut()?.get_mut(key)
    }

    /// How many values it is made of.
    pub fn count(&self) -> usize {
        match &self.value {
            Value::Map(map) => 1 + map.values().map(Node::count).sum::<usize>(),
            Value::Seq(items) => 1 + items.iter().map(Node::count).sum::<usize>(),
            _ => 1,
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// A scalar as docker compose turns it into text; `None` for lists, mappings and null.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Null | Value::Seq(_) | Value::Map(_) => None,
            other => Some(other.to_string()),
        }
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Str(_) => "a string",
            Value::Time(_) => "a timestamp",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Whether the values are the same, wherever they were written; `1` and `1.0` are.
    pub fn same(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => *a as f64 == *b,
            _ => self.same_by(other, Node::same),
        }
    }

    /// Whether the values are the same and of the same types, wherever they were written.
    pub fn identical(&self, other: &Node) -> bool {
        self.same_by(other, Node::identical)
    }

    /// Whether values of the same type are equal; their parts are compared by a rule.
    fn same_by(&self, other: &Node, parts: fn(&Node, &Node) -> bool) -> bool {
        match (&self.value, &other.value) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Str(a), Value::Str(b)) | (Value::Time(a), Value::Time(b)) => a == b,
            (Value::Seq(a), Value::Seq(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| parts(a, b))
            }
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(k, v)| b.get(k).is_some_and(|other| parts(v, other)))
            }
            _ => false,
        }
    }

    /// A number that is the same for values that are the [same](Self::same).
    pub fn content_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        match &self.value {
            Value::Null => {}
            Value::Bool(b) => b.hash(&mut hasher),
            // A whole number can be the same as another number; 0.0 and -0.0 are.
            Value::Int(i) => (*i as f64 + 0.0).to_bits().hash(&mut hasher),
            Value::Float(f) => (*f + 0.0).to_bits().hash(&mut hasher),
            Value::Str(text) | Value::Time(text) => text.hash(&mut hasher),
            Value::Seq(items) => {
                for item in items {
                    item.content_hash().hash(&mut hasher);
                }
            }
            // The order of keys does not count.
            Value::Map(map) => {
                let entries = map.iter().map(|(key, node)| {
                    let mut entry = DefaultHasher::new();
                    key.hash(&mut entry);
                    node.content_hash().hash(&mut entry);
                    entry.finish()
                });
                entries.fold(0, u64::wrapping_add).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Where the value at a dotted path (`services.web.ports[0]`) was written, or the nearest
    /// value around it.
    pub fn locate(&self, dotted: &str) -> Option<Span> {
        let mut node = self;
        let mut place = None;
        let mut rest = dotted;
        while let Some((found, after)) = node.step(rest) {
            node = found;
            rest = after;
            if node.place().is_some() {
                place = Some(if matches!(node.value, Value::Map(_) | Value::Seq(_)) {
                    node.key.or(node.span)
                } else {
                    node.place()
                });
            }
        }
        place
    }

    /// One part of a dotted path down, and what is left of the path.
    pub fn step<'a, 'p>(&'a self, path: &'p str) -> Option<(&'a Node, &'p str)> {
        if path.is_empty() {
            return None;
        }
        let (node, after) = match &self.value {
            // Keys may hold dots: the longest that fits counts.
            Value::Map(map) => map
                .iter()
                .filter(|(key, _)| {
                    path.strip_prefix(key.as_str())
                        .is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']))
                })
                .max_by_key(|(key, _)| key.len())
                .map(|(key, node)| (node, &path[key.len()..]))?,
            Value::Seq(items) => {
                let (index, after) = path.strip_prefix('[')?.split_once(']')?;
                (items.get(index.parse::<usize>().ok()?)?, after)
            }
            _ => return None,
        };
        Some((node, after.strip_prefix('.').unwrap_or(after)))
    }

    /// The node at a path of keys and indices.
    pub fn find(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, part| match &node.value {
            Value::Map(m) => m.get(*part),
            Value::Seq(s) => s.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// Scalars as Go's `fmt.Sprint` prints them.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<nil>"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(v) => f.write_str(&go_float(*v)),
            Self::Str(s) | Self::Time(s) => f.write_str(s),
            Self::Seq(_) => f.write_str("[…]"),
            Self::Map(_) => f.write_str("{…}"),
        }
    }
}

/// A float as Go prints it: shortest digits, exponent from 1e6 and below 1e-4.
pub fn go_float(v: f64) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = v.abs();
    if v == 0.0 || (1e-4..1e6).contains(&magnitude) {
        return format!("{v}");
    }
    let text = format!("{v:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, number) = match exponent.strip_prefix('-') {
                Some(n) => ('-', n),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{number:0>2}")
        }
        None => text,
    }
}

/// A path in the tree: keys, and indices as `[3]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(pub Vec<String>);

impl Path {
    /// A path of keys.
    pub fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|p| (*p).to_owned()).collect())
    }

    /// With one more key.
    pub fn key(&self, key: &str) -> Self {
        let mut parts = Vec::with_capacity(self.0.len() + 1);
        parts.extend_from_slice(&self.0);
        parts.push(key.to_owned());
        Self(parts)
    }

    /// With one more index.
    pub fn index(&self, index: usize) -> Self {
        self.key(&format!("[{index}]"))
    }

    /// Whether it has the pattern's parts; `*` stands for any one.
    pub fn matches(&self, pattern: &[&str]) -> bool {
        self.0.len() == pattern.len()
            && self
                .0
                .iter()
                .zip(pattern)
                .all(|(part, want)| *want == "*" || part == want)
    }

    /// Its parts.
    pub fn parts(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            if i > 0 && !part.starts_with('[') {
                f.write_str(".")?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}
