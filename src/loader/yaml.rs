//! YAML text to a tree with places.
//!
//! Reads what go-yaml v3 reads, as docker compose does: YAML 1.2 core scalars plus leading-zero
//! octals and `1_000`; merge keys; aliases. Refuses duplicate and non-string keys, recursive
//! aliases, `%YAML` versions other than 1.1, and documents that grow beyond a budget (alias
//! bombs) or nest too deep.

use std::collections::HashMap;

use indexmap::map::Entry;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::diagnostic::Diagnostic;
use super::source::{FileId, Span};
use super::tree::{Map, Node, Path, Rival, Tag, Value};

/// Deepest nesting.
const MAX_DEPTH: usize = 100;
/// Most nodes after aliases are resolved.
pub const MAX_NODES: usize = 1_000_000;
/// Most bytes of texts after aliases are resolved.
const MAX_TEXT: usize = 96 << 20;
/// Largest text.
pub const MAX_BYTES: usize = 32 << 20;

/// One document of a stream.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its root; nodes tagged `!reset` are gone.
    pub root: Node,
    /// Paths that `!reset` and `!override` clear in what comes before.
    pub resets: Vec<Path>,
}

/// Parses every document of a text. Problems go to `problems`; what could be read is returned.
pub fn parse(text: &str, file: FileId, problems: &mut Vec<Diagnostic>) -> Vec<Document> {
    let mut builder = Builder {
        places: Places::new(text, file),
        anchors: HashMap::new(),
        so_far: Size::default(),
        tagged: false,
        problems,
    };
    if text.len() > MAX_BYTES {
        builder.problems.push(
            Diagnostic::error(
                "too-big",
                builder.places.whole_line(1),
                format!("the file is larger than {} MiB", MAX_BYTES >> 20),
            )
            .help("split it with `include`"),
        );
        return Vec::new();
    }
    if let Some((line, version)) = yaml_directive(text)
        && version != "1.1"
    {
        builder.problems.push(
            Diagnostic::error(
                "yaml-version",
                builder.places.whole_line(line),
                format!("YAML version `{version}` is not supported"),
            )
            .help("remove the `%YAML` line"),
        );
        return Vec::new();
    }
    let before = builder.problems.len();
    let documents = builder.stream(text);
    let outdented = builder.problems[before..]
        .iter()
        .any(|p| p.code == "yaml-syntax" && p.message.contains("invalid indentation"));
    match outdented.then(|| outdented_flows(text)).flatten() {
        None => documents,
        Some(repaired) => {
            builder.problems.truncate(before);
            builder.anchors.clear();
            builder.so_far = Size::default();
            builder.stream(&repaired)
        }
    }
}

/// Brackets and braces that stand left of the block they belong to are fine for go-yaml and
/// common in the wild, but not for our parser. The line breaks before them become blanks, so
/// that every byte keeps its position. `None` when that does not help.
fn outdented_flows(text: &str) -> Option<String> {
    const MOST: usize = 500;
    let mut current = text.to_owned();
    // Each round parses again: large files get few.
    for _ in 0..MOST.min((64 << 20) / text.len().max(1)) {
        let mut parser = Parser::new(StrInput::new(&current));
        let error = loop {
            match parser.next_event() {
                None => return Some(current),
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
            }
        };
        if !error.info().contains("invalid indentation") {
            return None;
        }
        let at = current
            .char_indices()
            .nth(error.marker().index())
            .map_or(current.len(), |(i, _)| i);
        let newline = current[..at].rfind('\n')?;
        let line = current[..newline].rfind('\n').map_or(0, |i| i + 1);
        let comment = comment_start(&current[line..newline]).map_or(newline, |i| line + i);
        let blanks = " ".repeat(newline + 1 - comment);
        current.replace_range(comment..=newline, &blanks);
    }
    None
}

