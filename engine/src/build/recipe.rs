//! A Dockerfile, understood: its stages, what each begins with, and which of them the target needs.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::context::Text;
use super::error::BuildError;
use super::expand::Expander;
use super::graph::{self, Graph, Origin};
use super::ignore::Patterns;
use super::lint;
use super::parse::{self, Argument, CheckConfig, Dockerfile, Instruction, Kind};
use super::platform::{self, Platform};
use super::request::BuildRequest;
use super::stages::{Stage, Stages};
use crate::image::ImageConfig;

/// What is to be built, before anything is.
pub(super) struct Recipe {
    pub(super) file: Dockerfile,
    pub(super) stages: Stages,
    /// What each stage's `FROM` means.
    pub(super) bases: Vec<Origin>,
    /// What each stage is built for.
    pub(super) platforms: Vec<Platform>,
    pub(super) target: usize,
    /// The target and what it depends on, in file order.
    pub(super) needed: Vec<usize>,
    /// The machine's platform, and the one that is built for.
    host: Platform,
    pub(super) platform: Platform,
    /// Arguments that nobody has to declare.
    automatic: BTreeMap<String, String>,
    /// Values of the arguments before the first `FROM`, and of the automatic ones.
    pub(super) globals: BTreeMap<String, String>,
}

impl Recipe {
    /// Reads a Dockerfile for a platform.
    pub(super) fn read(
        request: &BuildRequest,
        text: &Text,
        platform: Platform,
    ) -> Result<Self, BuildError> {
        let file = parse::parse(&text.name, &text.bytes).map_err(BuildError::Dockerfile)?;
        let stages = Stages::new(&file).map_err(BuildError::Dockerfile)?;
        let target = target(&stages, request)?;
        let host = Platform::host();
        let automatic = automatic(request, &stages, (&host, &platform));
        let globals = globals(&file, &stages, &request.args, automatic.clone())?;
        let (bases, platforms) = bases(&file, &stages, request, &globals, (&host, &platform))?;
        let is_context = |name: &str| request.context_of(name).is_some();
        let graph = Graph::new(&file.source, &stages, &bases, &is_context)
            .map_err(BuildError::Dockerfile)?;
        Ok(Self {
            needed: graph.needed(target),
            file,
            stages,
            bases,
            platforms,
            target,
            host,
            platform,
            automatic,
            globals,
        })
    }

    /// Which lint rules hold.
    pub(super) fn check_config(&self, request: &BuildRequest) -> Result<CheckConfig, BuildError> {
        match request.args.get("BUILDKIT_DOCKERFILE_CHECK") {
            Some(text) => CheckConfig::parse(text).map_err(|reason| BuildError::Option {
                option: "BUILDKIT_DOCKERFILE_CHECK".into(),
                reason,
            }),
            None => self
                .file
                .directives
                .check
                .clone()
                .map_err(BuildError::Dockerfile),
        }
    }

    /// What is worth a warning, in file order, and the first thing that is wrong. `image` is the configuration of an
    /// image that is here.
    pub(super) fn examine(
        &self,
        request: &BuildRequest,
        config: &CheckConfig,
        ignore: &Patterns,
        image: &dyn Fn(&str) -> Option<ImageConfig>,
    ) -> lint::Found {
        let (file, stages) = (&self.file, &self.stages);
        let defaults = globals(file, stages, &IndexMap::new(), self.automatic.clone()).ok();
        let everything: Vec<usize> = (0..stages.list.len()).collect();
        let subject = lint::Subject {
            file,
            stages,
            bases: &self.bases,
            walked: match (request.check, &request.target) {
                (true, None) => &everything,
                _ => &self.needed,
            },
            request,
            globals: &self.globals,
            defaults: defaults.as_ref(),
            host: &self.host,
            platform: &self.platform,
            ignore,
            image: &|name| {
                let name = match request.context_of(name) {
                    Some(context) => context.strip_prefix("docker-image://")?,
                    None => name,
                };
                image(name)
            },
        };
        let mut found = lint::check(&subject, config);
        if !request.check {
            let unused = lint::unused_arguments(file, stages, &request.args);
            found.warnings.extend(unused);
        }
        found
    }

    /// Refuses commands of a foreign platform where the kernel has nobody to run them. A stage with a platform of
    /// its own is looked at when its image is known: it is as its author wants it.
    pub(super) fn runnable(&self) -> Result<(), BuildError> {
        let runs = self.needed.iter().any(|index| {
            let stage = &self.stages.list[*index];
            let is_run = |instruction: &Instruction| matches!(instruction.kind, Kind::Run(..));
            self.platforms[*index] == self.platform
                && stage.from.platform.is_none()
                && stage.instructions.iter().any(is_run)
        });
        let platform = self.platform.of_image();
        if !runs || platform.runs_here() {
            return Ok(());
        }
        Err(BuildError::Unsupported {
            option: format!("--platform {}", self.platform),
            reason: platform.needs_emulator(),
        })
    }
}

fn target(stages: &Stages, request: &BuildRequest) -> Result<usize, BuildError> {
    if let Some(target) = stages.target(request.target.as_deref()) {
        return Ok(target);
    }
    let name = request.target.as_deref().unwrap_or_default();
    let reason = match graph::near_stage(stages, name) {
        Some(help) => format!("there is no stage `{name}`; {help}"),
        None => format!("there is no stage `{name}`"),
    };
    Err(BuildError::Option {
        option: "--target".into(),
        reason,
    })
}

