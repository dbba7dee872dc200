//! Template text to nodes.

use serde_json::Number;

use super::TemplateError;

/// A piece of a template.
#[derive(Clone, Debug)]
pub enum Node {
    Text(String),
    Print(Pipe),
    /// `$x := …`.
    Declare(String, Pipe),
    If {
        branches: Vec<(Pipe, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    Range {
        names: Vec<String>,
        over: Pipe,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    With {
        of: Pipe,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// A condition and what it guards.
type Branch = (Pipe, Vec<Node>);

/// Calls, each given the result of the one before as its last argument.
pub type Pipe = Vec<Vec<Term>>;

/// An operand or the name of a function.
#[derive(Clone, Debug)]
pub enum Term {
    /// `.A.B`; empty for `.`.
    Field(Vec<String>),
    /// `$x.A`; the name is empty for `$`.
    Variable(String, Vec<String>),
    Text(String),
    Number(Number),
    Bool(bool),
    Nil,
    Function(String),
    /// `( … ).A`.
    Group(Pipe, Vec<String>),
}

/// Nesting that no useful template reaches; keeps the stack safe.
const DEPTH: usize = 64;

pub fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let pieces = split(text)?;
    let mut parser = Parser {
        pieces: &pieces,
        at: 0,
        depth: 0,
    };
    let (nodes, end) = parser.nodes()?;
    match end {
        None => Ok(nodes),
        Some((word, at)) => Err(syntax(format!("unexpected `{word}`"), at)),
    }
}

/// Titles of Docker's that are not the field's name.
const TITLES: &[(&str, &str)] = &[
    ("BlockIO", "BLOCK I/O"),
    ("CPUPerc", "CPU %"),
    ("CreatedSince", "CREATED"),
    ("MemPerc", "MEM %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("NetIO", "NET I/O"),
    ("RunningFor", "CREATED"),
    ("TotalCount", "TOTAL"),
];

/// Docker's column titles: the text between fields stays, and of a choice the first is shown. `own` are the titles
/// of this kind of list.
pub fn titles(nodes: &[Node], own: &[(&str, &str)]) -> String {
    let of_node = |node: &Node| match node {
        Node::Text(text) => text.clone(),
        Node::Print(pipe) => title_of(pipe, own),
        Node::If { branches, .. } => branches
            .first()
            .map(|(_, body)| titles(body, own))
            .unwrap_or_default(),
        Node::With { body, .. } | Node::Range { body, .. } => titles(body, own),
        Node::Declare(..) => String::new(),
    };
    nodes.iter().map(of_node).collect()
}

/// The title of the first field that an action names.
fn title_of(pipe: &Pipe, own: &[(&str, &str)]) -> String {
    let label = |call: &Vec<Term>| match call.as_slice() {
        [Term::Field(path), Term::Text(key)] if path.last().is_some_and(|name| name == "Label") => {
            Some(label_title(key))
        }
        _ => None,
    };
    if let Some(title) = pipe.iter().find_map(label) {
        return title;
    }
    let field = fields(pipe).find_map(|path| path.last());
    field.map_or_else(String::new, |name| {
        let mut known = own.iter().chain(TITLES);
        let known = known.find(|(field, _)| field == name);
        known.map_or_else(|| title(name), |(_, title)| (*title).to_owned())
    })
}

/// The last word of a label's name, as Docker prints it: `com.example.my-app` is `my app`.
fn label_title(key: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or_default();
    last.replace(['-', '_'], " ")
}

/// `RunningTime` is `RUNNING TIME`.
fn title(name: &str) -> String {
    let mut out = String::new();
    let mut lower_before = false;
    for c in name.chars() {
        if c.is_uppercase() && lower_before {
            out.push(' ');
        }
        lower_before = c.is_lowercase();
        out.extend(c.to_uppercase());
    }
    out
}

/// The fields that a pipe names, those in parentheses too.
fn fields(pipe: &Pipe) -> Box<dyn Iterator<Item = &Vec<String>> + '_> {
    Box::new(pipe.iter().flatten().flat_map(|term| match term {
        Term::Field(path) | Term::Variable(_, path) => {
            Box::new(std::iter::once(path)) as Box<dyn Iterator<Item = _>>
        }
        Term::Group(pipe, path) => Box::new(fields(pipe).chain([path])),
        _ => Box::new(std::iter::empty()),
    }))
}

/// Whether one of the nodes names a field.
pub fn names(nodes: &[Node], field: &str) -> bool {
    let in_pipe = |pipe: &Pipe| fields(pipe).flatten().any(|name| name == field);
    nodes.iter().any(|node| match node {
        Node::Text(_) => false,
        Node::Print(pipe) | Node::Declare(_, pipe) => in_pipe(pipe),
        Node::If {
            branches,
            otherwise,
        } => {
            let branch = |(condition, body): &Branch| in_pipe(condition) || names(body, field);
            branches.iter().any(branch) || names(otherwise, field)
        }
        Node::Range {
            over: of,
            body,
            otherwise,
            ..
        }
        | Node::With {
            of,
            body,
            otherwise,
        } => in_pipe(of) || names(body, field) || names(otherwise, field),
    })
}

enum Piece {
    Text(String),
    Action(Vec<Token>, usize),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(Number),
    Symbol(char),
    Assign,
    /// `.A` that follows `)` or a variable without a blank belongs to it.
    Path(Vec<String>, bool),
    Variable(String),
}

fn syntax(message: impl Into<String>, at: usize) -> TemplateError {
    TemplateError::Syntax {
        message: message.into(),
        at,
    }
}

/// Text and actions; `{{-` and `-}}` trim the text beside them.
fn split(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some(start) = rest.find("{{") {
        let at = text.len() - rest.len() + start;
        let before = &rest[..start];
        let body = &rest[start + 2..];
        let end = action_end(body).ok_or_else(|| syntax("`{{` without its `}}`", at))?;
        let mut action = &body[..end];
        rest = &body[end + 2..];
        let mut before = if trim { before.trim_start() } else { before };
        trim = false;
        if let Some(inner) = action.strip_prefix("- ") {
            action = inner;
            before = before.trim_end();
        }
        if let Some(inner) = action.strip_suffix(" -") {
            action = inner;
            trim = true;
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        if !action.trim_start().starts_with("/*") {
            pieces.push(Piece::Action(tokens(action, at)?, at));
        }
    }
    let last = if trim { rest.trim_start() } else { rest };
    if !last.is_empty() {
        pieces.push(Piece::Text(last.to_owned()));
    }
    Ok(pieces)
}

/// Where the action ends, not counting `}}` inside quotes.
fn action_end(body: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if body[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

fn tokens(action: &str, at: usize) -> Result<Vec<Token>, TemplateError> {
    let mut tokens = Vec::new();
    let mut chars = action.chars().peekable();
    let mut glued = false;
    while let Some(&c) = chars.peek() {
        let was_glued = std::mem::replace(&mut glued, false);
        if c.is_whitespace() {
            chars.next();
        } else if c == '"' || c == '`' {
            chars.next();
            tokens.push(Token::Text(quoted(&mut chars, c)));
        } else if c == '.' {
            tokens.push(Token::Path(path(&mut chars), was_glued));
        } else if c == '$' {
            chars.next();
            tokens.push(Token::Variable(word(&mut chars)));
            glued = true;
        } else if c.is_ascii_digit() || c == '-' {
            chars.next();
            let mut text = format!("{c}{}", word(&mut chars));
            if chars.next_if_eq(&'.').is_some() {
                text = format!("{text}.{}", word(&mut chars));
            }
            let number =
                number(&text).ok_or_else(|| syntax(format!("`{text}` is no number"), at))?;
            tokens.push(Token::Number(number));
        } else if c.is_alphabetic() || c == '_' {
            tokens.push(Token::Word(word(&mut chars)));
        } else if c == ':' {
            chars.next();
            if chars.next() != Some('=') {
                return Err(syntax("`:` without `=`", at));
            }
            tokens.push(Token::Assign);
        } else if matches!(c, '(' | ')' | '|' | ',') {
            chars.next();
            tokens.push(Token::Symbol(c));
            glued = c == ')';
        } else {
            return Err(syntax(format!("unexpected `{c}`"), at));
        }
    }
    Ok(tokens)
}

fn number(text: &str) -> Option<Number> {
    match text.parse::<i64>() {
        Ok(number) => Some(number.into()),
        Err(_) => Number::from_f64(text.parse().ok()?),
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn word(chars: &mut Chars<'_>) -> String {
    let mut word = String::new();
    while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
        word.push(c);
    }
    word
}

fn path(chars: &mut Chars<'_>) -> Vec<String> {
    let mut names = Vec::new();
    while chars.next_if_eq(&'.').is_some() {
        let name = word(chars);
        if name.is_empty() {
            break;
        }
        names.push(name);
    }
    names
}

fn quoted(chars: &mut Chars<'_>, quote: char) -> String {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quote == '"' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(other) => text.push(other),
                None => {}
            },
            c if c == quote => break,
            c => text.push(c),
        }
    }
    text
}

struct Parser<'a> {
    pieces: &'a [Piece],
    at: usize,
    depth: usize,
}

/// `else` or `end` and where it stands.
type End = Option<(String, usize)>;

impl Parser<'_> {
    fn nodes(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.at) {
            self.at += 1;
            match piece {
                Piece::Text(text) => nodes.push(Node::Text(text.clone())),
                Piece::Action(tokens, at) => match tokens.first() {
                    Some(Token::Word(word)) if word == "end" || word == "else" => {
                        return Ok((nodes, Some((word.clone(), *at))));
                    }
                    Some(Token::Word(word)) if ["if", "range", "with"].contains(&word.as_str()) => {
                        nodes.push(self.block(word, &tokens[1..], *at)?);
                    }
                    _ => nodes.push(match variables(tokens) {
                        (names, rest) if names.len() == 1 => {
                            Node::Declare(names.concat(), pipe_of(rest, *at)?)
                        }
                        _ => Node::Print(pipe_of(tokens, *at)?),
                    }),
                },
            }
        }
        Ok((nodes, None))
    }

    fn block(&mut self, word: &str, tokens: &[Token], at: usize) -> Result<Node, TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(syntax("too many blocks in one another", at));
        }
        let node = match word {
            "if" => {
                let (branches, otherwise) = self.branches(tokens, at)?;
                Node::If {
                    branches,
                    otherwise,
                }
            }
            "range" => {
                let (names, tokens) = variables(tokens);
                let over = pipe_of(tokens, at)?;
                let (body, otherwise) = self.body(at)?;
                Node::Range {
                    names,
                    over,
                    body,
                    otherwise,
                }
            }
            _ => {
                let of = pipe_of(tokens, at)?;
                let (body, otherwise) = self.body(at)?;
                Node::With {
                    of,
                    body,
                    otherwise,
                }
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    /// The condition of `if`, with every `else if`, up to `end`.
    fn branches(
        &mut self,
        tokens: &[Token],
        at: usize,
    ) -> Result<(Vec<Branch>, Vec<Node>), TemplateError> {
        let mut branches = Vec::new();
        let mut condition = pipe_of(tokens, at)?;
        loop {
            let (body, end) = self.nodes()?;
            branches.push((condition, body));
            let Some((word, _)) = end else {
                return Err(syntax("`if` without `end`", at));
            };
            if word == "end" {
                return Ok((branches, Vec::new()));
            }
            match self.else_tokens() {
                Some((Token::Word(word), rest, place)) if word == "if" => {
                    condition = pipe_of(&rest, place)?
                }
                _ => {
                    let (otherwise, end) = self.nodes()?;
                    return match end {
                        Some((word, _)) if word == "end" => Ok((branches, otherwise)),
                        _ => Err(syntax("`else` without `end`", at)),
                    };
                }
            }
        }
    }

    /// What stands behind the `else` that was just read.
    fn else_tokens(&self) -> Option<(Token, Vec<Token>, usize)> {
        match self.pieces.get(self.at.checked_sub(1)?)? {
            Piece::Action(tokens, at) => Some((tokens.get(1)?.clone(), tokens[2..].to_vec(), *at)),
            Piece::Text(_) => None,
        }
    }

    fn body(&mut self, at: usize) -> Result<(Vec<Node>, Vec<Node>), TemplateError> {
        let (body, end) = self.nodes()?;
        match end {
            Some((word, _)) if word == "end" => Ok((body, Vec::new())),
            Some(_) => match self.nodes()? {
                (otherwise, Some((word, _))) if word == "end" => Ok((body, otherwise)),
                _ => Err(syntax("`else` without `end`", at)),
            },
            None => Err(syntax("a block without `end`", at)),
        }
    }
}

/// `$a, $b := …` of a range, `$a := …` anywhere.
fn variables(tokens: &[Token]) -> (Vec<String>, &[Token]) {
    match tokens {
        [
            Token::Variable(a),
            Token::Symbol(','),
            Token::Variable(b),
            Token::Assign,
            rest @ ..,
        ] => (vec![a.clone(), b.clone()], rest),
        [Token::Variable(a), Token::Assign, rest @ ..] => (vec![a.clone()], rest),
        _ => (Vec::new(), tokens),
    }
}

fn pipe_of(tokens: &[Token], at: usize) -> Result<Pipe, TemplateError> {
    let mut tokens = tokens.iter().peekable();
    let pipe = pipe(&mut tokens, at, 0)?;
    match tokens.next() {
        None => Ok(pipe),
        Some(_) => Err(syntax("`)` without its `(`", at)),
    }
}

type Tokens<'a> = std::iter::Peekable<std::slice::Iter<'a, Token>>;

fn pipe(tokens: &mut Tokens<'_>, at: usize, depth: usize) -> Result<Pipe, TemplateError> {
    if depth > DEPTH {
        return Err(syntax("too many parentheses in one another", at));
    }
    let mut calls = vec![Vec::new()];
    while let Some(token) = tokens.next_if(|token| **token != Token::Symbol(')')) {
        let term = match token {
            Token::Symbol('|') => {
                calls.push(Vec::new());
                continue;
            }
            Token::Symbol('(') => {
                let inner = pipe(tokens, at, depth + 1)?;
                if tokens.next() != Some(&Token::Symbol(')')) {
                    return Err(syntax("`(` without its `)`", at));
                }
                Term::Group(inner, glued_path(tokens))
            }
            Token::Variable(name) => Term::Variable(name.clone(), glued_path(tokens)),
            Token::Path(path, _) => Term::Field(path.clone()),
            Token::Text(text) => Term::Text(text.clone()),
            Token::Number(number) => Term::Number(number.clone()),
            Token::Word(word) if word == "true" || word == "false" => Term::Bool(word == "true"),
            Token::Word(word) if word == "nil" => Term::Nil,
            Token::Word(word) => Term::Function(word.clone()),
            Token::Symbol(_) | Token::Assign => return Err(syntax("unexpected sign", at)),
        };
        if let Some(call) = calls.last_mut() {
            call.push(term);
        }
    }
    if calls.iter().any(Vec::is_empty) {
        return Err(syntax("an empty action", at));
    }
    Ok(calls)
}

fn glued_path(tokens: &mut Tokens<'_>) -> Vec<String> {
    match tokens.next_if(|token| matches!(token, Token::Path(_, true))) {
        Some(Token::Path(path, _)) => path.clone(),
        _ => Vec::new(),
    }
}
