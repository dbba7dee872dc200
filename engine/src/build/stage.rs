//! One stage, walked from `FROM` to its end: configuration, variables, and the stack of layers.
//!
//! Instructions that only change the configuration go to `configuration`; those that make files to `file_step`, `run`
//! and `copy`.

use super::diagnostic::{Source, Span};
use super::digest::{Fields, Hash};
use super::error::BuildError;
use super::expand::Expander;
use super::graph::Origin;
use super::history::LayerOf;
use super::parse::{self, CommandLine, Instruction, Kind, error};
use super::platform::Platform;
use super::solve::{Solver, StageResult};
use super::store::Stack;
use super::variables::Variables;
use crate::image::ImageConfig;

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
    pub(super) cmd_set: bool,
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
    let mut triggered = Vec::with_capacity(triggers.len());
    for (number, text) in triggers.iter().enumerate() {
        let place = format!("ONBUILD trigger {} of {}", number + 1, written.from.image);
        for instruction in parse::parse_trigger(text, &place).map_err(BuildError::Dockerfile)? {
            stage.total += usize::from(makes_layer(&instruction.kind));
            triggered.push((Source::new(&place, text.as_bytes()), instruction));
        }
    }
    // All are counted before the first one is told.
    for (source, instruction) in triggered {
        stage.source = source;
        stage.instruction(&instruction)?;
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

    pub(super) fn expand_opt(
        &self,
        span: Span,
        text: Option<&str>,
    ) -> Result<Option<String>, BuildError> {
        text.map(|text| self.expand(span, text)).transpose()
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<(), BuildError> {
        let span = instruction.span;
        let text = match &instruction.kind {
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
            Kind::Onbuild(text) => {
                self.result.config.config.on_build.push(text.clone());
                return Ok(());
            }
            Kind::Arg(arguments) => self.argument(span, arguments)?,
            Kind::Env(pairs) => self.env(span, &pairs.list)?,
            Kind::Label(pairs) => self.labels(span, &pairs.list)?,
            Kind::Maintainer(author) => self.maintainer(author),
            Kind::Cmd(command) => self.cmd(command),
            Kind::Entrypoint(command) => self.entrypoint(command),
            Kind::Shell(words) => self.shell(words),
            Kind::User(text) => self.user(span, text)?,
            Kind::Volume(paths) => self.volumes(span, paths)?,
            Kind::Expose(words) => self.expose(span, words)?,
            Kind::StopSignal(text) => self.stop_signal(span, text)?,
            Kind::Healthcheck(test) => self.healthcheck(test),
        };
        self.history(text, LayerOf::Nothing);
        Ok(())
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
}
