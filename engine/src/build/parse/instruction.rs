//! The typed form of each instruction, one arm an instruction: words counted, flags known, values
//! checked as far as that is possible before expansion.
//!
//! Longer than most files because it is one table: keyword to form.

use std::collections::BTreeMap;

use super::directive::parse_bool;
use super::heredoc::{Heredoc, parse_heredoc_word};
use super::lines::Logical;
use super::mount::MountText;
use super::words::{flags, json_strings, quoted_words, split_blank, split_instruction};
use super::{error, warning};
use crate::build::diagnostic::{Diagnostic, Source, Span, did_you_mean};
use crate::build::values;

/// One instruction.
#[derive(Clone, Debug)]
pub(in crate::build) struct Instruction {
    /// What it asks for.
    pub(in crate::build) kind: Kind,
    /// Its lines.
    pub(in crate::build) span: Span,
    /// The keyword as it was written.
    pub(in crate::build) keyword: String,
    /// The joined text after the keyword.
    pub(in crate::build) text: String,
}

/// Instructions.
#[derive(Clone, Debug)]
pub(in crate::build) enum Kind {
    Add(AddFlags, SourcesAndDest),
    Arg(Vec<Argument>),
    Cmd(CommandLine),
    Copy(CopyFlags, SourcesAndDest),
    Entrypoint(CommandLine),
    Env(Vec<(String, String)>),
    Expose(Vec<String>),
    From(FromFlags),
    Healthcheck(HealthTest),
    Label(Vec<(String, String)>),
    Maintainer(String),
    Onbuild(String),
    Run(RunFlags, CommandLine),
    Shell(Vec<String>),
    StopSignal(String),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
}

/// `FROM`.
#[derive(Clone, Debug)]
pub(in crate::build) struct FromFlags {
    pub(in crate::build) platform: Option<String>,
    pub(in crate::build) image: String,
    /// Lower case.
    pub(in crate::build) name: Option<String>,
}

/// Exec or shell form, with heredocs.
#[derive(Clone, Debug, Default)]
pub(in crate::build) struct CommandLine {
    pub(in crate::build) words: Vec<String>,
    /// To be wrapped in `SHELL`.
    pub(in crate::build) shell: bool,
    pub(in crate::build) files: Vec<Heredoc>,
}

/// Flags of `RUN`.
#[derive(Clone, Debug, Default)]
pub(in crate::build) struct RunFlags {
    pub(in crate::build) mounts: Vec<MountText>,
    pub(in crate::build) network: Option<String>,
    pub(in crate::build) security: Option<String>,
    pub(in crate::build) devices: Vec<String>,
}

/// Flags of `COPY`.
#[derive(Clone, Debug, Default)]
pub(in crate::build) struct CopyFlags {
    pub(in crate::build) from: Option<String>,
    pub(in crate::build) chown: Option<String>,
    pub(in crate::build) chmod: Option<String>,
    pub(in crate::build) link: bool,
    pub(in crate::build) parents: bool,
    pub(in crate::build) exclude: Vec<String>,
}

/// Flags of `ADD`.
#[derive(Clone, Debug, Default)]
pub(in crate::build) struct AddFlags {
    pub(in crate::build) chown: Option<String>,
    pub(in crate::build) chmod: Option<String>,
    pub(in crate::build) link: bool,
    pub(in crate::build) exclude: Vec<String>,
    pub(in crate::build) checksum: Option<String>,
    pub(in crate::build) keep_git_dir: bool,
    pub(in crate::build) unpack: Option<bool>,
}

/// Words of `COPY` and `ADD`.
#[derive(Clone, Debug)]
pub(in crate::build) struct SourcesAndDest {
    pub(in crate::build) sources: Vec<String>,
    pub(in crate::build) files: Vec<Heredoc>,
    pub(in crate::build) dest: String,
}

