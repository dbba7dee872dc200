//! Tokens to events: documents, values and what they are made of, by the grammar of libyaml.
//!
//! A step reads as many tokens as one event needs. What comes after it is on a stack, so that
//! nesting costs no stack of the program's own. One function for each rule of the grammar: begin
//! with [`Parser::event`].

use std::borrow::Cow;

use super::scan::{Kind, Scanner, Token, Version};
use super::syntax::{Fault, Wrong};

/// What stands before a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Properties<'a> {
    pub(super) anchor: Option<&'a str>,
    /// In full: `!name`, or `tag:yaml.org,2002:int` for `!!int`.
    pub(super) tag: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Event<'a> {
    DocumentEnd,
    Alias(&'a str),
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
        properties: Properties<'a>,
    },
    Sequence(Properties<'a>),
    Mapping(Properties<'a>),
    /// Of the innermost sequence or mapping.
    End,
}

/// An event and where it stands in bytes.
pub(super) struct Placed<'a> {
    pub(super) event: Event<'a>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The first document, which needs no `---`.
    First,
    Document,
    /// What follows `---`.
    Content,
    DocumentEnd,
    Value,
    BlockItem,
    /// A list at the column of its key.
    PlainItem,
    BlockKey,
    BlockValue,
    FlowItem {
        first: bool,
    },
    /// `[key: value]`: a mapping of one entry.
    PairKey,
    PairValue,
    PairEnd,
    FlowKey {
        first: bool,
    },
    FlowValue,
    /// A key in braces without a value.
    NoValue,
}

/// Which values may stand at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Flow,
    Block,
    /// Lists may stand at the column of the key.
    OfKey,
}

pub(super) struct Parser<'a> {
    scanner: Scanner<'a>,
    ahead: Option<Token<'a>>,
    state: State,
    after: Vec<State>,
    /// Of `%TAG`, for this document.
    prefixes: Vec<(&'a str, String)>,
}

