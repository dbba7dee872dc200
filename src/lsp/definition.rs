//! Where the thing at the cursor is defined: in this text, in another of the project, in a file
//! that `extends` or `include` names, at an anchor, in a line of `.env`.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lsp_types::Location;

use crate::loader::discover::absolute;
use crate::loader::yaml::MAX_BYTES;

use super::documents::{Document, Documents};
use super::effective;
use super::names::{self, Name, What};
use super::outline::{Outline, Step};
use super::position::Encoding;
use super::problems::location;
use super::variables;
use super::workspace::{Project, SharedText, Text, Workspace};

/// The places where the thing at a byte of a document is defined.
pub fn find(
    workspace: &mut Workspace,
    document: &Document,
    offset: usize,
    encoding: Encoding,
) -> Vec<Location> {
    let outline = &document.outline;
    if let Some(alias) = outline
        .aliases
        .iter()
        .find(|mark| mark.at.start <= offset && offset <= mark.at.end)
    {
        let here = document.uri.clone();
        return outline
            .anchor(&alias.name, alias.at.start)
            .map(|mark| document.lines.positions(&document.text, &mark.at, encoding))
            .map(|range| Location::new(here, range))
            .into_iter()
            .collect();
    }
    let project = workspace.known_project(&document.path);
    if let Some(variable) = variables::at(&document.text, outline, offset) {
        return outline
            .before(offset)
            .and_then(|index| effective::variable(&project, document, index, &variable.name))
            .and_then(|(_, place)| location(&project, place, encoding))
            .into_iter()
            .collect();
    }
    let Some(name) = names::at(&document.text, outline, offset) else {
        return Vec::new();
    };
    of_name(&project, document, &workspace.documents, &name)
        .into_iter()
        .filter_map(|(text, range)| {
            let range = text.lines().positions(&text.text, &range, encoding);
            Some(Location::new(workspace.documents.uri(&text.path)?, range))
        })
        .collect()
}

/// Where a name is defined: texts, and the bytes of the name there.
pub fn of_name(
    project: &Project,
    document: &Document,
    documents: &Documents,
    name: &Name,
) -> Vec<(SharedText, Range<usize>)> {
    match name.what {
        What::File => file(project, documents, &document.path, &name.text)
            .map(|text| (text, 0..0))
            .into_iter()
            .collect(),
        What::Base => {
            let base = names::file_of_base(&document.text, &document.outline, name.entry);
            let text = match base {
                Some(base) => file(project, documents, &document.path, base),
                None => texts(project, document, documents).into_iter().next(),
            };
            text.and_then(|text| defined_in(text, "services", &name.text))
                .into_iter()
                .collect()
        }
        What::Profile => texts(project, document, documents)
            .into_iter()
            .flat_map(|text| {
                let places: Vec<Range<usize>> = profiles(&text)
                    .filter(|(profile, _)| *profile == name.text)
                    .map(|(_, at)| at)
                    .collect();
                places.into_iter().map(move |at| (text.clone(), at))
            })
            .collect(),
        _ => {
            let Some(section) = name.what.section() else {
                return Vec::new();
            };
            texts(project, document, documents)
                .into_iter()
                .filter_map(|text| defined_in(text, section, &name.text))
                // At a definition, the others are meant: those it overrides or is overridden by.
                .filter(|(text, at)| {
                    !(name.defines && text.path == document.path && *at == name.at)
                })
                .collect()
        }
    }
}

fn defined_in(text: SharedText, section: &str, name: &str) -> Option<(SharedText, Range<usize>)> {
    let outline = text.outline();
    let entry = outline.get(outline.find(&[section, name])?)?;
    let at = entry.at.clone();
    entry.colon?;
    Some((text, at))
}

/// The texts that make up a project as they are in the editor, this one first: its files and what
/// they include, not those that are only extended.
pub fn texts(project: &Project, document: &Document, documents: &Documents) -> Vec<SharedText> {
    let here = Text::new(document.path.clone(), document.text.clone());
    with_included(vec![Arc::new(here)], project, documents)
}

/// The same without a text of the asker's.
pub fn shared(project: &Project, documents: &Documents) -> Vec<SharedText> {
    with_included(Vec::new(), project, documents)
}

