//! Go's `filepath.Match`: `*`, `?`, `[a-z]`, `\`; none of them matches `/`.

/// One element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Any run of characters but `/`.
    Star,
    /// Any run of characters, `/` included (ignore patterns only).
    DeepStar,
    /// `**/`: nothing, or any run that ends in `/` (ignore patterns only).
    DeepPrefix,
    /// One character but `/`.
    One,
    /// One character of ranges, or not.
    Class(Vec<(char, char)>, bool),
    /// This character.
    Is(char),
}

/// A pattern that is not well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPattern;

/// Reads a pattern of `COPY` and `ADD` sources.
pub(super) fn parse(text: &str) -> Result<Vec<Token>, BadPattern> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::One,
            '\\' => Token::Is(characters.next().ok_or(BadPattern)?),
            '[' => class(&mut characters)?,
            c => Token::Is(c),
        });
    }
    Ok(tokens)
}

/// Reads a class after its `[`.
pub(super) fn class(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Token, BadPattern> {
    let negated = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && characters.next_if_eq(&']').is_some() {
            return Ok(Token::Class(ranges, negated));
        }
        let low = class_char(characters)?;
        let high = if characters.next_if_eq(&'-').is_some() {
            class_char(characters)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

fn class_char(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<char, BadPattern> {
    match characters.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => characters.next().ok_or(BadPattern),
        Some(c) => Ok(c),
    }
}

/// Whether a source has characters that make it a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => {
                characters.next();
            }
            _ => {}
        }
    }
    false
}

/// The text without its escapes, for sources that are no patterns.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => out.extend(characters.next()),
            c => out.push(c),
        }
    }
    out
}

/// Whether the whole of `text` matches. All states advance together: no input takes exponential time.
pub(super) fn matches(pattern: &[Token], text: &str) -> bool {
    let mut states = vec![false; pattern.len() + 1];
    enter(pattern, &mut states, 0);
    for c in text.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for (state, token) in pattern
            .iter()
            .enumerate()
            .filter(|(state, _)| states[*state])
        {
            match token {
                Token::Star if c != '/' => enter(pattern, &mut next, state),
                Token::DeepStar => enter(pattern, &mut next, state),
                Token::DeepPrefix => {
                    next[state] = true;
                    if c == '/' {
                        enter(pattern, &mut next, state + 1);
                    }
                }
                Token::One if c != '/' => enter(pattern, &mut next, state + 1),
                Token::Class(ranges, negated) if c != '/' => {
                    let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                    if inside != *negated {
                        enter(pattern, &mut next, state + 1);
                    }
                }
                Token::Is(want) if *want == c => enter(pattern, &mut next, state + 1),
                _ => {}
            }
        }
        states = next;
    }
    states[pattern.len()]
}

/// Marks a state, and those reached from it without consuming anything.
fn enter(pattern: &[Token], states: &mut [bool], first: usize) {
    for (state, mark) in states.iter_mut().enumerate().skip(first) {
        *mark = true;
        if !matches!(
            pattern.get(state),
            Some(Token::Star | Token::DeepStar | Token::DeepPrefix)
        ) {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_follow_go() {
        for (pattern, text, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("d/*", "d/a", true),
            ("?", "/", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("[*]", "*", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
        ] {
            assert_eq!(
                matches(&parse(pattern).unwrap(), text),
                expected,
                "{pattern} {text}"
            );
        }
        for bad in ["[", "[]", "[a", "\\", "[-]"] {
            assert_eq!(parse(bad), Err(BadPattern), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_patterns_never_panic(pattern in ".{0,30}", text in ".{0,30}") {
            if let Ok(tokens) = parse(&pattern) {
                matches(&tokens, &text);
            }
        }
    }
}
