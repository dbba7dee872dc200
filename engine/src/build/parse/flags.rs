//! The flags of an instruction: known or refused, given once or often, with values of their kind.

use super::error;
use super::instruction::{Line, Result};
use super::mount::MountText;
use crate::build::diagnostic::{Diagnostic, did_you_mean};
use crate::build::values;

impl Line<'_> {
    pub(super) fn error(&self, message: impl Into<String>, help: Option<&str>) -> Box<Diagnostic> {
        error(self.source, self.span, message, help)
    }

    pub(super) fn unknown_flag(&self, name: &str) -> Box<Diagnostic> {
        let known: &[&str] = match self.keyword.as_str() {
            "FROM" => &["platform"],
            "RUN" => &["mount", "network", "security", "device"],
            "COPY" => &["from", "chown", "chmod", "link", "parents", "exclude"],
            "ADD" => &[
                "chown",
                "chmod",
                "link",
                "exclude",
                "checksum",
                "keep-git-dir",
                "unpack",
            ],
            "HEALTHCHECK" => &[
                "interval",
                "timeout",
                "start-period",
                "start-interval",
                "retries",
            ],
            _ => &[],
        };
        let help = did_you_mean(name, known.iter().copied())
            .map(|near| format!("did you mean `--{near}`?"))
            .unwrap_or_else(|| match known {
                [] => format!("{} takes no flags", self.keyword),
                known => format!("{} knows --{}", self.keyword, known.join(", --")),
            });
        self.error(
            format!("unknown flag `--{name}` for {}", self.keyword),
            Some(&help),
        )
    }

    pub(super) fn needs_one(&self) -> Box<Diagnostic> {
        self.error(
            format!("{} requires at least one argument", self.keyword),
            None,
        )
    }

    pub(super) fn not_strings(&self) -> Box<Diagnostic> {
        self.error(
            "a JSON array here must hold strings only",
            Some("put every element into double quotes"),
        )
    }

    /// Drops the flags, known or not: the reference never looks at those of some instructions.
    pub(super) fn ignore_flags(&mut self) {
        self.flags.clear();
    }

    /// A flag that may be given once, with a value.
    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>> {
        match self.flags.remove(name).as_deref() {
            None => Ok(None),
            Some([Some(value)]) => Ok(Some(value.clone())),
            Some([None]) => Err(self.error(format!("flag `--{name}` needs a value"), None)),
            Some(_) => Err(self.error(format!("flag `--{name}` is given twice"), None)),
        }
    }

    /// A flag that may be given often.
    pub(super) fn strings(&mut self, name: &str) -> Result<Vec<String>> {
        self.flags
            .remove(name)
            .unwrap_or_default()
            .into_iter()
            .map(|value| {
                value.ok_or_else(|| self.error(format!("flag `--{name}` needs a value"), None))
            })
            .collect()
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>> {
        match self.flags.remove(name).as_deref() {
            None => Ok(None),
            Some([None]) => Ok(Some(true)),
            Some([Some(value)]) => match value.to_ascii_lowercase().as_str() {
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(self.error(
                    format!("flag `--{name}` is true or false, not `{value}`"),
                    None,
                )),
            },
            Some(_) => Err(self.error(format!("flag `--{name}` is given twice"), None)),
        }
    }

    pub(super) fn one_of(&mut self, name: &str, known: &[&str]) -> Result<Option<String>> {
        let value = self.string(name)?;
        if let Some(value) = &value
            && !known.contains(&value.as_str())
        {
            let help = format!("one of {}", known.join(", "));
            return Err(self.error(format!("{name} `{value}` is not valid"), Some(&help)));
        }
        Ok(value)
    }

    pub(super) fn mounts(&mut self) -> Result<Vec<MountText>> {
        let texts = self.strings("mount")?;
        let mut mounts = Vec::with_capacity(texts.len());
        for text in texts {
            let mount = MountText::new(text).map_err(|reason| {
                self.error(
                    format!("invalid `--mount`: {}", reason.message),
                    reason.help.as_deref(),
                )
            })?;
            mounts.push(mount);
        }
        Ok(mounts)
    }

    pub(super) fn duration(&mut self, name: &str) -> Result<i64> {
        let Some(text) = self.string(name)?.filter(|text| !text.is_empty()) else {
            return Ok(0);
        };
        let nanoseconds = values::duration(&text).ok_or_else(|| {
            self.error(
                format!("--{name} `{text}` is not a duration"),
                Some("write for example 30s, 1m30s, 500ms"),
            )
        })?;
        if nanoseconds != 0 && nanoseconds < 1_000_000 {
            return Err(self.error(format!("--{name} cannot be less than 1ms"), None));
        }
        Ok(nanoseconds)
    }
}
