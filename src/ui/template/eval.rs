//! Nodes and a value to text.

use serde_json::{Map, Value, json};

use super::TemplateError;
use super::parse::{Node, Pipe, Term};
use super::printf::printf;

pub fn render(nodes: &[Node], root: &Value) -> Result<String, TemplateError> {
    let mut scope = Scope {
        root,
        dot: root.clone(),
        variables: Vec::new(),
    };
    let mut out = String::new();
    scope.nodes(nodes, &mut out)?;
    Ok(out)
}

struct Scope<'a> {
    root: &'a Value,
    dot: Value,
    variables: Vec<(String, Value)>,
}

impl Scope<'_> {
    fn nodes(&mut self, nodes: &[Node], out: &mut String) -> Result<(), TemplateError> {
        let outer = self.variables.len();
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Declare(name, pipe) => {
                    let value = self.pipe(pipe)?;
                    self.variables.push((name.clone(), value));
                }
                Node::Print(pipe) => out.push_str(&text_of(&self.pipe(pipe)?)),
                Node::If {
                    branches,
                    otherwise,
                } => {
                    let mut chosen = otherwise;
                    for (condition, body) in branches {
                        if truth(&self.pipe(condition)?) {
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
                    if truth(&value) {
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
                    let items = items(self.pipe(over)?)?;
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
        value: Value,
        body: &[Node],
        out: &mut String,
    ) -> Result<(), TemplateError> {
        let outer = self.variables.len();
        match names {
            [one] => self.variables.push((one.clone(), value.clone())),
            [first, second] => {
                self.variables.push((first.clone(), key));
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
        value: Value,
        body: &[Node],
        out: &mut String,
    ) -> Result<(), TemplateError> {
        let outer = std::mem::replace(&mut self.dot, value);
        let result = self.nodes(body, out);
        self.dot = outer;
        result
    }

    fn pipe(&self, pipe: &Pipe) -> Result<Value, TemplateError> {
        let mut passed = None;
        for call in pipe {
            passed = Some(self.call(call, passed)?);
        }
        Ok(passed.unwrap_or(Value::Null))
    }

    fn call(&self, call: &[Term], passed: Option<Value>) -> Result<Value, TemplateError> {
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
                let labels = self.dot.get("Labels").cloned().unwrap_or(Value::Null);
                Ok(label(&labels, key))
            }
            [term] => self.term(term),
            _ => Err(wrong("call", &Value::Null)),
        }
    }

    fn term(&self, term: &Term) -> Result<Value, TemplateError> {
        match term {
            Term::Field(path) => field(&self.dot, path),
            Term::Variable(name, path) if name.is_empty() => field(self.root, path),
            Term::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let (_, value) = found.ok_or_else(|| TemplateError::UnknownField {
                    name: format!("${name}"),
                })?;
                field(value, path)
            }
            Term::Text(text) => Ok(Value::String(text.clone())),
            Term::Number(number) => Ok(json!(number)),
            Term::Bool(value) => Ok(Value::Bool(*value)),
            Term::Function(name) => function(name, &[]),
            Term::Group(pipe, path) => field(&self.pipe(pipe)?, path),
        }
    }
}

/// A field below a value; a missing one is an error unless the value is null already.
fn field(value: &Value, path: &[String]) -> Result<Value, TemplateError> {
    let mut at = value;
    for name in path {
        at = match at {
            Value::Null => return Ok(Value::Null),
            Value::Object(map) => map
                .get(name)
                .ok_or_else(|| TemplateError::UnknownField { name: name.clone() })?,
            _ => return Err(TemplateError::UnknownField { name: name.clone() }),
        };
    }
    Ok(at.clone())
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

fn items(value: Value) -> Result<Vec<(Value, Value)>, TemplateError> {
    match value {
        Value::Array(list) => Ok(list
            .into_iter()
            .enumerate()
            .map(|(n, v)| (json!(n), v))
            .collect()),
        Value::Object(map) => Ok(sorted(&map).map(|(k, v)| (json!(k), v.clone())).collect()),
        Value::Null => Ok(Vec::new()),
        other => Err(wrong("range", &other)),
    }
}

/// Go prints and walks maps in key order.
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

/// Go's `%v`.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            format!(
                "[{}]",
                list.iter().map(text_of).collect::<Vec<_>>().join(" ")
            )
        }
        Value::Object(map) => {
            let pairs: Vec<String> = sorted(map)
                .map(|(k, v)| format!("{k}:{}", text_of(v)))
                .collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

fn function(name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
    let text = |n: usize| arguments.get(n).map(text_of).unwrap_or_default();
    let first = arguments.first().unwrap_or(&Value::Null);
    Ok(match name {
        "json" => json!(first.to_string()),
        "upper" => json!(text(0).to_uppercase()),
        "lower" => json!(text(0).to_lowercase()),
        "title" => json!(title(&text(0))),
        "print" => json!(arguments.iter().map(text_of).collect::<String>()),
        "println" => json!(arguments.iter().map(text_of).collect::<Vec<_>>().join(" ") + "\n"),
        "printf" => json!(printf(&text(0), arguments.get(1..).unwrap_or_default())),
        "len" => json!(length(first)?),
        "index" => index(first, arguments.get(1..).unwrap_or_default())?,
        "join" => match first {
            Value::Array(list) => {
                json!(list.iter().map(text_of).collect::<Vec<_>>().join(&text(1)))
            }
            other => return Err(wrong(name, other)),
        },
        "split" => json!(text(0).split(&text(1)).collect::<Vec<_>>()),
        "truncate" => {
            let limit = arguments
                .get(1)
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
                let count = arguments
                    .get(n)
                    .and_then(Value::as_u64)
                    .unwrap_or(0)
                    .min(1000);
                " ".repeat(usize::try_from(count).unwrap_or(0))
            };
            json!(format!("{}{}{}", blanks(1), text(0), blanks(2)))
        }
        "eq" => json!(arguments.get(1..).unwrap_or_default().contains(first)),
        "ne" => json!(arguments.get(1) != Some(first)),
        "lt" | "le" | "gt" | "ge" => {
            let [left, right] = arguments else {
                return Err(wrong(name, first));
            };
            let order = order(left, right).ok_or_else(|| wrong(name, left))?;
            json!(match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            })
        }
        "slice" => slice(first, arguments.get(1..).unwrap_or_default())?,
        "not" => json!(!truth(first)),
        "and" => arguments
            .iter()
            .find(|v| !truth(v))
            .or(arguments.last())
            .cloned()
            .unwrap_or(Value::Null),
        "or" => arguments
            .iter()
            .find(|v| truth(v))
            .or(arguments.last())
            .cloned()
            .unwrap_or(Value::Null),
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
fn slice(value: &Value, ends: &[Value]) -> Result<Value, TemplateError> {
    let end = |n: usize, default: usize| match ends.get(n) {
        None => Some(default),
        Some(end) => end.as_u64().and_then(|end| usize::try_from(end).ok()),
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

fn index(value: &Value, keys: &[Value]) -> Result<Value, TemplateError> {
    let mut at = value;
    for key in keys {
        at = match (at, key) {
            (Value::Object(map), Value::String(key)) => map.get(key).unwrap_or(&Value::Null),
            (Value::Array(list), key) => key
                .as_u64()
                .and_then(|n| list.get(usize::try_from(n).ok()?))
                .ok_or_else(|| wrong("index", key))?,
            (Value::Null, _) => return Ok(Value::Null),
            (other, _) => return Err(wrong("index", other)),
        };
    }
    Ok(at.clone())
}