/// Where the comment of a line begins.
fn comment_start(line: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = b' ';
    for (i, b) in line.bytes().enumerate() {
        match (quote, b) {
            (None, b'#') if before.is_ascii_whitespace() => return Some(i),
            (None, b'"' | b'\'') if !before.is_ascii_alphanumeric() => quote = Some(b),
            (Some(q), b) if q == b && before != b'\\' => quote = None,
            _ => {}
        }
        before = b;
    }
    None
}

fn yaml_directive(text: &str) -> Option<(usize, &str)> {
    for (i, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if let Some(version) = line.strip_prefix("%YAML ") {
            return Some((i + 1, version.trim()));
        }
        if !line.starts_with('#') && !line.trim().is_empty() {
            return None;
        }
    }
    None
}

/// Character positions to byte positions.
struct Places<'a> {
    text: &'a str,
    file: FileId,
    bytes: Option<Vec<u32>>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str, file: FileId) -> Self {
        let bytes = (!text.is_ascii()).then(|| {
            let mut table: Vec<u32> = text.char_indices().map(|(i, _)| i as u32).collect();
            table.push(text.len() as u32);
            table
        });
        Self { text, file, bytes }
    }

    fn byte(&self, chars: usize) -> u32 {
        match &self.bytes {
            None => chars.min(self.text.len()) as u32,
            Some(table) => table.get(chars).copied().unwrap_or(self.text.len() as u32),
        }
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.byte(span.start.index());
        Span {
            file: self.file,
            start,
            end: self.byte(span.end.index()).max(start),
        }
    }

    fn whole_line(&self, line: usize) -> Span {
        let mut start = 0;
        for (i, text) in self.text.split_inclusive('\n').enumerate() {
            if i + 1 == line {
                return Span {
                    file: self.file,
                    start: start as u32,
                    end: (start + text.trim_end().len()) as u32,
                };
            }
            start += text.len();
        }
        Span {
            file: self.file,
            start: self.text.len() as u32,
            end: self.text.len() as u32,
        }
    }
}

