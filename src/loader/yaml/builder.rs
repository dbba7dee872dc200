//! Events of the parser to nodes: anchors, merge keys, tags, and the budget of what aliases copy.

use std::collections::HashMap;

use super::parse::{Event, Parser, Placed, Properties};
use super::places::Places;
use super::scalar::{Core, scalar, tag_of};
use super::syntax::{self, Fault, Wrong};
use super::{Document, MAX_DEPTH, MAX_NODES, MAX_TEXT};
use crate::loader::diagnostic::Diagnostic;
use crate::loader::source::Span;
use crate::loader::tree::{Map, Node, Path, Rival, Tag, Value};
use indexmap::map::Entry;

pub(super) struct Builder<'a, 'p> {
    pub(super) places: Places<'a>,
    /// Finished anchors, of all documents; `None` while the anchored node is still open.
    anchors: HashMap<&'a str, Option<(Node, Size)>>,
    so_far: Size,
    /// Whether something in this document is tagged `!reset` or `!override`.
    tagged: bool,
    pub(super) problems: &'p mut Vec<Diagnostic>,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

/// A collection that is still open.
enum Open {
    Seq(Vec<Node>),
    Map {
        map: Map,
        key: Option<Box<(Node, bool)>>,
        merges: Vec<Node>,
        bad_keys: bool,
    },
}

impl Open {
    fn map() -> Self {
        Self::Map {
            map: Map::new(),
            key: None,
            merges: Vec::new(),
            bad_keys: false,
        }
    }
}

struct Frame<'a> {
    open: Open,
    span: Span,
    tag: Tag,
    anchor: Option<&'a str>,
    before: Size,
}

struct Stop;

impl<'a, 'p> Builder<'a, 'p> {
    pub(super) fn new(places: Places<'a>, problems: &'p mut Vec<Diagnostic>) -> Self {
        Self {
            places,
            anchors: HashMap::new(),
            so_far: Size::default(),
            tagged: false,
            problems,
        }
    }

    /// The documents of a stream; what stands behind an error is not read.
    pub(super) fn stream(&mut self, text: &'a str) -> Vec<Document> {
        if let Some(at) = control_character(text) {
            self.fault(at, Wrong::Control);
            return Vec::new();
        }
        let mut parser = Parser::new(text);
        let mut documents = Vec::new();
        let mut stack: Vec<Frame<'a>> = Vec::new();
        let mut root: Option<Node> = None;
        loop {
            let Placed { event, start, end } = match parser.event() {
                Ok(None) => break,
                Ok(Some(placed)) => placed,
                Err(fault) => {
                    self.fault(fault.at, fault.wrong);
                    break;
                }
            };
            let span = self.places.span(start, end);
            let done = match event {
                Event::DocumentEnd => {
                    if let Some(root) = root.take() {
                        documents.push(self.finish(root));
                    }
                    continue;
                }
                Event::Alias(name) => self.alias(name, span),
                Event::Scalar {
                    text,
                    plain,
                    properties,
                } => self.scalar(&text, plain, &properties, span),
                Event::Sequence(properties) => {
                    let open = Open::Seq(Vec::new());
                    match self.open(&mut stack, open, &properties, span) {
                        Ok(()) => continue,
                        Err(Stop) => return documents,
                    }
                }
                Event::Mapping(properties) => {
                    match self.open(&mut stack, Open::map(), &properties, span) {
                        Ok(()) => continue,
                        Err(Stop) => return documents,
                    }
                }
                Event::End => match stack.pop() {
                    None => Err(Stop),
                    Some(frame) => Ok((self.close(frame, span), false)),
                },
            };
            let Ok((node, plain)) = done else {
                return documents;
            };
            match stack.last_mut() {
                None => root = Some(node),
                Some(frame) => self.add(frame, node, plain),
            }
        }
        documents
    }

