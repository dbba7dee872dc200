//! Parser directives: `# syntax=`, `# escape=`, `# check=` at the very top of the file.

use std::collections::BTreeSet;

use super::error;
use crate::build::diagnostic::{Diagnostic, Source, Span};

/// What the first lines ask for.
#[derive(Clone, Debug)]
pub(in crate::build) struct Directives {
    /// Continues lines and escapes characters: `\` or a backtick.
    pub(in crate::build) escape: char,
    /// `check=`, right or wrong: a build argument may take its place, and then nobody asks.
    pub(in crate::build) check: Result<CheckConfig, Box<Diagnostic>>,
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
        // What follows a second semicolon is one part, as the reference has it.
        for part in value.trim().splitn(3, ';') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("`{part}` is not of the form key=value"));
            };
            match key.trim() {
                "skip" => config.skip = Rules::parse(value),
                "experimental" => config.experimental = Rules::parse(value),
                "error" => {
                    config.error = parse_bool(value.trim())
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
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reads the directives of a file.
///
/// The reference reads them twice, with different eyes: `escape` as the parser meets it, where blanks may stand before
/// `#` and a script's `#!` line ends all; `check` from the untouched text, where it is the other way round.
pub(super) fn parse(source: &Source, text: &str) -> Result<Directives, Box<Diagnostic>> {
    let mut directives = Directives {
        escape: '\\',
        check: check(source, text),
        lines: 0,
    };
    let mut seen = BTreeSet::new();
    for (at, line) in text.split('\n').enumerate() {
        let span = Span::lines(at + 1, at + 1);
        let Some((name, value)) = known(line.trim_start()) else {
            break;
        };
        if !seen.insert(name.clone()) {
            let message = format!("only one `{name}` parser directive can be used");
            return Err(error(source, span, message, None));
        }
        directives.lines = at + 1;
        // A frontend image is never run: this builder is the frontend.
        if name == "escape" {
            directives.escape = match value {
                "\\" => '\\',
                "`" => '`',
                other => {
                    let message = format!("invalid escape token `{other}`");
                    let help = "`escape` is either ` or \\";
                    return Err(error(source, span, message, Some(help)));
                }
            };
        }
    }
    Ok(directives)
}

/// The `check` directive.
fn check(source: &Source, text: &str) -> Result<CheckConfig, Box<Diagnostic>> {
    let shebang = usize::from(text.starts_with("#!"));
    for (at, line) in text.split('\n').enumerate().skip(shebang) {
        let Some((name, value)) = known(line) else {
            break;
        };
        if name != "check" {
            continue;
        }
        // Only the first word counts.
        let value = value.split(' ').next().unwrap_or_default();
        return CheckConfig::parse(value).map_err(|reason| {
            let message = format!("invalid `check` directive: {reason}");
            error(source, Span::lines(at + 1, at + 1), message, None)
        });
    }
    Ok(CheckConfig::default())
}

/// A line that is a directive: its name in lower case and its value.
fn known(line: &str) -> Option<(String, &str)> {
    let (name, value) = name_and_value(line.strip_prefix('#')?)?;
    ["syntax", "escape", "check"]
        .contains(&name.as_str())
        .then_some((name, value))
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
