//! One stage, walked from `FROM` to its end: configuration, variables, and the stack of layers.
//!
//! Instructions that only change the configuration are done here; those that make files go to `run_step`
//! and `copy_step`.

use std::sync::Arc;

use super::context::{self, Context};
use super::diagnostic::{Source, Span};
use super::digest::{Fields, Hash};
use super::error::BuildError;
use super::expand::Expander;
use super::graph::{self, Origin};
use super::parse::{self, Argument, CommandLine, HealthTest, Instruction, Kind, error};
use super::progress::BuildProgress;
use super::request::PullPolicy;
use super::solve::{Solver, StageResult};
use super::store::{self, Stack};
use super::tree::{Tree, View};
use super::values;
use super::variables::Variables;
use super::{copy, overlay, owner};
use crate::error::ErrorKind;
use crate::image::{Empty, HealthConfig, History, Image, ImageConfig};
use crate::layer::Layer;

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
    done: usize,
    total: usize,
}

/// What a `from` leads to.
pub(super) enum Files {
    /// The main context or a named one.
    Context(Arc<Context>),
    /// A stage or an image.
    Stack(Stack),
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
        result: scratch(solver),
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
fn scratch(solver: &Solver<'_>) -> StageResult {
    let platform = &solver.platform;
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
        match named {
            Some(name) => format!("[{name} {number}] {one_line}"),
            None if self.solver.stages.list.len() > 1 => {
                format!("[stage-{} {number}] {one_line}", self.index)
            }
            None => format!("[{number}] {one_line}"),
        }
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

    /// Prepares the base; gives its triggers.
    fn from(&mut self, span: Span) -> Result<Vec<String>, BuildError> {
        match &self.solver.bases[self.index] {
            Origin::Stage(base) => {
                let base = self.solver.stage(*base)?;
                self.result = StageResult::clone(&base);
                self.done += 1;
            }
            Origin::Outside(name) if name == "scratch" => {}
            Origin::Outside(name) => {
                let image = self.image(span, name)?;
                let stack = store::stack(&image);
                self.result = StageResult {
                    key: stack_key(&stack),
                    stack,
                    variables: Variables::from_env(&image.config.config.env),
                    created: image.config.created.clone(),
                    config: image.config.clone(),
                };
            }
        }
        let run = &mut self.result.config.config;
        if !run.env.iter().any(|entry| entry.starts_with("PATH=")) {
            run.env
                .push(format!("PATH={}", crate::runtime::defaults::PATH));
            self.result
                .variables
                .set("PATH", crate::runtime::defaults::PATH);
        }
        if run.working_dir.is_empty() {
            run.working_dir = "/".into();
        }
        Ok(std::mem::take(&mut run.on_build))
    }

    /// An image of the store, pulled when it must be.
    pub(super) fn image(&mut self, span: Span, name: &str) -> Result<Image, BuildError> {
        let solver = self.solver;
        let context = solver
            .request
            .contexts
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        let name = match context {
            None => name,
            Some((_, value)) => match value.strip_prefix("docker-image://") {
                Some(image) => image,
                None => {
                    let message = format!("named context `{name}` is not an image");
                    return Err(self.wrong(
                        span,
                        message,
                        Some("FROM takes docker-image:// contexts only"),
                    ));
                }
            },
        };
        let step = solver.number();
        let shown = self.vertex_name(&format!("FROM {name}"));
        let reference = crate::image::Reference::parse(name).map_err(|reason| {
            self.wrong(
                span,
                format!("invalid image name `{name}`: {reason}"),
                Some("write [host/]name[:tag][@digest]"),
            )
        })?;
        let policy = solver.request.pull;
        let local = crate::image::is_host_image(name);
        if policy != PullPolicy::Always || local {
            if let Some(image) = store::resolve(solver.images, name)? {
                solver.tell(BuildProgress::Cached { step, name: shown });
                return Ok(image);
            }
            if policy == PullPolicy::Never || local {
                let help = "load or pull it, or allow pulling";
                return Err(self.wrong(
                    span,
                    format!("image `{name}` is not in the store"),
                    Some(help),
                ));
            }
        }
        let begun = std::time::Instant::now();
        solver.tell(BuildProgress::Started {
            step,
            name: shown.clone(),
        });
        match super::remote::pull(solver, &reference, step) {
            Ok(image) => {
                solver.tell(BuildProgress::Done {
                    step,
                    elapsed: begun.elapsed(),
                });
                Ok(image)
            }
            Err((kind, reason)) => {
                solver.tell(BuildProgress::Failed {
                    step,
                    error: reason.clone(),
                });
                let message = format!("cannot get image `{name}`: {reason}");
                Err(solver.step_error(&shown, &self.source, span, kind, message, None))
            }
        }
    }

    /// What a `from` of COPY or of a mount means; `None` is the main context.
    pub(super) fn files(&mut self, span: Span, from: Option<&str>) -> Result<Files, BuildError> {
        let solver = self.solver;
        let Some(from) = from.filter(|from| !from.is_empty()) else {
            return Ok(Files::Context(solver.context.clone()));
        };
        let context = solver
            .request
            .contexts
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(from));
        if let Some((name, value)) = context
            && !value.starts_with("docker-image://")
        {
            return self.named_context(span, name, value).map(Files::Context);
        }
        let origin = match context {
            Some(_) => Origin::Outside(from.to_owned()),
            None => graph::origin(&self.source, span, solver.stages, from, self.index)
                .map_err(BuildError::Dockerfile)?,
        };
        match origin {
            Origin::Stage(stage) => {
                let result = solver.stage(stage)?;
                Ok(Files::Stack(result.stack.clone()))
            }
            Origin::Outside(name) if name == "scratch" => Ok(Files::Stack(Stack::empty())),
            Origin::Outside(name) => {
                // Not a step of this stage: it gets no number of its own.
                let done = self.done;
                let image = self.image(span, &name);
                self.done = done;
                Ok(Files::Stack(store::stack(&image?)))
            }
        }
    }

