//! Variables in string values, and the types that some attributes take after substitution.
//!
//! Forms: `$N`, `${N}`, `${N:-d}`, `${N-d}`, `${N:+a}`, `${N+a}`, `${N:?m}`, `${N?m}`; the part
//! after the operator may hold variables again. `$$` is a dollar; a dollar before anything else
//! stays. Keys are never touched. A default cannot span lines, as with docker compose.

use std::collections::HashMap;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, did_you_mean};
use super::source::{Sources, Span};
use super::trail::Trail;
use super::tree::{Argument, Filled, Node, Use, Value};

/// Where values come from.
pub trait Lookup {
    /// The value and where it was written.
    fn lookup(&self, name: &str) -> Option<(String, Span)>;
    /// Values of lower precedence, the next one first.
    fn lost(&self, name: &str) -> Vec<(String, Span)>;
    /// Every name, for suggestions.
    fn names(&self) -> Vec<String>;
}

/// What can go wrong in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// `${` that is not followed by a name, an operator and a brace.
    Malformed,
    /// Variables made it longer than 4 MiB.
    TooLong,
    /// `${N:?…}` without a value.
    Required {
        /// Variable.
        name: String,
        /// The author's message.
        message: String,
    },
}

/// What a substitution met on its way.
#[derive(Debug, Default)]
pub struct Trace {
    /// Variables that were looked up, in the order of the text.
    pub used: Vec<Use>,
    /// Variables without a value or default.
    pub unset: Vec<String>,
    depth: usize,
    /// Bytes that variables have brought.
    brought: usize,
}

/// Most bytes that variables may bring into one text.
const MAX_TEXT: usize = 4 << 20;
/// Most bytes of all texts with variables of one load.
pub const MAX_TEXTS: usize = 64 << 20;

/// Deepest nesting of defaults.
const MAX_DEPTH: usize = 64;

/// Substitutes every variable of a text.
pub fn substitute(
    text: &str,
    lookup: &dyn Lookup,
    trace: &mut Trace,
) -> Result<String, TemplateError> {
    if trace.depth > MAX_DEPTH {
        return Err(TemplateError::Malformed);
    }
    trace.depth += 1;
    let result = substitute_nested(text, lookup, trace);
    trace.depth -= 1;
    result
}

fn substitute_nested(
    text: &str,
    lookup: &dyn Lookup,
    trace: &mut Trace,
) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(inner) = after.strip_prefix('{') {
            let expression = braced(inner).ok_or(TemplateError::Malformed)?;
            let piece = evaluate(&expression, lookup, trace)?;
            trace.bring(&piece)?;
            out.push_str(&piece);
            rest = &inner[expression.consumed..];
        } else {
            let len = name_length(after);
            if len == 0 {
                out.push('$');
            } else {
                let piece = value_or_blank(&after[..len], lookup, trace);
                trace.bring(&piece)?;
                out.push_str(&piece);
            }
            rest = &after[len..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn name_length(text: &str) -> usize {
    let first = text.bytes().next();
    if !first.is_some_and(|b| b == b'_' || b.is_ascii_alphabetic()) {
        return 0;
    }
    text.bytes()
        .position(|b| b != b'_' && !b.is_ascii_alphanumeric())
        .unwrap_or(text.len())
}

/// The inside of `${…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression<'a> {
    /// Variable.
    pub name: &'a str,
    /// Operator and what follows it.
    pub operator: Option<(Operator, &'a str)>,
    /// Bytes up to and with the closing brace.
    pub consumed: usize,
}

/// What is done when a variable has or lacks a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// `-`, `+` or `?`.
    pub kind: char,
    /// Whether an empty value counts as none (`:`).
    pub or_empty: bool,
}

/// Reads the text after `${`. The closing brace is found by counting braces; when they do not
/// balance, the last one on the line closes.
pub fn braced(inner: &str) -> Option<Expression<'_>> {
    let len = name_length(inner);
    if len == 0 {
        return None;
    }
    let name = &inner[..len];
    let after = &inner[len..];
    if after.starts_with('}') {
        return Some(Expression {
            name,
            operator: None,
            consumed: len + 1,
        });
    }
    let (or_empty, operator) = match after.strip_prefix(':') {
        Some(rest) => (true, rest),
        None => (false, after),
    };
    let kind = operator.chars().next().filter(|c| "-+?".contains(*c))?;
    let argument_start = len + usize::from(or_empty) + 1;
    let line_end = inner[argument_start..]
        .find('\n')
        .map_or(inner.len(), |i| argument_start + i);
    let last = argument_start + inner[argument_start..line_end].rfind('}')?;
    let close = balanced(&inner[..=last], argument_start).unwrap_or(last);
    Some(Expression {
        name,
        operator: Some((Operator { kind, or_empty }, &inner[argument_start..close])),
        consumed: close + 1,
    })
}

