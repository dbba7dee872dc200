//! Rules about instructions with the variables that hold where they stand, and what no build could do.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::copy::Flags;
use super::rules::{
    EXPOSE_INVALID_FORMAT, EXPOSE_PROTO_CASING, JSON_ARGS_RECOMMENDED, LEGACY_KEY_VALUE_FORMAT,
    MULTIPLE_INSTRUCTIONS_DISALLOWED, SECRETS_USED_IN_ARG_OR_ENV, UNDEFINED_VAR,
    WORKDIR_RELATIVE_PATH,
};
use super::state::State;
use super::{Report, Rule, Subject};
use crate::build::diagnostic::{Diagnostic, Source, Span, closest};
use crate::build::expand::{Expander, Uses};
use crate::build::parse::mount::{BadMount, Mount, MountText, MountType, check_place};
use crate::build::parse::{Argument, CommandLine, Instruction, Kind, Pairs, error, parse_trigger};
use crate::build::stages::Stage;
use crate::build::values::{self, Ports, SIGNAL_HELP};

/// Walks the stages, to the first error.
pub(super) fn check(subject: &Subject<'_>, report: &mut Report<'_>) -> Result<(), Box<Diagnostic>> {
    let mut ends: BTreeMap<usize, State> = BTreeMap::new();
    for &index in subject.walked {
        let stage = &subject.stages.list[index];
        let mut walk = Walk {
            subject,
            report: &mut *report,
            state: State::begin(subject, &subject.bases[index], &ends),
            source: subject.file.source.clone(),
            place: None,
            once: BTreeMap::new(),
            guess: Cell::new(false),
        };
        walk.triggers(stage)?;
        for instruction in &stage.instructions {
            walk.step(instruction)?;
        }
        let end = walk.state;
        ends.insert(index, end);
    }
    Ok(())
}

pub(super) type Checked<T> = Result<T, Box<Diagnostic>>;

/// A stage on the way.
pub(super) struct Walk<'w, 'r, 's> {
    pub(super) subject: &'w Subject<'s>,
    report: &'w mut Report<'r>,
    state: State,
    /// What errors point into: the Dockerfile, or a trigger.
    source: Source,
    /// Where warnings stand when the instruction is not in the Dockerfile.
    place: Option<Span>,
    /// Where `CMD`, `ENTRYPOINT`, `HEALTHCHECK` stood last.
    once: BTreeMap<&'static str, Span>,
    /// The instruction asked for something that only the build knows.
    guess: Cell<bool>,
}