type Step<'a> = Result<Option<Placed<'a>>, Fault>;

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            scanner: Scanner::new(text),
            ahead: None,
            state: State::First,
            after: Vec::new(),
            prefixes: Vec::new(),
        }
    }

    /// The next event; `None` at the end.
    pub(super) fn event(&mut self) -> Step<'a> {
        match self.state {
            State::First | State::Document => self.document(),
            State::Content => self.content(),
            State::DocumentEnd => self.document_end(),
            State::Value => self.value(Place::Block),
            State::BlockItem => self.block_item(),
            State::PlainItem => self.plain_item(),
            State::BlockKey => self.block_key(),
            State::BlockValue => self.block_value(),
            State::FlowItem { first } => self.flow_item(first),
            State::PairKey => self.pair_key(),
            State::PairValue => self.pair_value(),
            State::PairEnd => self.pair_end(),
            State::FlowKey { first } => self.flow_key(first),
            State::FlowValue => self.flow_value(),
            State::NoValue => {
                let at = self.peek()?.start;
                self.empty(at, State::FlowKey { first: false })
            }
        }
    }

    fn peek(&mut self) -> Result<&mut Token<'a>, Fault> {
        let token = match self.ahead.take() {
            Some(token) => token,
            None => self.scanner.token()?,
        };
        Ok(self.ahead.insert(token))
    }

    fn kind(&mut self) -> Result<&Kind<'a>, Fault> {
        Ok(&self.peek()?.kind)
    }

    fn take(&mut self) -> Result<Token<'a>, Fault> {
        match self.ahead.take() {
            Some(token) => Ok(token),
            None => self.scanner.token(),
        }
    }

    /// What was to come after this.
    fn back(&mut self) {
        self.state = self.after.pop().unwrap_or(State::Document);
    }

    /// An event of the next token, which is used up.
    fn taken(&mut self, event: Event<'a>) -> Step<'a> {
        let token = self.take()?;
        Ok(Some(Placed {
            event,
            start: token.start,
            end: token.end,
        }))
    }

    fn fault(&mut self, wrong: Wrong) -> Step<'a> {
        let at = self.peek()?.start;
        Err(Fault { at, wrong })
    }

    /// A value that is not written.
    fn empty(&mut self, at: usize, next: State) -> Step<'a> {
        self.state = next;
        self.empty_with(at, Properties::default())
    }

    /// A value of which no more than an anchor or a tag is written, if that.
    fn empty_with(&self, at: usize, properties: Properties<'a>) -> Step<'a> {
        let event = Event::Scalar {
            text: Cow::Borrowed(""),
            plain: true,
            properties,
        };
        Ok(Some(Placed {
            event,
            start: at,
            end: at,
        }))
    }

    /// A value, and what comes after it.
    fn value_then(&mut self, place: Place, next: State) -> Step<'a> {
        self.after.push(next);
        self.value(place)
    }

    // Documents.

    fn document(&mut self) -> Step<'a> {
        let implicit = matches!(self.state, State::First);
        while !implicit && *self.kind()? == Kind::DocumentEnd {
            self.take()?;
        }
        let explicit = matches!(
            self.kind()?,
            Kind::Version(_) | Kind::TagPrefix { .. } | Kind::DocumentStart
        );
        if *self.kind()? == Kind::StreamEnd {
            return Ok(None);
        }
        if explicit || !implicit {
            self.directives()?;
            if *self.kind()? != Kind::DocumentStart {
                return self.fault(Wrong::DocumentStart);
            }
            self.take()?;
            self.state = State::Content;
        } else {
            self.state = State::Value;
        }
        self.after.push(State::DocumentEnd);
        self.event()
    }

    fn directives(&mut self) -> Result<(), Fault> {
        const SUPPORTED: Version = Version { major: 1, minor: 1 };
        let mut versioned = false;
        loop {
            let at = self.peek()?.start;
            match self.kind()? {
                Kind::Version(version) => {
                    let wrong = match *version {
                        SUPPORTED if !versioned => None,
                        SUPPORTED => Some(Wrong::Directive),
                        other => Some(Wrong::Version(other)),
                    };
                    if let Some(wrong) = wrong {
                        return Err(Fault { at, wrong });
                    }
                    versioned = true;
                }
                Kind::TagPrefix { handle, prefix } => {
                    let prefix = (*handle, prefix.clone());
                    if self.prefixes.iter().any(|(known, _)| *known == prefix.0) {
                        return Err(Fault {
                            at,
                            wrong: Wrong::Directive,
                        });
                    }
                    self.prefixes.push(prefix);
                }
                _ => return Ok(()),
            }
            self.take()?;
        }
    }

    fn content(&mut self) -> Step<'a> {
        let token = self.peek()?;
        let at = token.start;
        match token.kind {
            Kind::Version(_)
            | Kind::TagPrefix { .. }
            | Kind::DocumentStart
            | Kind::DocumentEnd
            | Kind::StreamEnd => {
                self.back();
                self.empty(at, self.state)
            }
            _ => self.value(Place::Block),
        }
    }

    fn document_end(&mut self) -> Step<'a> {
        let at = self.peek()?.start;
        if *self.kind()? == Kind::DocumentEnd {
            self.take()?;
        }
        self.prefixes.clear();
        self.state = State::Document;
        Ok(Some(Placed {
            event: Event::DocumentEnd,
            start: at,
            end: at,
        }))
    }

    // Values.

    fn value(&mut self, place: Place) -> Step<'a> {
        if let Kind::Alias(name) = *self.kind()? {
            self.back();
            return self.taken(Event::Alias(name));
        }
        let before = self.peek()?.start;
        let properties = self.properties()?;
        let token = self.peek()?;
        let end = token.end;
        let (event, next) = match &mut token.kind {
            Kind::BlockEntry if place == Place::OfKey => {
                (Event::Sequence(properties), State::PlainItem)
            }
            Kind::Scalar { text, plain } => {
                let event = Event::Scalar {
                    text: std::mem::take(text),
                    plain: *plain,
                    properties,
                };
                self.back();
                self.take()?;
                return Ok(Some(Placed {
                    event,
                    start: before,
                    end,
                }));
            }
            Kind::FlowSequence => (Event::Sequence(properties), State::FlowItem { first: true }),
            Kind::FlowMapping => (Event::Mapping(properties), State::FlowKey { first: true }),
            Kind::BlockSequence if place != Place::Flow => {
                (Event::Sequence(properties), State::BlockItem)
            }
            Kind::BlockMapping if place != Place::Flow => {
                (Event::Mapping(properties), State::BlockKey)
            }
            _ if properties.anchor.is_some() || properties.tag.is_some() => {
                self.back();
                return self.empty_with(before, properties);
            }
            _ => return self.fault(Wrong::Value),
        };
        self.state = next;
        if !matches!(next, State::PlainItem) {
            self.take()?;
        }
        Ok(Some(Placed {
            event,
            start: before,
            end,
        }))
    }

    /// An anchor and a tag, in either order.
    fn properties(&mut self) -> Result<Properties<'a>, Fault> {
        let mut properties = Properties::default();
        loop {
            let token = self.peek()?;
            let at = token.start;
            match &mut token.kind {
                Kind::Anchor(name) if properties.anchor.is_none() => {
                    properties.anchor = Some(*name);
                }
                Kind::Tag { handle, suffix } if properties.tag.is_none() => {
                    let (handle, suffix) = (*handle, std::mem::take(suffix));
                    properties.tag = Some(self.full_tag(at, handle, suffix)?);
                }
                _ => return Ok(properties),
            }
            self.take()?;
        }
    }

    fn full_tag(&self, at: usize, handle: &str, suffix: String) -> Result<String, Fault> {
        let prefix = self.prefixes.iter().find(|(known, _)| *known == handle);
        match (prefix, handle) {
            (Some((_, prefix)), _) => Ok(format!("{prefix}{suffix}")),
            (None, "") => Ok(suffix),
            (None, "!") => Ok(format!("!{suffix}")),
            (None, "!!") => Ok(format!("tag:yaml.org,2002:{suffix}")),
            (None, _) => Err(Fault {
                at,
                wrong: Wrong::TagPrefix,
            }),
        }
    }

    // Blocks.

    fn block_item(&mut self) -> Step<'a> {
        let end = self.peek()?.end;
        match self.kind()? {
            Kind::BlockEntry => {
                self.take()?;
                match self.kind()? {
                    Kind::BlockEntry | Kind::BlockEnd => self.empty(end, State::BlockItem),
                    _ => self.value_then(Place::Block, State::BlockItem),
                }
            }
            Kind::BlockEnd => {
                self.back();
                self.taken(Event::End)
            }
            _ => self.fault(Wrong::BlockItem),
        }
    }

    fn plain_item(&mut self) -> Step<'a> {
        let token = self.peek()?;
        let (start, end) = (token.start, token.end);
        if token.kind != Kind::BlockEntry {
            self.back();
            return Ok(Some(Placed {
                event: Event::End,
                start,
                end: start,
            }));
        }
        self.take()?;
        match self.kind()? {
            Kind::BlockEntry | Kind::Key | Kind::Value | Kind::BlockEnd => {
                self.empty(end, State::PlainItem)
            }
            _ => self.value_then(Place::Block, State::PlainItem),
        }
    }

    fn block_key(&mut self) -> Step<'a> {
        match self.kind()? {
            Kind::Key => self.after_mark(State::BlockValue),
            Kind::BlockEnd => {
                self.back();
                self.taken(Event::End)
            }
            _ => self.fault(Wrong::BlockKey),
        }
    }

    fn block_value(&mut self) -> Step<'a> {
        let start = self.peek()?.start;
        match self.kind()? {
            Kind::Value => self.after_mark(State::BlockKey),
            _ => self.empty(start, State::BlockKey),
        }
    }

    /// The key after `?`, the value after `:`.
    fn after_mark(&mut self, next: State) -> Step<'a> {
        let mark = self.take()?.start;
        match self.kind()? {
            Kind::Key | Kind::Value | Kind::BlockEnd => self.empty(mark, next),
            _ => self.value_then(Place::OfKey, next),
        }
    }

    // Brackets and braces.

    fn flow_item(&mut self, first: bool) -> Step<'a> {
        if !first && *self.kind()? != Kind::FlowSequenceEnd {
            if *self.kind()? != Kind::FlowEntry {
                return self.fault(Wrong::FlowItem);
            }
            self.take()?;
        }
        match self.kind()? {
            Kind::FlowSequenceEnd => {
                self.back();
                self.taken(Event::End)
            }
            Kind::Key => {
                self.state = State::PairKey;
                self.taken(Event::Mapping(Properties::default()))
            }
            _ => self.value_then(Place::Flow, State::FlowItem { first: false }),
        }
    }

    fn pair_key(&mut self) -> Step<'a> {
        let token = self.peek()?;
        let end = token.end;
        match token.kind {
            Kind::Value | Kind::FlowEntry | Kind::FlowSequenceEnd => {
                // libyaml loses the token here: `[? : a]` is an error.
                self.take()?;
                self.empty(end, State::PairValue)
            }
            _ => self.value_then(Place::Flow, State::PairValue),
        }
    }

    fn pair_value(&mut self) -> Step<'a> {
        if *self.kind()? == Kind::Value {
            self.take()?;
            if !matches!(self.kind()?, Kind::FlowEntry | Kind::FlowSequenceEnd) {
                return self.value_then(Place::Flow, State::PairEnd);
            }
        }
        let at = self.peek()?.start;
        self.empty(at, State::PairEnd)
    }

    fn pair_end(&mut self) -> Step<'a> {
        let at = self.peek()?.start;
        self.state = State::FlowItem { first: false };
        Ok(Some(Placed {
            event: Event::End,
            start: at,
            end: at,
        }))
    }

    fn flow_key(&mut self, first: bool) -> Step<'a> {
        if !first && *self.kind()? != Kind::FlowMappingEnd {
            if *self.kind()? != Kind::FlowEntry {
                return self.fault(Wrong::FlowKey);
            }
            self.take()?;
        }
        match self.kind()? {
            Kind::FlowMappingEnd => {
                self.back();
                self.taken(Event::End)
            }
            Kind::Key => {
                self.take()?;
                let at = self.peek()?.start;
                match self.kind()? {
                    Kind::Value | Kind::FlowEntry | Kind::FlowMappingEnd => {
                        self.empty(at, State::FlowValue)
                    }
                    _ => self.value_then(Place::Flow, State::FlowValue),
                }
            }
            _ => self.value_then(Place::Flow, State::NoValue),
        }
    }

    fn flow_value(&mut self) -> Step<'a> {
        let next = State::FlowKey { first: false };
        if *self.kind()? == Kind::Value {
            self.take()?;
            if !matches!(self.kind()?, Kind::FlowEntry | Kind::FlowMappingEnd) {
                return self.value_then(Place::Flow, next);
            }
        }
        let at = self.peek()?.start;
        self.empty(at, next)
    }
}