fn with_included(
    mut found: Vec<SharedText>,
    project: &Project,
    documents: &Documents,
) -> Vec<SharedText> {
    let files = project.examined.tree.as_ref().map(|tree| &tree.files);
    let add = |found: &mut Vec<SharedText>, path: &Path| {
        let read = project.file(path).and_then(|id| project.text(id));
        if let Some(text) = read.filter(|_| found.iter().all(|known| known.path != path)) {
            found.push(present(text, documents));
        }
    };
    match files {
        Some(files) => files.iter().for_each(|path| add(&mut found, path)),
        // Nothing could be loaded: what was read is all that is known.
        None => project
            .texts()
            .iter()
            .for_each(|text| add(&mut found, &text.path)),
    }
    let mut next = 0;
    while let Some(text) = found.get(next).cloned() {
        for path in included(&text) {
            add(&mut found, &path);
        }
        next += 1;
    }
    found
}

/// The files that a text includes.
fn included(text: &Text) -> Vec<PathBuf> {
    let outline = text.outline();
    let beside = text.path.parent().unwrap_or(Path::new("/"));
    let Some(include) = outline.top("include").and_then(|i| outline.get(i)) else {
        return Vec::new();
    };
    let inside = outline.entries().iter().enumerate().filter(|(_, entry)| {
        include.at.end < entry.at.start && entry.at.start <= include.end && !entry.value.is_empty()
    });
    inside
        .filter(|(index, _)| {
            let path = outline.path(*index);
            names::of_value(&path).is_some_and(|(what, _)| what == What::File)
        })
        .filter_map(|(_, entry)| text.text.get(entry.value.clone()))
        .map(|raw| absolute(beside, Path::new(raw.trim_matches(['"', '\'']))))
        .collect()
}

/// A text as it is in the editor, when it is open there and has changed since.
pub fn present(text: &SharedText, documents: &Documents) -> SharedText {
    match documents.of_path(&text.path) {
        Some(document) if document.text != text.text => {
            Arc::new(Text::new(text.path.clone(), document.text.clone()))
        }
        _ => text.clone(),
    }
}

/// The directory that relative paths of a text begin at: the project's for its own files, theirs for
/// others.
pub fn relative_to<'p>(project: &'p Project, document: &'p Document) -> &'p Path {
    let tree = project.examined.tree.as_ref();
    match tree.filter(|tree| tree.files.contains(&document.path)) {
        Some(tree) => &tree.directory,
        None => document.path.parent().unwrap_or(Path::new("/")),
    }
}

/// A file named in a text: as it is in the editor, as the loader read it, or from the disk.
pub fn file(
    project: &Project,
    documents: &Documents,
    named_in: &Path,
    name: &str,
) -> Option<SharedText> {
    let beside = named_in.parent().unwrap_or(Path::new("/"));
    let directories = [Some(beside), project.directory()];
    for directory in directories.into_iter().flatten() {
        let path = absolute(directory, Path::new(name));
        if let Some(document) = documents.of_path(&path) {
            return Some(Arc::new(Text::new(path, document.text.clone())));
        }
        if let Some(text) = project.file(&path).and_then(|id| project.text(id)) {
            return Some(text.clone());
        }
        let regular = std::fs::metadata(&path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_BYTES as u64);
        if regular && let Ok(text) = std::fs::read_to_string(&path) {
            return Some(Arc::new(Text::new(path, text.into())));
        }
    }
    None
}

/// The profiles that services of a text name, with their places.
pub fn profiles(text: &Text) -> impl Iterator<Item = (String, Range<usize>)> {
    let outline: &Outline = text.outline();
    outline
        .entries()
        .iter()
        .enumerate()
        .filter_map(|(i, entry)| {
            let parent = outline.get(entry.parent?)?;
            if parent.key() != Some("profiles") || entry.value.is_empty() {
                return None;
            }
            let path = outline.path(i);
            let [
                Step::Key(section),
                Step::Key(_),
                Step::Key(_),
                Step::Item(_),
            ] = path.as_slice()
            else {
                return None;
            };
            let name = text
                .text
                .get(entry.value.clone())?
                .trim_matches(['"', '\'']);
            (section == "services").then(|| (name.to_owned(), entry.value.clone()))
        })
}
