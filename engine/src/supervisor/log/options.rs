//! The options of the log drivers `json-file` and `local`, in Docker's words.

use std::collections::BTreeMap;

use regex::Regex;

use crate::container::record::Record;

/// Bytes that may wait to be written where the program is not to be held back, as with Docker.
const BUFFER: u64 = 1 << 20;

/// What options ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Largest file in bytes; `None` never rotates.
    pub max_size: Option<u64>,
    /// How many files, the present one included.
    pub max_file: u32,
    /// The former files are compressed.
    pub compress: bool,
    /// Bytes that may wait to be written before the program is held back; `None` is what a pipe holds by itself.
    /// What cannot be written is dropped in any case.
    pub buffer: Option<u64>,
    /// Labels that every entry carries.
    pub labels: Keys,
    /// Variables that every entry carries.
    pub env: Keys,
    /// What every entry carries as its tag.
    pub tag: Tag,
}

/// Which of some keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    names: Vec<String>,
    /// A regular expression, found valid, that some part of a key matches.
    pattern: Option<String>,
}

impl Keys {
    /// Whether a key is one of them.
    fn matcher(&self) -> impl Fn(&str) -> bool {
        let pattern = self.pattern.as_deref();
        let pattern = pattern.and_then(|text| Regex::new(text).ok());
        move |key| {
            self.names.iter().any(|name| name == key)
                || pattern
                    .as_ref()
                    .is_some_and(|pattern| pattern.is_match(key))
        }
    }
}

/// The template of a tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag(Vec<Piece>);

/// A piece of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(&'static str),
}

/// What a tag may name, in Docker's words.
const FIELDS: &[&str] = &[
    "ID",
    "FullID",
    "Name",
    "ImageID",
    "ImageFullID",
    "ImageName",
    "DaemonName",
];

impl Default for LogOptions {
    /// 20 MB × 5, as Docker's `local` driver: nobody's disk is filled by a log.
    fn default() -> Self {
        Self {
            max_size: Some(20_000_000),
            max_file: 5,
            compress: false,
            buffer: None,
            labels: Keys::default(),
            env: Keys::default(),
            tag: Tag::default(),
        }
    }
}

impl LogOptions {
    /// Reads driver options.
    ///
    /// # Errors
    /// What is wrong, each with the option's name.
    pub fn parse(given: &BTreeMap<String, String>) -> Result<Self, Vec<(String, String)>> {
        let mut options = Self::default();
        let mut wrong = Vec::new();
        for (key, value) in given {
            if let Err(reason) = options.set(key, value) {
                let message = format!("log option `{key}={value}` {reason}");
                wrong.push((key.clone(), message));
            }
        }
        if wrong.is_empty() {
            let reason = options.contradiction(given);
            let of_key =
                |(key, reason)| (str::to_owned(key), format!("log option `{key}` {reason}"));
            wrong.extend(reason.map(of_key));
        }
        if wrong.is_empty() {
            Ok(options)
        } else {
            Err(wrong)
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let names = || value.split(',').map(str::trim).map(str::to_owned).collect();
        let pattern = || match Regex::new(value) {
            Ok(_) => Ok((!value.is_empty()).then(|| value.to_owned())),
            Err(_) => Err("is not a regular expression"),
        };
        match key {
            "max-size" if value == "-1" => self.max_size = None,
            "max-size" => self.max_size = Some(size(value).ok_or("is not a size like `10m`")?),
            "max-file" => {
                let number = value.parse().ok().filter(|n| *n > 0);
                self.max_file = number.ok_or("is not a positive number")?;
            }
            "compress" => {
                self.compress = match value {
                    "true" | "True" | "TRUE" | "t" | "T" | "1" => true,
                    "false" | "False" | "FALSE" | "f" | "F" | "0" => false,
                    _ => return Err("is neither `true` nor `false`"),
                };
            }
            "mode" => match value {
                "blocking" => {}
                "non-blocking" => self.buffer = self.buffer.or(Some(BUFFER)),
                _ => return Err("is neither `blocking` nor `non-blocking`"),
            },
            "max-buffer-size" => self.buffer = Some(size(value).ok_or("is not a size like `4m`")?),
            "labels" => self.labels.names = names(),
            "labels-regex" => self.labels.pattern = pattern()?,
            "env" => self.env.names = names(),
            "env-regex" => self.env.pattern = pattern()?,
            "tag" => self.tag = Tag(pieces(value)?),
            _ => {
                return Err(
                    "is not supported; there are `max-size`, `max-file`, `compress`, `mode`, `max-buffer-size`, `labels`, `labels-regex`, `env`, `env-regex` and `tag`",
                );
            }
        }
        Ok(())
    }

    /// An option without another that it needs, and why it needs it.
    fn contradiction(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Option<(&'static str, &'static str)> {
        if self.compress && (self.max_file < 2 || self.max_size.is_none()) {
            let reason =
                "needs files that are rotated: a `max-size`, and a `max-file` of 2 or more";
            return Some(("compress", reason));
        }
        let non_blocking = given.get("mode").is_some_and(|mode| mode == "non-blocking");
        let is_lone = given.contains_key("max-buffer-size") && !non_blocking;
        is_lone.then_some(("max-buffer-size", "needs `mode=non-blocking`"))
    }

    /// What every entry of a container's log carries, as JSON; `None` is nothing.
    pub fn attributes(&self, record: &Record) -> Option<String> {
        let wanted = self.labels.matcher();
        let labels = record.resolved.labels.iter();
        let mut found: BTreeMap<&str, String> = labels
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let wanted = self.env.matcher();
        for line in &record.resolved.env {
            if let Some((name, value)) = line.split_once('=')
                && wanted(name)
            {
                found.insert(name, value.to_owned());
            }
        }
        let Tag(tag) = &self.tag;
        if !tag.is_empty() {
            let tag = tag.iter().map(|piece| piece.text(record));
            found.insert("tag", tag.collect());
        }
        (!found.is_empty())
            .then(|| serde_json::to_string(&found).ok())
            .flatten()
    }
}

impl Piece {
    fn text(&self, record: &Record) -> String {
        let field = match self {
            Self::Text(text) => return text.clone(),
            Self::Field(field) => *field,
        };
        let image = record.image_id.trim_start_matches("sha256:");
        match field {
            "ID" => record.id.short().to_owned(),
            "FullID" => record.id.to_string(),
            "ImageID" => image.get(..12).unwrap_or(image).to_owned(),
            "ImageFullID" => record.image_id.clone(),
            "ImageName" => record.spec.image.clone(),
            "DaemonName" => "gantry".to_owned(),
            _ => record.name.to_string(),
        }
    }
}

/// A template of text and `{{.Field}}`.
fn pieces(text: &str) -> Result<Vec<Piece>, &'static str> {
    const UNKNOWN: &str = "is not understood: `{{.ID}}`, `{{.FullID}}`, `{{.Name}}`, `{{.ImageID}}`, `{{.ImageFullID}}`, `{{.ImageName}}` and `{{.DaemonName}}` are known";
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (field, after) = after.split_once("}}").ok_or(UNKNOWN)?;
        let field = field.trim().strip_prefix('.').ok_or(UNKNOWN)?;
        let field = FIELDS
            .iter()
            .find(|known| **known == field)
            .ok_or(UNKNOWN)?;
        if !before.is_empty() {
            found.push(Piece::Text(before.to_owned()));
        }
        found.push(Piece::Field(field));
        rest = after;
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest.to_owned()));
    }
    Ok(found)
}