/// One name of `ARG`.
#[derive(Clone, Debug)]
pub(in crate::build) struct Argument {
    pub(in crate::build) name: String,
    pub(in crate::build) default: Option<String>,
}

/// `HEALTHCHECK`: times in nanoseconds, 0 is not given.
#[derive(Clone, Debug, Default)]
pub(in crate::build) struct HealthTest {
    /// `["NONE"]`, `["CMD", …]`, `["CMD-SHELL", text]`.
    pub(in crate::build) test: Vec<String>,
    pub(in crate::build) interval: i64,
    pub(in crate::build) timeout: i64,
    pub(in crate::build) start_period: i64,
    pub(in crate::build) start_interval: i64,
    pub(in crate::build) retries: i64,
}

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Everything an arm needs.
struct Line<'a> {
    source: &'a Source,
    span: Span,
    keyword: String,
    rest: &'a str,
    escape: char,
    heredocs: &'a [Heredoc],
    flags: BTreeMap<String, Vec<Option<String>>>,
}

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// Turns a logical line into an instruction.
pub(super) fn parse(
    source: &Source,
    line: &Logical,
    escape: char,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Instruction> {
    let (written, text) = split_instruction(&line.text);
    let keyword = written.to_uppercase();
    // The caret is put under the keyword of the first physical line.
    let indent = source
        .lines
        .get(line.span.line.wrapping_sub(1))
        .map_or(0, |first| {
            first.chars().take_while(|c| c.is_whitespace()).count()
        });
    let at_keyword = Span {
        column: indent + 1,
        len: written.chars().count(),
        ..line.span
    };
    if !KEYWORDS.contains(&keyword.as_str()) {
        let help = did_you_mean(&keyword, KEYWORDS).map(|near| format!("did you mean `{near}`?"));
        return Err(error(
            source,
            at_keyword,
            format!("unknown instruction `{written}`"),
            help.as_deref(),
        ));
    }
    let (found, rest) = flags(text);
    let mut parsed = Line {
        source,
        span: line.span,
        keyword,
        rest,
        escape,
        heredocs: &line.heredocs,
        flags: BTreeMap::new(),
    };
    for flag in found {
        let (name, value) = match flag[2..].split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (flag[2..].to_owned(), None),
        };
        parsed.flags.entry(name).or_default().push(value);
    }
    let kind = parsed.kind(warnings)?;
    if let Some(unknown) = parsed.flags.keys().next() {
        return Err(parsed.unknown_flag(unknown));
    }
    Ok(Instruction {
        kind,
        span: line.span,
        keyword: written.to_owned(),
        text: text.to_owned(),
    })
}