    fn named_context(
        &self,
        span: Span,
        name: &str,
        value: &str,
    ) -> Result<Arc<Context>, BuildError> {
        let solver = self.solver;
        let mut named = solver
            .shared
            .named
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(context) = named.get(name) {
            return Ok(context.clone());
        }
        let context = if value.contains("://") || super::git::GitRef::parse(value).is_some() {
            for refused in ["oci-layout://", "target:", "input:"] {
                if value.starts_with(refused) {
                    let message =
                        format!("named context `{name}`: `{refused}` contexts are not supported");
                    let help = "load the image and use docker-image://, or give a directory";
                    return Err(self.wrong(span, message, Some(help)));
                }
            }
            super::fetch::context(value, &solver.scratch)?
        } else {
            context::named(
                std::path::Path::new(value),
                &solver.root.join("build/contexts"),
            )?
        };
        let context = Arc::new(context);
        named.insert(name.to_owned(), context.clone());
        Ok(context)
    }

    /// Opens the files of a stack for reading.
    pub(super) fn open(&self, stack: &Stack) -> Result<Tree, BuildError> {
        let mut lower = stack.lower();
        if lower.is_empty() {
            lower.push(self.empty_directory()?);
        }
        let root = overlay::mount(&lower, None).map_err(|source| BuildError::Io {
            action: "mount the layers of",
            path: self.label.clone().into(),
            source,
        })?;
        Ok(Tree::new(root, View::Image))
    }

