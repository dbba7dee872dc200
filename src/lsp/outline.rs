//! The keys and items of a text that may be broken: what stands where, by indentation.
//!
//! The loader's parser ends at the first mistake; an editor shows a text that has one most of the
//! time. This reader never fails: it takes a line for what it looks like, and a bracket or quote
//! that is not closed ends where the next key begins. On texts that are right it finds the same
//! keys at the same places as the loader (a test holds that). It knows no values, only places.

mod block;
mod flow;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::loader::yaml::MAX_BYTES;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Item(usize),
}

/// What follows a key or a dash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing on this line; perhaps lines below.
    Nothing,
    /// An unquoted scalar.
    Plain,
    /// A quoted scalar.
    Quoted,
    /// A scalar of lines, after `|` or `>`.
    Block,
    /// `*name`.
    Alias,
    /// `[…]`.
    List,
    /// `{…}`.
    Map,
}

/// A key or a list item.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The entry around it.
    pub parent: Option<usize>,
    /// How the parent knows it.
    pub step: Step,
    /// The key with its quotes, or the dash; empty for items of `[…]`.
    pub at: Range<usize>,
    /// Bytes before it on its line.
    pub column: usize,
    /// One past the colon; `None` when there is none yet, and for items.
    pub colon: Option<usize>,
    /// What follows.
    pub kind: Kind,
    /// Where that is; empty for [`Kind::Nothing`].
    pub value: Range<usize>,
    /// One past the last byte that belongs to it.
    pub end: usize,
    /// Inside brackets or braces.
    pub flow: bool,
}

impl Entry {
    /// The key, if it is one.
    pub fn key(&self) -> Option<&str> {
        match &self.step {
            Step::Key(name) => Some(name),
            Step::Item(_) => None,
        }
    }
}

/// `&name` or `*name`.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Without the sign.
    pub name: String,
    /// With the sign.
    pub at: Range<usize>,
    /// The entry whose value it stands for.
    pub entry: Option<usize>,
}

/// The entries of a text, in its order.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    entries: Vec<Entry>,
    /// Anchors, in the text's order.
    pub anchors: Vec<Mark>,
    /// Aliases, in the text's order.
    pub aliases: Vec<Mark>,
}

impl Outline {
    /// Reads a text. One beyond the loader's limit has no entries.
    pub fn of(text: &str) -> Self {
        let mut outline = Self::default();
        if text.len() <= MAX_BYTES {
            block::Reader::new(text, &mut outline).read();
            outline.measure();
        }
        outline
    }

    /// Extends every entry to the end of what is inside.
    fn measure(&mut self) {
        for i in (0..self.entries.len()).rev() {
            let (parent, end) = (self.entries[i].parent, self.entries[i].end);
            if let Some(parent) = parent {
                self.entries[parent].end = self.entries[parent].end.max(end);
            }
        }
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One entry.
    pub fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// The entries inside one, or at the top.
    pub fn children(&self, parent: Option<usize>) -> impl Iterator<Item = (usize, &Entry)> {
        let from = parent.map_or(0, |parent| parent + 1);
        let end = parent.and_then(|p| self.get(p)).map(|entry| entry.end);
        self.entries
            .iter()
            .enumerate()
            .skip(from)
            .take_while(move |(_, entry)| end.is_none_or(|end| entry.at.start <= end))
            .filter(move |(_, entry)| entry.parent == parent)
    }

    /// A key inside an entry, or at the top.
    pub fn child(&self, parent: Option<usize>, key: &str) -> Option<usize> {
        self.children(parent)
            .find(|(_, entry)| entry.key() == Some(key))
            .map(|(index, _)| index)
    }

    /// A key at the top.
    pub fn top(&self, key: &str) -> Option<usize> {
        self.child(None, key)
    }

    /// The entry at a path of keys.
    pub fn find(&self, path: &[&str]) -> Option<usize> {
        path.iter()
            .try_fold(None, |parent, key| self.child(parent, key).map(Some))
            .flatten()
    }

    /// The path that leads to an entry.
    pub fn path(&self, index: usize) -> Vec<Step> {
        let mut path = Vec::new();
        let mut next = Some(index);
        while let Some(entry) = next.and_then(|i| self.entries.get(i)) {
            path.push(entry.step.clone());
            next = entry.parent;
        }
        path.reverse();
        path
    }

    /// The last entry that begins at or before a byte.
    pub fn before(&self, offset: usize) -> Option<usize> {
        self.entries
            .partition_point(|entry| entry.at.start <= offset)
            .checked_sub(1)
    }

    /// The entry that an alias stands for, and where its anchor is.
    pub fn anchor(&self, name: &str, before: usize) -> Option<&Mark> {
        self.anchors
            .iter()
            .rev()
            .find(|mark| mark.name == name && mark.at.start < before)
    }

    fn push(&mut self, entry: Entry) -> usize {
        self.entries.push(entry);
        self.entries.len() - 1
    }
}

/// A key without its quotes.
fn unquoted(raw: &str) -> String {
    let inner = |quote: char| raw.strip_prefix(quote).and_then(|r| r.strip_suffix(quote));
    match (inner('\''), inner('"')) {
        (Some(text), _) => text.replace("''", "'"),
        (_, Some(text)) => text.replace("\\\"", "\"").replace("\\\\", "\\"),
        _ => raw.to_owned(),
    }
}