/// The brace that closes the expression. A character right after an opening brace is not
/// looked at, as in docker compose: `{}` does not count as a pair.
fn balanced(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 1usize;
    let mut i = from;
    while i < bytes.len() {
        match bytes[i] {
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(i);
                }
            }
            b'{' => {
                depth += 1;
                i += 1;
            }
            _ => {}
        }
        i += 1;
    }
    None
}

fn evaluate(
    e: &Expression<'_>,
    lookup: &dyn Lookup,
    trace: &mut Trace,
) -> Result<String, TemplateError> {
    let Some((operator, argument)) = e.operator else {
        return Ok(value_or_blank(e.name, lookup, trace));
    };
    // The argument is read even when it is not needed: its errors and warnings count.
    let argument = substitute(argument, lookup, trace)?;
    let value = lookup.lookup(e.name);
    let present = value
        .as_ref()
        .is_some_and(|(v, _)| !(operator.or_empty && v.is_empty()));
    let said = (operator.kind != '?').then(|| Argument {
        operator: operator.kind,
        text: argument.clone(),
        used: present == (operator.kind == '+'),
    });
    trace.note(e.name, value.clone(), said, lookup);
    let value = value.map(|(value, _)| value);
    match (operator.kind, present) {
        ('+', true) => Ok(argument),
        ('-', false) => Ok(argument),
        ('?', false) => Err(TemplateError::Required {
            name: e.name.to_owned(),
            message: argument,
        }),
        _ => Ok(value.unwrap_or_default()),
    }
}

fn value_or_blank(name: &str, lookup: &dyn Lookup, trace: &mut Trace) -> String {
    let value = lookup.lookup(name);
    trace.note(name, value.clone(), None, lookup);
    match value {
        Some((value, _)) => value,
        None => {
            trace.unset.push(name.to_owned());
            String::new()
        }
    }
}

impl Trace {
    fn bring(&mut self, piece: &str) -> Result<(), TemplateError> {
        self.brought += piece.len();
        if self.brought > MAX_TEXT {
            return Err(TemplateError::TooLong);
        }
        Ok(())
    }

    fn note(
        &mut self,
        name: &str,
        value: Option<(String, Span)>,
        argument: Option<Argument>,
        lookup: &dyn Lookup,
    ) {
        self.used.push(Use {
            name: name.to_owned(),
            value,
            lost: lookup.lost(name),
            argument,
        });
    }
}

/// Substitutes in every string of a tree and casts where the attribute has a type. `made` counts
/// the bytes of texts with variables, over all trees of a load.
pub fn interpolate(
    root: &mut Node,
    lookup: &dyn Lookup,
    sources: &Sources,
    problems: &mut Vec<Diagnostic>,
    made: &mut usize,
) {
    let mut walk = Walk {
        lookup,
        sources,
        problems,
        made,
        helps: HashMap::new(),
    };
    walk.node(root, &Trail::ROOT);
}

struct Walk<'a> {
    lookup: &'a dyn Lookup,
    sources: &'a Sources,
    problems: &'a mut Vec<Diagnostic>,
    made: &'a mut usize,
    /// What to say about a name nobody set, by name.
    helps: HashMap<String, String>,
}

