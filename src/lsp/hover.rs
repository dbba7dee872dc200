//! What the thing at the cursor means, and what it comes to once everything is loaded.

use std::fmt::Write as _;
use std::ops::Range;

use crate::loader::tree::{Node, Value};
use crate::loader::{self, Span, emit};

use super::documents::Document;
use super::effective;
use super::names::{self, What};
use super::outline::{Entry, Kind};
use super::shapes;
use super::variables;
use super::workspace::{Project, Workspace};

/// Most lines of a value that are shown.
const MOST_LINES: usize = 24;

/// Markdown, and the bytes it is about.
pub fn hover(
    workspace: &mut Workspace,
    document: &Document,
    offset: usize,
) -> Option<(String, Range<usize>)> {
    let (text, outline) = (&document.text, &document.outline);
    if let Some(alias) = outline
        .aliases
        .iter()
        .find(|mark| mark.at.start <= offset && offset <= mark.at.end)
    {
        let anchor = outline.anchor(&alias.name, alias.at.start)?;
        let entry = outline.get(anchor.entry?)?;
        let line = document.lines.line_of(anchor.at.start) + 1;
        let source = text.get(anchor.at.end..entry.end)?;
        let about = format!("what `&{}` stands for, line {line}", alias.name);
        return Some((
            format!("{about}\n{}", fenced(&outdented(source))),
            alias.at.clone(),
        ));
    }
    let index = outline.before(offset)?;
    let entry = outline.get(index)?;
    let project = workspace.project(&document.path);
    if let Some(used) = variables::at(text, outline, offset) {
        let at = used.at.clone();
        return Some((variable(&project, document, index, &used), at));
    }
    let on_key = entry.key().is_some() && entry.at.start <= offset && offset <= entry.at.end;
    let on_value = entry.value.start <= offset
        && offset <= entry.value.end
        && !matches!(entry.kind, Kind::Nothing | Kind::List | Kind::Map);
    if !on_key && !on_value {
        return None;
    }
    let at = if on_key {
        entry.at.clone()
    } else {
        entry.value.clone()
    };
    let page = Page {
        project: &project,
        document,
        text: String::new(),
    };
    Some((page.of_entry(index, entry, offset)?, at))
}

fn variable(
    project: &Project,
    document: &Document,
    index: usize,
    used: &variables::Used,
) -> String {
    let name = &used.name;
    let found = effective::variable(project, document, index, name);
    match (found, &used.default) {
        (Some((value, place)), _) => {
            let source = project.diagnostics().sources.locate(place).map_or_else(
                || "the environment".to_owned(),
                |place| format!("`{}`, line {}", place.file.display(), place.line),
            );
            format!("`{name}` from {source}\n{}", fenced(&value))
        }
        (None, Some(default)) => {
            format!(
                "`{name}` is not set: its default is used\n{}",
                fenced(default)
            )
        }
        (None, None) => format!("`{name}` is not set"),
    }
}

struct Page<'a> {
    project: &'a Project,
    document: &'a Document,
    text: String,
}

impl<'a> Page<'a> {
    fn of_entry(mut self, index: usize, entry: &Entry, offset: usize) -> Option<String> {
        let outline = &self.document.outline;
        let name = names::at(&self.document.text, outline, offset);
        // What a name stands for says more than what its attribute is for.
        if let Some(name) = name.filter(|name| !name.defines)
            && self.definition(&name)
        {
            return Some(self.text);
        }
        self.attribute(index);
        if let Some((node, path)) = effective::of_entry(self.project, self.document, index) {
            self.value(node, entry, &path);
        }
        (!self.text.is_empty()).then_some(self.text)
    }

    fn paragraph(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
        self.text.push_str(text);
    }

    /// The meaning of the attribute that an entry, or the list it is in, is the value of.
    fn attribute(&mut self, index: usize) {
        let outline = &self.document.outline;
        let mut next = Some(index);
        while let Some(current) = next {
            let Some(found) = shapes::at_entry(outline, Some(current)) else {
                return;
            };
            if let Some(attribute) = found.attribute {
                let kinds = shapes::kinds(attribute.shape);
                let mut page = format!("**{}** ({kinds})\n\n{}.", attribute.name, attribute.doc);
                let values = shapes::values(attribute.shape);
                let told = |word: &&str| attribute.doc.contains(&format!("`{word}"));
                if attribute.shape.scalars & loader::schema::BOOL == 0
                    && !values.is_empty()
                    && !values.iter().all(told)
                {
                    let _ = write!(page, " Values: `{}`.", values.join("`, `"));
                }
                self.paragraph(&page);
                return;
            }
            match outline.get(current) {
                Some(entry) if entry.key().is_none() => next = entry.parent,
                _ => return,
            }
        }
    }

    fn value(&mut self, node: &Node, entry: &Entry, path: &str) {
        let sources = &self.project.diagnostics().sources;
        let mut about = format!("`{path}`");
        if let Some(place) = sources.locate(place_of(node))
            && (place.file != self.document.path
                || place.line != self.document.lines.line_of(entry.at.start) + 1)
        {
            let _ = write!(
                about,
                " from `{}`, line {}",
                place.file.display(),
                place.line
            );
        }
        if let Some(filled) = &node.filled {
            for used in &filled.variables {
                let source = match &used.value {
                    None => "nowhere: it is not set".to_owned(),
                    Some((_, place)) => sources.locate(*place).map_or_else(
                        || "the environment".to_owned(),
                        |place| format!("`{}`, line {}", place.file.display(), place.line),
                    ),
                };
                let _ = write!(about, ", `{}` from {source}", used.name);
            }
        }
        self.paragraph(&format!("{about}\n{}", fenced(&yaml(node))));
    }

    /// What a name that is used stands for, if that is known.
    fn definition(&mut self, name: &names::Name) -> bool {
        let tree = self.project.examined.tree.as_ref();
        let node = name.what.section().zip(tree).and_then(|(section, tree)| {
            let key = [section, name.text.as_str()];
            tree.root.find(&key)
        });
        let Some(node) = node.filter(|_| name.what != What::Base) else {
            return false;
        };
        let place = self.project.diagnostics().sources.locate(place_of(node));
        let from = place.map_or_else(String::new, |place| {
            format!(" from `{}`, line {}", place.file.display(), place.line)
        });
        let about = format!("{} `{}`{from}", name.what.word(), name.text);
        self.paragraph(&format!("{about}\n{}", fenced(&yaml(node))));
        true
    }
}

fn place_of(node: &Node) -> Span {
    match node.value {
        Value::Map(_) | Value::Seq(_) => node.key.or(node.span),
        _ => node.place(),
    }
}

fn yaml(node: &Node) -> String {
    emit::yaml(&loader::document(node))
}

/// A block of code, not too long. The fence is longer than any inside.
fn fenced(text: &str) -> String {
    let mut shown: Vec<&str> = text.trim_end().lines().take(MOST_LINES).collect();
    if text.trim_end().lines().count() > MOST_LINES {
        shown.push("…");
    }
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}yaml\n{}\n{fence}", shown.join("\n"))
}

/// Lines without the blanks that all of them begin with.
fn outdented(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .skip_while(|line| line.trim().is_empty())
        .collect();
    let depth = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or_default();
    let short: Vec<&str> = lines
        .iter()
        .map(|line| line.get(depth..).unwrap_or_default())
        .collect();
    short.join("\n")
}