/// The arguments that nobody has to declare; a build argument of such a name takes its place.
fn automatic(
    request: &BuildRequest,
    stages: &Stages,
    (host, target): (&Platform, &Platform),
) -> BTreeMap<String, String> {
    let last = stages.list.last().and_then(|stage| stage.from.name.clone());
    let asked = request.target.clone().filter(|target| !target.is_empty());
    let name = asked.or(last).unwrap_or_default();
    let mut automatic = platform::platform_args(host, target, &name);
    for (name, value) in &mut automatic {
        if let Some(given) = request.args.get(name) {
            value.clone_from(given);
        }
    }
    automatic
}

/// What is to be built for, each once.
pub(super) fn platforms(request: &BuildRequest) -> Result<Vec<Platform>, BuildError> {
    let host = Platform::host();
    let mut platforms: Vec<Platform> = Vec::new();
    for text in &request.platforms {
        let platform = match text.as_str() {
            "local" => host.clone(),
            text => platform::parse(text, &host).map_err(|reason| BuildError::Option {
                option: "--platform".into(),
                reason,
            })?,
        };
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    if platforms.is_empty() {
        platforms.push(host);
    }
    Ok(platforms)
}

/// Values of the arguments before the first `FROM`, and of the automatic ones, with these build arguments.
pub(super) fn globals(
    file: &Dockerfile,
    stages: &Stages,
    given: &IndexMap<String, String>,
    automatic: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, BuildError> {
    let mut globals = automatic;
    for instruction in &stages.globals {
        let Kind::Arg(arguments) = &instruction.kind else {
            continue;
        };
        for Argument { name, default } in arguments {
            let value = match (given.get(name), default) {
                (Some(given), _) => given.clone(),
                (None, Some(default)) => expander(file, &|name: &str| globals.get(name).cloned())
                    .word(default)
                    .map_err(|reason| {
                        let span = instruction.span;
                        let error = parse::error(&file.source, span, reason, None);
                        BuildError::Dockerfile(error)
                    })?,
                (None, None) => continue,
            };
            globals.insert(name.clone(), value);
        }
    }
    Ok(globals)
}

fn expander<'e>(file: &Dockerfile, lookup: &'e dyn Fn(&str) -> Option<String>) -> Expander<'e> {
    Expander {
        escape: file.directives.escape,
        lookup,
        keep_quotes: false,
    }
}

/// What each `FROM` means, a stage before it or an image, and its stage's platform.
pub(super) fn bases(
    file: &Dockerfile,
    stages: &Stages,
    request: &BuildRequest,
    globals: &BTreeMap<String, String>,
    (host, target): (&Platform, &Platform),
) -> Result<(Vec<Origin>, Vec<Platform>), BuildError> {
    let lookup = |name: &str| globals.get(name).cloned();
    let expander = expander(file, &lookup);
    let mut bases = Vec::with_capacity(stages.list.len());
    let mut platforms: Vec<Platform> = Vec::with_capacity(stages.list.len());
    for (index, stage) in stages.list.iter().enumerate() {
        let (image, platform) = base_image(file, stage, &expander, host)?;
        let is_context = |name: &String| {
            // These two mean the same everywhere.
            let reserved = ["scratch", "context"].map(|other| name.eq_ignore_ascii_case(other));
            !reserved.contains(&true) && request.context_of(name).is_some()
        };
        // A named context of the stage's own name takes its place.
        let replaced = stage.from.name.as_ref().filter(|name| is_context(name));
        bases.push(match (replaced, stages.base(&image, index)) {
            (Some(name), _) => Origin::Outside(name.clone()),
            (None, _) if is_context(&image) => Origin::Outside(image),
            (None, Some(base)) => Origin::Stage(base),
            (None, None) => Origin::Outside(image),
        });
        // A stage on another one is built for what that one is, whatever it says.
        platforms.push(match &bases[index] {
            Origin::Stage(base) => platforms[*base].clone(),
            // Nothing is the same on all platforms.
            Origin::Outside(name) if name == "scratch" => target.clone(),
            Origin::Outside(_) => platform.unwrap_or_else(|| target.clone()),
        });
    }
    Ok((bases, platforms))
}

/// The name after `FROM`, and its platform.
fn base_image(
    file: &Dockerfile,
    stage: &Stage,
    expander: &Expander<'_>,
    host: &Platform,
) -> Result<(String, Option<Platform>), BuildError> {
    let wrong = |message: String, help: Option<&str>| {
        BuildError::Dockerfile(parse::error(&file.source, stage.span, message, help))
    };
    let expand = |text: &str| expander.word(text).map_err(|reason| wrong(reason, None));
    let image = expand(&stage.from.image)?;
    if image.is_empty() {
        let message = format!("base name (`{}`) should not be blank", stage.from.image);
        let help = "give the variable a default: `ARG NAME=value` before the first FROM";
        return Err(wrong(message, Some(help)));
    }
    if let Some(text) = &stage.from.platform {
        let text = expand(text)?;
        if text.is_empty() {
            return Err(wrong("the platform is blank after expansion".into(), None));
        }
        let platform = platform::parse(&text, host).map_err(|reason| wrong(reason, None))?;
        return Ok((image, Some(platform)));
    }
    Ok((image, None))
}
