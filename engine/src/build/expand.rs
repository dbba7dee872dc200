//! Expansion of `$name` and `${name…}` in the words of an instruction.
//!
//! The rules are those of the reference's lexer, not of a shell: see [`Expander`]. One pass from left to
//! right; nothing that came out of a variable is looked at again.

use std::iter::Peekable;
use std::str::Chars;

/// Looks up a variable.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Which variables an expansion asked for; [`Uses::note`] goes into the look-up.
#[derive(Debug, Default)]
pub(super) struct Uses(std::cell::RefCell<Vec<(String, bool)>>);

impl Uses {
    /// Notes a question and passes its answer on.
    pub(super) fn note(&self, name: &str, value: Option<String>) -> Option<String> {
        let mut asked = self.0.borrow_mut();
        if !asked.iter().any(|(known, _)| known == name) {
            asked.push((name.to_owned(), value.is_some()));
        }
        value
    }

    /// Names that had a value, in order.
    pub(super) fn found(&self) -> Vec<String> {
        self.list(true)
    }

    /// Names that had none.
    pub(super) fn missing(&self) -> Vec<String> {
        self.list(false)
    }

    fn list(&self, found: bool) -> Vec<String> {
        let asked = self.0.borrow();
        asked
            .iter()
            .filter(|(_, has)| *has == found)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// How words are expanded.
pub(super) struct Expander<'a> {
    /// `\` or a backtick.
    pub(super) escape: char,
    /// Values of variables.
    pub(super) lookup: Lookup<'a>,
    /// Quotes are ordinary characters (bodies of heredocs).
    pub(super) keep_quotes: bool,
}

impl Expander<'_> {
    /// Expands one word; quotes and escapes are removed.
    pub(super) fn word(&self, text: &str) -> Result<String, String> {
        self.run(text).map(|output| output.text)
    }

    /// Expands and splits at blanks that came from outside of quotes, those of variables included.
    ///
    /// What stands in a word before a substitution with a modifier (`${x:-w}`) is dropped: the
    /// reference's lexer forgets it there, so `EXPOSE 80${x:-1}` has always been port 1, and an image
    /// must not expose other ports here than it does elsewhere. [`Expander::word`] keeps it, there as here.
    pub(super) fn words(&self, text: &str) -> Result<Vec<String>, String> {
        self.run(text).map(Output::into_words)
    }

    fn run(&self, text: &str) -> Result<Output, String> {
        let mut scan = Scan {
            rules: self,
            input: text.chars().peekable(),
            raw_escapes: false,
            depth: 0,
            modified: false,
        };
        scan.until(None)
            .map_err(|reason| format!("cannot expand `{text}`: {reason}"))
    }
}

/// The text, and the same text as words.
#[derive(Default)]
struct Output {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Output {
    /// A character that may separate words.
    fn push(&mut self, c: char) {
        self.text.push(c);
        if c.is_whitespace() {
            if !self.word.is_empty() {
                self.words.push(std::mem::take(&mut self.word));
            }
        } else {
            self.word.push(c);
        }
    }

    /// Quoted or escaped text.
    fn push_raw(&mut self, text: &str) {
        self.text += text;
        self.word += text;
    }

