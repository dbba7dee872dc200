//! Image references: `[host[:port]/]path[:tag][@digest]`.
//!
//! The rules are those of the distribution project: a first component with a `.`, a `:`
//! or the name `localhost` is a registry host, everything else is on docker.io, where
//! one-part names live below `library/`. Upper case in a repository is refused, with
//! the reason. Looking up ids is not done here: see [`super::ImageStore::resolve`].

use std::fmt;
use std::str::FromStr;

use crate::content::Digest;

/// The registry that names without a host mean.
pub const DEFAULT_HOST: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
/// Host and repository together (distribution specification, "Pulling manifests").
const NAME_LIMIT: usize = 255;

/// A name for an image, complete: host, repository, and a tag or a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("an image reference is empty")]
    Empty,
    /// Repository names are lower case.
    #[error("invalid image reference `{0}`: a repository name must be lower case")]
    UpperCase(String),
    /// The part before the first `/`.
    #[error("invalid image reference `{0}`: `{1}` is no registry host")]
    Host(String, String),
    /// A component of the path.
    #[error(
        "invalid image reference `{0}`: a repository is made of `[a-z0-9]+` joined by `.`, `_`, `__`, `-` and `/`"
    )]
    Repository(String),
    /// After the last `:`.
    #[error(
        "invalid image reference `{0}`: a tag is 1 to 128 of `[A-Za-z0-9_.-]`, not starting with `.` or `-`"
    )]
    Tag(String),
    /// After the `@`.
    #[error("invalid image reference `{reference}`")]
    Digest {
        /// The whole text.
        reference: String,
        /// What is wrong with its digest.
        source: crate::content::DigestError,
    },
    /// Host and repository exceed 255 characters.
    #[error("invalid image reference `{0}`: host and repository exceed 255 characters")]
    TooLong(String),
    /// 64 hex digits could only be an image id.
    #[error("invalid image reference `{0}`: 64 hex digits are an image id, not a name")]
    LooksLikeId(String),
}

impl Reference {
    /// Parses a reference and completes it: `nginx` is `docker.io/library/nginx:latest`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let shown = || text.chars().take(300).collect::<String>();
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|source| ReferenceError::Digest {
                    reference: shown(),
                    source,
                })?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        // A colon after the last slash begins a tag; before it, a port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(ReferenceError::Tag(shown()));
        }
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if is_explicit_host(host) => (host, path),
            _ => (DEFAULT_HOST, name),
        };
        if !is_host(host) {
            return Err(ReferenceError::Host(
                shown(),
                host.chars().take(100).collect(),
            ));
        }
        let host = if host == "index.docker.io" {
            DEFAULT_HOST
        } else {
            host
        };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::UpperCase(shown()));
        }
        if !path.split('/').all(is_component) {
            return Err(ReferenceError::Repository(shown()));
        }
        if host == DEFAULT_HOST && digest.is_none() && Digest::from_hex(path).is_ok() {
            return Err(ReferenceError::LooksLikeId(shown()));
        }
        let repository = if host == DEFAULT_HOST && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if host.len() + 1 + repository.len() > NAME_LIMIT {
            return Err(ReferenceError::TooLong(shown()));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_TAG.to_owned()),
        };
        Ok(Self {
            host: host.to_owned(),
            repository,
            tag,
            digest,
        })
    }

    /// The registry's host and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository on that host.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag. There is none only where there is a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository with another tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Tag(tag.chars().take(300).collect()));
        }
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }

    /// The same repository with a digest and no tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The repository as people write it: `nginx`, `quay.io/a/b`.
    pub fn familiar_name(&self) -> String {
        if self.host != DEFAULT_HOST {
            return format!("{}/{}", self.host, self.repository);
        }
        // What begins like a host's name needs the host before it.
        if let Some((first, _)) = self.repository.split_once('/')
            && is_explicit_host(first)
        {
            return format!("{}/{}", self.host, self.repository);
        }
        match self.repository.strip_prefix("library/") {
            // `library/a/b` keeps its prefix: without it the text would mean another name.
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.repository.clone(),
        }
    }

    /// The whole reference as people write it: `nginx:latest`.
    pub fn familiar(&self) -> String {
        let mut text = self.familiar_name();
        self.push_suffix(&mut text);
        text
    }

    fn push_suffix(&self, text: &mut String) {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
    }
}

