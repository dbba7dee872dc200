//! Every place that names the same thing as the cursor's, over the files of a project; and giving it
//! another name there.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lsp_types::{Location, TextEdit, Url, WorkspaceEdit};

use crate::loader::discover::absolute;

use super::definition;
use super::documents::{Document, Documents};
use super::names::{self, Name, What};
use super::position::Encoding;
use super::workspace::{Project, SharedText, Text, Workspace};

/// Whether the places where a thing is defined count as places that name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definitions {
    /// Yes.
    Counted,
    /// No.
    LeftOut,
}

/// Every place in the project that names the same thing as a byte of a document.
pub fn find(
    workspace: &mut Workspace,
    document: &Document,
    offset: usize,
    encoding: Encoding,
    definitions: Definitions,
) -> Vec<Location> {
    let Some(name) = names::at(&document.text, &document.outline, offset) else {
        return Vec::new();
    };
    let project = workspace.known_project(&document.path);
    let found = all(&project, document, &workspace.documents, &name);
    let counts = |name: &Name| !name.defines || definitions == Definitions::Counted;
    found
        .into_iter()
        .filter(|(_, name)| counts(name))
        .filter_map(|(text, name)| {
            let uri = workspace.documents.uri(&text.path)?;
            let range = text.lines().positions(&text.text, &name.at, encoding);
            Some(Location::new(uri, range))
        })
        .collect()
}

/// The name at a byte that can be changed: its text, and where it is.
pub fn renamable(document: &Document, offset: usize) -> Option<(String, Range<usize>)> {
    let name = names::at(&document.text, &document.outline, offset)?;
    (name.what != What::File).then_some((name.text, name.at))
}

/// Gives the thing at a byte another name, everywhere. The error says why that cannot be.
pub fn rename(
    workspace: &mut Workspace,
    document: &Document,
    offset: usize,
    encoding: Encoding,
    new: &str,
) -> Result<WorkspaceEdit, String> {
    let name = names::at(&document.text, &document.outline, offset)
        .filter(|name| name.what != What::File)
        .ok_or(
            "there is no name of a service, network, volume, secret, config, model or profile here",
        )?;
    let word = name.what.word();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if new.is_empty() || !new.chars().all(fine) {
        return Err(format!(
            "`{new}` cannot name a {word}: use letters, digits, `.`, `_` and `-`"
        ));
    }
    let project = workspace.project(&document.path);
    let taken = Name {
        text: new.to_owned(),
        ..name.clone()
    };
    let others = all(&project, document, &workspace.documents, &taken);
    if new != name.text && name.what != What::Profile && others.iter().any(|(_, n)| n.defines) {
        return Err(format!("there is a {word} `{new}` already"));
    }
    let mut changes: HashMap<Url, Vec<TextEdit>> = HashMap::new();
    for (text, name) in all(&project, document, &workspace.documents, &name) {
        if let Some(uri) = workspace.documents.uri(&text.path) {
            let range = text.lines().positions(&text.text, &name.at, encoding);
            let edits = changes.entry(uri).or_default();
            edits.push(TextEdit::new(range, new.to_owned()));
        }
    }
    Ok(WorkspaceEdit::new(changes))
}

/// Every place that names a thing, with its text.
fn all(
    project: &Project,
    document: &Document,
    documents: &Documents,
    wanted: &Name,
) -> Vec<(SharedText, Name)> {
    if wanted.what == What::File {
        return Vec::new();
    }
    let space = Spaces::of(project, documents);
    let here: SharedText = Arc::new(Text::new(document.path.clone(), document.text.clone()));
    let home = space.of_name(&here, wanted);
    let mut texts = vec![here];
    for text in project.texts() {
        if text.path != document.path {
            texts.push(definition::present(text, documents));
        }
    }
    let named = texts.into_iter().flat_map(|text| {
        let names = names::all(&text.text, text.outline(), wanted);
        names.into_iter().map(move |name| (text.clone(), name))
    });
    named
        .filter(|(text, name)| space.of_name(text, name) == home)
        .collect()
}

/// Which files share their names: those of the project and what they include. A file that is only
/// extended has names of its own.
struct Spaces {
    shared: Vec<PathBuf>,
    directory: Option<PathBuf>,
}

/// One of them; `None` is the shared one.
type Space = Option<PathBuf>;

impl Spaces {
    fn of(project: &Project, documents: &Documents) -> Self {
        let shared = definition::shared(project, documents);
        Self {
            shared: shared.iter().map(|text| text.path.clone()).collect(),
            directory: project.directory().map(Path::to_owned),
        }
    }

    /// Where a name of a text belongs to.
    fn of_name(&self, text: &Text, name: &Name) -> Space {
        let base = (name.what == What::Base)
            .then(|| names::file_of_base(&text.text, text.outline(), name.entry))
            .flatten();
        let Some(base) = base else {
            return self.of_file(&text.path);
        };
        let beside = text.path.parent().unwrap_or(Path::new("/"));
        let paths = [Some(beside), self.directory.as_deref()]
            .map(|directory| directory.map(|directory| absolute(directory, Path::new(base))));
        let there = paths.iter().flatten().find(|path| path.is_file());
        match there.or(paths[0].as_ref()) {
            Some(path) => self.of_file(path),
            None => self.of_file(&text.path),
        }
    }

    fn of_file(&self, path: &Path) -> Space {
        let shared = self.shared.iter().any(|known| known == path);
        (!shared).then(|| path.to_owned())
    }
}