    fn into_words(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

/// `${a:-${a:-…}}` may not nest without end: the scanner recurses.
const MAX_DEPTH: usize = 100;

struct Scan<'a, 'b> {
    rules: &'a Expander<'b>,
    input: Peekable<Chars<'a>>,
    /// Keep escape characters: the text is a pattern.
    raw_escapes: bool,
    depth: usize,
    /// A substitution with a modifier was just read: see [`Expander::words`].
    modified: bool,
}

impl Scan<'_, '_> {
    /// Reads up to `stop`, which is consumed, or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<Output, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("substitutions are nested too deeply".into());
        }
        let mut out = Output::default();
        while let Some(&c) = self.input.peek() {
            if Some(c) == stop {
                self.input.next();
                self.depth -= 1;
                return Ok(out);
            }
            match c {
                '\'' if !self.rules.keep_quotes => {
                    let quoted = self.single_quoted()?;
                    out.push_raw(&quoted);
                }
                '"' if !self.rules.keep_quotes => {
                    let quoted = self.double_quoted()?;
                    self.forget(&mut out);
                    out.push_raw(&quoted);
                }
                '$' => {
                    let value = self.dollar()?;
                    self.forget(&mut out);
                    value.chars().for_each(|c| out.push(c));
                }
                c if c == self.rules.escape => {
                    self.input.next();
                    if self.raw_escapes {
                        out.push_raw(c.encode_utf8(&mut [0; 4]));
                    }
                    if let Some(next) = self.input.next() {
                        out.push_raw(next.encode_utf8(&mut [0; 4]));
                    }
                }
                c => {
                    self.input.next();
                    out.push(c);
                }
            }
        }
        match stop {
            Some(stop) => Err(format!("syntax error: missing `{stop}` in substitution")),
            None => Ok(out),
        }
    }

    /// Drops the word so far after a substitution with a modifier.
    fn forget(&mut self, out: &mut Output) {
        if std::mem::take(&mut self.modified) {
            out.word.clear();
        }
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        self.input.next();
        let mut text = String::new();
        for c in self.input.by_ref() {
            if c == '\'' {
                return Ok(text);
            }
            text.push(c);
        }
        Err("unexpected end while looking for matching single-quote".into())
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        self.input.next();
        let mut text = String::new();
        while let Some(&c) = self.input.peek() {
            match c {
                '"' => {
                    self.input.next();
                    return Ok(text);
                }
                '$' => text += &self.dollar()?,
                c if c == self.rules.escape => {
                    self.input.next();
                    match self.input.peek() {
                        None => {}
                        Some(&next) if next == '"' || next == '$' || next == self.rules.escape => {
                            if self.raw_escapes {
                                text.push(c);
                            }
                            text.push(next);
                            self.input.next();
                        }
                        Some(_) => text.push(c),
                    }
                }
                c => {
                    self.input.next();
                    text.push(c);
                }
            }
        }
        Err("unexpected end while looking for matching double-quote".into())
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.input.next();
        if self.input.peek() != Some(&'{') {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".into()
            } else {
                self.value(&name).unwrap_or_default()
            });
        }
        self.input.next();
        match self.input.peek() {
            None => return Err("syntax error: missing `}`".into()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            Some(_) => {}
        }
        let name = self.name();
        match self.input.next() {
            None => Err("syntax error: missing `}` in substitution".into()),
            Some('}') => Ok(self.value(&name).unwrap_or_default()),
            Some(':') => match self.input.next() {
                Some(operator @ ('-' | '+' | '?')) => self.conditional(&name, operator, true),
                Some(other) => Err(format!("unsupported modifier (:{other}) in substitution")),
                None => Err("syntax error: missing `}` in substitution".into()),
            },
            Some(operator @ ('-' | '+' | '?')) => self.conditional(&name, operator, false),
            Some(side @ ('#' | '%')) => self.trim(&name, side),
            Some('/') => self.replace(&name),
            Some(other) => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        (self.rules.lookup)(name)
    }

    /// `${v:-w}` and its kin; with a colon, empty counts as unset.
    fn conditional(&mut self, name: &str, operator: char, colon: bool) -> Result<String, String> {
        let word = self.part('}', false)?;
        let value = self.value(name);
        let present = value
            .as_ref()
            .is_some_and(|value| !colon || !value.is_empty());
        match (operator, present) {
            ('+', true) => Ok(word),
            ('+', false) => Ok(String::new()),
            ('-', false) => Ok(word),
            ('?', false) => {
                let state = if value.is_none() { "unset" } else { "empty" };
                let reason = if word.is_empty() {
                    format!("is not allowed to be {state}")
                } else {
                    word
                };
                Err(format!("{name}: {reason}"))
            }
            _ => Ok(value.unwrap_or_default()),
        }
    }

    /// `${v#p}`, `${v##p}`, `${v%p}`, `${v%%p}`.
    fn trim(&mut self, name: &str, side: char) -> Result<String, String> {
        let word = self.part('}', true)?;
        let value = self.value(name).unwrap_or_default();
        let (longest, word) = match word.strip_prefix(side) {
            Some(rest) => (true, rest),
            None => (false, word.as_str()),
        };
        let mut pattern = pattern(word)?;
        let mut text: Vec<char> = value.chars().collect();
        if side == '%' {
            pattern.reverse();
            text.reverse();
        }
        let Some(end) = match_end(&pattern, &text, longest) else {
            return Ok(value);
        };
        let mut rest = text.split_off(end);
        if side == '%' {
            rest.reverse();
        }
        Ok(rest.into_iter().collect())
    }

    /// `${v/p/r}`, `${v//p/r}`.
    fn replace(&mut self, name: &str) -> Result<String, String> {
        let all = self.input.next_if_eq(&'/').is_some();
        let word = self.part('/', true)?;
        let replacement = self.part('}', true)?;
        let value = self.value(name).unwrap_or_default();
        let pattern = pattern(&word)?;
        let text: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        while at <= text.len() {
            match match_end(&pattern, &text[at..], true) {
                Some(len) => {
                    out += &replacement;
                    if len == 0 {
                        // An empty match stands before the next character.
                        out.extend(text.get(at));
                    }
                    at += len.max(1);
                    if !all {
                        out.extend(text.get(at..).unwrap_or_default());
                        return Ok(out);
                    }
                    if at == text.len() && len > 0 {
                        break;
                    }
                }
                None => {
                    out.extend(text.get(at));
                    at += 1;
                }
            }
        }
        Ok(out)
    }

    fn part(&mut self, stop: char, raw_escapes: bool) -> Result<String, String> {
        let before = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let part = self.until(Some(stop));
        self.raw_escapes = before;
        self.modified = true;
        part.map(|output| output.text)
    }

    /// A name, a number, or one special character.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(&c) = self.input.peek() {
            if name.is_empty() && c.is_ascii_digit() {
                while let Some(digit) = self.input.next_if(|c| c.is_ascii_digit()) {
                    name.push(digit);
                }
                return name;
            }
            if name.is_empty() && "@*#?-$!".contains(c) {
                self.input.next();
                return c.to_string();
            }
            if !(c.is_alphanumeric() || c == '_') {
                break;
            }
            name.push(c);
            self.input.next();
        }
        name
    }
}

