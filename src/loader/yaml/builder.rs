//! Events of the parser to nodes: anchors, merge keys, tags, and the budget of what aliases copy.

use std::collections::HashMap;

use indexmap::map::Entry;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::places::Places;
use super::scalar::{Core, scalar, tag_of};
use super::syntax;
use super::{Document, MAX_DEPTH, MAX_NODES, MAX_TEXT};
use crate::loader::diagnostic::Diagnostic;
use crate::loader::source::Span;
use crate::loader::tree::{Map, Node, Path, Rival, Tag, Value};

pub(super) struct Builder<'a, 'p> {
    pub(super) places: Places<'a>,
    /// Finished anchors; `None` while the anchored node is still open.
    anchors: HashMap<usize, Option<(Node, Size)>>,
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

struct Frame {
    open: Open,
    span: Span,
    tag: Tag,
    anchor: usize,
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

    /// As if nothing had been read.
    pub(super) fn forget(&mut self) {
        self.anchors.clear();
        self.so_far = Size::default();
    }

    /// The documents of a stream; what stands behind an error is not read.
    pub(super) fn stream(&mut self, text: &str) -> Vec<Document> {
        let mut parser = Parser::new(StrInput::new(text));
        let mut documents = Vec::new();
        let mut stack: Vec<Frame> = Vec::new();
        let mut root: Option<Node> = None;
        loop {
            let (event, span) = match parser.next_event() {
                None => break,
                Some(Ok(pair)) => pair,
                Some(Err(error)) => {
                    self.problems.push(syntax::problem(&error, &self.places));
                    break;
                }
            };
            let span = self.places.span(span);
            let done = match event {
                Event::StreamStart | Event::Nothing | Event::DocumentStart(_) => continue,
                Event::StreamEnd => break,
                Event::DocumentEnd => {
                    if let Some(root) = root.take() {
                        documents.push(self.finish(root));
                    }
                    self.anchors.clear();
                    continue;
                }
                Event::Alias(id) => self.alias(id, span),
                Event::Scalar(text, style, anchor, tag) => {
                    let plain = style == ScalarStyle::Plain;
                    self.scalar(&text, plain, anchor, tag.as_deref(), span)
                }
                Event::SequenceStart(anchor, tag) => {
                    let open = Open::Seq(Vec::new());
                    match self.open(&mut stack, open, anchor, tag.as_deref(), span) {
                        Ok(()) => continue,
                        Err(Stop) => return documents,
                    }
                }
                Event::MappingStart(anchor, tag) => {
                    match self.open(&mut stack, Open::map(), anchor, tag.as_deref(), span) {
                        Ok(()) => continue,
                        Err(Stop) => return documents,
                    }
                }
                Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
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

    fn scalar(
        &mut self,
        text: &str,
        plain: bool,
        anchor: usize,
        tag: Option<&saphyr_parser::Tag>,
        span: Span,
    ) -> Result<(Node, bool), Stop> {
        let (tag, core) = self.tag(tag);
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
        if anchor != 0 {
            self.anchors.insert(anchor, Some((node.clone(), size)));
        }
        Ok((node, plain))
    }

    /// Begins a collection.
    fn open(
        &mut self,
        stack: &mut Vec<Frame>,
        open: Open,
        anchor: usize,
        tag: Option<&saphyr_parser::Tag>,
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
        self.anchors.insert(anchor, None);
        stack.push(Frame {
            open,
            span,
            tag: self.tag(tag).0,
            anchor,
            before: self.so_far,
        });
        Ok(())
    }

    fn tag(&mut self, tag: Option<&saphyr_parser::Tag>) -> (Tag, Core) {
        let (tag, core) = tag_of(tag);
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

    fn alias(&mut self, id: usize, span: Span) -> Result<(Node, bool), Stop> {
        match self.anchors.get(&id) {
            Some(Some((node, size))) => {
                let (mut node, size) = (node.clone(), *size);
                self.count(size, span)?;
                node.key = Span::NONE;
                Ok((node, false))
            }
            _ => {
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

    fn add(&mut self, frame: &mut Frame, node: Node, plain: bool) {
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

    fn close(&mut self, frame: Frame, end: Span) -> Node {
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
        if frame.anchor != 0 {
            let size = Size {
                nodes: self.so_far.nodes - frame.before.nodes + 1,
                bytes: self.so_far.bytes - frame.before.bytes,
            };
            self.anchors
                .insert(frame.anchor, Some((node.clone(), size)));
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
