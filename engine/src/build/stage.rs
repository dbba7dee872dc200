//! One stage, walked from `FROM` to its end: configuration, variables, and the stack of layers.
//!
//! Instructions that only change the configuration are done here; those that make files go to `run`
//! and `copy`.

use super::diagnostic::{Source, Span};
use super::digest::{Fields, Hash};
use super::error::BuildError;
use super::expand::Expander;
use super::graph::Origin;
use super::parse::{self, Argument, CommandLine, HealthTest, Instruction, Kind, error};
use super::platform::Platform;
use super::sharing::Step;
use super::solve::{Solver, StageResult};
use super::store::Stack;
use super::values;
use super::variables::Variables;
use super::vertex::Made;
use crate::image::{Empty, HealthConfig, History, ImageConfig};

/// The shell where no `SHELL` was given.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// A stage at work.
pub(super) struct Stage<'s, 'a> {
    pub(super) solver: &'s Solver<'a>,
    pub(super) index: usize,
    pub(super) label: String,
    /// The text that spans point into: the Dockerfile, or a trigger of a base image.
    pub(super) source: Source,
    pub(super) result: StageResult,
    pub(super) no_cache: bool,
    /// `CMD` was given in this stage.
    cmd_set: bool,
    /// Steps done and steps in all, for vertex names.
    pub(super) done: usize,
    total: usize,
}

/// Runs a stage.
pub(super) fn run(solver: &Solver<'_>, index: usize) -> Result<StageResult, BuildError> {
    let written = &solver.stages.list[index];
    let label = written
        .from
        .name
        .clone()
        .unwrap_or_else(|| index.to_string());
    let steps = written
        .instructions
        .iter()
        .filter(|i| makes_layer(&i.kind))
        .count();
    let mut stage = Stage {
        solver,
        index,
        no_cache: solver.ignores_cache(&label),
        label,
        source: solver.file.source.clone(),
        result: scratch(&solver.platforms[index]),
        cmd_set: false,
        done: 0,
        total: steps + usize::from(solver.bases[index] != Origin::Outside("scratch".into())),
    };
    let triggers = stage.from(written.span)?;
    for (number, text) in triggers.iter().enumerate() {
        let place = format!("ONBUILD trigger {} of {}", number + 1, written.from.image);
        for instruction in parse::parse_trigger(text, &place).map_err(BuildError::Dockerfile)? {
            stage.source = Source::new(&place, text.as_bytes());
            stage.total += usize::from(makes_layer(&instruction.kind));
            stage.instruction(&instruction)?;
        }
    }
    stage.source = solver.file.source.clone();
    for instruction in &written.instructions {
        stage.instruction(instruction)?;
    }
    Ok(stage.result)
}

fn makes_layer(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Run(..) | Kind::Copy(..) | Kind::Add(..) | Kind::Workdir(_)
    )
}

/// The empty stage.
fn scratch(platform: &Platform) -> StageResult {
    let config = ImageConfig {
        architecture: platform.arch.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        ..ImageConfig::default()
    };
    let stack = Stack::empty();
    StageResult {
        key: stack_key(&stack),
        stack,
        config,
        variables: Variables::default(),
        created: None,
        steps: Vec::new(),
    }
}

/// Cache key of a stack of layers: what they hold, not how they were made.
pub(super) fn stack_key(stack: &Stack) -> Hash {
    let mut fields = Fields::new("base");
    fields.add(stack.bottom.as_bytes());
    fields.list(stack.layers.iter().map(|layer| layer.chain_id.to_string()));
    fields.finish()
}

impl Stage<'_, '_> {
    /// `[name 2/5] text`, as BuildKit names vertices.
    pub(super) fn vertex_name(&mut self, text: &str) -> String {
        self.done += 1;
        let number = format!("{}/{}", self.done, self.total.max(self.done));
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let named = &self.solver.stages.list[self.index].from.name;
        let place = match named {
            Some(name) => format!("{name} {number}"),
            None if self.solver.stages.list.len() > 1 => format!("stage-{} {number}", self.index),
            None => number,
        };
        if self.solver.several {
            format!("[{} {place}] {one_line}", self.platform())
        } else {
            format!("[{place}] {one_line}")
        }
    }

    /// What the stage is built for.
    pub(super) fn platform(&self) -> &Platform {
        &self.solver.platforms[self.index]
    }

