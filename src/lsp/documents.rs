//! The texts that the editor has open, and changes to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lsp_types::{TextDocumentContentChangeEvent, Url};

use super::outline::Outline;
use super::position::{Encoding, Lines};

/// An open text.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its name in the protocol.
    pub uri: Url,
    /// Its name on the disk; made up for one that was never saved.
    pub path: PathBuf,
    /// What kind of text the editor takes it for.
    pub language: String,
    /// The version the editor gave it.
    pub version: i32,
    /// The text.
    pub text: Arc<str>,
    /// Its lines.
    pub lines: Lines,
    /// Its keys and items.
    pub outline: Arc<Outline>,
}

impl Document {
    /// A text as the editor opened it.
    pub fn new(uri: Url, language: String, version: i32, text: String) -> Self {
        let path = path_of(&uri);
        let mut document = Self {
            uri,
            path,
            language,
            version,
            text: "".into(),
            lines: Lines::of(""),
            outline: Arc::default(),
        };
        document.set(text);
        document
    }

    fn set(&mut self, text: String) {
        self.lines = Lines::of(&text);
        self.outline = Arc::new(Outline::of(&text));
        self.text = text.into();
    }

    /// Applies changes, in their order.
    pub fn change(
        &mut self,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
        encoding: Encoding,
    ) {
        let mut text = self.text.to_string();
        let mut lines = self.lines.clone();
        for change in changes {
            match change.range {
                None => text = change.text,
                Some(range) => {
                    let start = lines.offset(&text, range.start, encoding);
                    let end = lines.offset(&text, range.end, encoding).max(start);
                    text.replace_range(start..end, &change.text);
                }
            }
            lines = Lines::of(&text);
        }
        self.version = version;
        self.set(text);
    }

    /// Whether it is for us: by its language, its name, or what it says.
    pub fn is_compose(&self) -> bool {
        if matches!(
            self.language.as_str(),
            "dockercompose" | "docker-compose" | "yaml.docker-compose" | "compose"
        ) {
            return true;
        }
        let yaml = self.language.starts_with("yaml") || has_extension(&self.path);
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        yaml && (name.starts_with("compose.")
            || name.starts_with("docker-compose.")
            || ["services", "include"]
                .iter()
                .any(|key| self.outline.top(key).is_some()))
    }
}

fn has_extension(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The file that a name of the protocol means. A text that was never saved gets a name that no
/// file has, in a directory that can name a project.
fn path_of(uri: &Url) -> PathBuf {
    uri.to_file_path().unwrap_or_else(|()| {
        let name: String = uri
            .as_str()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        PathBuf::from(format!("/untitled/{name}.yaml"))
    })
}

/// All open texts.
#[derive(Debug, Default)]
pub struct Documents {
    open: BTreeMap<Url, Document>,
}

impl Documents {
    /// Adds one, in place of one of the same name.
    pub fn open(&mut self, document: Document) {
        self.open.insert(document.uri.clone(), document);
    }

    /// Forgets one.
    pub fn close(&mut self, uri: &Url) -> Option<Document> {
        self.open.remove(uri)
    }

    /// One by its name.
    pub fn get(&self, uri: &Url) -> Option<&Document> {
        self.open.get(uri)
    }

    /// One by its name, for changing it.
    pub fn get_mut(&mut self, uri: &Url) -> Option<&mut Document> {
        self.open.get_mut(uri)
    }

    /// One by its file.
    pub fn of_path(&self, path: &Path) -> Option<&Document> {
        self.open.values().find(|document| document.path == path)
    }

    /// The protocol's name of a file: the editor's own when it is open there.
    pub fn uri(&self, path: &Path) -> Option<Url> {
        match self.of_path(path) {
            Some(document) => Some(document.uri.clone()),
            None => Url::from_file_path(path).ok(),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Document> {
        self.open.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsp_types::{Position, Range};

    fn document(name: &str, language: &str, text: &str) -> Document {
        let uri = Url::parse(name).expect("a URL");
        Document::new(uri, language.to_owned(), 1, text.to_owned())
    }

    fn edit(from: (u32, u32), to: (u32, u32), text: &str) -> TextDocumentContentChangeEvent {
        TextDocumentContentChangeEvent {
            range: Some(Range::new(
                Position::new(from.0, from.1),
                Position::new(to.0, to.1),
            )),
            range_length: None,
            text: text.to_owned(),
        }
    }

    #[test]
    fn changes_apply_in_order_and_in_the_clients_columns() {
        let mut doc = document("file:///a/compose.yaml", "yaml", "x: 😀\ny: b\n");
        let changes = vec![
            edit((0, 3), (0, 5), "é"),
            edit((1, 3), (1, 4), "c\nz: d"),
            edit((2, 0), (2, 1), "w"),
        ];
        doc.change(2, changes, Encoding::Utf16);
        assert_eq!(&*doc.text, "x: é\ny: c\nw: d\n");
        assert_eq!(doc.version, 2);
        doc.change(3, vec![edit((9, 9), (0, 0), "end")], Encoding::Utf8);
        assert_eq!(&*doc.text, "x: é\ny: c\nw: d\nend");
        let whole = TextDocumentContentChangeEvent {
            range: None,
            range_length: None,
            text: "new: 1".to_owned(),
        };
        doc.change(4, vec![whole], Encoding::Utf8);
        assert_eq!(&*doc.text, "new: 1");
    }

    #[test]
    fn foreign_yaml_is_left_alone() {
        let is =
            |name: &str, language: &str, text: &str| document(name, language, text).is_compose();
        assert!(is("file:///p/compose.yaml", "yaml", ""));
        assert!(is("file:///p/docker-compose.prod.yml", "yaml", ""));
        assert!(is("file:///p/stack.yml", "yaml", "services:\n"));
        assert!(is("file:///p/x", "dockercompose", ""));
        assert!(is("untitled:Untitled-1", "yaml", "services: {}"));
        assert!(!is("file:///p/deployment.yaml", "yaml", "kind: Pod\n"));
        assert!(!is("file:///p/.env", "properties", "services: x"));
    }

    #[test]
    fn names_of_the_protocol_are_decoded() {
        let doc = document("file:///a%20b/%C3%BC/compose.yaml", "yaml", "");
        assert_eq!(doc.path, Path::new("/a b/ü/compose.yaml"));
        let unsaved = document("untitled:Untitled-1", "yaml", "");
        assert!(unsaved.path.is_absolute());
    }
}
