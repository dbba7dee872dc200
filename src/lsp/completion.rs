//! What can be typed at the cursor, with its meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, MarkupContent,
    MarkupKind, TextEdit,
};

use crate::loader::schema::{Attribute, NULL, Shape};

use super::cursor::{Cursor, KeySlot, ValueSlot, Variable};
use super::definition;
use super::documents::Document;
use super::names::{self, Form, What};
use super::outline::Step;
use super::paths::{self, Wanted};
use super::position::Encoding;
use super::shapes;
use super::workspace::{Project, Workspace};

/// Everything that fits at a byte of a document.
pub fn complete(
    workspace: &mut Workspace,
    document: &Document,
    offset: usize,
    encoding: Encoding,
) -> Vec<CompletionItem> {
    let cursor = Cursor::at(&document.text, &document.outline, offset);
    if cursor == Cursor::default() {
        return Vec::new();
    }
    let project = workspace.known_project(&document.path);
    let mut list = List {
        workspace,
        document,
        project,
        offset,
        encoding,
        items: Vec::new(),
    };
    if let Some(variable) = &cursor.variable {
        list.variables(variable);
    }
    if let Some(range) = &cursor.alias {
        list.anchors(range, offset);
    }
    if let Some(slot) = &cursor.value {
        list.values(slot);
    }
    if let Some(slot) = &cursor.key {
        list.keys(slot);
    }
    list.items
}

struct List<'a> {
    workspace: &'a Workspace,
    document: &'a Document,
    project: Rc<Project>,
    offset: usize,
    encoding: Encoding,
    items: Vec<CompletionItem>,
}

/// One proposal.
struct Proposal {
    label: String,
    insert: String,
    kind: CompletionItemKind,
    detail: String,
    doc: String,
    /// Proposals of a lower number come first.
    rank: u8,
}

impl<'a> List<'a> {
    fn add(&mut self, range: &Range<usize>, proposal: Proposal) {
        let document = self.document;
        let edit = TextEdit {
            range: document
                .lines
                .positions(&document.text, range, self.encoding),
            new_text: proposal.insert,
        };
        self.items.push(CompletionItem {
            sort_text: Some(format!("{}{}", proposal.rank, proposal.label)),
            // The whole token is replaced, so the whole token is compared.
            filter_text: Some(proposal.label.clone()),
            label: proposal.label,
            kind: Some(proposal.kind),
            detail: (!proposal.detail.is_empty()).then_some(proposal.detail),
            documentation: (!proposal.doc.is_empty()).then_some(Documentation::MarkupContent(
                MarkupContent {
                    kind: MarkupKind::Markdown,
                    value: proposal.doc,
                },
            )),
            text_edit: Some(CompletionTextEdit::Edit(edit)),
            ..CompletionItem::default()
        });
    }

    fn keys(&mut self, slot: &KeySlot) {
        let outline = &self.document.outline;
        let present: BTreeSet<&str> = outline
            .children(slot.parent)
            .filter(|(index, _)| Some(*index) != slot.own)
            .filter_map(|(_, entry)| entry.key())
            .collect();
        let Some(found) = shapes::at_entry(outline, slot.parent) else {
            return;
        };
        let Some(table) = found.shape.map else {
            return;
        };
        // `version` is known, but only for being old.
        let wanted = |a: &&Attribute| !present.contains(a.name) && a.name != "version";
        for attribute in table.known.iter().filter(wanted) {
            let required = table.required.contains(&attribute.name);
            self.key(slot, attribute, required);
        }
        let path = slot.parent.map_or_else(Vec::new, |p| outline.path(p));
        if let Some(what) = names::of_keys(&path) {
            let own = own_service(&path).filter(|_| what == What::Service);
            for (name, detail) in self.names(what) {
                if present.contains(name.as_str()) || own == Some(name.as_str()) {
                    continue;
                }
                let insert = if slot.colon {
                    name.clone()
                } else {
                    format!("{name}:")
                };
                self.name(&slot.replace, what, name, insert, detail);
            }
        }
    }

    fn key(&mut self, slot: &KeySlot, attribute: &Attribute, required: bool) {
        let name = attribute.name;
        let insert = match (slot.colon, takes_scalar(attribute.shape)) {
            (true, _) => name.to_owned(),
            (false, true) => format!("{name}: "),
            (false, false) => format!("{name}:"),
        };
        let kinds = shapes::kinds(attribute.shape);
        self.add(
            &slot.replace,
            Proposal {
                label: name.to_owned(),
                insert,
                kind: CompletionItemKind::PROPERTY,
                detail: if required {
                    format!("required: {kinds}")
                } else {
                    kinds
                },
                doc: attribute.doc.to_owned(),
                rank: u8::from(!required),
            },
        );
    }

