//! Events of the parser to nodes: anchors, merge keys, tags, and the budget of what aliases copy.

use std::collections::HashMap;

use super::budget::{Counted, Size};
use super::merge_keys::{is_merge, merge_into};
use super::open::{AsKey, Done, Frame, Open, OpenMap, Region, path};
use super::parse::{Event, Parser, Placed, Properties};
use super::places::Places;
use super::resets::strip;
use super::scalar::{Core, scalar, tag_of};
use super::syntax::{self, Fault, Wrong};
use super::{Document, MAX_DEPTH};
use crate::loader::diagnostic::Diagnostic;
use crate::loader::source::Span;
use crate::loader::tree::{Node, Path, Tag, Value};

pub(super) struct Builder<'a, 'p> {
    pub(super) places: Places<'a>,
    /// Of all documents; `None` while the anchored node is still open.
    anchors: HashMap<&'a str, Option<Anchored>>,
    so_far: Size,
    /// What anchors keep.
    kept: Size,
    /// Whether something in this document is tagged `!reset` or `!override`.
    tagged: bool,
    /// What this document resets.
    resets: Vec<Path>,
    /// How many collections are open that nobody reads.
    unread: usize,
    problems: &'p mut Vec<Diagnostic>,
}

/// What an alias stands for.
struct Anchored {
    node: Node,
    size: Size,
    height: usize,
}

struct Stop;

impl<'a, 'p> Builder<'a, 'p> {
    pub(super) fn new(places: Places<'a>, problems: &'p mut Vec<Diagnostic>) -> Self {
        Self {
            places,
            anchors: HashMap::new(),
            so_far: Size::default(),
            kept: Size::default(),
            tagged: false,
            resets: Vec::new(),
            unread: 0,
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
            let placed = match parser.event() {
                Ok(None) => break,
                Ok(Some(placed)) => placed,
                Err(fault) => {
                    self.fault(fault.at, fault.wrong);
                    break;
                }
            };
            if let Event::DocumentEnd = placed.event {
                if let Some(root) = root.take() {
                    documents.push(self.finish(root));
                }
                continue;
            }
            match self.step(placed, &mut stack) {
                Err(Stop) => break,
                Ok(None) => {}
                Ok(Some(done)) if stack.is_empty() => root = Some(done.node),
                Ok(Some(done)) => self.add(&mut stack, done),
            }
        }
        documents
    }