/// Whether a reference, as the user wrote it, means the built-in image. The full name
/// `docker.io/library/host` does not: that is the registry's.
pub fn is_host_image(text: &str) -> bool {
    matches!(text, "host" | "host:latest")
}

fn is_explicit_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
        // The distribution rules also take a first part with upper case for a host.
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                if address.parse::<std::net::Ipv6Addr>().is_err() {
                    return false;
                }
                (
                    None,
                    port.strip_prefix(':').or((!port.is_empty()).then_some("x")),
                )
            }
            None => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    let name_is_right = name.is_none_or(|name| {
        !name.is_empty()
            && name.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            })
    });
    name_is_right
        && port.is_none_or(|port| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
        })
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !bytes.first().is_some_and(alphanumeric) || !bytes.last().is_some_and(alphanumeric) {
        return false;
    }
    bytes.split(alphanumeric).all(|separator| {
        matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
    })
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}/{}", self.host, self.repository);
        self.push_suffix(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, complete: &str, familiar: &str) {
        let reference = Reference::parse(text).unwrap();
        assert_eq!(reference.to_string(), complete, "{text}");
        assert_eq!(reference.familiar(), familiar, "{text}");
        assert_eq!(Reference::parse(complete).unwrap(), reference, "{text}");
        assert_eq!(Reference::parse(familiar).unwrap(), reference, "{text}");
    }

    #[test]
    fn completes_short_names() {
        let hex = "a".repeat(64);
        check("nginx", "docker.io/library/nginx:latest", "nginx:latest");
        check("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27");
        check("a/b", "docker.io/a/b:latest", "a/b:latest");
        check(
            "library/nginx",
            "docker.io/library/nginx:latest",
            "nginx:latest",
        );
        check("index.docker.io/a/b:T", "docker.io/a/b:T", "a/b:T");
        check(
            "docker.io/library/host",
            "docker.io/library/host:latest",
            "host:latest",
        );
        check(
            "library/a/b",
            "docker.io/library/a/b:latest",
            "library/a/b:latest",
        );
        check("localhost/x", "localhost/x:latest", "localhost/x:latest");
        check(
            "index.docker.io/example.com/x",
            "docker.io/example.com/x:latest",
            "docker.io/example.com/x:latest",
        );
        check(
            "localhost:5000/x:y",
            "localhost:5000/x:y",
            "localhost:5000/x:y",
        );
        check(
            "127.0.0.1:5000/a/b/c",
            "127.0.0.1:5000/a/b/c:latest",
            "127.0.0.1:5000/a/b/c:latest",
        );
        check("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest");
        check(
            "quay.io/a__b/c--d.e_f",
            "quay.io/a__b/c--d.e_f:latest",
            "quay.io/a__b/c--d.e_f:latest",
        );
        check(
            &format!("x@sha256:{hex}"),
            &format!("docker.io/library/x@sha256:{hex}"),
            &format!("x@sha256:{hex}"),
        );
        check(
            &format!("x:t@sha256:{hex}"),
            &format!("docker.io/library/x:t@sha256:{hex}"),
            &format!("x:t@sha256:{hex}"),
        );
    }

    #[test]
    fn refuses_what_registries_refuse() {
        let long = "a/".repeat(130) + "a";
        for bad in [
            "",
            ":x",
            "a:",
            "a:-x",
            "a:.x",
            "a b",
            "a/",
            "/a",
            "a//b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "A",
            "a/B",
            "quay.io/A",
            "a@",
            "a@sha256:12",
            "a@md5:00",
            "a@sha256:00@x",
            "x.y:port/a",
            "x.y:99999/a",
            "[::1/a",
            "[x]/a",
            "[::1]5/a",
            "-x.y/a",
            "é",
            "a\n",
            "../a",
            "a/../b",
            &"a".repeat(64),
            &long,
            &format!("a:{}", "t".repeat(129)),
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn knows_the_built_in_image_by_its_short_name_only() {
        assert!(is_host_image("host") && is_host_image("host:latest"));
        assert!(
            !is_host_image("docker.io/library/host")
                && !is_host_image("library/host")
                && !is_host_image("host:1")
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics_and_what_parses_round_trips(text in "[a-zA-Z0-9./:@_\\[\\]-]{0,60}|.{0,60}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference.clone()));
                prop_assert_eq!(Reference::parse(&reference.familiar()), Ok(reference.clone()));
            }
        }
    }
}
