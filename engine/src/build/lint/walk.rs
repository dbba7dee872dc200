//! Rules about instructions with the variables that hold where they stand.

use std::collections::BTreeMap;

use super::rules::{
    COPY_IGNORED_FILE, EXPOSE_INVALID_FORMAT, EXPOSE_PROTO_CASING, JSON_ARGS_RECOMMENDED,
    LEGACY_KEY_VALUE_FORMAT, MULTIPLE_INSTRUCTIONS_DISALLOWED, SECRETS_USED_IN_ARG_OR_ENV,
    UNDEFINED_VAR, WORKDIR_RELATIVE_PATH,
};
use super::{Report, Rule, Subject};
use crate::build::diagnostic::{Span, closest};
use crate::build::expand::{Expander, Uses};
use crate::build::graph::Origin;
use crate::build::parse::mount::Mount;
use crate::build::parse::{Argument, CommandLine, Instruction, Kind, Pairs, SourcesAndDest};
use crate::build::values;
use crate::build::variables::Variables;

/// What is known at a point of a stage.
#[derive(Clone, Default)]
struct State {
    variables: Variables,
    /// Arguments that were declared, with or without a value.
    declared: Vec<String>,
    /// `false` where the base image is not in the store: any variable may be set there.
    known: bool,
    /// A `SHELL` says what runs shell forms.
    shell: bool,
    /// A `WORKDIR` was given in this file.
    workdir: bool,
}

/// Walks the stages.
pub(super) fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let mut ends: BTreeMap<usize, State> = BTreeMap::new();
    for &index in subject.walked {
        let state = match &subject.bases[index] {
            Origin::Stage(base) => ends.get(base).cloned().unwrap_or_default(),
            Origin::Outside(name) if name == "scratch" => State {
                known: true,
                ..State::default()
            },
            Origin::Outside(name) => match (subject.image)(name) {
                Some(image) => State {
                    variables: Variables::from_env(&image.config.env),
                    known: true,
                    shell: image.config.shell.is_some_and(|shell| !shell.is_empty()),
                    ..State::default()
                },
                None => State::default(),
            },
        };
        let mut walk = Walk {
            subject,
            report,
            state,
            once: BTreeMap::new(),
        };
        if walk.state.variables.get("PATH").is_none() {
            walk.state
                .variables
                .set("PATH", crate::runtime::defaults::PATH);
        }
        for instruction in &subject.stages.list[index].instructions {
            // What cannot be expanded ends the build there, and the reference's look at it.
            if walk.instruction(instruction).is_err() {
                break;
            }
        }
        let end = walk.state;
        ends.insert(index, end);
    }
}

struct Walk<'w, 'r, 's> {
    subject: &'w Subject<'s>,
    report: &'w mut Report<'r>,
    state: State,
    /// Where `CMD`, `ENTRYPOINT`, `HEALTHCHECK` stood last.
    once: BTreeMap<&'static str, Span>,
}

