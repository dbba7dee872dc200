//! Nodes and a value to text.

use serde_json::{Map, Value, json};

use super::TemplateError;
use super::parse::{Node, Pipe, Term};
use super::printf::printf;
use super::shape::Shape;

pub fn render(nodes: &[Node], root: &Value, shape: Shape) -> Result<String, TemplateError> {
    let root = Operand {
        value: root.clone(),
        shape: Some(shape),
    };
    let mut scope = Scope {
        dot: root.clone(),
        root,
        variables: Vec::new(),
    };
    let mut out = String::new();
    scope.nodes(nodes, &mut out)?;
    Ok(out)
}

/// A value in a template.
#[derive(Clone)]
pub(super) struct Operand {
    pub(super) value: Value,
    /// What it is in Go; nothing at all for a key that its map does not have.
    shape: Option<Shape>,
}

impl Operand {
    fn missing() -> Self {
        Self {
            value: Value::Null,
            shape: None,
        }
    }

    fn of(value: &Value, shape: Shape) -> Self {
        Self {
            value: value.clone(),
            shape: Some(shape),
        }
    }

    fn shape(&self) -> Shape {
        self.shape.unwrap_or(Shape::Any)
    }

    /// Go's `%v`.
    pub(super) fn text(&self) -> String {
        self.shape().text(&self.value)
    }

    /// What stands in the place of an action.
    fn printed(&self) -> String {
        match self.shape {
            Some(_) => self.text(),
            None => "<no value>".to_owned(),
        }
    }

    /// What is below it by a name; below nothing is nothing.
    fn part(&self, name: &str) -> Result<Self, TemplateError> {
        let unknown = || TemplateError::UnknownField {
            name: name.to_owned(),
        };
        let shape = self.shape();
        let found = match &self.value {
            Value::Object(map) => map.get(name),
            Value::Null => match shape {
                Shape::Any => return Ok(Self::missing()),
                // A field of nil.
                Shape::Pointer(_) => return Err(unknown()),
                _ => None,
            },
            _ => return Err(unknown()),
        };
        match (found, shape.part(name)) {
            (None, Some(Shape::Spelled(name))) => self.part(name),
            (Some(found), of) => Ok(Self::of(found, of.unwrap_or(Shape::Any))),
            (None, Some(_)) if matches!(shape, Shape::Map(_)) => Ok(Self::missing()),
            (None, Some(of)) => Ok(Self::of(&of.zero(), of)),
            (None, None) => Err(unknown()),
        }
    }
}

impl From<Value> for Operand {
    fn from(value: Value) -> Self {
        Self {
            value,
            shape: Some(Shape::Any),
        }
    }
}

struct Scope {
    root: Operand,
    dot: Operand,
    variables: Vec<(String, Operand)>,
}