    fn values(&mut self, slot: &ValueSlot) {
        let replace = &slot.replace;
        let lead = if slot.blank { " " } else { "" };
        let form = names::of_value(&slot.path);
        if let Some((what, form)) = form {
            self.references(slot, what, form, lead);
        }
        if let Some(wanted) = paths::wanted(&slot.path) {
            self.paths(slot, wanted, lead);
        }
        let found = match slot.entry {
            Some(entry) => shapes::at_entry(&self.document.outline, Some(entry)),
            None => shapes::at_entry(&self.document.outline, slot.parent)
                .and_then(|found| found.shape.item())
                .map(|shape| shapes::Found {
                    shape,
                    attribute: None,
                }),
        };
        let Some(found) = found else { return };
        let siblings = self.sibling_texts(slot);
        for word in shapes::values(found.shape) {
            if siblings.contains(&word) {
                continue;
            }
            self.add(
                replace,
                Proposal {
                    label: word.to_owned(),
                    insert: format!("{lead}{word}"),
                    kind: CompletionItemKind::ENUM_MEMBER,
                    detail: String::new(),
                    doc: String::new(),
                    rank: 2,
                },
            );
        }
    }

    fn paths(&mut self, slot: &ValueSlot, wanted: Wanted, lead: &str) {
        let typed = self
            .document
            .text
            .get(slot.replace.clone())
            .unwrap_or_default();
        // What follows the colon of a mount stays.
        let end = match (wanted, typed.find(':')) {
            (Wanted::Mount, Some(colon)) => colon,
            _ => typed.len(),
        };
        let before_cursor = self.offset.saturating_sub(slot.replace.start).min(end);
        let Some(begun) = typed.get(..before_cursor) else {
            return;
        };
        let range = slot.replace.start..slot.replace.start + end;
        let home = self.workspace.environment().get("HOME").map(String::as_str);
        let beside = definition::relative_to(&self.project, self.document);
        for found in paths::beginning_with(begun, wanted, beside, home) {
            let kind = if found.directory {
                CompletionItemKind::FOLDER
            } else {
                CompletionItemKind::FILE
            };
            self.add(
                &range,
                Proposal {
                    insert: format!("{lead}{}", found.text),
                    label: found.text,
                    kind,
                    detail: String::new(),
                    doc: String::new(),
                    rank: 1,
                },
            );
        }
    }

    fn references(&mut self, slot: &ValueSlot, what: What, form: Form, lead: &str) {
        let siblings: BTreeSet<String> = self
            .sibling_texts(slot)
            .into_iter()
            .filter_map(|text| names::part(text, form).map(|(_, name)| name.to_owned()))
            .collect();
        let names = match (what, slot.entry) {
            (What::File, _) => return,
            (What::Base, Some(entry)) => self.base_names(entry),
            _ => self.names(what),
        };
        let own = own_service(&slot.path).filter(|_| what == What::Service);
        let typed = self
            .document
            .text
            .get(slot.replace.clone())
            .unwrap_or_default();
        for (name, detail) in names {
            if siblings.contains(&name) || own == Some(name.as_str()) {
                continue;
            }
            let (replace, insert) = match form {
                Form::Whole | Form::NoPath => (slot.replace.clone(), name.clone()),
                Form::AfterService => (slot.replace.clone(), format!("service:{name}")),
                Form::BeforeColon | Form::MountSource => {
                    let head = typed.find(':').unwrap_or(typed.len());
                    let end = slot.replace.start + head;
                    let colon = if form == Form::MountSource && head == typed.len() {
                        ":"
                    } else {
                        ""
                    };
                    (slot.replace.start..end, format!("{name}{colon}"))
                }
            };
            self.name(&replace, what, name, format!("{lead}{insert}"), detail);
        }
    }

    fn name(
        &mut self,
        range: &Range<usize>,
        what: What,
        name: String,
        insert: String,
        detail: String,
    ) {
        let detail = if detail.is_empty() {
            what.word().to_owned()
        } else {
            format!("{}: {detail}", what.word())
        };
        // What is inserted may begin with `service:`; that is what is being typed, then.
        let label = if insert.contains("service:") {
            insert.trim_start().to_owned()
        } else {
            name
        };
        self.add(
            range,
            Proposal {
                label,
                insert,
                kind: CompletionItemKind::REFERENCE,
                detail,
                doc: String::new(),
                rank: 1,
            },
        );
    }

