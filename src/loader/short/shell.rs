//! A command line as a list of words, as docker compose splits it: quotes and backslashes, no
//! expansion; an unquoted `;`, `&`, `|`, `<` or `>` ends the list and the rest is dropped.

/// A quote, bracket or backslash without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quote, a bracket or a final backslash is not closed")]
pub struct Unclosed;

/// The words of a command line, and whether an operator cut it short.
pub fn split(text: &str) -> Result<(Vec<String>, bool), Unclosed> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut got = false;
    let (mut escaped, mut double, mut single) = (false, false, false);
    // Between back quotes and in `$(…)` blanks and operators are plain text.
    let (mut back, mut dollar) = (false, false);
    for c in text.chars() {
        if escaped {
            word.push(c);
            escaped = false;
            got = true;
            continue;
        }
        match c {
            '\\' if single => word.push(c),
            '\\' => escaped = true,
            ' ' | '\t' | '\r' | '\n' if single || double || back || dollar => word.push(c),
            ' ' | '\t' | '\r' | '\n' => {
                if got {
                    words.push(std::mem::take(&mut word));
                    got = false;
                }
            }
            '(' if !single && !double && !back => {
                if dollar || !word.ends_with('$') {
                    return Err(Unclosed);
                }
                dollar = true;
                word.push(c);
            }
            '"' if !single && !dollar => {
                if double {
                    got = true;
                }
                double = !double;
            }
            '\'' if !double && !dollar => {
                if single {
                    got = true;
                }
                single = !single;
            }
            ';' | '&' | '|' | '<' | '>' if !single && !double && !back && !dollar => {
                // `2>file`: the digit belongs to the redirection.
                if c == '>' && word.chars().next().is_some_and(|c| c.is_ascii_digit()) {
                    got = false;
                }
                if got {
                    words.push(word);
                }
                return Ok((words, true));
            }
            c => {
                match c {
                    '`' if !single && !double && !dollar => back = !back,
                    ')' if !single && !double && !back => dollar = !dollar,
                    _ => {}
                }
                got = true;
                word.push(c);
            }
        }
    }
    if got {
        words.push(word);
    }
    if escaped || single || double || back || dollar {
        return Err(Unclosed);
    }
    Ok((words, false))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words() {
        let words = |t: &str| split(t).map(|(w, _)| w.join("|"));
        let cases = [
            ("echo a  b", "echo|a|b"),
            ("echo 'a b' \"c d\"", "echo|a b|c d"),
            ("a\\ b", "a b"),
            ("echo a && b", "echo|a"),
            ("echo '' x", "echo||x"),
            ("echo #x", "echo|#x"),
            ("\"a\\tb\"", "atb"),
        ];
        for (text, want) in cases {
            assert_eq!(words(text).as_deref(), Ok(want), "{text}");
        }
        assert!(split("'a").is_err());
        assert!(split("a\\").is_err());
    }
}