    /// What an event finishes, if it does.
    fn step(
        &mut self,
        placed: Placed<'a>,
        stack: &mut Vec<Frame<'a>>,
    ) -> Result<Option<Done<'a>>, Stop> {
        let span = self.places.span(placed.start, placed.end);
        match placed.event {
            Event::DocumentEnd => Ok(None),
            Event::Alias(name) => self.alias(name, span, stack.len()).map(Some),
            Event::Scalar {
                text,
                plain,
                properties,
            } => self.scalar(&text, plain, &properties, span).map(Some),
            Event::Sequence(properties) => {
                self.open(stack, Open::seq(), &properties, span)?;
                Ok(None)
            }
            Event::Mapping(properties) => {
                self.open(stack, Open::map(), &properties, span)?;
                Ok(None)
            }
            Event::End => match stack.pop() {
                None => Err(Stop),
                Some(frame) => self.close(frame, span).map(Some),
            },
        }
    }

    /// Notes a problem, unless it is in what nobody reads.
    pub(super) fn problem(&mut self, problem: Diagnostic) {
        if self.unread == 0 {
            self.problems.push(problem);
        }
    }

    pub(super) fn fault(&mut self, at: usize, wrong: Wrong) {
        let problem = syntax::problem(Fault { at, wrong }, &self.places);
        self.problems.push(problem);
    }

    fn scalar(
        &mut self,
        text: &str,
        plain: bool,
        properties: &Properties<'a>,
        span: Span,
    ) -> Result<Done<'a>, Stop> {
        let (tag, core) = self.tag(properties);
        let size = Size {
            nodes: 1,
            bytes: text.len(),
        };
        self.count(size, span)?;
        let value = scalar(text, plain, core).unwrap_or_else(|wanted| {
            self.problem(
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
            self.anchors.insert(name, None);
            self.keep(name, &node, size, 0)?;
        }
        let as_key = if is_merge(text, plain, properties.tag.as_deref()) {
            AsKey::Merge
        } else {
            AsKey::Text
        };
        Ok(Done {
            node,
            height: 0,
            as_key,
        })
    }

    /// Begins a collection.
    fn open(
        &mut self,
        stack: &mut Vec<Frame<'a>>,
        open: Open<'a>,
        properties: &Properties<'a>,
        span: Span,
    ) -> Result<(), Stop> {
        self.fits(stack.len() + 1, span)?;
        self.count(Size { nodes: 1, bytes: 0 }, span)?;
        if let Some(name) = properties.anchor {
            self.anchors.insert(name, None);
        }
        let tag = self.tag(properties).0;
        let region = match stack.last() {
            // A document as a whole replaces nothing.
            None => Region::Plain,
            Some(around) => around.region.within(tag),
        };
        self.unread += usize::from(region == Region::Reset);
        stack.push(Frame {
            open,
            span,
            tag,
            region,
            anchor: properties.anchor,
            before: self.so_far,
            height: 0,
        });
        Ok(())
    }

    /// Whether so many levels are few enough.
    fn fits(&mut self, levels: usize, span: Span) -> Result<(), Stop> {
        if levels <= MAX_DEPTH {
            return Ok(());
        }
        self.problems.push(Diagnostic::error(
            "too-deep",
            span,
            format!("nested more than {MAX_DEPTH} levels deep"),
        ));
        Err(Stop)
    }

    fn tag(&mut self, properties: &Properties<'_>) -> (Tag, Core) {
        let (tag, core) = tag_of(properties.tag.as_deref());
        self.tagged |= tag != Tag::None;
        (tag, core)
    }

    fn count(&mut self, more: Size, span: Span) -> Result<(), Stop> {
        let counted = self.so_far.add(more, Counted::All);
        self.afford(counted, span)
    }

    fn afford(&mut self, counted: Result<(), String>, span: Span) -> Result<(), Stop> {
        counted.map_err(|what| {
            self.problems.push(
                Diagnostic::error("too-many-nodes", span, what)
                    .help("use fewer and less nested aliases, or split the file with `include`"),
            );
            Stop
        })
    }

    /// Keeps what an anchor names, unless an anchor of the same name within it does so already.
    fn keep(&mut self, name: &'a str, node: &Node, size: Size, height: usize) -> Result<(), Stop> {
        if !matches!(self.anchors.get(name), Some(None)) {
            return Ok(());
        }
        let counted = self.kept.add(size, Counted::Anchored);
        self.afford(counted, node.span)?;
        let anchored = Anchored {
            node: node.clone(),
            size,
            height,
        };
        self.anchors.insert(name, Some(anchored));
        Ok(())
    }

    fn alias(&mut self, name: &'a str, span: Span, levels: usize) -> Result<Done<'a>, Stop> {
        let as_key = AsKey::Alias(name);
        match self.anchors.get(name) {
            None => {
                self.fault(span.start as usize, Wrong::UnknownAnchor);
                Err(Stop)
            }
            Some(Some(anchored)) => {
                let (size, height) = (anchored.size, anchored.height);
                let node = anchored.node.clone();
                self.fits(levels + height, span)?;
                self.count(size, span)?;
                Ok(Done {
                    node,
                    height,
                    as_key,
                })
            }
            Some(None) if self.unread > 0 => Ok(Done {
                node: Node::new(Value::Null, span),
                height: 0,
                as_key,
            }),
            Some(None) => {
                self.problem(
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

    /// Puts a node into the innermost collection.
    fn add(&mut self, stack: &mut [Frame<'a>], done: Done<'a>) {
        let is_reset = self.is_reset(stack, done.node.tag);
        let Some(frame) = stack.last_mut() else {
            return;
        };
        frame.height = frame.height.max(frame.open.levels_of(&done));
        match &mut frame.open {
            Open::Seq(items) if !is_reset => items.push(done.node),
            Open::Seq(_) => {}
            Open::Map(map) if map.wants_key() => map.add_key(done),
            Open::Map(map) => {
                if let Err(problem) = map.add_value((!is_reset).then_some(done.node)) {
                    self.problem(*problem);
                }
            }
        }
    }

    /// Whether a node is removed by its tag; its path is noted. A key or an item of a list has none.
    fn is_reset(&mut self, stack: &[Frame<'a>], tag: Tag) -> bool {
        let Some(Frame {
            open,
            region: Region::Plain,
            ..
        }) = stack.last()
        else {
            return false;
        };
        match (open, tag) {
            (Open::Seq(_), Tag::Reset) => true,
            (Open::Map(map), Tag::Reset) if !map.wants_key() => {
                self.resets.push(path(stack));
                true
            }
            (Open::Map(map), Tag::Override) if map.wants_merge() => {
                self.resets.push(path(stack));
                false
            }
            _ => false,
        }
    }

    fn close(&mut self, frame: Frame<'a>, end: Span) -> Result<Done<'a>, Stop> {
        let span = Span {
            end: end.start.max(frame.span.end),
            ..frame.span
        };
        let value = match frame.open {
            Open::Seq(items) => Value::Seq(items),
            Open::Map(open) => {
                let OpenMap { mut map, merge, .. } = *open;
                let merged = merge.map_or(Ok(()), |merge| merge_into(&mut map, merge));
                if let Err(problem) = merged {
                    self.problem(*problem);
                }
                Value::Map(map)
            }
        };
        self.unread -= usize::from(frame.region == Region::Reset);
        let mut node = Node::new(value, span);
        node.tag = frame.tag;
        let height = frame.height + 1;
        if let Some(name) = frame.anchor {
            let inside = self.so_far.since(frame.before);
            let size = Size {
                nodes: inside.nodes + 1,
                ..inside
            };
            self.keep(name, &node, size, height)?;
        }
        Ok(Done {
            node,
            height,
            as_key: AsKey::Text,
        })
    }

    /// A document, with the paths that it clears and without what it resets.
    fn finish(&mut self, mut root: Node) -> Document {
        let mut resets = std::mem::take(&mut self.resets);
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