/// One element of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Is(char),
}

/// `*` and `?`, escaped by `\`; nothing else is special.
fn pattern(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => match characters.next() {
                // `}` and `/` are escaped for the substitution's sake, not the pattern's.
                Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Token::Is(c),
                Some(other) => return Err(format!("invalid escape `\\{other}` in pattern")),
                None => return Err("a pattern ends in a lone `\\`".into()),
            },
            c => Token::Is(c),
        });
    }
    Ok(tokens)
}

/// Where the shortest or longest match that begins at the start of `text` ends. All states of the
/// pattern advance together, so no pattern takes more than length times length.
fn match_end(pattern: &[Token], text: &[char], longest: bool) -> Option<usize> {
    let mut states = vec![false; pattern.len() + 1];
    states[0] = true;
    skip_any(pattern, &mut states);
    let mut found = None;
    for at in 0..=text.len() {
        if states[pattern.len()] {
            found = Some(at);
            if !longest {
                return found;
            }
        }
        let Some(&c) = text.get(at) else { break };
        let mut next = vec![false; pattern.len() + 1];
        let mut alive = false;
        for (state, token) in pattern.iter().enumerate() {
            if !states[state] {
                continue;
            }
            let target = match token {
                Token::Any => state,
                Token::One => state + 1,
                Token::Is(want) if *want == c => state + 1,
                Token::Is(_) => continue,
            };
            next[target] = true;
            alive = true;
        }
        if !alive {
            break;
        }
        skip_any(pattern, &mut next);
        states = next;
    }
    found
}

fn skip_any(pattern: &[Token], states: &mut [bool]) {
    for (state, token) in pattern.iter().enumerate() {
        if states[state] && *token == Token::Any {
            states[state + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests;