impl Walk<'_> {
    /// False when the value cannot be used; it is reported and leaves the tree.
    fn node(&mut self, node: &mut Node, path: &Trail<'_>) -> bool {
        match &mut node.value {
            Value::Map(map) => map.retain(|key, child| self.node(child, &path.key(key))),
            Value::Seq(items) => {
                let mut index = 0;
                items.retain_mut(|child| {
                    index += 1;
                    self.node(child, &path.index(index - 1))
                });
            }
            Value::Str(_) => return self.text(node, path),
            _ => {}
        }
        true
    }

    fn text(&mut self, node: &mut Node, path: &Trail<'_>) -> bool {
        let Value::Str(raw) = &node.value else {
            return true;
        };
        let cast = cast_at(path);
        if !raw.contains('$') && cast.is_none() {
            return true;
        }
        let raw = raw.clone();
        let mut trace = Trace::default();
        let value = match substitute(&raw, self.lookup, &mut trace) {
            Ok(value) => value,
            Err(error) => {
                self.template_error(node.span, &raw, path, error);
                return false;
            }
        };
        for name in &trace.unset {
            self.unset(node.span, name, path);
        }
        if raw.contains('$') && !self.afford(value.len(), node.span, path) {
            return false;
        }
        if raw != value {
            node.filled = Some(Arc::new(Filled {
                raw,
                variables: trace.used,
            }));
        }
        node.value = match cast.map(|cast| cast.apply(&value)) {
            None => Value::Str(value),
            Some(Ok((value, warn))) => {
                if let Some(word) = warn {
                    self.problems.push(
                        Diagnostic::warning("yaml-1.1-boolean", node.span, format!("\"{word}\" for boolean is not supported by YAML 1.2, please use `{value}`"))
                            .at(path),
                    );
                }
                value
            }
            Some(Err(wanted)) => {
                let mut problem = Diagnostic::error(
                    "bad-type",
                    node.span,
                    format!("`{path}` must be {wanted}, got `{value}`"),
                )
                .at(path)
                .help(cast.map_or("", |cast| cast.help(&value)));
                if let Some(filled) = &node.filled {
                    problem = explain(problem, filled);
                }
                self.problems.push(problem);
                return false;
            }
        };
        true
    }

    /// Whether one more text of this size is within bounds; said once.
    fn afford(&mut self, size: usize, span: Span, path: &Trail<'_>) -> bool {
        let before = *self.made;
        *self.made = before.saturating_add(size);
        if before <= MAX_TEXTS && *self.made > MAX_TEXTS {
            self.problems.push(
                Diagnostic::error(
                    "too-big",
                    span,
                    format!(
                        "variables make the texts longer than {} MiB",
                        MAX_TEXTS >> 20
                    ),
                )
                .at(path)
                .help("put long texts into files, and name those"),
            );
        }
        *self.made <= MAX_TEXTS
    }

    fn template_error(&mut self, span: Span, raw: &str, path: &Trail<'_>, error: TemplateError) {
        let problem = match error {
            TemplateError::TooLong => Diagnostic::error(
                "too-big",
                span,
                format!("variables make this longer than {} MiB", MAX_TEXT >> 20),
            )
            .help("put long texts into files, and name those"),
            TemplateError::Malformed => {
                let place = raw
                    .match_indices("${")
                    .find(|(i, _)| braced(&raw[i + 2..]).is_none())
                    .map_or(span, |(i, _)| {
                        self.narrow(
                            span,
                            &raw[i..],
                            raw[i..].find('}').map_or(raw.len() - i, |e| e + 1),
                        )
                    });
                Diagnostic::error("bad-interpolation", place, format!("invalid interpolation format in `{raw}`"))
                    .note("forms are ${NAME}, ${NAME:-default}, ${NAME:+replacement} and ${NAME:?message}, on one line")
                    .help("write `$$` for a plain dollar sign")
            }
            TemplateError::Required { name, message } => {
                let known = self.lookup.names();
                let reason = if message.is_empty() {
                    String::new()
                } else {
                    format!(": {message}")
                };
                let place = self.narrow(span, &format!("${{{name}"), name.len() + 2);
                Diagnostic::error(
                    "required-variable",
                    place,
                    format!("required variable {name} is missing a value{reason}"),
                )
                .help(
                    did_you_mean(&name, known.iter().map(String::as_str))
                        .unwrap_or_else(|| format!("set `{name}` in the environment or in `.env`")),
                )
            }
        };
        self.problems.push(problem.at(path));
    }

    fn unset(&mut self, span: Span, name: &str, path: &Trail<'_>) {
        let place = ["${", "$"]
            .iter()
            .map(|p| format!("{p}{name}"))
            .map(|needle| (self.narrow(span, &needle, needle.len()), needle))
            .find(|(place, _)| *place != span)
            .map_or(span, |(place, _)| place);
        let help = self.help_for(name);
        self.problems.push(
            Diagnostic::warning(
                "unset-variable",
                place,
                format!("The \"{name}\" variable is not set. Defaulting to a blank string."),
            )
            .at(path)
            .help(help),
        );
    }

    fn help_for(&mut self, name: &str) -> String {
        if let Some(help) = self.helps.get(name) {
            return help.clone();
        }
        let known = self.lookup.names();
        let help = did_you_mean(name, known.iter().map(String::as_str))
            .unwrap_or_else(|| format!("set it, or write `${{{name}:-}}` if blank is meant"));
        self.helps.insert(name.to_owned(), help.clone());
        help
    }

    /// The part of a scalar's place that holds a text, when it is there verbatim.
    fn narrow(&self, span: Span, needle: &str, len: usize) -> Span {
        let written = self
            .sources
            .get(span.file)
            .and_then(|s| s.text.get(span.start as usize..span.end as usize));
        match written.and_then(|w| w.find(needle.lines().next().unwrap_or(needle))) {
            Some(i) => {
                let start = span.start + i as u32;
                Span {
                    start,
                    end: (start + len as u32).min(span.end),
                    ..span
                }
            }
            None => span,
        }
    }
}

