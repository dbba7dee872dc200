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
use super::tree::{Filled, Node, Use, Value};

mod cast;
mod template;

use cast::cast_at;
use template::MAX_TEXT;
pub use template::{
    Expression, Lookup, MAX_DEPTH, MAX_TEXTS, Operator, Rest, TemplateError, Trace, braced,
    name_length, substitute,
};

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