struct Builder<'a, 'p> {
    places: Places<'a>,
    /// Finished anchors; `None` while the anchored node is still open.
    anchors: HashMap<usize, Option<(Node, Size)>>,
    so_far: Size,
    /// Whether something in this document is tagged `!reset` or `!override`.
    tagged: bool,
    problems: &'p mut Vec<Diagnostic>,
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

struct Frame {
    open: Open,
    span: Span,
    tag: Tag,
    anchor: usize,
    before: Size,
}

struct Stop;

impl Builder<'_, '_> {
    fn stream(&mut self, text: &str) -> Vec<Document> {
        let mut parser = Parser::new(StrInput::new(text));
        let mut documents = Vec::new();
        let mut stack: Vec<Frame> = Vec::new();
        let mut root: Option<Node> = None;
        loop {
            let (event, span) = match parser.next_event() {
                None => break,
                Some(Ok(pair)) => pair,
                Some(Err(error)) => {
                    self.syntax_error(&error);
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
                    let (tag, core) = self.tag(tag.as_deref());
                    let size = Size {
                        nodes: 1,
                        bytes: text.len(),
                    };
                    self.count(size, span).map(|()| {
                        let plain = style == ScalarStyle::Plain;
                        let value = scalar(&text, plain, core).unwrap_or_else(|wanted| {
                            self.problems.push(
                                Diagnostic::error(
                                    "bad-tag",
                                    span,
                                    format!("cannot read `{text}` as a `!!{wanted}`"),
                                )
                                .help("remove the tag, or write a value of that type"),
                            );
                            Value::Str(text.to_string())
                        });
                        let mut node = Node::new(value, span);
                        node.tag = tag;
                        if anchor != 0 {
                            self.anchors.insert(anchor, Some((node.clone(), size)));
                        }
                        (node, plain)
                    })
                }
                Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag)
                    if stack.len() >= MAX_DEPTH =>
                {
                    let _ = (anchor, tag);
                    self.problems.push(Diagnostic::error(
                        "too-deep",
                        span,
                        format!("nested more than {MAX_DEPTH} levels deep"),
                    ));
                    return documents;
                }
                Event::SequenceStart(anchor, tag) => {
                    if self.count(Size { nodes: 1, bytes: 0 }, span).is_err() {
                        return documents;
                    }
                    self.anchors.insert(anchor, None);
                    stack.push(Frame {
                        open: Open::Seq(Vec::new()),
                        span,
                        tag: self.tag(tag.as_deref()).0,
                        anchor,
                        before: self.so_far,
                    });
                    continue;
                }
                Event::MappingStart(anchor, tag) => {
                    if self.count(Size { nodes: 1, bytes: 0 }, span).is_err() {
                        return documents;
                    }
                    self.anchors.insert(anchor, None);
                    stack.push(Frame {
                        open: Open::Map {
                            map: Map::new(),
                            key: None,
                            merges: Vec::new(),
                            bad_keys: false,
                        },
                        span,
                        tag: self.tag(tag.as_deref()).0,
                        anchor,
                        before: self.so_far,
                    });
                    continue;
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

    fn tag(&mut self, tag: Option<&saphyr_parser::Tag>) -> (Tag, Core) {
        let (tag, core) = tag_of(tag);
        self.tagged |= tag != Tag::None;
        (tag, core)
    }

    fn syntax_error(&mut self, error: &saphyr_parser::ScanError) {
        let index = self.places.byte(error.marker().index());
        let mut start = index as usize;
        if start >= self.places.text.len() {
            start = self.places.text.trim_end().len();
        }
        let span = Span {
            file: self.places.file,
            start: start as u32,
            end: (start as u32 + 1)
                .min(self.places.text.len() as u32)
                .max(start as u32),
        };
        let line = self.places.text[..start].rfind('\n').map_or(0, |i| i + 1);
        let indent: String = self.places.text[line..]
            .chars()
            .take_while(|c| c.is_whitespace() && *c != '\n')
            .collect();
        let line_text = self.places.text[line..].lines().next().unwrap_or_default();
        let help = if line_text.contains("${")
            && line_text.contains(['{', '['])
            && !line_text.contains('"')
        {
            "quote values with `${…}` inside braces and brackets: `{ key: \"${NAME}\" }`"
        } else if indent.contains('\t') {
            "indent with spaces; YAML forbids tabs there"
        } else {
            advice(error.info())
        };
        self.problems.push(
            Diagnostic::error(
                "yaml-syntax",
                span,
                format!("this is not valid YAML: {}", error.info()),
            )
            .help(help),
        );
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

/// What to do about what the parser says. It has no kinds of errors, only texts.
fn advice(info: &str) -> &'static str {
    const ADVICE: [(&str, &str); 9] = [
        (
            "mapping values are not allowed",
            "quote a value that holds `: `, or begin its key on a line of its own",
        ),
        (
            "flow mapping",
            "close it with `}`, and put commas between its entries",
        ),
        (
            "flow sequence",
            "close it with `]`, and put commas between its items",
        ),
        ("quoted scalar", "close the quote"),
        (
            "unknown anchor",
            "define it before, as in `x-name: &name …`",
        ),
        (
            "unexpected character",
            "quote a value that begins with a special character",
        ),
        (
            "block mapping",
            "indent this line as the keys that it belongs to",
        ),
        (
            "block collection",
            "indent this line as the items that it belongs to",
        ),
        (
            "could not find expected ':'",
            "put a colon and a space after each key",
        ),
    ];
    ADVICE.iter().find(|(text, _)| info.contains(text)).map_or(
        "check indentation, quotes, and that each `key:` is followed by a space",
        |(_, advice)| *advice,
    )
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

/// Compose's tag, and the core type a tag asks for.
fn tag_of(tag: Option<&saphyr_parser::Tag>) -> (Tag, Core) {
    let Some(tag) = tag else {
        return (Tag::None, Core::Any);
    };
    if tag.handle == "!" {
        return match tag.suffix.as_str() {
            "reset" => (Tag::Reset, Core::Raw),
            "override" => (Tag::Override, Core::Raw),
            _ => (Tag::None, Core::Raw),
        };
    }
    let core = match tag.suffix.as_str() {
        "int" => Core::Type("int"),
        "bool" => Core::Type("bool"),
        "null" => Core::Type("null"),
        "timestamp" => Core::Type("timestamp"),
        "float" => Core::Type("float"),
        _ => Core::Raw,
    };
    (Tag::None, core)
}

/// What a tag says of a scalar.
#[derive(Clone, Copy, PartialEq)]
enum Core {
    /// Nothing: quotes and text decide.
    Any,
    /// It is of this type.
    Type(&'static str),
    /// It is text.
    Raw,
}

/// A scalar; `Err` is the type that its text is not of.
fn scalar(text: &str, plain: bool, core: Core) -> Result<Value, &'static str> {
    let Core::Type(wanted) = core else {
        return Ok(if plain && core == Core::Any {
            resolve(text)
        } else {
            Value::Str(text.to_owned())
        });
    };
    match (resolve(text), wanted) {
        (Value::Int(i), "float") => Ok(Value::Float(i as f64)),
        (value @ Value::Float(_), "float")
        | (value @ Value::Int(_), "int")
        | (value @ Value::Bool(_), "bool")
        | (value @ Value::Null, "null")
        | (value @ Value::Time(_), "timestamp") => Ok(value),
        _ => Err(wanted),
    }
}

/// The type of a plain scalar, as go-yaml v3 decides it.
pub fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let number = || Value::Str(text.to_owned());
    match text.as_bytes()[0] {
        b'+' | b'-' | b'0'..=b'9' => {}
        b'.' => {
            return match text.parse::<f64>() {
                Ok(v) if is_float(text) && v.is_finite() => Value::Float(v),
                _ => number(),
            };
        }
        _ => return number(),
    }
    if is_timestamp(text) {
        return Value::Time(text.to_owned());
    }
    let digits = text.replace('_', "");
    if let Some(i) = go_int(&digits) {
        return Value::Int(i);
    }
    if is_float(&digits)
        && let Ok(v) = digits.parse::<f64>()
        && v.is_finite()
    {
        return Value::Float(v);
    }
    number()
}

/// A whole number with Go's prefixes: `0x`, `0o`, `0b`, and `0` for octal; at most 64 bits.
fn go_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let limit = if negative {
        i128::from(i64::MAX) + 1
    } else {
        i128::from(u64::MAX)
    };
    (value <= limit).then_some(if negative { -value } else { value })
}

fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(i) => (&text[..i], Some(&text[i + 1..])),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fine =
        digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_fine = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    mantissa_fine && exponent_fine
}

/// `2006-1-2`, optionally with a time.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return false;
    }
    let split = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let (date, time) = text.split_at(split);
    let mut parts = date.split('-');
    let number = |part: Option<&str>, max: u32| {
        part.is_some_and(|p| {
            (1..=2).contains(&p.len()) && p.parse::<u32>().is_ok_and(|n| (1..=max).contains(&n))
        })
    };
    parts.next();
    if !number(parts.next(), 12) || !number(parts.next(), 31) || parts.next().is_some() {
        return false;
    }
    if time.is_empty() {
        return true;
    }
    let clock = time[1..].trim();
    let clock_end = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
    if time.starts_with(' ') != (clock_end == clock.len()) {
        return false;
    }
    let mut parts = clock[..clock_end].splitn(3, ':');
    let in_range = |part: Option<&str>, max: f64| {
        part.is_some_and(|p| p.parse::<f64>().is_ok_and(|n| (0.0..=max).contains(&n)))
    };
    in_range(parts.next(), 23.0) && in_range(parts.next(), 59.0) && in_range(parts.next(), 60.0)
}