/// `10m`, `512k`, `1g`, `100`: go-units' decimal multiples, more than nothing.
fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        _ => return None,
    };
    let bytes = digits.trim().parse::<u64>().ok()?.checked_mul(factor)?;
    (bytes > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<LogOptions, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        LogOptions::parse(&options.iter().map(owned).collect()).map_err(|mut wrong| {
            let (key, message) = wrong.remove(0);
            assert!(message.contains(&key));
            message
        })
    }

    #[test]
    fn options_are_understood_or_named() {
        assert_eq!(parse(&[]).unwrap(), LogOptions::default());
        let custom = parse(&[("max-size", "10m"), ("max-file", "3")]).unwrap();
        assert_eq!((custom.max_size, custom.max_file), (Some(10_000_000), 3));
        assert_eq!(parse(&[("max-size", "-1")]).unwrap().max_size, None);
        let mode = ("mode", "non-blocking");
        assert_eq!(parse(&[mode]).unwrap().buffer, Some(BUFFER));
        let custom = parse(&[mode, ("max-buffer-size", "4m")]).unwrap();
        assert_eq!(custom.buffer, Some(4_000_000));
        assert!(parse(&[("compress", "true")]).unwrap().compress);
        for (key, value) in [
            ("max-size", "x"),
            ("max-size", "0"),
            ("max-file", "0"),
            ("mode", "fast"),
            ("max-buffer-size", "1m"),
            ("tag", "{{.Nothing}}"),
            ("tag", "{{.Name"),
            ("tag", "{{upper .Name}}"),
            ("compress", "yes"),
            ("labels-regex", "("),
            ("env-regex", "*"),
            ("splunk-token", "x"),
        ] {
            assert!(parse(&[(key, value)]).unwrap_err().contains(key), "{key}");
        }
        assert!(parse(&[("compress", "true"), ("max-file", "1")]).is_err());
        assert!(parse(&[("compress", "true"), ("max-size", "-1")]).is_err());
    }

    #[test]
    fn keys_are_named_or_matched() {
        let options = parse(&[("labels", "a, b"), ("labels-regex", "^com\\.")]).unwrap();
        let wanted = options.labels.matcher();
        let found = ["a", "b", "ab", "com.x", "x.com."].map(wanted);
        assert_eq!(found, [true, true, false, true, false]);
        assert!(!options.env.matcher()("a"));
    }

    #[test]
    fn tags_are_text_and_fields() {
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(
            pieces("a/{{.Name}}/{{ .ID }}").unwrap(),
            [
                text("a/"),
                Piece::Field("Name"),
                text("/"),
                Piece::Field("ID")
            ]
        );
        assert_eq!(pieces("").unwrap(), []);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".*") {
            let _ = size(&text);
            let _ = pieces(&text);
        }
    }
}