impl Walk<'_, '_, '_> {
    fn add(&mut self, rule: Rule, instruction: &Instruction, message: String) {
        self.report
            .add(rule, instruction.span, &instruction.comments, message);
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<(), String> {
        match &instruction.kind {
            Kind::Arg(arguments) => {
                for argument in arguments {
                    self.argument(instruction, argument)?;
                }
            }
            Kind::Env(pairs) => {
                self.legacy(instruction, pairs);
                let pairs = self.pairs(instruction, pairs)?;
                for (name, _) in &pairs {
                    self.secret(instruction, "ENV", name);
                }
                for (name, value) in pairs {
                    self.state.variables.set(&name, &value);
                }
            }
            Kind::Label(pairs) => {
                self.legacy(instruction, pairs);
                self.pairs(instruction, pairs)?;
            }
            Kind::Copy(flags, words) => {
                for text in [&flags.chown, &flags.chmod].into_iter().flatten() {
                    self.word(instruction, text)?;
                }
                self.sources(instruction, words, "Copy", flags.from.is_none())?;
            }
            Kind::Add(flags, words) => {
                for text in [&flags.chown, &flags.chmod, &flags.checksum]
                    .into_iter()
                    .flatten()
                {
                    self.word(instruction, text)?;
                }
                self.sources(instruction, words, "Add", true)?;
            }
            Kind::Run(flags, _) => {
                for mount in &flags.mounts {
                    // A mount that is wrong is reported by the build.
                    let _ = Mount::parse(&mount.text, &mut |value| self.word(instruction, value));
                }
            }
            Kind::Workdir(path) => {
                let path = self.word(instruction, path)?;
                if !std::mem::replace(&mut self.state.workdir, true) && !path.starts_with('/') {
                    let message = format!(
                        "Relative workdir {path:?} can have unexpected results if the base image changes"
                    );
                    self.add(WORKDIR_RELATIVE_PATH, instruction, message);
                }
            }
            Kind::User(text) | Kind::StopSignal(text) => {
                self.word(instruction, text)?;
            }
            Kind::Volume(paths) => {
                for path in paths {
                    self.word(instruction, path)?;
                }
            }
            Kind::Expose(words) => self.ports(instruction, words)?,
            Kind::Cmd(command) => self.command(instruction, "CMD", command),
            Kind::Entrypoint(command) => self.command(instruction, "ENTRYPOINT", command),
            Kind::Healthcheck(_) => self.once(instruction, "HEALTHCHECK"),
            Kind::Shell(words) => self.state.shell = !words.is_empty(),
            Kind::From(_) | Kind::Maintainer(_) | Kind::Onbuild(_) => {}
        }
        Ok(())
    }

    fn word(&mut self, instruction: &Instruction, text: &str) -> Result<String, String> {
        self.expand(
            instruction,
            text,
            self.subject.file.directives.escape,
            false,
        )
    }

    /// Expands a text and reports the variables that nothing sets.
    fn expand(
        &mut self,
        instruction: &Instruction,
        text: &str,
        escape: char,
        keep_quotes: bool,
    ) -> Result<String, String> {
        let uses = Uses::default();
        let lookup = |name: &str| uses.note(name, self.state.variables.get(name));
        let expanded = Expander {
            escape,
            lookup: &lookup,
            keep_quotes,
        }
        .word(text)?;
        for name in uses.missing() {
            if !self.state.known
                || self.state.declared.contains(&name)
                || name.starts_with("BUILDKIT_SBOM_SCAN_")
            {
                continue;
            }
            let mut message = format!("Usage of undefined variable '${name}'");
            if let Some(near) = closest(&name, self.state.variables.names()) {
                message += &format!(" (did you mean ${near}?)");
            }
            self.add(UNDEFINED_VAR, instruction, message);
        }
        Ok(expanded)
    }

    fn argument(&mut self, instruction: &Instruction, argument: &Argument) -> Result<(), String> {
        self.secret(instruction, "ARG", &argument.name);
        let given = &self.subject.request.args;
        let mut argument = argument.clone();
        if !given.contains_key(&argument.name)
            && let Some(default) = &argument.default
        {
            argument.default = Some(self.word(instruction, default)?);
        }
        self.state
            .variables
            .declare(&argument, given, self.subject.globals);
        self.state.declared.push(argument.name);
        Ok(())
    }

    fn legacy(&mut self, instruction: &Instruction, pairs: &Pairs) {
        if pairs.legacy {
            let keyword = &instruction.keyword;
            let message = format!(
                "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
            );
            self.add(LEGACY_KEY_VALUE_FORMAT, instruction, message);
        }
    }

    /// All values are those from before the instruction.
    fn pairs(
        &mut self,
        instruction: &Instruction,
        pairs: &Pairs,
    ) -> Result<Vec<(String, String)>, String> {
        let mut expanded = Vec::with_capacity(pairs.list.len());
        for (name, value) in &pairs.list {
            expanded.push((
                self.word(instruction, name)?,
                self.word(instruction, value)?,
            ));
        }
        Ok(expanded)
    }

    fn secret(&mut self, instruction: &Instruction, keyword: &str, name: &str) {
        const SECRET: [&str; 10] = [
            "apikey",
            "auth",
            "credential",
            "credentials",
            "key",
            "password",
            "pword",
            "passwd",
            "secret",
            "token",
        ];
        const HARMLESS: [&str; 3] = ["public", "file", "version"];
        let lower = name.to_ascii_lowercase();
        let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
        if has(&SECRET) && !has(&HARMLESS) {
            let message = format!(
                "Do not use ARG or ENV instructions for sensitive data ({keyword} {name:?})"
            );
            self.add(SECRETS_USED_IN_ARG_OR_ENV, instruction, message);
        }
    }

    fn sources(
        &mut self,
        instruction: &Instruction,
        words: &SourcesAndDest,
        verb: &str,
        from_context: bool,
    ) -> Result<(), String> {
        let mut sources = Vec::with_capacity(words.sources.len());
        for source in &words.sources {
            sources.push(self.word(instruction, source)?);
        }
        self.word(instruction, &words.dest)?;
        for file in words.files.iter().filter(|file| file.expand) {
            self.expand(instruction, &file.content, '\\', true)?;
        }
        for source in sources.iter().filter(|_| from_context) {
            let outside = source.contains("://") || source.starts_with("git@");
            let path = values::clean(source);
            if !outside && is_ignored(self.subject, &path) {
                let message =
                    format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
                self.add(COPY_IGNORED_FILE, instruction, message);
            }
        }
        Ok(())
    }

    fn ports(&mut self, instruction: &Instruction, words: &[String]) -> Result<(), String> {
        let mut words = words.to_vec();
        words.sort();
        let mut ports = Vec::new();
        for word in &words {
            let lookup = |name: &str| self.state.variables.get(name);
            let expander = Expander {
                escape: self.subject.file.directives.escape,
                lookup: &lookup,
                keep_quotes: false,
            };
            ports.extend(expander.words(word)?);
        }
        for port in ports {
            let (host, container) = port.rsplit_once(':').unwrap_or(("", &port));
            let proto = container.split_once('/').map_or("", |(_, proto)| proto);
            if proto != proto.to_lowercase() {
                let message =
                    format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
                self.add(EXPOSE_PROTO_CASING, instruction, message);
            }
            if !host.trim_matches(':').is_empty() {
                let message = format!(
                    "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                );
                self.add(EXPOSE_INVALID_FORMAT, instruction, message);
            }
        }
        Ok(())
    }

    fn command(&mut self, instruction: &Instruction, keyword: &'static str, command: &CommandLine) {
        self.once(instruction, keyword);
        if command.shell && !self.state.shell {
            let message = format!(
                "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                instruction.keyword
            );
            self.add(JSON_ARGS_RECOMMENDED, instruction, message);
        }
    }

    /// The one before is in vain: the warning stands there.
    fn once(&mut self, instruction: &Instruction, keyword: &'static str) {
        if let Some(before) = self.once.insert(keyword, instruction.span) {
            let message = format!(
                "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                instruction.keyword
            );
            self.report.add(
                MULTIPLE_INSTRUCTIONS_DISALLOWED,
                before,
                &instruction.comments,
                message,
            );
        }
    }
}

/// Whether the context's ignore file hides a source. Not said where exceptions could bring part of it back.
fn is_ignored(subject: &Subject<'_>, path: &str) -> bool {
    let ignore = subject.ignore;
    if ignore.is_empty() || ignore.texts.iter().any(|text| text.starts_with('!')) {
        return false;
    }
    let everything = |text: &String| ["*", "**", "**/*"].contains(&text.as_str());
    match path {
        "." | "/" => ignore.texts.iter().any(everything),
        path => ignore.excludes(path),
    }
}