    /// A directory that stays empty.
    pub(super) fn empty_directory(&self) -> Result<std::path::PathBuf, BuildError> {
        let path = self.solver.root.join("build/empty");
        std::fs::create_dir_all(&path).map_err(|source| BuildError::Io {
            action: "create",
            path: path.clone(),
            source,
        })?;
        Ok(path)
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
                return super::run_step::run(self, instruction, flags, command);
            }
            Kind::Copy(flags, words) => {
                let flags = super::copy_step::Flags::of_copy(flags);
                return super::copy_step::run(self, instruction, flags, words);
            }
            Kind::Add(flags, words) => {
                let flags = super::copy_step::Flags::of_add(flags);
                return super::copy_step::run(self, instruction, flags, words);
            }
            Kind::Workdir(path) => return self.workdir(span, path),
            Kind::Arg(arguments) => return self.argument(span, arguments, &instruction.text),
            Kind::Env(pairs) => self.env(span, &pairs.list)?,
            Kind::Label(pairs) => {
                let mut expanded = Vec::with_capacity(pairs.list.len());
                for (name, value) in &pairs.list {
                    expanded.push((self.expand(span, name)?, self.expand(span, value)?));
                }
                self.result.config.config.labels.extend(expanded);
            }
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
            Kind::User(text) => {
                let user = self.expand(span, text)?;
                if user.is_empty() {
                    return Err(self.wrong(span, "USER is blank after expansion", None));
                }
                self.result.config.config.user = user;
            }
            Kind::Volume(paths) => {
                for path in paths {
                    let path = self.expand(span, path)?;
                    if path.is_empty() {
                        return Err(self.wrong(
                            span,
                            "VOLUME specified can not be an empty string",
                            None,
                        ));
                    }
                    self.result.config.config.volumes.insert(path, Empty {});
                }
            }
            Kind::Expose(words) => {
                for word in words {
                    self.expose(span, word)?;
                }
            }
            Kind::StopSignal(text) => {
                let signal = self.expand(span, text)?;
                if !values::is_signal(&signal) {
                    let help = "write a signal's name as SIGTERM, or its number";
                    return Err(self.wrong(span, format!("invalid signal `{signal}`"), Some(help)));
                }
                self.result.config.config.stop_signal = signal;
            }
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
    pub(super) fn push(&mut self, key: Hash, layer: Layer, created: String, history: &str) {
        self.history(history, Some(&created));
        self.result.config.rootfs.diff_ids.push(layer.diff_id);
        self.result.stack.layers.push(layer);
        self.result.key = key;
        self.result.created = Some(created);
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

    fn workdir(&mut self, span: Span, text: &str) -> Result<(), BuildError> {
        let path = self.expand(span, text)?;
        let absolute = values::absolute(&self.result.config.config.working_dir, &path);
        let path = if absolute.len() > 1 {
            absolute.trim_end_matches('/').to_owned()
        } else {
            absolute
        };
        self.result.config.config.working_dir.clone_from(&path);
        let name = self.vertex_name(&format!("WORKDIR {path}"));
        if path == "/" {
            self.history(&format!("WORKDIR {path}"), None);
            return Ok(());
        }
        let user = self.result.config.config.user.clone();
        let mut fields = Fields::new("workdir");
        fields
            .add(&self.result.key)
            .add(path.as_bytes())
            .add(user.as_bytes());
        let key = fields.finish();
        let (layer, created) = self.file_vertex(span, &name, key, false, &mut |stage, tree| {
            let owner = match user.as_str() {
                "" => None,
                user => Some(owner::resolve(tree, user)?),
            };
            let attributes = copy::Attributes {
                owner,
                mode: None,
                created: stage.solver.epoch,
            };
            copy::Copier::new(tree, &attributes)
                .make_directory(&path)
                .map(drop)
                .map_err(|error| error.to_string())
        })?;
        self.push(key, layer, created, &format!("WORKDIR {path}"));
        Ok(())
    }

    /// A step that writes files: `write` gets the root of the stage, writable; what it leaves becomes the layer.
    /// `alone` gives it an empty root instead.
    pub(super) fn file_vertex(
        &self,
        span: Span,
        name: &str,
        key: Hash,
        alone: bool,
        write: &mut dyn FnMut(&Self, &Tree) -> Result<(), String>,
    ) -> Result<(Layer, String), BuildError> {
        let solver = self.solver;
        let stack = &self.result.stack;
        solver.vertex(name, &key, stack, self.no_cache, &mut |_| {
            let io = |action: &'static str| {
                move |source| BuildError::Io {
                    action,
                    path: solver.root.join("build"),
                    source,
                }
            };
            let part = solver
                .scratch
                .directory()
                .map_err(io("create a directory in"))?;
            let upper = part.make("upper").map_err(io("create a directory in"))?;
            let work = part.make("work").map_err(io("create a directory in"))?;
            let lower = if alone { Vec::new() } else { stack.lower() };
            let root =
                overlay::mount(&lower, Some((&upper, &work))).map_err(io("mount layers in"))?;
            let tree = Tree::new(root, View::Image);
            write(self, &tree).map_err(|reason| {
                solver.step_error(name, &self.source, span, ErrorKind::Invalid, reason, None)
            })?;
            drop(tree);
            store::commit(solver.images, &upper, stack)
        })
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
