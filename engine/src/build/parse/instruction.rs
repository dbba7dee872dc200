//! The typed form of each instruction, one arm an instruction: words counted, flags known, values
//! checked as far as that is possible before expansion.
//!
//! Here are the forms and the table that leads to them; `flags` and `forms` read the parts.

use std::collections::BTreeMap;

use super::error;
use super::heredoc::Heredoc;
use super::lines::Logical;
use super::mount::MountText;
use super::words::{flags, json_strings, split_blank, split_instruction};
use crate::build::diagnostic::{Diagnostic, Source, Span, did_you_mean};
use crate::build::expand::Expander;

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
    /// The comments right above it.
    pub(in crate::build) comments: Vec<String>,
}

/// Instructions.
#[derive(Clone, Debug)]
pub(in crate::build) enum Kind {
    Add(AddFlags, SourcesAndDest),
    Arg(Vec<Argument>),
    Cmd(CommandLine),
    Copy(CopyFlags, SourcesAndDest),
    Entrypoint(CommandLine),
    Env(Pairs),
    Expose(Vec<String>),
    From(FromFlags),
    Healthcheck(HealthTest),
    Label(Pairs),
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

/// Names and values of `ENV` and `LABEL`.
#[derive(Clone, Debug)]
pub(in crate::build) struct Pairs {
    pub(in crate::build) list: Vec<(String, String)>,
    /// Written as `KEY rest of line`.
    pub(in crate::build) legacy: bool,
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
pub(super) struct Line<'a> {
    pub(super) source: &'a Source,
    pub(super) span: Span,
    pub(super) keyword: String,
    /// The whole line, keyword and flags included, with the blanks at its end.
    pub(super) original: &'a str,
    pub(super) rest: &'a str,
    pub(super) escape: char,
    pub(super) heredocs: &'a [Heredoc],
    pub(super) flags: BTreeMap<String, Vec<Option<String>>>,
}

pub(super) type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// Turns a logical line into an instruction.
pub(super) fn parse(source: &Source, line: &Logical, escape: char) -> Result<Instruction> {
    let (written, text) = split_instruction(&line.text);
    let keyword = written.to_ascii_uppercase();
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
        original: &line.text,
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
    let kind = parsed.kind()?;
    if let Some(unknown) = parsed.flags.keys().next() {
        return Err(parsed.unknown_flag(unknown));
    }
    Ok(Instruction {
        kind,
        span: line.span,
        keyword: written.to_owned(),
        text: text.to_owned(),
        comments: line.comments.clone(),
    })
}

impl Line<'_> {
    fn kind(&mut self) -> Result<Kind> {
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
                if flags
                    .from
                    .as_deref()
                    .is_some_and(|from| !self.is_plain(from))
                {
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
            "CMD" => Kind::Cmd(self.command()?),
            "ENTRYPOINT" => Kind::Entrypoint(self.command()?),
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
            "ENV" => Kind::Env(self.pairs()?),
            "LABEL" => Kind::Label(self.pairs()?),
            "ARG" => self.arg()?,
            "EXPOSE" => {
                // In the reference's order, which history shows: as they are written, variables not looked at.
                let mut words = self.some_words(split_blank(self.rest))?;
                words.sort();
                Kind::Expose(words)
            }
            "VOLUME" => {
                let words = self.some_words(self.list()?)?;
                if words.iter().any(|word| word.trim().is_empty()) {
                    return Err(self.error("VOLUME specified can not be an empty string", None));
                }
                Kind::Volume(words.iter().map(|word| word.trim().to_owned()).collect())
            }
            "USER" => Kind::User(self.whole()?),
            "WORKDIR" => Kind::Workdir(self.whole()?),
            "STOPSIGNAL" => {
                self.ignore_flags();
                Kind::StopSignal(self.whole()?)
            }
            "MAINTAINER" => Kind::Maintainer(self.whole()?),
            "HEALTHCHECK" => Kind::Healthcheck(self.healthcheck()?),
            "ONBUILD" => self.onbuild()?,
            other => return Err(self.error(format!("unknown instruction `{other}`"), None)),
        })
    }

    /// Whether expansion leaves a text as it is.
    fn is_plain(&self, text: &str) -> bool {
        let expander = Expander {
            escape: self.escape,
            lookup: &|_| None,
            keep_quotes: false,
        };
        expander.word(text).is_ok_and(|expanded| expanded == text)
    }
}
