//! What the lists of all nouns share: `--filter`, labels, ids, and what `prune` has removed.

use std::collections::BTreeMap;

use gantry_engine::engine::PruneFilter;
use jiff::Timestamp;
use regex::Regex;

use crate::cli::error::CliError;
use crate::cli::output::print;
use crate::cli::time;

/// Go's zero time, which stands for one that is not known.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// What `--filter` may say for every `prune`.
pub const PRUNE: &[&str] = &["label", "label!", "until"];

/// `--filter key=value`, repeated. Values of one key are alternatives, except labels, which must
/// all fit; the keys must all fit.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    pairs: Vec<(String, String)>,
    names: Vec<Regex>,
}

impl Filters {
    /// Reads the flag's values.
    ///
    /// # Errors
    /// When one is no `key=value`, or its key is none of `known`.
    pub fn parse(list: &[String], known: &[&str]) -> Result<Self, CliError> {
        let (mut pairs, mut names) = (Vec::new(), Vec::new());
        for text in list {
            // `label!=x` has the key `label!`.
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| CliError::usage(format!("filter `{text}`: expected key=value")))?;
            if !known.contains(&key) {
                return Err(CliError::usage(format!(
                    "filter `{key}` is not supported: {}",
                    known.join(", ")
                )));
            }
            if key == "name" {
                let name = Regex::new(value).map_err(|error| {
                    // The lines before the last one show the pattern again.
                    let error = error.to_string();
                    let why = error.lines().last().unwrap_or_default();
                    let why = why.trim_start_matches("error: ");
                    CliError::usage(format!("filter `{text}` is no regular expression: {why}"))
                })?;
                names.push(name);
            }
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self { pairs, names })
    }

    /// The values of a key.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let of_key = self.pairs.iter().filter(move |(other, _)| other == key);
        of_key.map(|(_, value)| value.as_str())
    }

    /// Whether a key was given.
    pub fn has(&self, key: &str) -> bool {
        self.values(key).next().is_some()
    }

    /// Whether one of a key's values fits, or there is none.
    pub fn any(&self, key: &str, fits: impl Fn(&str) -> bool) -> bool {
        !self.has(key) || self.values(key).any(fits)
    }

    /// Whether a part of a name fits one of the regular expressions after `name=`, or there is none.
    pub fn name(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted.is_match(name))
    }

    /// Whether all wanted labels are there.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.values("label").all(|wanted| {
            let (key, value) = label(wanted);
            labels
                .get(&key)
                .is_some_and(|found| value.is_none_or(|value| value == *found))
        })
    }

    /// A key that is `true` or `false`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, CliError> {
        let read = |value: &str| match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(CliError::usage(format!(
                "filter `{key}={other}`: true or false"
            ))),
        };
        self.values(key).last().map(read).transpose()
    }

    /// What `prune` removes.
    ///
    /// # Errors
    /// When a time is none.
    pub fn prune(&self) -> Result<PruneFilter, CliError> {
        let now = Timestamp::now();
        let until: Option<&str> = self.values("until").last();
        Ok(PruneFilter {
            until: until.map(|text| time::parse(text, now)).transpose()?,
            labels: self.values("label").map(label).collect(),
            without: self.values("label!").map(label).collect(),
        })
    }
}

/// `key` or `key=value`.
fn label(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}

/// Labels in one cell: `a=1,b=2`.
pub fn labels_text(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(",")
}

/// An id, whole or its first twelve digits.
pub fn id(id: &str, whole: bool) -> String {
    if whole {
        id.to_owned()
    } else {
        id.chars().take(12).collect()
    }
}

/// Docker's form of a time in lists.
pub fn created(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// One name a line.
///
/// # Errors
/// As [`print()`].
pub fn print_lines<T: std::fmt::Display>(
    lines: impl IntoIterator<Item = T>,
) -> Result<(), CliError> {
    let lines = lines.into_iter().map(|line| format!("{line}\n"));
    print(&lines.collect::<String>())
}

/// What `prune` has removed, with a title and an empty line after it; nothing when it is nothing.
///
/// # Errors
/// As [`print()`].
pub fn print_deleted(what: &str, names: &[String]) -> Result<(), CliError> {
    if names.is_empty() {
        return Ok(());
    }
    let lines = names.iter().map(|name| format!("{name}\n"));
    print(&format!("Deleted {what}:\n{}\n", lines.collect::<String>()))
}

/// The last line of `prune`.
///
/// # Errors
/// As [`print()`].
pub fn print_reclaimed(bytes: u64) -> Result<(), CliError> {
    let size = crate::ui::text::size(bytes);
    print(&format!("Total reclaimed space: {size}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(list: &[&str]) -> Result<Filters, CliError> {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        Filters::parse(&list, &["name", "label", "label!", "until", "dangling"])
    }

    #[test]
    fn keys_must_all_fit_and_values_of_one_are_alternatives() {
        let found = filters(&["name=a", "name=b", "label=x", "label=y=1"]).unwrap();
        assert!(found.any("name", |value| value == "b"));
        assert!(!found.any("name", |value| value == "c"));
        assert!(found.any("dangling", |_| false));
        let labels = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = list.iter().map(|(k, v)| ((*k).into(), (*v).into()));
            pairs.collect()
        };
        assert!(found.labels(&labels(&[("x", ""), ("y", "1")])));
        assert!(!found.labels(&labels(&[("x", ""), ("y", "2")])));
        assert!(!found.labels(&labels(&[("y", "1")])));
    }

    #[test]
    fn names_are_regular_expressions() {
        let fits = |pattern: &str, name| filters(&[pattern]).unwrap().name(name);
        for (pattern, expected) in [
            ("name=web", true),
            ("name=^web", false),
            ("name=^blog-web-1$", true),
            ("name=blog.*[0-9]$", true),
            ("name=db|web", true),
            ("name=web-\\d+$", true),
            ("name=db", false),
        ] {
            assert_eq!(fits(pattern, "blog-web-1"), expected, "{pattern}");
        }
        let error = filters(&["name=a["]).unwrap_err().to_string();
        assert!(error.contains("name=a["), "{error}");
    }

    #[test]
    fn unknown_filters_are_named() {
        let error = filters(&["colour=red"]).unwrap_err().to_string();
        assert!(error.contains("colour"), "{error}");
        assert!(filters(&["label"]).is_err());
        assert!(
            filters(&["dangling=perhaps"])
                .unwrap()
                .flag("dangling")
                .is_err()
        );
        let prune = filters(&["label!=keep", "until=10m"])
            .unwrap()
            .prune()
            .unwrap();
        assert_eq!(prune.without, [("keep".to_owned(), None)]);
        assert!(prune.until.is_some());
    }
}