    fn fault(&mut self, at: usize, wrong: Wrong) {
        let problem = syntax::problem(Fault { at, wrong }, &self.places);
        self.problems.push(problem);
    }

    fn scalar(
        &mut self,
        text: &str,
        plain: bool,
        properties: &Properties<'a>,
        span: Span,
    ) -> Result<(Node, bool), Stop> {
        let (tag, core) = self.tag(properties);
        let size = Size {
            nodes: 1,
            bytes: text.len(),
        };
        self.count(size, span)?;
        let value = scalar(text, plain, core).unwrap_or_else(|wanted| {
            self.problems.push(
                Diagnostic::error(
                    "bad-tag",
                    span,
                    format!("cannot read `{text}` as a `!!{wanted}`"),
                )
                .help("remove the tag, or write a value of that type"),
            );
            Value::Str(text.to_owned())
        });
        let mut node = Node::new(value, span);
        node.tag = tag;
        if let Some(name) = properties.anchor {
            self.anchors.insert(name, Some((node.clone(), size)));
        }
        Ok((node, plain))
    }

    /// Begins a collection.
    fn open(
        &mut self,
        stack: &mut Vec<Frame<'a>>,
        open: Open,
        properties: &Properties<'a>,
        span: Span,
    ) -> Result<(), Stop> {
        if stack.len() >= MAX_DEPTH {
            self.problems.push(Diagnostic::error(
                "too-deep",
                span,
                format!("nested more than {MAX_DEPTH} levels deep"),
            ));
            return Err(Stop);
        }
        self.count(Size { nodes: 1, bytes: 0 }, span)?;
        if let Some(name) = properties.anchor {
            self.anchors.insert(name, None);
        }
        stack.push(Frame {
            open,
            span,
            tag: self.tag(properties).0,
            anchor: properties.anchor,
            before: self.so_far,
        });
        Ok(())
    }

    fn tag(&mut self, properties: &Properties<'_>) -> (Tag, Core) {
        let (tag, core) = tag_of(properties.tag.as_deref());
        self.tagged |= tag != Tag::None;
        (tag, core)
    }

    fn count(&mut self, more: Size, span: Span) -> Result<(), Stop> {
        self.so_far.nodes += more.nodes;
        self.so_far.bytes += more.bytes;
        let what = if self.so_far.nodes > MAX_NODES {
            format!("there are more than {MAX_NODES} values, with those of aliases")
        } else if self.so_far.bytes > MAX_TEXT {
            format!(
                "there are more than {} MiB of text, with that of aliases",
                MAX_TEXT >> 20
            )
        } else {
            return Ok(());
        };
        self.problems.push(
            Diagnostic::error("too-many-nodes", span, what)
                .help("use fewer and less nested aliases, or split the file with `include`"),
        );
        Err(Stop)
    }

    fn alias(&mut self, name: &str, span: Span) -> Result<(Node, bool), Stop> {
        match self.anchors.get(name) {
            None => {
                self.fault(span.start as usize, Wrong::UnknownAnchor);
                Err(Stop)
            }
            Some(Some((node, size))) => {
                let (mut node, size) = (node.clone(), *size);
                self.count(size, span)?;
                node.key = Span::NONE;
                Ok((node, false))
            }
            Some(None) => {
                self.problems.push(
                    Diagnostic::error(
                        "alias-cycle",
                        span,
                        "this alias is inside the value it names",
                    )
                    .help("an anchor can be used only after its value has ended"),
                );
                Err(Stop)
            }
        }
    }

