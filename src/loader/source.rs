//! Texts that were read, and places in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Texts that take the place of files, by absolute path: what an editor has not saved yet.
pub type Buffers = Arc<BTreeMap<PathBuf, Arc<str>>>;

/// Which text of a [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A range of bytes in one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Text.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A place that no text has: values made by a default.
    pub const NONE: Self = Self {
        file: FileId(u32::MAX),
        start: 0,
        end: 0,
    };

    /// Whether it is a place in a text.
    pub fn is_some(self) -> bool {
        self.file != Self::NONE.file
    }

    /// This span if it is a place, else the other.
    pub fn or(self, other: Self) -> Self {
        if self.is_some() { self } else { other }
    }
}

/// A place as people read it; line and column begin at 1 and count characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// File.
    pub file: PathBuf,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// One text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it came from; `-` is standard input.
    pub path: PathBuf,
    /// What was read.
    pub text: Arc<str>,
    /// Where each line begins; filled when first asked for.
    lines: OnceLock<Arc<[u32]>>,
}

impl Source {
    /// The line that a byte is in, counted from 1, and where it begins: behind the mark that tells
    /// how a text is encoded.
    pub fn line(&self, byte: usize) -> (usize, usize) {
        let lines = self.lines.get_or_init(|| starts_of_lines(&self.text));
        let number = lines
            .partition_point(|start| *start as usize <= byte)
            .max(1);
        (number, lines[number - 1] as usize)
    }
}

/// Lines end with LF, CR LF or CR.
fn starts_of_lines(text: &str) -> Arc<[u32]> {
    let bytes = text.as_bytes();
    let is_end = |at: usize| match bytes[at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    let first = text.len() - text.trim_start_matches('\u{feff}').len();
    let after = (0..bytes.len()).filter(|at| is_end(*at));
    let after = after.map(|at| at as u32 + 1);
    std::iter::once(first as u32).chain(after).collect()
}

/// What leads from one Compose file to another, and where it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// `include`.
    Include(Span),
    /// `extends`.
    Extends(Span),
}

/// All texts of one load, in the order they were read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
    reached: BTreeMap<PathBuf, Reached>,
    buffers: Buffers,
}

impl Sources {
    /// No texts yet; `buffers` take the place of files.
    pub fn with_buffers(buffers: Buffers) -> Self {
        Self {
            buffers,
            ..Self::default()
        }
    }

    /// Notes what led to a Compose file; what led there first is kept.
    pub fn reach(&mut self, path: &Path, by: Reached) {
        self.reached.entry(path.to_owned()).or_insert(by);
    }

    /// What led to a Compose file.
    pub fn reached(&self, path: &Path) -> Option<Reached> {
        self.reached.get(path).copied()
    }

    /// The text that takes the place of a file.
    pub fn buffer(&self, path: &Path) -> Option<Arc<str>> {
        self.buffers.get(path).cloned()
    }

    /// Whether texts take the place of files: an editor is asking.
    pub fn has_buffers(&self) -> bool {
        !self.buffers.is_empty()
    }

    /// Whether a path names a file, or a text that takes the place of one.
    pub fn is_file(&self, path: &Path) -> bool {
        self.buffers.contains_key(path) || path.is_file()
    }

    /// Adds a text; the same path with the same text is kept once.
    pub fn add(&mut self, path: &Path, text: Arc<str>) -> FileId {
        let known = self
            .files
            .iter()
            .position(|f| f.path == path && f.text == text);
        let index = known.unwrap_or_else(|| {
            self.files.push(Source {
                path: path.to_owned(),
                text,
                lines: OnceLock::new(),
            });
            self.files.len() - 1
        });
        FileId(u32::try_from(index).unwrap_or(u32::MAX - 1))
    }

    /// A text.
    pub fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }

    /// Every text, as [`FileId`]s count them.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// A span as people read it.
    pub fn locate(&self, span: Span) -> Option<Location> {
        let source = self.get(span.file)?;
        let (line, start) = source.line(span.start as usize);
        let before = source.text.get(start..(span.start as usize).max(start))?;
        Some(Location {
            file: source.path.clone(),
            line,
            column: before.chars().count() + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_those_of_an_editor() {
        for (text, byte, want) in [
            ("a\nbc", 3, (2, 2)),
            ("a\r\nbc", 4, (2, 2)),
            ("a\rbc", 3, (2, 2)),
            ("a\r\rbc", 3, (3, 1)),
            ("\u{feff}bc", 4, (1, 2)),
            ("\u{feff}bc", 0, (1, 1)),
            ("\u{feff}\u{feff}b\nc", 8, (2, 1)),
        ] {
            let mut sources = Sources::default();
            let file = sources.add(Path::new("a"), text.into());
            let span = Span {
                file,
                start: byte,
                end: byte,
            };
            let place = sources.locate(span).expect("it is in the text");
            assert_eq!((place.line, place.column), want, "{text:?}");
        }
    }

    #[test]
    fn a_buffer_takes_the_place_of_a_file() {
        let path = PathBuf::from("/nowhere/compose.yaml");
        let sources = Sources::with_buffers(Arc::new([(path.clone(), "a: b".into())].into()));
        assert!(sources.is_file(&path));
        assert_eq!(sources.buffer(&path).as_deref(), Some("a: b"));
        assert!(!sources.is_file(Path::new("/nowhere/else")));
    }
}
