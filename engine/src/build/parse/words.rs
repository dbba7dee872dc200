//! Splitting an instruction's text: keyword, flags, words with and without quotes, JSON form.

/// The blanks that separate words.
fn is_separator(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Keyword and the rest without surrounding blanks.
pub(super) fn split_instruction(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.find(is_separator) {
        Some(at) => (&text[..at], text[at..].trim()),
        None => (text, ""),
    }
}

/// Leading `--flag` words, quotes and escapes processed, and the text after them.
pub(super) fn flags(text: &str) -> (Vec<String>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (found, rest);
        }
        let mut word = String::new();
        let mut quote = None;
        let mut quoted = false;
        let mut end = rest.len();
        let mut characters = rest.char_indices();
        while let Some((at, c)) = characters.next() {
            match (quote, c) {
                (None, c) if c.is_whitespace() => {
                    end = at;
                    break;
                }
                (None, '\'' | '"') => {
                    quote = Some(c);
                    quoted = true;
                }
                (Some(open), c) if c == open => quote = None,
                (_, '\\') => word.extend(characters.next().map(|(_, c)| c)),
                (_, c) => word.push(c),
            }
        }
        rest = &rest[end..];
        if word == "--" {
            return (found, rest.trim_start());
        }
        if quoted || !word.is_empty() {
            found.push(word);
        }
    }
}

/// Words separated by blanks, quotes left alone.
pub(in crate::build) fn split_blank(text: &str) -> Vec<String> {
    text.split(is_separator)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Words of `ENV`, `LABEL`, `ARG`: blanks inside quotes and after the escape character do not
/// separate. Quotes and escapes stay in the words; expansion removes them.
pub(super) fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut started = false;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match quote {
            None if c.is_whitespace() => {
                if started {
                    words.push(std::mem::take(&mut word));
                    started = false;
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            // An escape character at the very end is dropped.
            if let Some(next) = characters.next() {
                word.push(c);
                word.push(next);
                started = true;
            }
            continue;
        }
        word.push(c);
        started = true;
    }
    if started {
        words.push(word);
    }
    words
}

/// Words as a shell would see them, with quotes and escapes left in; stops at an unclosed quote. Blanks after `<<`
/// are part of the word that they begin, as BuildKit has it.
pub(super) fn shell_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => {
                word.push(c);
                word.extend(characters.next());
                continue;
            }
            (None, '<') if characters.peek() == Some(&'<') => {
                word.push(c);
                word.extend(characters.next());
                while let Some(blank) = characters.next_if(|c| c.is_whitespace()) {
                    word.push(blank);
                }
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if quote.is_none() && !word.is_empty() {
        words.push(word);
    }
    words
}

/// The JSON form: `None` when the text is not JSON, `Some(Err)` when it is an array of other things than strings.
pub(super) fn json_strings(text: &str) -> Option<Result<Vec<String>, NotStrings>> {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return None;
    }
    let values: Vec<serde_json::Value> = serde_json::from_str(text).ok()?;
    let strings = values
        .into_iter()
        .map(|value| match value {
            serde_json::Value::String(text) => Ok(text),
            _ => Err(NotStrings),
        })
        .collect();
    Some(strings)
}

/// A JSON array that holds something else than strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotStrings;
