//! Mounts: `[SOURCE:]TARGET[:OPTIONS]`.

/// A mount of the long form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// Path or volume name; empty: anonymous.
    pub source: &'a str,
    /// Path in the container.
    pub target: &'a str,
    /// `ro`.
    pub read_only: bool,
    /// Whether the source is a path.
    pub bind: bool,
    /// `nocopy`.
    pub nocopy: bool,
    /// Propagation among the options.
    pub propagation: &'a str,
    /// `z` or `Z`.
    pub selinux: &'a str,
    /// Too short to be looked at: docker compose prints no settings for it.
    pub bare: bool,
    /// Options that mean nothing.
    pub unknown: Vec<&'a str>,
}

/// What is wrong with a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum VolumeError {
    #[error("it is empty")]
    Empty,
    #[error("empty section between colons")]
    EmptySection,
    #[error("too many colons")]
    TooManyColons,
}

/// Reads a short mount.
pub fn parse(text: &str) -> Result<Parsed<'_>, VolumeError> {
    match text.len() {
        0 => return Err(VolumeError::Empty),
        1 | 2 => {
            return Ok(Parsed {
                target: text,
                bare: true,
                ..Parsed::default()
            });
        }
        _ => {}
    }
    let sections = sections(text);
    if sections.iter().any(|s| s.is_empty()) {
        return Err(VolumeError::EmptySection);
    }
    let mut parsed = Parsed::default();
    match sections.as_slice() {
        [target] => parsed.target = target,
        [source, target] => (parsed.source, parsed.target) = (source, target),
        [source, target, options] => {
            (parsed.source, parsed.target) = (source, target);
            for option in options.split(',') {
                match option {
                    "ro" => parsed.read_only = true,
                    "rw" => parsed.read_only = false,
                    "nocopy" => parsed.nocopy = true,
                    "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                        parsed.propagation = option;
                    }
                    "z" | "Z" => parsed.selinux = option,
                    other => parsed.unknown.push(other),
                }
            }
        }
        _ => return Err(VolumeError::TooManyColons),
    }
    parsed.bind = is_path(parsed.source);
    Ok(parsed)
}

/// The target alone, for finding repeated mounts.
pub fn target(text: &str) -> Option<&str> {
    parse(text).ok().map(|p| p.target)
}

/// Splits at colons, except after a single letter (a drive) and inside `${…}`.
fn sections(text: &str) -> Vec<&str> {
    let mut list = Vec::new();
    let mut start = 0;
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        match c {
            '$' if text[i + 1..].starts_with('{') => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ':' if depth == 0 => {
                let section = &text[start..i];
                let mut chars = section.chars();
                let drive = chars.next().is_some_and(char::is_alphabetic) && chars.next().is_none();
                if !drive {
                    list.push(section);
                    start = i + 1;
                }
            }
            _ => {}
        }
    }
    list.push(&text[start..]);
    list
}

fn is_path(source: &str) -> bool {
    let mut chars = source.chars();
    match chars.next() {
        None => false,
        Some('.' | '/' | '~') => true,
        Some('\\') => source.starts_with("\\\\"),
        Some(first) => first.is_alphabetic() && chars.next() == Some(':'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts() {
        let show = |text: &str| {
            parse(text).map(|p| {
                format!(
                    "{}|{}|{}{}",
                    p.source,
                    p.target,
                    if p.read_only { "ro" } else { "" },
                    if p.bind { " bind" } else { "" }
                )
            })
        };
        let cases = [
            ("/data", "|/data|"),
            ("data:/data:ro", "data|/data|ro"),
            ("./a:/b", "./a|/b| bind"),
            ("~/a:/b", "~/a|/b| bind"),
            ("c:\\x:/b", "c:\\x|/b| bind"),
            ("v:/v", "|v:/v|"),
            ("aa:/b:cached", "aa|/b|"),
        ];
        for (text, want) in cases {
            assert_eq!(show(text).as_deref(), Ok(want), "{text}");
        }
        for text in ["", "aa::b", ":/bb", "/aa:/bb:ro:xx"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
