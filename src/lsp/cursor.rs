//! What could be typed at a place of a text: a key, a value, a variable, an alias.
//!
//! Several answers may hold at once: after `- ` there may be a scalar or the first key of a
//! mapping. In comments and in lines of block scalars there is nothing, except variables.

use std::ops::Range;

use super::outline::{Entry, Kind, Outline, Step};

/// Everything that fits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cursor {
    /// A key.
    pub key: Option<KeySlot>,
    /// A scalar.
    pub value: Option<ValueSlot>,
    /// The name of a variable: its bytes, of which the cursor is in or behind.
    pub variable: Option<Variable>,
    /// The name of an alias, without the star.
    pub alias: Option<Range<usize>>,
}

/// Where a key can stand.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySlot {
    /// The mapping's entry; `None` is the document.
    pub parent: Option<usize>,
    /// The key that is there already, perhaps half typed.
    pub own: Option<usize>,
    /// The bytes that it would replace.
    pub replace: Range<usize>,
    /// Whether a colon follows.
    pub colon: bool,
}

/// Where a scalar can stand.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueSlot {
    /// The path of the value.
    pub path: Vec<Step>,
    /// The entry it is the value of; `None` for an item that is not there yet.
    pub entry: Option<usize>,
    /// The entry around it.
    pub parent: Option<usize>,
    /// The bytes that it would replace, without quotes.
    pub replace: Range<usize>,
    /// Whether a blank must be put before it.
    pub blank: bool,
}

/// A variable being written.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// The name.
    pub name: Range<usize>,
    /// After `${` rather than `$`.
    pub braced: bool,
    /// A brace, or an operator, follows.
    pub closed: bool,
}

impl Cursor {
    /// What fits at a byte.
    pub fn at(text: &str, outline: &Outline, offset: usize) -> Self {
        let place = Place::new(text, outline, offset);
        let mut cursor = Self::default();
        if let Some(mark) = outline
            .aliases
            .iter()
            .find(|mark| mark.at.start < offset && offset <= mark.at.end)
        {
            cursor.alias = Some(mark.at.start + 1..mark.at.end);
            return cursor;
        }
        let in_block = outline.before(offset).is_some_and(|i| {
            let entry = &outline.entries()[i];
            entry.kind == Kind::Block && entry.value.start < offset && offset <= entry.end
        });
        if !in_block && place.in_comment() {
            return cursor;
        }
        cursor.variable = place.variable();
        if in_block || cursor.variable.is_some() {
            return cursor;
        }
        if let Some(owner) = place.collection() {
            place.in_flow(owner, &mut cursor);
        } else {
            place.in_block(&mut cursor);
        }
        cursor
    }
}

struct Place<'a> {
    text: &'a str,
    outline: &'a Outline,
    offset: usize,
    line: Range<usize>,
}

impl<'a> Place<'a> {
    fn new(text: &'a str, outline: &'a Outline, offset: usize) -> Self {
        let offset = offset.min(text.len());
        let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let end = offset + after.find(['\n', '\r']).unwrap_or(after.len());
        Self {
            text,
            outline,
            offset,
            line: start..end,
        }
    }

    fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }

    fn before(&self) -> &'a str {
        self.slice(self.line.start..self.offset)
    }

    fn in_comment(&self) -> bool {
        let mut quote = None;
        let mut before = ' ';
        for c in self.before().chars() {
            match (quote, c) {
                (None, '#') if before.is_whitespace() => return true,
                (None, '"' | '\'') if before.is_whitespace() || "[{,(".contains(before) => {
                    quote = Some(c);
                }
                (Some(open), _) if open == c && before != '\\' => quote = None,
                _ => {}
            }
            before = c;
        }
        false
    }

    fn variable(&self) -> Option<Variable> {
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let before = self.before();
        let typed = before.trim_end_matches(is_name);
        let braced = typed.ends_with("${");
        let sign = typed.strip_suffix('{').filter(|_| braced).unwrap_or(typed);
        let dollars = sign.len() - sign.trim_end_matches('$').len();
        if dollars % 2 == 0 {
            return None;
        }
        let start = self.line.start + typed.len();
        let after = self.slice(self.offset..self.line.end);
        let rest = after.trim_start_matches(is_name);
        Some(Variable {
            name: start..self.offset + after.len() - rest.len(),
            braced,
            closed: rest.starts_with(['}', ':', '-', '+', '?']),
        })
    }

    /// The innermost `[…]` or `{…}` around the cursor: its entry, or `Some(None)` for a document
    /// that is one.
    fn collection(&self) -> Option<Option<usize>> {
        let mut next = self.outline.before(self.offset);
        while let Some(index) = next {
            let entry = self.outline.get(index)?;
            if matches!(entry.kind, Kind::List | Kind::Map) && entry.value.start < self.offset {
                let closed =
                    entry.value.len() > 1 && self.slice(entry.value.clone()).ends_with([']', '}']);
                if self.offset < entry.value.end
                    || (!closed && self.slice(entry.value.end..self.offset).trim().is_empty())
                {
                    return Some(Some(index));
                }
            }
            if entry.flow && entry.parent.is_none() {
                return Some(None);
            }
            next = entry.parent;
        }
        None
    }

    fn in_flow(&self, owner: Option<usize>, cursor: &mut Cursor) {
        let is_list = owner
            .and_then(|owner| self.outline.get(owner))
            .is_some_and(|entry| entry.kind == Kind::List);
        let children: Vec<(usize, &Entry)> = self.outline.children(owner).collect();
        let touched = children
            .iter()
            .rev()
            .find(|(_, entry)| entry.at.start <= self.offset)
            .filter(|(_, entry)| {
                entry.end >= self.offset || !self.slice(entry.end..self.offset).contains(',')
            });
        match touched {
            None if is_list => {
                cursor.value = Some(self.new_item(owner, children.len()));
            }
            None => cursor.key = Some(self.new_key(owner)),
            Some((index, entry)) if entry.key().is_none() => {
                cursor.value = self.value_of(*index, entry);
            }
            Some((index, entry)) => self.at_key(*index, entry, cursor),
        }
    }

    fn in_block(&self, cursor: &mut Cursor) {
        let on_line = self
            .outline
            .before(self.offset)
            .map(|index| (index, &self.outline.entries()[index]))
            .filter(|(_, entry)| entry.at.start >= self.line.start && !entry.flow);
        match on_line {
            Some((index, entry)) if entry.key().is_some() => self.at_key(index, entry, cursor),
            Some((index, entry)) => self.at_item(index, entry, cursor),
            None if self.slice(self.line.clone()).trim().is_empty() => {
                let parent = self.parent_at(self.offset - self.line.start);
                if parent.is_none_or(|parent| self.may_hold(parent)) {
                    cursor.key = Some(self.new_key(parent));
                }
            }
            None => {}
        }
    }

    /// On a line `key: value`, or one with a key that is being typed.
    fn at_key(&self, index: usize, entry: &Entry, cursor: &mut Cursor) {
        if self.offset <= entry.at.end {
            cursor.key = Some(KeySlot {
                parent: entry.parent,
                own: Some(index),
                replace: entry.at.clone(),
                colon: entry.colon.is_some(),
            });
        } else if entry.colon.is_some_and(|colon| self.offset >= colon) {
            cursor.value = self.value_of(index, entry);
        }
    }

    /// On a line `- value`.
    fn at_item(&self, index: usize, entry: &Entry, cursor: &mut Cursor) {
        if self.offset <= entry.at.end {
            return;
        }
        cursor.value = self.value_of(index, entry);
        if matches!(entry.kind, Kind::Nothing | Kind::Plain)
            && let Some(value) = &cursor.value
        {
            cursor.key = Some(KeySlot {
                parent: Some(index),
                own: None,
                replace: value.replace.clone(),
                colon: false,
            });
        }
    }

    fn value_of(&self, index: usize, entry: &Entry) -> Option<ValueSlot> {
        let quoted = entry.kind == Kind::Quoted;
        let replace = match entry.kind {
            Kind::Nothing => {
                let from = entry.colon.unwrap_or(entry.at.end);
                let between = self.slice(from..self.offset);
                // Below the line of the key there is no value any more.
                if between.contains('\n') {
                    return None;
                }
                self.offset..self.offset
            }
            Kind::Plain | Kind::Quoted
                if entry.value.start <= self.offset && self.offset <= entry.value.end =>
            {
                let raw = self.slice(entry.value.clone());
                let closed = quoted && raw.len() > 1 && raw.ends_with(['"', '\'']);
                let start = entry.value.start + usize::from(quoted);
                let end = entry.value.end - usize::from(closed);
                if self.offset < start || self.offset > end {
                    return None;
                }
                start..end
            }
            _ => return None,
        };
        let blank = entry.colon == Some(replace.start) && !quoted;
        Some(ValueSlot {
            path: self.outline.path(index),
            entry: Some(index),
            parent: entry.parent,
            replace,
            blank,
        })
    }

    fn new_item(&self, owner: Option<usize>, count: usize) -> ValueSlot {
        let mut path = owner.map_or_else(Vec::new, |owner| self.outline.path(owner));
        path.push(Step::Item(count));
        ValueSlot {
            path,
            entry: None,
            parent: owner,
            replace: self.offset..self.offset,
            blank: false,
        }
    }

    fn new_key(&self, parent: Option<usize>) -> KeySlot {
        KeySlot {
            parent,
            own: None,
            replace: self.offset..self.offset,
            colon: false,
        }
    }

    /// The entry that a line of this depth would belong to.
    fn parent_at(&self, column: usize) -> Option<usize> {
        let mut next = self.outline.before(self.offset);
        while let Some(index) = next {
            let entry = self.outline.get(index)?;
            if !entry.flow && entry.column < column {
                return Some(index);
            }
            next = entry.parent;
        }
        None
    }

    /// Whether lines below an entry can belong to it.
    fn may_hold(&self, index: usize) -> bool {
        self.outline
            .get(index)
            .is_some_and(|entry| entry.kind == Kind::Nothing)
    }
}

#[cfg(test)]
mod tests;
