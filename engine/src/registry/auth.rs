//! `WWW-Authenticate` and the tokens it asks for (distribution's token specification, RFC 7235).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password.
    Basic,
    /// A token from somewhere else.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// A token server's answer.
#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Token {
    pub fn into_text(self) -> Option<String> {
        [self.token, self.access_token]
            .into_iter()
            .find(|text| !text.is_empty())
    }
}

pub(super) fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    )
}

/// The strongest challenge of a header we can meet.
pub(super) fn parse(header: &str) -> Option<Challenge> {
    let mut found = None;
    for (scheme, parameters) in challenges(header) {
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => {
                let realm = parameters.get("realm")?.clone();
                return Some(Challenge::Bearer {
                    realm,
                    service: parameters.get("service").cloned(),
                    scope: parameters.get("scope").cloned(),
                });
            }
            "basic" => found = Some(Challenge::Basic),
            _ => {}
        }
    }
    found
}

/// `Scheme a="b", c=d, Other …`: a comma separates parameters and challenges alike; a new
/// challenge begins where a word is followed by another instead of `=`.
fn challenges(header: &str) -> Vec<(String, HashMap<String, String>)> {
    let mut list: Vec<(String, HashMap<String, String>)> = Vec::new();
    let mut rest = header.trim();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c == ',' || c.is_whitespace())
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start();
        if let Some(value) = after.strip_prefix('=') {
            let (value, left) = value_of(value.trim_start());
            if let Some((_, parameters)) = list.last_mut() {
                parameters.insert(word.to_ascii_lowercase(), value);
            }
            rest = left;
        } else {
            if !word.is_empty() {
                list.push((word.to_owned(), HashMap::new()));
            }
            rest = after;
        }
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if end == 0 && rest.starts_with('=') {
            // `==`: nothing sensible can follow.
            break;
        }
    }
    list
}

/// A quoted string or a bare word, and what follows.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| c == ',' || c.is_whitespace())
            .unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_challenges() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(
            parse(hub),
            Some(Challenge::Bearer {
                realm: "https://auth.docker.io/token".to_owned(),
                service: Some("registry.docker.io".to_owned()),
                scope: Some("repository:a/b:pull,push".to_owned()),
            })
        );
        assert_eq!(
            parse(r#"basic realm="x, y", charset="UTF-8""#),
            Some(Challenge::Basic)
        );
        assert_eq!(
            parse(r#"Basic realm="a", Bearer realm=b"#),
            Some(Challenge::Bearer {
                realm: "b".to_owned(),
                service: None,
                scope: None
            })
        );
        assert_eq!(parse("Negotiate"), None);
        assert_eq!(parse(r#"Bearer service="x""#), None);
    }

    proptest! {
        #[test]
        fn arbitrary_headers_never_panic(header in r#"(Bearer|Basic| |,|=|"|\\|[a-z]|é){0,40}"#) {
            let _ = parse(&header);
        }
    }
}