impl Walk<'_, '_, '_> {
    /// What the base stores for this stage comes first.
    fn triggers(&mut self, stage: &Stage) -> Checked<()> {
        let texts = std::mem::take(&mut self.state.triggers);
        self.place = Some(stage.span);
        for (number, text) in texts.iter().enumerate() {
            let place = format!("ONBUILD trigger {} of {}", number + 1, stage.from.image);
            self.source = Source::new(&place, text.as_bytes());
            for instruction in parse_trigger(text, &place)? {
                self.step(&instruction)?;
            }
        }
        self.place = None;
        self.source = self.subject.file.source.clone();
        Ok(())
    }

    /// One instruction. An error counts when it is one whatever the base image is.
    fn step(&mut self, instruction: &Instruction) -> Checked<()> {
        self.guess.set(false);
        match self.instruction(instruction) {
            Err(_) if self.guess.get() => Ok(()),
            other => other,
        }
    }

    fn span(&self, instruction: &Instruction) -> Span {
        self.place.unwrap_or(instruction.span)
    }

    pub(super) fn add(&mut self, rule: Rule, instruction: &Instruction, message: String) {
        let span = self.span(instruction);
        self.report.add(rule, span, &instruction.comments, message);
    }

    pub(super) fn wrong(
        &self,
        instruction: &Instruction,
        message: impl Into<String>,
        help: Option<&str>,
    ) -> Box<Diagnostic> {
        error(&self.source, instruction.span, message, help)
    }

    fn instruction(&mut self, instruction: &Instruction) -> Checked<()> {
        match &instruction.kind {
            Kind::Arg(arguments) => {
                for argument in arguments {
                    self.argument(instruction, argument)?;
                }
            }
            Kind::Env(pairs) => self.env(instruction, pairs)?,
            Kind::Label(pairs) => {
                self.legacy(instruction, pairs);
                self.pairs(instruction, pairs)?;
            }
            Kind::Copy(flags, words) => {
                self.copy(instruction, &Flags::of_copy(flags), words)?;
            }
            Kind::Add(flags, words) => {
                self.copy(instruction, &Flags::of_add(flags), words)?;
            }
            Kind::Run(flags, _) => {
                for mount in &flags.mounts {
                    self.mount(instruction, mount)?;
                }
            }
            Kind::Workdir(path) => self.workdir(instruction, path)?,
            Kind::User(text) => {
                self.word(instruction, text)?;
            }
            Kind::StopSignal(text) => {
                let signal = self.word(instruction, text)?;
                values::check_signal(&signal)
                    .map_err(|reason| self.wrong(instruction, reason, Some(SIGNAL_HELP)))?;
            }
            Kind::Volume(paths) => {
                for path in paths {
                    let path = self.word(instruction, path)?;
                    values::check_volume(&path)
                        .map_err(|reason| self.wrong(instruction, reason, None))?;
                }
            }
            Kind::Expose(words) => self.ports(instruction, words)?,
            Kind::Cmd(command) => self.command(instruction, "CMD", command),
            Kind::Entrypoint(command) => self.command(instruction, "ENTRYPOINT", command),
            Kind::Healthcheck(_) => self.once(instruction, "HEALTHCHECK"),
            Kind::Shell(words) => self.state.shell = !words.is_empty(),
            Kind::Onbuild(text) => self.state.triggers.push(text.clone()),
            Kind::From(_) => {
                let message = "FROM isn't allowed as an ONBUILD trigger";
                return Err(self.wrong(instruction, message, None));
            }
            Kind::Maintainer(_) => {}
        }
        Ok(())
    }

    pub(super) fn word(&mut self, instruction: &Instruction, text: &str) -> Checked<String> {
        let escape = self.subject.file.directives.escape;
        self.expand(instruction, text, escape, false)
    }

    /// Expands a text and reports the variables that nothing sets.
    pub(super) fn expand(
        &mut self,
        instruction: &Instruction,
        text: &str,
        escape: char,
        keep_quotes: bool,
    ) -> Checked<String> {
        let uses = Uses::default();
        let lookup = |name: &str| uses.note(name, self.lookup(name));
        let expanded = Expander {
            escape,
            lookup: &lookup,
            keep_quotes,
        }
        .word(text);
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
        expanded.map_err(|reason| self.wrong(instruction, reason, None))
    }

    fn lookup(&self, name: &str) -> Option<String> {
        if self.state.is_guess(name) {
            self.guess.set(true);
        }
        self.state.variables.get(name)
    }

    fn env(&mut self, instruction: &Instruction, pairs: &Pairs) -> Checked<()> {
        self.legacy(instruction, pairs);
        let pairs = self.pairs(instruction, pairs)?;
        for (name, _) in &pairs {
            self.secret(instruction, "ENV", name);
        }
        for (name, value) in pairs {
            self.state.set(&name, &value, self.guess.get());
        }
        Ok(())
    }

    fn workdir(&mut self, instruction: &Instruction, path: &str) -> Checked<()> {
        let path = self.word(instruction, path)?;
        if !std::mem::replace(&mut self.state.workdir, true) && !path.starts_with('/') {
            let message = format!(
                "Relative workdir {path:?} can have unexpected results if the base image changes"
            );
            self.add(WORKDIR_RELATIVE_PATH, instruction, message);
        }
        self.state.directory = match &self.state.directory {
            _ if self.guess.get() => None,
            _ if path.starts_with('/') => Some(path),
            current => current
                .as_deref()
                .map(|current| values::workdir(current, &path)),
        };
        Ok(())
    }

    fn mount(&mut self, instruction: &Instruction, text: &MountText) -> Checked<()> {
        let mut expand = |value: &str| self.word(instruction, value).map_err(|wrong| wrong.message);
        let mount = Mount::parse(&text.text, &mut expand);
        let told = |bad: BadMount| self.wrong(instruction, bad.of_flag(), bad.help.as_deref());
        let mount = mount.map_err(told)?;
        let has_target = !matches!(mount.kind, MountType::Secret | MountType::Ssh);
        match &self.state.directory {
            Some(directory) if has_target => {
                let place = values::clean(&values::workdir(directory, &mount.target));
                check_place(&place).map_err(told)
            }
            _ => Ok(()),
        }
    }

    fn argument(&mut self, instruction: &Instruction, argument: &Argument) -> Checked<()> {
        self.secret(instruction, "ARG", &argument.name);
        let given = &self.subject.request.args;
        let mut argument = argument.clone();
        if !given.contains_key(&argument.name)
            && let Some(default) = &argument.default
        {
            argument.default = Some(self.word(instruction, default)?);
        }
        let value = self
            .state
            .variables
            .declare(&argument, given, self.subject.globals);
        if let Some(value) = value {
            self.state.set(&argument.name, &value, self.guess.get());
        }
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
    ) -> Checked<Vec<(String, String)>> {
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

    fn ports(&mut self, instruction: &Instruction, words: &[String]) -> Checked<()> {
        let mut expanded = Vec::new();
        for word in words {
            let lookup = |name: &str| self.lookup(name);
            let expander = Expander {
                escape: self.subject.file.directives.escape,
                lookup: &lookup,
                keep_quotes: false,
            };
            let ports = expander.words(word);
            expanded.extend(ports.map_err(|reason| self.wrong(instruction, reason, None))?);
        }
        for word in &expanded {
            self.port(instruction, word)?;
        }
        Ok(())
    }

    fn port(&mut self, instruction: &Instruction, word: &str) -> Checked<()> {
        let ports = Ports::read(word).map_err(|reason| self.wrong(instruction, reason, None))?;
        if !ports.is_lower() {
            let message =
                format!("Defined protocol '{word}' in EXPOSE instruction should be lowercase");
            self.add(EXPOSE_PROTO_CASING, instruction, message);
        }
        if ports.is_mapping() {
            let message = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'"
            );
            self.add(EXPOSE_INVALID_FORMAT, instruction, message);
        }
        let keys = ports.keys();
        keys.map(drop)
            .map_err(|reason| self.wrong(instruction, reason, None))
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
        let span = self.span(instruction);
        if let Some(before) = self.once.insert(keyword, span) {
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
