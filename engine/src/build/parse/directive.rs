//! Parser directives: `# syntax=`, `# escape=`, `# check=` at the very top of the file.

use std::collections::BTreeSet;

use super::error;
use crate::build::diagnostic::{Diagnostic, Source, Span};

/// What the first lines ask for.
#[derive(Clone, Debug)]
pub(in crate::build) struct Directives {
    /// Continues lines and escapes characters: `\` or a backtick.
    pub(in crate::build) escape: char,
    /// `check=`.
    pub(in crate::build) check: CheckConfig,
    /// How many lines they take at the top of the file.
    pub(in crate::build) lines: usize,
}

/// `# check=skip=A,B;error=true`
#[derive(Clone, Debug, Default)]
pub(in crate::build) struct CheckConfig {
    skip: Rules,
    experimental: Rules,
    /// Any warning fails the build.
    pub(in crate::build) error: bool,
}

/// A set of rules by their exact names.
#[derive(Clone, Debug, Default)]
struct Rules {
    all: bool,
    names: BTreeSet<String>,
}

impl Rules {
    fn parse(value: &str) -> Self {
        match value.trim() {
            "all" => Self {
                all: true,
                names: BTreeSet::new(),
            },
            list => Self {
                all: false,
                names: list.split(',').map(|rule| rule.trim().to_owned()).collect(),
            },
        }
    }

    fn contains(&self, rule: &str) -> bool {
        self.all || self.names.contains(rule)
    }

    fn add(&mut self, other: &Self) {
        self.all |= other.all;
        self.names.extend(other.names.iter().cloned());
    }
}

impl CheckConfig {
    /// Whether a rule is to be reported: an experimental one when it is asked for, others unless skipped.
    pub(in crate::build) fn reports(&self, rule: &str, experimental: bool) -> bool {
        if experimental {
            self.experimental.contains(rule)
        } else {
            !self.skip.contains(rule)
        }
    }

    /// The configuration for one instruction: the first `check=` among the comments above it counts as well.
    pub(in crate::build) fn with_comments(&self, comments: &[String]) -> Self {
        let mut merged = self.clone();
        let own = comments
            .iter()
            .filter_map(|comment| name_and_value(comment))
            .find(|(name, _)| name == "check");
        if let Some((_, value)) = own
            && let Ok(own) = Self::parse(value.split(' ').next().unwrap_or_default())
        {
            merged.skip.add(&own.skip);
            merged.experimental.add(&own.experimental);
        }
        merged
    }

    /// Reads the value of `check=` or of `BUILDKIT_DOCKERFILE_CHECK`.
    pub(in crate::build) fn parse(value: &str) -> Result<Self, String> {
        let mut config = Self::default();
        if value.trim().is_empty() {
            return Ok(config);
        }
        for part in value.split(';') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("`{part}` is not of the form key=value"));
            };
            match key.trim() {
                "skip" => config.skip = Rules::parse(value),
                "experimental" => config.experimental = Rules::parse(value),
                "error" => {
                    config.error = parse_bool(value)
                        .ok_or_else(|| format!("`{value}` is not true or false"))?
                }
                other => {
                    return Err(format!(
                        "unknown key `{other}`; known are skip, error, experimental"
                    ));
                }
            }
        }
        Ok(config)
    }
}

/// Go's `strconv.ParseBool`.
pub(super) fn parse_bool(value: &str) -> Option<bool> {
    match value.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reads the directives of a file. The first line that is not a known directive ends them.
pub(super) fn parse(source: &Source, text: &str) -> Result<Directives, Box<Diagnostic>> {
    let mut directives = Directives {
        escape: '\\',
        check: CheckConfig::default(),
        lines: 0,
    };
    let mut seen = BTreeSet::new();
    for (at, line) in text.split('\n').enumerate() {
        let span = Span::lines(at + 1, at + 1);
        let Some((name, value)) = split(line) else {
            // A script's `#!` line may come before the directives.
            if at == 0 && line.starts_with("#!") {
                directives.lines = 1;
                continue;
            }
            break;
        };
        if !["syntax", "escape", "check"].contains(&name.as_str()) {
            break;
        }
        if !seen.insert(name.clone()) {
            return Err(error(
                source,
                span,
                format!("only one `{name}` parser directive can be used"),
                None,
            ));
        }
        directives.lines = at + 1;
        match name.as_str() {
            "escape" => match value {
                "\\" => directives.escape = '\\',
                "`" => directives.escape = '`',
                other => {
                    let message = format!("invalid escape token `{other}`");
                    return Err(error(
                        source,
                        span,
                        message,
                        Some("`escape` is either ` or \\"),
                    ));
                }
            },
            "check" => {
                directives.check = CheckConfig::parse(value).map_err(|reason| {
                    error(
                        source,
                        span,
                        format!("invalid `check` directive: {reason}"),
                        None,
                    )
                })?;
            }
            // A frontend image is never run: this builder is the frontend.
            _ => {}
        }
    }
    Ok(directives)
}

/// `# name = value` with the name in lower case.
fn split(line: &str) -> Option<(String, &str)> {
    name_and_value(line.trim_start_matches([' ', '\t']).strip_prefix('#')?)
}

/// `name = value` with the name in lower case.
fn name_and_value(text: &str) -> Option<(String, &str)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
        && !value.is_empty();
    valid.then(|| (name.to_ascii_lowercase(), value))
}