    fn add(&mut self, frame: &mut Frame<'a>, node: Node, plain: bool) {
        match &mut frame.open {
            Open::Seq(items) => items.push(node),
            Open::Map {
                map,
                key,
                merges,
                bad_keys,
            } => match key.take() {
                None => *key = Some(Box::new((node, plain))),
                Some(entry) => {
                    let (name, plain_key) = *entry;
                    let Value::Str(text) = &name.value else {
                        if !*bad_keys {
                            self.problems.push(
                                Diagnostic::error(
                                    "non-string-key",
                                    name.span,
                                    format!("keys must be strings, this is {}", name.kind()),
                                )
                                .help("quote it"),
                            );
                        }
                        *bad_keys = true;
                        return;
                    };
                    if plain_key && text == "<<" {
                        merges.push(node);
                        return;
                    }
                    if let Some(first) = map.get(text) {
                        self.problems.push(
                            Diagnostic::error(
                                "duplicate-key",
                                name.span,
                                format!("key `{text}` is already defined in this mapping"),
                            )
                            .label("defined again here")
                            .related(first.key, "first defined here")
                            .help("keep one of the two"),
                        );
                        return;
                    }
                    let mut node = node;
                    node.key = name.span;
                    map.insert(text.clone(), node);
                }
            },
        }
    }

    fn close(&mut self, frame: Frame<'a>, end: Span) -> Node {
        let span = Span {
            end: end.start.max(frame.span.end),
            ..frame.span
        };
        let value = match frame.open {
            Open::Seq(items) => Value::Seq(items),
            Open::Map {
                mut map, merges, ..
            } => {
                for merge in merges {
                    self.merge_into(&mut map, merge);
                }
                Value::Map(map)
            }
        };
        let mut node = Node::new(value, span);
        node.tag = frame.tag;
        if let Some(name) = frame.anchor {
            let size = Size {
                nodes: self.so_far.nodes - frame.before.nodes + 1,
                bytes: self.so_far.bytes - frame.before.bytes,
            };
            self.anchors.insert(name, Some((node.clone(), size)));
        }
        node
    }

    /// `<<`: keys that are not there yet; the first of a list wins.
    fn merge_into(&mut self, map: &mut Map, merge: Node) {
        let span = merge.span;
        let mut take = |node: Node| match node.value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    match map.entry(key) {
                        Entry::Vacant(slot) => {
                            slot.insert(value);
                        }
                        Entry::Occupied(mut first) => {
                            first.get_mut().replace(value, Rival::Explicit);
                        }
                    }
                }
                true
            }
            _ => false,
        };
        let fine = match merge.value {
            Value::Seq(items) => items.into_iter().all(&mut take),
            _ => take(merge),
        };
        if !fine {
            self.problems.push(
                Diagnostic::error(
                    "bad-merge",
                    span,
                    "`<<` takes a mapping or a list of mappings",
                )
                .help("give it an alias of a mapping, as in `<<: *defaults`"),
            );
        }
    }

    /// Removes what is tagged `!reset` and notes the paths of both tags.
    fn finish(&mut self, mut root: Node) -> Document {
        let mut resets = Vec::new();
        if std::mem::take(&mut self.tagged) {
            strip(&mut root, &Path::default(), &mut resets);
        }
        Document { root, resets }
    }
}

/// The first character that YAML has no place for.
fn control_character(text: &str) -> Option<usize> {
    let fine = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    text.char_indices()
        .find(|(_, c)| !fine(*c))
        .map(|(at, _)| at)
}

fn strip(node: &mut Node, path: &Path, resets: &mut Vec<Path>) {
    match &mut node.value {
        Value::Map(map) => map.retain(|key, child| {
            let next = path.key(key);
            match child.tag {
                Tag::Reset => {
                    resets.push(next);
                    false
                }
                Tag::Override => {
                    resets.push(next);
                    child.tag = Tag::None;
                    true
                }
                Tag::None => {
                    strip(child, &next, resets);
                    true
                }
            }
        }),
        Value::Seq(items) => {
            let mut index = 0;
            items.retain_mut(|child| {
                let next = path.index(index);
                index += 1;
                if child.tag == Tag::Reset {
                    return false;
                }
                child.tag = Tag::None;
                strip(child, &next, resets);
                true
            });
        }
        _ => {}
    }
}
