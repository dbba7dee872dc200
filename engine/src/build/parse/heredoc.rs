//! Heredoc words: `[fd]<<[-] NAME`.

use crate::build::expand::Expander;

use super::words::{flags, shell_words, split_instruction};

/// One heredoc of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) struct Heredoc {
    /// The terminator, which is also the file's name for `COPY`.
    pub(in crate::build) name: String,
    /// `false` when any part of the word was in quotes; a backslash is none.
    pub(in crate::build) expand: bool,
    /// `<<-`: leading tabs do not count.
    pub(in crate::build) chomp: bool,
    /// The raw lines of the body.
    pub(in crate::build) content: String,
}

/// The heredocs that an instruction's words announce; their bodies are still empty.
pub(super) fn announced(text: &str) -> Vec<Heredoc> {
    let (mut keyword, mut rest) = split_instruction(text);
    if keyword.eq_ignore_ascii_case("ONBUILD") {
        (keyword, rest) = split_instruction(rest);
    }
    if !["RUN", "COPY", "ADD"]
        .iter()
        .any(|known| keyword.eq_ignore_ascii_case(known))
    {
        return Vec::new();
    }
    let (_, arguments) = flags(rest);
    if super::words::json_strings(arguments).is_some() {
        return Vec::new();
    }
    // Nothing is announced by what is no text of words: a comment with an apostrophe, a substitution that only shells
    // know.
    let expander = Expander {
        escape: '\\',
        // No value is asked for, and none is missing.
        lookup: &|_| Some("x".to_owned()),
        keep_quotes: false,
    };
    if expander.word(arguments).is_err() {
        return Vec::new();
    }
    shell_words(arguments)
        .iter()
        .filter_map(|word| parse_heredoc_word(word))
        .collect()
}

/// Reads one word as a heredoc's announcement.
pub(in crate::build) fn parse_heredoc_word(word: &str) -> Option<Heredoc> {
    let rest = word
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start_matches(is_go_space);
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let mut name = String::new();
    let mut quote = None;
    let mut expand = true;
    let mut characters = rest.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                expand = false;
            }
            (None | Some('"'), '\\') => name.extend(characters.next()),
            (None, c) if c.is_whitespace() => return None,
            (_, c) => name.push(c),
        }
    }
    let closed = quote.is_none() && !name.is_empty();
    closed.then(|| Heredoc {
        expand,
        name,
        chomp,
        content: String::new(),
    })
}

/// Removes the leading tabs of every line, as `<<-` asks.
pub(in crate::build) fn chomp(content: &str) -> String {
    content
        .split_inclusive('\n')
        .map(|line| line.trim_start_matches('\t'))
        .collect()
}

/// What `\s` matches in Go's regular expressions.
fn is_go_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ')
}

#[cfg(test)]
mod tests {
    use super::announced;

    #[test]
    fn blanks_may_stand_before_the_name() {
        let names = |text| -> Vec<String> {
            let found = announced(text);
            found.into_iter().map(|heredoc| heredoc.name).collect()
        };
        assert_eq!(names("RUN cat << EOF > /o"), ["EOF"]);
        assert_eq!(names("RUN <<\t'E F' cat 3<< \\G"), ["E F", "G"]);
        assert_eq!(names("ONBUILD RUN << A <<B"), ["A", "B"]);
        // A shift looks the same.
        assert_eq!(names("RUN echo $((1 << 3))"), ["3))"]);
        assert_eq!(names("RUN cat ${X:?no X} <<A"), ["A"]);
        for none in [
            "RUN echo $((1 << 3)) # don't",
            "RUN echo $((1 << 3)) ${X^^}",
            "RUN cat <<- EOF",
            "RUN cat <<<A",
            "RUN echo '<< A'",
            "RUN x <<",
            "CMD << A",
        ] {
            assert!(names(none).is_empty(), "{none}");
        }
    }
}
