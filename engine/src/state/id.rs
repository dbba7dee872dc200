//! Container ids and names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Classify, ErrorKind};

/// A container's id: 64 lower-case hexadecimal digits, random.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// Why a text is not an id or a name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not an id.
    #[error("`{0}` is not a container id (64 hexadecimal digits)")]
    Id(String),
    /// Not a name.
    #[error(
        "invalid name `{0}`: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed, at least two characters, at most 255"
    )]
    Name(String),
}

impl Classify for IdError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl ContainerId {
    /// A new one from the kernel's random numbers.
    pub fn random() -> std::io::Result<Self> {
        let mut text = base16ct::lower::encode_string(&crate::sys::random::<32>()?);
        // Twelve digits that are all decimal would be taken for a number by shells and host
        // name parsers; Docker rolls again, a letter in front does the same in one step.
        if text.as_bytes()[..12].iter().all(u8::is_ascii_digit) {
            text.replace_range(0..1, "a");
        }
        Ok(Self(text))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, as shown in tables.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 64 && text.as_bytes().iter().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Id(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ContainerId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

/// A name of a container or volume: safe as a file name, at least two characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        // Docker's rule; a leading slash is how its API writes a name.
        let name = text.strip_prefix('/').unwrap_or(text);
        let bytes = name.as_bytes();
        let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if (2..=255).contains(&bytes.len())
            && bytes[0].is_ascii_alphanumeric()
            && bytes.iter().all(inner)
        {
            Ok(Self(name.to_owned()))
        } else {
            Err(IdError::Name(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_digits_and_differ() {
        let (a, b) = (
            ContainerId::random().unwrap(),
            ContainerId::random().unwrap(),
        );
        assert_ne!(a, b);
        assert_eq!(a, a.as_str().parse().unwrap());
        assert!(a.short().bytes().any(|b| b.is_ascii_alphabetic()));
    }

    #[test]
    fn names_follow_dockers_rule() {
        for good in ["ab", "web-1", "a.b_c", "/web", "0a"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "-ab",
            "a/b",
            "..",
            "a b",
            "ü1",
            "a\0",
            &"x".repeat(256),
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_name_is_always_one_safe_path_component(text in ".*") {
            if let Ok(name) = text.parse::<Name>() {
                let path = std::path::Path::new(name.as_str());
                proptest::prop_assert_eq!(path.components().count(), 1);
                proptest::prop_assert!(path.file_name().is_some());
            }
        }
    }
}