/// Says which variables made a value, and points at the lines that set them.
pub fn explain(mut problem: Diagnostic, filled: &Filled) -> Diagnostic {
    problem = problem.note(format!("written as `{}`", filled.raw));
    for Use { name, value, .. } in &filled.variables {
        match value {
            Some((_, span)) if span.is_some() => {
                problem = problem.related(*span, format!("`{name}` is set here"));
            }
            Some(_) => problem = problem.note(format!("`{name}` comes from the environment")),
            None => {}
        }
    }
    problem
}

#[derive(Clone, Copy)]
enum Cast {
    Int,
    Float,
    Bool,
}

impl Cast {
    /// What to write instead of a text that is none.
    fn help(self, text: &str) -> &'static str {
        match self {
            Self::Int if text == "unlimited" => "write `-1` for no limit",
            Self::Int => "write a whole number, without a unit",
            Self::Float => "write a number, such as `1` or `0.5`",
            Self::Bool if text == "1" => "write `true`",
            Self::Bool if text == "0" => "write `false`",
            Self::Bool => "write `true` or `false`",
        }
    }

    /// The typed value, and the word when it is a deprecated boolean.
    fn apply(self, text: &str) -> Result<(Value, Option<String>), &'static str> {
        match self {
            Self::Int => text
                .parse::<i64>()
                .map(|i| (Value::Int(i.into()), None))
                .map_err(|_| "an integer"),
            Self::Float => text
                .parse::<f64>()
                .map(|v| (Value::Float(v), None))
                .map_err(|_| "a number"),
            Self::Bool => match text.to_lowercase().as_str() {
                "true" => Ok((Value::Bool(true), None)),
                "false" => Ok((Value::Bool(false), None)),
                "y" | "yes" | "on" => Ok((Value::Bool(true), Some(text.to_owned()))),
                "n" | "no" | "off" => Ok((Value::Bool(false), Some(text.to_owned()))),
                _ => Err("a boolean (`true` or `false`)"),
            },
        }
    }
}

/// The type of the attribute at a path.
fn cast_at(path: &Trail<'_>) -> Option<Cast> {
    let mut room = [""; 6];
    Some(match path.parts(&mut room)? {
        ["services", _, rest @ ..] => match rest {
            [
                "cpu_count" | "cpu_period" | "cpu_quota" | "cpu_rt_period" | "cpu_rt_runtime"
                | "cpu_shares" | "oom_score_adj" | "pids_limit" | "scale",
            ] => Cast::Int,
            ["cpu_percent" | "cpus"] => Cast::Float,
            ["init" | "oom_kill_disable" | "privileged" | "read_only" | "stdin_open" | "tty"] => {
                Cast::Bool
            }
            ["deploy", "replicas"]
            | ["deploy", "restart_policy", "max_attempts"]
            | ["deploy", "placement", "max_replicas_per_node"] => Cast::Int,
            ["deploy", "update_config" | "rollback_config", "parallelism"] => Cast::Int,
            [
                "deploy",
                "update_config" | "rollback_config",
                "max_failure_ratio",
            ] => Cast::Float,
            ["healthcheck", "retries"] => Cast::Int,
            ["healthcheck", "disable"] => Cast::Bool,
            ["ports", _, "target"] => Cast::Int,
            ["ulimits", _] | ["ulimits", _, "hard" | "soft"] => Cast::Int,
            ["volumes", _, "read_only"] | ["volumes", _, "volume", "nocopy"] => Cast::Bool,
            _ => return None,
        },
        [
            "networks",
            _,
            "external" | "internal" | "attachable" | "enable_ipv4" | "enable_ipv6",
        ]
        | ["volumes" | "secrets" | "configs", _, "external"] => Cast::Bool,
        _ => return None,
    })
}