    /// The other items of a list.
    fn sibling_texts(&self, slot: &ValueSlot) -> Vec<&'a str> {
        let document = self.document;
        if !matches!(slot.path.last(), Some(Step::Item(_))) {
            return Vec::new();
        }
        document
            .outline
            .children(slot.parent)
            .filter(|(index, _)| Some(*index) != slot.entry)
            .filter_map(|(_, entry)| document.text.get(entry.value.clone()))
            .map(|raw| raw.trim_matches(['"', '\'']))
            .collect()
    }

    /// Names that are defined, with a word about each: those of this text as it is, those of the
    /// other texts as the loader last read them.
    fn names(&self, what: What) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for text in definition::texts(&self.project, self.document, &self.workspace.documents) {
            let outline = text.outline();
            if what == What::Profile {
                found.extend(definition::profiles(&text).map(|(name, _)| (name, String::new())));
                continue;
            }
            let Some(section) = what.section().and_then(|s| outline.top(s)) else {
                continue;
            };
            for (index, entry) in outline.children(Some(section)) {
                // A key that is being typed defines nothing yet.
                let Some(name) = entry.key().filter(|_| entry.colon.is_some()) else {
                    continue;
                };
                let about = ["image", "driver", "file"].iter().find_map(|key| {
                    let child = outline.get(outline.child(Some(index), key)?)?;
                    text.text.get(child.value.clone())
                });
                found.insert(name.to_owned(), about.unwrap_or_default().to_owned());
            }
        }
        if what == What::Network {
            found.entry("default".to_owned()).or_default();
        }
        found
    }

    /// The services that `extends` could mean.
    fn base_names(&self, entry: usize) -> BTreeMap<String, String> {
        let document = self.document;
        let Some(file) = names::file_of_base(&document.text, &document.outline, entry) else {
            let mut names = self.names(What::Base);
            if let Some(own) = own_service(&document.outline.path(entry)) {
                names.remove(own);
            }
            return names;
        };
        let Some(text) = definition::file(
            &self.project,
            &self.workspace.documents,
            &document.path,
            file,
        ) else {
            return BTreeMap::new();
        };
        let outline = text.outline();
        outline
            .children(outline.top("services"))
            .filter(|(_, child)| child.parent.is_some())
            .filter_map(|(_, child)| Some((child.key()?.to_owned(), String::new())))
            .collect()
    }

    fn variables(&mut self, variable: &Variable) {
        let mut known: BTreeMap<String, (String, u8)> = BTreeMap::new();
        if let Some(tree) = &self.project.examined.tree {
            for (name, (value, place)) in tree.variables.iter() {
                // Those of `.env` files before the hundreds of the process.
                known.insert(name.to_owned(), (value.clone(), u8::from(!place.is_some())));
            }
        } else {
            for (name, value) in self.workspace.environment() {
                known.insert(name.clone(), (value.clone(), 1));
            }
        }
        for (name, (value, rank)) in known {
            if !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
                continue;
            }
            let close = if variable.braced && !variable.closed {
                "}"
            } else {
                ""
            };
            self.add(
                &variable.name,
                Proposal {
                    insert: format!("{name}{close}"),
                    label: name,
                    kind: CompletionItemKind::VARIABLE,
                    detail: value.chars().take(60).collect(),
                    doc: String::new(),
                    rank,
                },
            );
        }
    }

    fn anchors(&mut self, range: &Range<usize>, offset: usize) {
        let names: BTreeSet<String> = self
            .document
            .outline
            .anchors
            .iter()
            .filter(|mark| mark.at.start < offset && !mark.name.is_empty())
            .map(|mark| mark.name.clone())
            .collect();
        for name in names {
            self.add(
                range,
                Proposal {
                    insert: name.clone(),
                    label: name,
                    kind: CompletionItemKind::REFERENCE,
                    detail: "anchor".to_owned(),
                    doc: String::new(),
                    rank: 0,
                },
            );
        }
    }
}

/// Whether a value is usually written on the line of its key.
fn takes_scalar(shape: &Shape) -> bool {
    shape.scalars & !NULL != 0
}

/// The service that a path is in: no service depends on itself.
fn own_service(path: &[Step]) -> Option<&str> {
    match path {
        [Step::Key(section), Step::Key(name), ..] if section == "services" => Some(name),
        _ => None,
    }
}