impl Scope {
    fn nodes(&mut self, nodes: &[Node], out: &mut String) -> Result<(), TemplateError> {
        let outer = self.variables.len();
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Declare(name, pipe) => {
                    let value = self.pipe(pipe)?;
                    self.variables.push((name.clone(), value));
                }
                Node::Print(pipe) => out.push_str(&self.pipe(pipe)?.printed()),
                Node::If {
                    branches,
                    otherwise,
                } => {
                    let mut chosen = otherwise;
                    for (condition, body) in branches {
                        if truth(&self.pipe(condition)?.value) {
                            chosen = body;
                            break;
                        }
                    }
                    self.nodes(chosen, out)?;
                }
                Node::With {
                    of,
                    body,
                    otherwise,
                } => {
                    let value = self.pipe(of)?;
                    if truth(&value.value) {
                        self.with_dot(value, body, out)?;
                    } else {
                        self.nodes(otherwise, out)?;
                    }
                }
                Node::Range {
                    names,
                    over,
                    body,
                    otherwise,
                } => {
                    let items = items(&self.pipe(over)?)?;
                    if items.is_empty() {
                        self.nodes(otherwise, out)?;
                    }
                    for (key, value) in items {
                        self.item(names, key, value, body, out)?;
                    }
                }
            }
        }
        // What a block declares ends with it.
        self.variables.truncate(outer);
        Ok(())
    }

    fn item(
        &mut self,
        names: &[String],
        key: Value,
        value: Operand,
        body: &[Node],
        out: &mut String,
    ) -> Result<(), TemplateError> {
        let outer = self.variables.len();
        match names {
            [one] => self.variables.push((one.clone(), value.clone())),
            [first, second] => {
                self.variables.push((first.clone(), key.into()));
                self.variables.push((second.clone(), value.clone()));
            }
            _ => {}
        }
        self.with_dot(value, body, out)?;
        self.variables.truncate(outer);
        Ok(())
    }

    fn with_dot(
        &mut self,
        value: Operand,
        body: &[Node],
        out: &mut String,
    ) -> Result<(), TemplateError> {
        let outer = std::mem::replace(&mut self.dot, value);
        let result = self.nodes(body, out);
        self.dot = outer;
        result
    }

    fn pipe(&self, pipe: &Pipe) -> Result<Operand, TemplateError> {
        let mut passed = None;
        for call in pipe {
            passed = Some(self.call(call, passed)?);
        }
        Ok(passed.unwrap_or_else(Operand::missing))
    }

    fn call(&self, call: &[Term], passed: Option<Operand>) -> Result<Operand, TemplateError> {
        match call {
            [Term::Function(name), arguments @ ..] => {
                let mut values = Vec::new();
                for argument in arguments {
                    values.push(self.term(argument)?);
                }
                values.extend(passed);
                function(name, &values)
            }
            // `.Label "key"`: Docker's one method with an argument.
            [Term::Field(path), Term::Text(key)]
                if path.last().is_some_and(|name| name == "Label") =>
            {
                let labels = self.dot.value.get("Labels");
                Ok(label(labels.unwrap_or(&Value::Null), key).into())
            }
            [term] => self.term(term),
            _ => Err(wrong("call", &Value::Null)),
        }
    }

    fn term(&self, term: &Term) -> Result<Operand, TemplateError> {
        match term {
            Term::Field(path) => field(&self.dot, path),
            Term::Variable(name, path) if name.is_empty() => field(&self.root, path),
            Term::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let (_, value) = found.ok_or_else(|| TemplateError::UnknownField {
                    name: format!("${name}"),
                })?;
                field(value, path)
            }
            Term::Text(text) => Ok(json!(text).into()),
            Term::Number(number) => Ok(json!(number).into()),
            Term::Bool(value) => Ok(json!(value).into()),
            Term::Nil => Ok(Value::Null.into()),
            Term::Function(name) => function(name, &[]),
            Term::Group(pipe, path) => field(&self.pipe(pipe)?, path),
        }
    }
}

/// What is below a value by a path of names.
fn field(of: &Operand, path: &[String]) -> Result<Operand, TemplateError> {
    let mut at = of.clone();
    for name in path {
        at = at.part(name)?;
    }
    Ok(at)
}

/// Labels are a map in `inspect` and `k=v,k=v` in lists.
fn label(labels: &Value, key: &str) -> Value {
    match labels {
        Value::Object(map) => map.get(key).cloned().unwrap_or_else(|| json!("")),
        Value::String(text) => {
            let mut pairs = text.split(',').filter_map(|pair| pair.split_once('='));
            json!(
                pairs
                    .find(|(name, _)| *name == key)
                    .map_or("", |(_, value)| value)
            )
        }
        _ => json!(""),
    }
}

/// Keys and values; Go walks maps in key order.
fn items(of: &Operand) -> Result<Vec<(Value, Operand)>, TemplateError> {
    let item = |value: &Value| Operand::of(value, of.shape().items());
    match &of.value {
        Value::Array(list) => Ok(list
            .iter()
            .enumerate()
            .map(|(n, value)| (json!(n), item(value)))
            .collect()),
        Value::Object(map) => Ok(sorted(map)
            .map(|(key, value)| (json!(key), item(value)))
            .collect()),
        Value::Null => Ok(Vec::new()),
        other => Err(wrong("range", other)),
    }
}

fn sorted(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    pairs.into_iter()
}

fn wrong(function: &str, value: &Value) -> TemplateError {
    TemplateError::Type {
        function: function.to_owned(),
        value: value.to_string(),
    }
}

/// Go's truth: not empty, not zero.
fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn function(name: &str, arguments: &[Operand]) -> Result<Operand, TemplateError> {
    match name {
        // The ones whose result is one of what they were given, with all that is known of it.
        "index" => index(arguments),
        "and" | "or" => {
            let decides = |of: &&Operand| truth(&of.value) == (name == "or");
            let chosen = arguments.iter().find(decides).or(arguments.last());
            Ok(chosen.cloned().unwrap_or_else(Operand::missing))
        }
        _ => computed(name, arguments).map(Into::into),
    }
}

