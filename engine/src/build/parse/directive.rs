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
}

/// `# check=skip=A,B;error=true`
#[derive(Clone, Debug, Default)]
pub(in crate::build) struct CheckConfig {
    /// Rules that are not reported, in lower case; `all` is every one.
    pub(in crate::build) skip: BTreeSet<String>,
    /// Any warning fails the build.
    pub(in crate::build) error: bool,
}

impl CheckConfig {
    /// Whether a rule is to be reported.
    pub(in crate::build) fn reports(&self, rule: &str) -> bool {
        !self.skip.contains("all") && !self.skip.contains(&rule.to_ascii_lowercase())
    }

    /// Reads the value of `check=` or of `BUILDKIT_DOCKERFILE_CHECK`.
    pub(in crate::build) fn parse(value: &str) -> Result<Self, String> {
        let mut config = Self::default();
        for part in value
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("`{part}` is not of the form key=value"));
            };
            match key.trim().to_ascii_lowercase().as_str() {
                "skip" => {
                    config.skip.extend(
                        value
                            .split(',')
                            .map(|rule| rule.trim().to_ascii_lowercase()),
                    );
                }
                // Experimental rules are reported like any other.
                "experimental" => {}
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
    };
    let mut seen = BTreeSet::new();
    for (at, line) in text.split('\n').enumerate() {
        let span = Span::lines(at + 1, at + 1);
        let Some((name, value)) = split(line) else {
            // A script's `#!` line may come before the directives.
            if at == 0 && line.starts_with("#!") {
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
    let rest = line.trim_start_matches([' ', '\t']).strip_prefix('#')?;
    let (name, value) = rest.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
        && !value.is_empty();
    valid.then(|| (name.to_ascii_lowercase(), value))
}
