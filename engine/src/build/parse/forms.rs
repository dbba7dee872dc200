//! The words of each instruction: counted, split, and turned into their form.

use std::collections::BTreeMap;

use super::heredoc::parse_heredoc_word;
use super::instruction::{
    Argument, CommandLine, FromFlags, HealthTest, Kind, Line, Pairs, Result, SourcesAndDest,
};
use super::words::{flags, json_strings, quoted_words, split_blank, split_instruction};

impl Line<'_> {
    /// The rest as one value.
    pub(super) fn whole(&self) -> Result<String> {
        if self.rest.is_empty() {
            return Err(self.error(
                format!("{} requires exactly one argument", self.keyword),
                None,
            ));
        }
        Ok(self.rest.to_owned())
    }

    /// JSON form, or words separated by blanks.
    pub(super) fn list(&self) -> Result<Vec<String>> {
        match json_strings(self.rest) {
            Some(words) => words.map_err(|_| self.not_strings()),
            None => Ok(split_blank(self.rest)),
        }
    }

    pub(super) fn some_words(&self, words: Vec<String>) -> Result<Vec<String>> {
        if words.is_empty() {
            Err(self.needs_one())
        } else {
            Ok(words)
        }
    }

    /// Exec form, or the rest as one text for the shell.
    pub(super) fn command(&self) -> Result<CommandLine> {
        Ok(match json_strings(self.rest) {
            Some(words) => CommandLine {
                words: words.map_err(|_| self.not_strings())?,
                shell: false,
                files: Vec::new(),
            },
            None => CommandLine {
                words: vec![self.rest.to_owned()],
                shell: true,
                files: self.heredocs.to_vec(),
            },
        })
    }

    pub(super) fn sources_and_dest(&self) -> Result<SourcesAndDest> {
        let mut words = self.list()?;
        if words.len() < 2 {
            let message = format!(
                "{} requires at least two arguments, but only {} was provided",
                self.keyword,
                words.len()
            );
            return Err(self.error(message, Some("name sources, then the destination")));
        }
        let dest = words.pop().unwrap_or_default();
        if parse_heredoc_word(&dest).is_some() {
            return Err(self.error(
                format!("{} cannot accept a heredoc as a destination", self.keyword),
                None,
            ));
        }
        let mut sources = Vec::new();
        let mut files = Vec::new();
        for word in words {
            match parse_heredoc_word(&word) {
                Some(announced) => {
                    let body = self
                        .heredocs
                        .iter()
                        .rfind(|body| body.name == announced.name);
                    files.push(body.cloned().unwrap_or(announced));
                }
                None => sources.push(word),
            }
        }
        Ok(SourcesAndDest {
            sources,
            files,
            dest,
        })
    }

    pub(super) fn from(&mut self) -> Result<Kind> {
        let platform = self
            .string("platform")?
            .filter(|platform| !platform.is_empty());
        let words = split_blank(self.rest);
        let (image, name) = match words.as_slice() {
            [image] => (image, None),
            [image, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
                (image, Some(name.to_lowercase()))
            }
            _ => {
                let help = "write `FROM image` or `FROM image AS name`";
                return Err(self.error("FROM requires either one or three arguments", Some(help)));
            }
        };
        if let Some(name) = &name {
            let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
            if !valid {
                let help = "a name begins with a letter and holds letters, digits, `-`, `_`, `.`";
                return Err(self.error(
                    format!("invalid name for build stage: `{name}`"),
                    Some(help),
                ));
            }
        }
        Ok(Kind::From(FromFlags {
            platform,
            image: image.clone(),
            name,
        }))
    }

    /// `ENV` and `LABEL`.
    pub(super) fn pairs(&self) -> Result<Pairs> {
        let pairs = self.pair_words()?;
        if pairs.list.iter().any(|(name, _)| name.is_empty()) {
            let message = format!("{} names can not be blank", self.keyword);
            return Err(self.error(message, None));
        }
        Ok(pairs)
    }

    fn pair_words(&self) -> Result<Pairs> {
        let words = quoted_words(self.rest, self.escape);
        let Some(first) = words.first() else {
            return Err(self.needs_one());
        };
        let keyword = &self.keyword;
        if !first.contains('=') {
            let (name, value) = split_instruction(self.rest);
            if value.is_empty() {
                return Err(self.error(
                    format!("{keyword} must have two arguments"),
                    Some(&format!("write `{keyword} {name}=value`")),
                ));
            }
            return Ok(Pairs {
                list: vec![(name.to_owned(), value.to_owned())],
                legacy: true,
            });
        }
        let mut pairs = Vec::with_capacity(words.len());
        for word in &words {
            let Some((name, value)) = word.split_once('=') else {
                let message = format!(
                    "syntax error: can't find = in `{word}`; must be of the form name=value"
                );
                return Err(self.error(message, Some("put values with blanks into quotes")));
            };
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(Pairs {
            list: pairs,
            legacy: false,
        })
    }

    pub(super) fn arg(&mut self) -> Result<Kind> {
        self.ignore_flags();
        let words = self.some_words(quoted_words(self.rest, self.escape))?;
        let mut arguments = Vec::with_capacity(words.len());
        for word in words {
            let (name, default) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            if name.is_empty() {
                return Err(self.error("ARG names can not be blank", None));
            }
            arguments.push(Argument { name, default });
        }
        Ok(Kind::Arg(arguments))
    }

    pub(super) fn healthcheck(&mut self) -> Result<HealthTest> {
        let mut health = HealthTest::default();
        let (kind, rest) = match self.rest.find(char::is_whitespace) {
            Some(at) => (&self.rest[..at], self.rest[at..].trim_start()),
            None => (self.rest, ""),
        };
        match kind.to_ascii_uppercase().as_str() {
            "" => return Err(self.needs_one()),
            "NONE" if !rest.is_empty() => {
                return Err(self.error("HEALTHCHECK NONE takes no arguments", None));
            }
            "NONE" => {
                self.ignore_flags();
                health.test = vec!["NONE".into()];
                return Ok(health);
            }
            "CMD" => {
                health.test = match json_strings(rest) {
                    Some(Err(_)) => return Err(self.not_strings()),
                    Some(Ok(words)) if words.is_empty() => Vec::new(),
                    Some(Ok(words)) => std::iter::once("CMD".to_owned()).chain(words).collect(),
                    None if rest.is_empty() => Vec::new(),
                    None => vec!["CMD-SHELL".into(), rest.to_owned()],
                };
                if health.test.is_empty() {
                    return Err(self.error("missing command after HEALTHCHECK CMD", None));
                }
            }
            _ => {
                let help = "write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`";
                return Err(self.error(format!("unknown type `{kind}` in HEALTHCHECK"), Some(help)));
            }
        }
        health.interval = self.duration("interval")?;
        health.timeout = self.duration("timeout")?;
        health.start_period = self.duration("start-period")?;
        health.start_interval = self.duration("start-interval")?;
        if let Some(text) = self.string("retries")?.filter(|text| !text.is_empty()) {
            let retries: i32 = text
                .parse()
                .map_err(|_| self.error(format!("--retries `{text}` is not a number"), None))?;
            if retries < 0 {
                return Err(self.error(format!("--retries cannot be negative ({retries})"), None));
            }
            health.retries = retries.into();
        }
        Ok(health)
    }

    pub(super) fn onbuild(&self) -> Result<Kind> {
        let (inner, _) = split_instruction(self.rest);
        match inner.to_ascii_uppercase().as_str() {
            "" => return Err(self.needs_one()),
            "ONBUILD" => {
                return Err(
                    self.error("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", None)
                );
            }
            keyword @ ("FROM" | "MAINTAINER") => {
                return Err(self.error(
                    format!("{keyword} isn't allowed as an ONBUILD trigger"),
                    None,
                ));
            }
            _ => {}
        }
        self.trigger()?;
        // Flags and the blanks at the end stay: it is stored as it was written.
        let written = self.original.trim_start();
        let at = written.find(char::is_whitespace).unwrap_or(written.len());
        let mut text = written[at..].trim_start().to_owned();
        for heredoc in self.heredocs {
            text += &format!("\n{}{}", heredoc.content, heredoc.name);
        }
        Ok(Kind::Onbuild(text))
    }

    /// What is looked at in an instruction that is stored: whether its words can be split, not what they say.
    fn trigger(&self) -> Result<()> {
        let (keyword, text) = split_instruction(self.rest);
        let (_, rest) = flags(text);
        let inner = Line {
            keyword: keyword.to_ascii_uppercase(),
            rest,
            flags: BTreeMap::new(),
            ..*self
        };
        match inner.keyword.as_str() {
            "ENV" | "LABEL" if !rest.is_empty() => inner.pair_words().map(drop),
            "ADD" | "COPY" | "VOLUME" => inner.list().map(drop),
            "CMD" | "ENTRYPOINT" | "RUN" | "SHELL" => inner.command().map(drop),
            "HEALTHCHECK" => match json_strings(split_instruction(rest).1) {
                Some(Err(_)) => Err(inner.not_strings()),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