fn computed(name: &str, arguments: &[Operand]) -> Result<Value, TemplateError> {
    let text = |n: usize| arguments.get(n).map(Operand::text).unwrap_or_default();
    let texts = || arguments.iter().map(Operand::text);
    let value = |n: usize| arguments.get(n).map(|of| &of.value);
    let first = value(0).unwrap_or(&Value::Null);
    let rest = arguments.get(1..).unwrap_or_default();
    Ok(match name {
        "json" => json!(first.to_string()),
        "upper" => json!(text(0).to_uppercase()),
        "lower" => json!(text(0).to_lowercase()),
        "title" => json!(title(&text(0))),
        "print" => json!(texts().collect::<String>()),
        "println" => json!(texts().collect::<Vec<_>>().join(" ") + "\n"),
        "printf" => json!(printf(&text(0), rest)),
        "len" => json!(length(first)?),
        "join" => match first {
            Value::Array(list) => {
                let words = list.iter().map(|item| Shape::Any.text(item));
                json!(words.collect::<Vec<_>>().join(&text(1)))
            }
            Value::Null => json!(""),
            other => return Err(wrong(name, other)),
        },
        "split" => json!(text(0).split(&text(1)).collect::<Vec<_>>()),
        "truncate" => {
            let limit = value(1)
                .and_then(Value::as_u64)
                .ok_or_else(|| wrong(name, first))?;
            json!(
                text(0)
                    .chars()
                    .take(usize::try_from(limit).unwrap_or(usize::MAX))
                    .collect::<String>()
            )
        }
        "pad" => {
            let blanks = |n: usize| {
                let count = value(n).and_then(Value::as_u64).unwrap_or(0).min(1000);
                " ".repeat(usize::try_from(count).unwrap_or(0))
            };
            json!(format!("{}{}{}", blanks(1), text(0), blanks(2)))
        }
        "eq" => json!(rest.iter().any(|other| other.value == *first)),
        "ne" => json!(value(1) != Some(first)),
        "lt" | "le" | "gt" | "ge" => {
            let [left, right] = arguments else {
                return Err(wrong(name, first));
            };
            let order = order(&left.value, &right.value).ok_or_else(|| wrong(name, first))?;
            json!(match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            })
        }
        "slice" => slice(first, rest)?,
        "not" => json!(!truth(first)),
        other => {
            return Err(TemplateError::UnknownFunction {
                name: other.to_owned(),
            });
        }
    })
}

fn title(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_uppercase().collect::<String>() + chars.as_str())
        .unwrap_or_default()
}

fn length(value: &Value) -> Result<usize, TemplateError> {
    match value {
        Value::String(text) => Ok(text.len()),
        Value::Array(list) => Ok(list.len()),
        Value::Object(map) => Ok(map.len()),
        Value::Null => Ok(0),
        other => Err(wrong("len", other)),
    }
}

/// Numbers and texts have an order, each among themselves.
fn order(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        _ => None,
    }
}

/// `slice x 1 3` is Go's `x[1:3]`; both ends may be left out.
fn slice(value: &Value, ends: &[Operand]) -> Result<Value, TemplateError> {
    let end = |n: usize, default: usize| match ends.get(n) {
        None => Some(default),
        Some(end) => end.value.as_u64().and_then(|end| usize::try_from(end).ok()),
    };
    let range = || Some(end(0, 0)?..end(1, length(value).ok()?)?);
    let part = range()
        .filter(|_| ends.len() <= 2)
        .and_then(|range| match value {
            Value::String(text) => text.get(range).map(|part| json!(part)),
            Value::Array(list) => list.get(range).map(|part| json!(part)),
            _ => None,
        });
    part.ok_or_else(|| wrong("slice", value))
}

/// `index x k1 k2` is Go's `x[k1][k2]`: a key that a map does not have gives the zero of what it holds.
fn index(arguments: &[Operand]) -> Result<Operand, TemplateError> {
    let Some((first, keys)) = arguments.split_first() else {
        return Err(wrong("index", &Value::Null));
    };
    let mut at = first.clone();
    for key in keys {
        let of = at.shape().items();
        at = match (&at.value, &key.value) {
            (Value::Object(map), Value::String(key)) => match map.get(key) {
                Some(found) => Operand::of(found, of),
                None => Operand::of(&of.zero(), of),
            },
            (Value::Array(list), key) => key
                .as_u64()
                .and_then(|n| list.get(usize::try_from(n).ok()?))
                .map(|found| Operand::of(found, of))
                .ok_or_else(|| wrong("index", key))?,
            // A map that is nil has no key, which is no error; a list that is nil has no item, which is one.
            (Value::Null, Value::String(_)) => Operand::of(&of.zero(), of),
            (other, _) => return Err(wrong("index", other)),
        };
    }
    Ok(at)
}