    /// An error in the Dockerfile at these lines.
    pub(super) fn wrong(
        &self,
        span: Span,
        message: impl Into<String>,
        help: Option<&str>,
    ) -> BuildError {
        BuildError::Dockerfile(error(&self.source, span, message, help))
    }

    /// Expands one word with the variables of this point.
    pub(super) fn expand(&self, span: Span, text: &str) -> Result<String, BuildError> {
        let lookup = |name: &str| self.result.variables.get(name);
        let escape = self.solver.file.directives.escape;
        Expander {
            escape,
            lookup: &lookup,
            keep_quotes: false,
        }
        .word(text)
        .map_err(|reason| self.wrong(span, reason, None))
    }

    /// Expands the body of a heredoc: quotes stay.
    pub(super) fn expand_body(&self, span: Span, text: &str) -> Result<String, BuildError> {
        let lookup = |name: &str| self.result.variables.get(name);
        Expander {
            escape: '\\',
            lookup: &lookup,
            keep_quotes: true,
        }
        .word(text)
        .map_err(|reason| self.wrong(span, reason, None))
    }

    fn expand_opt(&self, span: Span, text: Option<&str>) -> Result<Option<String>, BuildError> {
        text.map(|text| self.expand(span, text)).transpose()
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<(), BuildError> {
        let span = instruction.span;
        match &instruction.kind {
            Kind::From(_) => {
                return Err(self.wrong(span, "FROM isn't allowed as an ONBUILD trigger", None));
            }
            Kind::Run(flags, command) => {
                return super::run::run(self, instruction, flags, command);
            }
            Kind::Copy(flags, words) => {
                let flags = super::copy::Flags::of_copy(flags);
                return super::copy::run(self, instruction, flags, words);
            }
            Kind::Add(flags, words) => {
                let flags = super::copy::Flags::of_add(flags);
                return super::copy::run(self, instruction, flags, words);
            }
            Kind::Workdir(path) => return self.workdir(span, path),
            Kind::Arg(arguments) => return self.argument(span, arguments, &instruction.text),
            Kind::Env(pairs) => self.env(span, &pairs.list)?,
            Kind::Label(pairs) => self.labels(span, &pairs.list)?,
            Kind::Maintainer(text) => self.result.config.author.clone_from(text),
            Kind::Cmd(command) => {
                self.result.config.config.cmd =
                    Some(self.wrapped(command)).filter(|words| !words.is_empty());
                self.cmd_set = true;
            }
            Kind::Entrypoint(command) => {
                self.result.config.config.entrypoint =
                    Some(self.wrapped(command)).filter(|words| !words.is_empty());
                if !self.cmd_set {
                    self.result.config.config.cmd = None;
                }
            }
            Kind::Shell(words) => self.result.config.config.shell = Some(words.clone()),
            Kind::User(text) => self.user(span, text)?,
            Kind::Volume(paths) => self.volumes(span, paths)?,
            Kind::Expose(words) => {
                for word in words {
                    self.expose(span, word)?;
                }
            }
            Kind::StopSignal(text) => self.stop_signal(span, text)?,
            Kind::Healthcheck(test) => self.result.config.config.healthcheck = Some(health(test)),
            Kind::Onbuild(text) => {
                self.result.config.config.on_build.push(text.clone());
                return Ok(());
            }
        }
        self.history(
            &format!(
                "{} {}",
                instruction.keyword.to_uppercase(),
                instruction.text
            ),
            None,
        );
        Ok(())
    }

    fn labels(&mut self, span: Span, pairs: &[(String, String)]) -> Result<(), BuildError> {
        let mut expanded = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            expanded.push((self.expand(span, name)?, self.expand(span, value)?));
        }
        self.result.config.config.labels.extend(expanded);
        Ok(())
    }

    fn user(&mut self, span: Span, text: &str) -> Result<(), BuildError> {
        let user = self.expand(span, text)?;
        if user.is_empty() {
            return Err(self.wrong(span, "USER is blank after expansion", None));
        }
        self.result.config.config.user = user;
        Ok(())
    }

    fn volumes(&mut self, span: Span, paths: &[String]) -> Result<(), BuildError> {
        for path in paths {
            let path = self.expand(span, path)?;
            if path.is_empty() {
                return Err(self.wrong(span, "VOLUME specified can not be an empty string", None));
            }
            self.result.config.config.volumes.insert(path, Empty {});
        }
        Ok(())
    }