impl Line<'_> {
    fn kind(&mut self, warnings: &mut Vec<Diagnostic>) -> Result<Kind> {
        Ok(match self.keyword.as_str() {
            "FROM" => self.from()?,
            "RUN" => {
                let flags = RunFlags {
                    mounts: self.mounts()?,
                    network: self.one_of("network", &["default", "none", "host"])?,
                    security: self.one_of("security", &["sandbox", "insecure"])?,
                    devices: self.strings("device")?,
                };
                Kind::Run(flags, self.command()?)
            }
            "COPY" => {
                let flags = CopyFlags {
                    from: self.string("from")?,
                    chown: self.string("chown")?,
                    chmod: self.string("chmod")?,
                    link: self.boolean("link")?.unwrap_or(false),
                    parents: self.boolean("parents")?.unwrap_or(false),
                    exclude: self.strings("exclude")?,
                };
                if flags.from.as_deref().is_some_and(|from| from.contains('$')) {
                    let help = "name a stage: `FROM image:$TAG AS name` may use variables";
                    return Err(self.error(
                        "variable expansion is not supported for `--from`",
                        Some(help),
                    ));
                }
                Kind::Copy(flags, self.sources_and_dest()?)
            }
            "ADD" => {
                let flags = AddFlags {
                    chown: self.string("chown")?,
                    chmod: self.string("chmod")?,
                    link: self.boolean("link")?.unwrap_or(false),
                    exclude: self.strings("exclude")?,
                    checksum: self.string("checksum")?,
                    keep_git_dir: self.boolean("keep-git-dir")?.unwrap_or(false),
                    unpack: self.boolean("unpack")?,
                };
                Kind::Add(flags, self.sources_and_dest()?)
            }
            "CMD" => {
                let command = self.command()?;
                self.recommend_json(&command, warnings);
                Kind::Cmd(command)
            }
            "ENTRYPOINT" => {
                let command = self.command()?;
                self.recommend_json(&command, warnings);
                Kind::Entrypoint(command)
            }
            "SHELL" => match json_strings(self.rest) {
                Some(Ok(words)) if words.is_empty() => return Err(self.needs_one()),
                Some(Ok(words)) => Kind::Shell(words),
                Some(Err(_)) => return Err(self.not_strings()),
                None if self.rest.is_empty() => return Err(self.needs_one()),
                None => {
                    let help = "write it as `SHELL [\"/bin/sh\", \"-c\"]`";
                    return Err(self.error(
                        "SHELL requires the arguments to be in JSON form",
                        Some(help),
                    ));
                }
            },
            "ENV" => Kind::Env(self.pairs(warnings)?),
            "LABEL" => Kind::Label(self.pairs(warnings)?),
            "ARG" => self.arg()?,
            "EXPOSE" => Kind::Expose(self.some_words(split_blank(self.rest))?),
            "VOLUME" => {
                let words = self.some_words(self.list()?)?;
                if words.iter().any(|word| word.trim().is_empty()) {
                    return Err(self.error("VOLUME specified can not be an empty string", None));
                }
                Kind::Volume(words.iter().map(|word| word.trim().to_owned()).collect())
            }
            "USER" => Kind::User(self.whole()?),
            "WORKDIR" => Kind::Workdir(self.whole()?),
            "STOPSIGNAL" => Kind::StopSignal(self.whole()?),
            "MAINTAINER" => {
                let message =
                    "MAINTAINER is deprecated in favor of `LABEL org.opencontainers.image.authors`";
                warnings.push(warning(
                    self.source,
                    self.span,
                    "MaintainerDeprecated",
                    message,
                ));
                Kind::Maintainer(self.whole()?)
            }
            "HEALTHCHECK" => Kind::Healthcheck(self.healthcheck()?),
            "ONBUILD" => self.onbuild()?,
            other => return Err(self.error(format!("unknown instruction `{other}`"), None)),
        })
    }

    fn error(&self, message: impl Into<String>, help: Option<&str>) -> Box<Diagnostic> {
        error(self.source, self.span, message, help)
    }

    fn unknown_flag(&self, name: &str) -> Box<Diagnostic> {
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

    fn needs_one(&self) -> Box<Diagnostic> {
        self.error(
            format!("{} requires at least one argument", self.keyword),
            None,
        )
    }

    fn not_strings(&self) -> Box<Diagnostic> {
        self.error(
            "a JSON array here must hold strings only",
            Some("put every element into double quotes"),
        )
    }

    /// A flag that may be given once, with a value.
    fn string(&mut self, name: &str) -> Result<Option<String>> {
        match self.flags.remove(name).as_deref() {
            None => Ok(None),
            Some([Some(value)]) => Ok(Some(value.clone())),
            Some([None]) => Err(self.error(format!("flag `--{name}` needs a value"), None)),
            Some(_) => Err(self.error(format!("flag `--{name}` is given twice"), None)),
        }
    }

    /// A flag that may be given often.
    fn strings(&mut self, name: &str) -> Result<Vec<String>> {
        self.flags
            .remove(name)
            .unwrap_or_default()
            .into_iter()
            .map(|value| {
                value.ok_or_else(|| self.error(format!("flag `--{name}` needs a value"), None))
            })
            .collect()
    }

    fn boolean(&mut self, name: &str) -> Result<Option<bool>> {
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

    fn one_of(&mut self, name: &str, known: &[&str]) -> Result<Option<String>> {
        let value = self.string(name)?;
        if let Some(value) = &value
            && !known.contains(&value.as_str())
        {
            let help = format!("one of {}", known.join(", "));
            return Err(self.error(format!("{name} `{value}` is not valid"), Some(&help)));
        }
        Ok(value)
    }

    fn mounts(&mut self) -> Result<Vec<MountText>> {
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

    /// The rest as one value.
    fn whole(&self) -> Result<String> {
        if self.rest.is_empty() {
            return Err(self.error(
                format!("{} requires exactly one argument", self.keyword),
                None,
            ));
        }
        Ok(self.rest.to_owned())
    }

    /// JSON form, or words separated by blanks.
    fn list(&self) -> Result<Vec<String>> {
        match json_strings(self.rest) {
            Some(words) => words.map_err(|_| self.not_strings()),
            None => Ok(split_blank(self.rest)),
        }
    }

    fn some_words(&self, words: Vec<String>) -> Result<Vec<String>> {
        if words.is_empty() {
            Err(self.needs_one())
        } else {
            Ok(words)
        }
    }

    /// Exec form, or the rest as one text for the shell.
    fn command(&self) -> Result<CommandLine> {
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

    fn recommend_json(&self, command: &CommandLine, warnings: &mut Vec<Diagnostic>) {
        if command.shell {
            let message = format!(
                "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                self.keyword
            );
            warnings.push(warning(
                self.source,
                self.span,
                "JSONArgsRecommended",
                message,
            ));
        }
    }

    fn sources_and_dest(&self) -> Result<SourcesAndDest> {
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
        let json = json_strings(self.rest).is_some();
        if !json && parse_heredoc_word(&dest).is_some() {
            return Err(self.error(
                format!("{} cannot accept a heredoc as a destination", self.keyword),
                None,
            ));
        }
        let mut sources = Vec::new();
        let mut files = Vec::new();
        for word in words {
            match parse_heredoc_word(&word).filter(|_| !json) {
                Some(announced) => {
                    let body = self
                        .heredocs
                        .iter()
                        .find(|body| body.name == announced.name);
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

    fn from(&mut self) -> Result<Kind> {
        let platform = self.string("platform")?;
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
    fn pairs(&self, warnings: &mut Vec<Diagnostic>) -> Result<Vec<(String, String)>> {
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
            let message = format!(
                "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
            );
            warnings.push(warning(
                self.source,
                self.span,
                "LegacyKeyValueFormat",
                message,
            ));
            return Ok(vec![(name.to_owned(), value.to_owned())]);
        }
        let mut pairs = Vec::with_capacity(words.len());
        for word in &words {
            let Some((name, value)) = word.split_once('=') else {
                let message = format!(
                    "syntax error: can't find = in `{word}`; must be of the form name=value"
                );
                return Err(self.error(message, Some("put values with blanks into quotes")));
            };
            if name.is_empty() {
                return Err(self.error(format!("{keyword} names can not be blank"), None));
            }
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(pairs)
    }

    fn arg(&self) -> Result<Kind> {
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

    fn healthcheck(&mut self) -> Result<HealthTest> {
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

    fn duration(&mut self, name: &str) -> Result<i64> {
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

    fn onbuild(&self) -> Result<Kind> {
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
        let mut text = self.rest.to_owned();
        for heredoc in self.heredocs {
            text += &format!("\n{}{}", heredoc.content, heredoc.name);
        }
        Ok(Kind::Onbuild(text))
    }
}

/// Reads `true`/`false` as Go does; kept here for the mount options.
pub(super) fn go_bool(text: &str) -> Option<bool> {
    parse_bool(text)
}