    fn stop_signal(&mut self, span: Span, text: &str) -> Result<(), BuildError> {
        let signal = self.expand(span, text)?;
        if !values::is_signal(&signal) {
            let help = "write a signal's name as SIGTERM, or its number";
            return Err(self.wrong(span, format!("invalid signal `{signal}`"), Some(help)));
        }
        self.result.config.config.stop_signal = signal;
        Ok(())
    }

    /// Adds a line of history; `layer` is when a layer was made.
    pub(super) fn history(&mut self, text: &str, layer: Option<&str>) {
        let created = match layer {
            Some(created) => Some(created.to_owned()),
            None if self.solver.epoch.is_some() => Some(self.solver.now()),
            None => self.result.created.clone(),
        };
        let comment = "buildkit.dockerfile.v0".to_owned();
        let created_by = if layer.is_some() {
            format!("{text} # buildkit")
        } else {
            text.to_owned()
        };
        let history = History {
            created,
            created_by,
            comment,
            empty_layer: layer.is_none(),
            ..History::default()
        };
        self.result.config.history.push(history);
    }

    /// Puts a layer on the stack.
    pub(super) fn push(&mut self, key: Hash, made: Made, history: &str) {
        self.history(history, Some(&made.created));
        self.result.config.rootfs.diff_ids.push(made.layer.diff_id);
        if self.result.stack.below.is_empty() {
            self.result.steps.push(Step {
                key: made.key,
                layer: made.layer.clone(),
                created: made.created.clone(),
                name: made.name,
            });
        }
        self.result.stack.layers.push(made.layer);
        self.result.key = key;
        self.result.created = Some(made.created);
    }

    /// The words of a command, in the shell where that is asked for.
    pub(super) fn wrapped(&self, command: &CommandLine) -> Vec<String> {
        if !command.shell {
            return command.words.clone();
        }
        let mut words = match &self.result.config.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => SHELL.map(str::to_owned).to_vec(),
        };
        words.push(command.words.join(" "));
        words
    }

    fn argument(
        &mut self,
        span: Span,
        arguments: &[Argument],
        text: &str,
    ) -> Result<(), BuildError> {
        for argument in arguments {
            let expanded = Argument {
                name: self.expand(span, &argument.name)?,
                default: self.expand_opt(span, argument.default.as_deref())?,
            };
            let stage = self.solver.stages.list[self.index]
                .from
                .name
                .clone()
                .unwrap_or_default();
            let mut globals = self.solver.globals.clone();
            if !stage.is_empty() {
                globals
                    .entry("TARGETSTAGE".into())
                    .and_modify(|value| *value = stage);
            }
            self.result
                .variables
                .declare(&expanded, &self.solver.request.args, &globals);
        }
        self.history(&format!("ARG {text}"), None);
        Ok(())
    }

    /// All values are those from before the instruction.
    fn env(&mut self, span: Span, pairs: &[(String, String)]) -> Result<(), BuildError> {
        let mut expanded = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let name = self.expand(span, name)?;
            if name.is_empty() {
                return Err(self.wrong(span, "ENV names can not be blank", None));
            }
            expanded.push((name, self.expand(span, value)?));
        }
        for (name, value) in expanded {
            self.result.variables.set(&name, &value);
            let env = &mut self.result.config.config.env;
            let entry = format!("{name}={value}");
            match env
                .iter_mut()
                .find(|old| old.split_once('=').is_some_and(|(old, _)| old == name))
            {
                Some(old) => *old = entry,
                None => env.push(entry),
            }
        }
        Ok(())
    }

    fn expose(&mut self, span: Span, word: &str) -> Result<(), BuildError> {
        let lookup = |name: &str| self.result.variables.get(name);
        let expander = Expander {
            escape: self.solver.file.directives.escape,
            lookup: &lookup,
            keep_quotes: false,
        };
        let words = expander
            .words(word)
            .map_err(|reason| self.wrong(span, reason, None))?;
        for word in words {
            let ports = values::ports(&word).map_err(|reason| self.wrong(span, reason, None))?;
            self.result
                .config
                .config
                .exposed_ports
                .extend(ports.into_iter().map(|port| (port, Empty {})));
        }
        Ok(())
    }
}

fn health(test: &HealthTest) -> HealthConfig {
    HealthConfig {
        test: test.test.clone(),
        interval: test.interval,
        timeout: test.timeout,
        start_period: test.start_period,
        start_interval: test.start_interval,
        retries: test.retries,
    }
}
