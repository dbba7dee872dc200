//! Dockerfile to image, in this process and on this store.
//!
//! Begin with [`BuildRequest`] and [`build`]. A Dockerfile is parsed (`parse`), its stages become a
//! graph of which only the target's part is kept (`graph`), each needed stage is walked on a thread of its
//! own (`solve`, `stage`), and each instruction that makes files (`file_step`, `copy_step`, `run`) becomes a layer: looked up in the
//! content-keyed cache first (`digest`, `cache`).
//!
//! Refused by name: several platforms in one build, platforms that this machine cannot run, import and export of
//! caches, devices. Frontends from images are never run (`# syntax=` is ignored, as BuildKit does with its own name).

mod cache;
mod chmod;
mod context;
mod copy;
mod copy_job;
mod copy_memory;
mod copy_source;
mod copy_step;
mod diagnostic;
mod digest;
mod error;
mod expand;
mod explain;
mod fetch;
mod file_step;
mod former;
mod git;
mod glob;
mod graph;
mod ignore;
mod layout;
mod lint;
mod origin;
mod output;
mod overlay;
mod owner;
mod parse;
mod progress;
mod remote;
mod request;
mod run;
mod scratch;
mod select;
mod solve;
mod stage;
mod stages;
mod store;
mod tree;
mod untar;
mod values;
mod variables;

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;

pub use diagnostic::{Diagnostic, Severity, Source, Span};
pub use error::BuildError;
pub use explain::Explanation;
pub use ignore::{BadPattern, Patterns};
pub use lint::Rule;
pub use progress::{BuildProgress, Cancel, LogStream, ProgressSink, StepId};
pub use request::{
    BuildRequest, ContextSource, DockerfileSource, NoCache, Output, PullPolicy, RunNetwork,
    SecretSource,
};
pub use run::run_role;

use crate::image::{ImageStore, Reference};
use crate::state::Paths;
use expand::Expander;
use graph::{Graph, Origin};
use parse::{Argument, CheckConfig, Dockerfile, Kind};
use scratch::Scratch;
use solve::{Shared, Solver, StageResult};
use stages::Stages;
use values::Platform;

/// What a build gave.
#[derive(Clone, Debug)]
pub struct BuildOutcome {
    /// Id of the image (`sha256:…` of its configuration); `None` for outputs without an image.
    pub image_id: Option<String>,
    /// The references it got.
    pub tags: Vec<String>,
    /// Steps whose result came from the cache.
    pub cached: usize,
    /// Steps that ran.
    pub executed: usize,
    /// Lint warnings, in file order.
    pub warnings: Vec<Diagnostic>,
    /// Why each step ran or did not, in the order they ended, when that was asked for.
    pub explanations: Vec<Explanation>,
    /// What `--metadata-file` writes.
    pub metadata: serde_json::Value,
}

/// What a build works with.
#[derive(Clone, Copy, Debug)]
pub struct BuildDeps<'a> {
    /// The engine's directories.
    pub paths: &'a Paths,
    /// Where base images come from and the result goes to.
    pub images: &'a ImageStore,
}

/// Builds an image. Blocking: call it from a thread that may block (`spawn_blocking`).
pub fn build(
    request: &BuildRequest,
    deps: BuildDeps<'_>,
    progress: ProgressSink<'_>,
    cancel: &Cancel,
) -> Result<BuildOutcome, BuildError> {
    refuse(request)?;
    let root = deps.paths.root().to_owned();
    let home = root.join("build");
    for directory in ["contexts", "locks", "mounts", "cache"] {
        make(&home.join(directory))?;
    }
    let scratch =
        Scratch::new(&home.join("work"), deps.paths.trash()).map_err(|source| BuildError::Io {
            action: "make",
            path: home.join("work"),
            source,
        })?;
    let (context, text) = context::open(
        &request.context,
        &request.dockerfile,
        &scratch,
        &home.join("contexts"),
    )?;
    let file = parse::parse(&text.name, &text.bytes).map_err(BuildError::Dockerfile)?;
    let stages = Stages::new(&file).map_err(BuildError::Dockerfile)?;
    let Some(target) = stages.target(request.target.as_deref()) else {
        let name = request.target.clone().unwrap_or_default();
        let reason = match graph::near_stage(&stages, &name) {
            Some(help) => format!("there is no stage `{name}`; {help}"),
            None => format!("there is no stage `{name}`"),
        };
        return Err(BuildError::Option {
            option: "--target".into(),
            reason,
        });
    };
    let host = Platform::host();
    let platform = match request.platforms.first() {
        Some(text) => values::platform(text, &host).map_err(|reason| BuildError::Option {
            option: "--platform".into(),
            reason,
        })?,
        None => host.clone(),
    };
    let target_name = stages.list[target].from.name.clone().unwrap_or_default();
    let automatic = values::platform_args(&host, &platform, &target_name);
    let globals = globals_with(&file, &stages, &request.args, automatic.clone())?;
    let bases = bases(&file, &stages, request, &globals, &host)?;
    let is_context = |name: &str| {
        request
            .contexts
            .keys()
            .any(|known| known.eq_ignore_ascii_case(name))
    };
    let graph =
        Graph::new(&file.source, &stages, &bases, &is_context).map_err(BuildError::Dockerfile)?;
    let needed = graph.needed(target);

    let config = match request.args.get("BUILDKIT_DOCKERFILE_CHECK") {
        Some(text) => CheckConfig::parse(text).map_err(|reason| BuildError::Option {
            option: "BUILDKIT_DOCKERFILE_CHECK".into(),
            reason,
        })?,
        None => file.directives.check.clone(),
    };
    let defaults = globals_with(&file, &stages, &IndexMap::new(), automatic).ok();
    let everything: Vec<usize> = (0..stages.list.len()).collect();
    let named = |name: &str| request.contexts.get(name).cloned();
    let subject = lint::Subject {
        file: &file,
        stages: &stages,
        bases: &bases,
        walked: match (request.check, &request.target) {
            (true, None) => &everything,
            _ => &needed,
        },
        request,
        globals: &globals,
        defaults: defaults.as_ref(),
        host: &host,
        platform: &platform,
        ignore: &context.tree.ignore,
        image: &|name| {
            let name = match named(name) {
                Some(context) => context.strip_prefix("docker-image://")?.to_owned(),
                None => name.to_owned(),
            };
            let image = store::resolve(deps.images, &name).ok()??;
            Some(image.config.clone())
        },
    };
    let mut warnings = lint::check(&subject, &config);
    if !request.check {
        warnings.extend(lint::unused_arguments(&file, &stages, &request.args));
    }
    for warning in &warnings {
        progress(BuildProgress::Warning(warning.clone()));
    }
    if config.error
        && warnings
            .iter()
            .any(|warning| matches!(warning.severity, Severity::Warning(Some(_))))
    {
        return Err(BuildError::Lint(warnings));
    }
    let mut outcome = BuildOutcome {
        image_id: None,
        tags: Vec::new(),
        cached: 0,
        executed: 0,
        warnings,
        explanations: Vec::new(),
        metadata: serde_json::json!({}),
    };
    if request.check {
        return Ok(outcome);
    }
    runnable(&stages, &needed, &host, &platform)?;
    let epoch = epoch(request)?;
    let solver = Solver {
        request,
        images: deps.images,
        run_dir: deps.paths.run().to_owned(),
        file: &file,
        stages: &stages,
        bases: &bases,
        globals: &globals,
        context,
        platform,
        epoch,
        cache: cache::Cache::open(home.join("cache")).map_err(|source| BuildError::Io {
            action: "make",
            path: home.join("cache"),
            source,
        })?,
        scratch,
        lease: deps.images.lease().map_err(|source| BuildError::Store {
            action: "begin a build".into(),
            kind: crate::error::Classify::kind(&source),
            source: Box::new(source),
        })?,
        shared: Shared::new(stages.list.len(), progress, cancel),
        root,
    };
    let result = solver.run(&needed, target)?;
    if let Some(index) = &solver.context.tree.index {
        index.save();
    }
    finish(&solver, &result, &mut outcome)?;
    Ok(outcome)
}

fn make(path: &Path) -> Result<(), BuildError> {
    std::fs::create_dir_all(path).map_err(|source| BuildError::Io {
        action: "make",
        path: path.to_owned(),
        source,
    })
}

/// Options that this builder does not have.
fn refuse(request: &BuildRequest) -> Result<(), BuildError> {
    let unsupported = |option: &str, reason: &str| {
        Err(BuildError::Unsupported {
            option: option.to_owned(),
            reason: reason.to_owned(),
        })
    };
    if request.platforms.len() > 1 {
        return unsupported("--platform with several platforms", "build them one by one");
    }
    for (option, values) in [
        ("--cache-from", &request.cache_from),
        ("--cache-to", &request.cache_to),
    ] {
        if let Some(value) = values.first() {
            return unsupported(
                &format!("{option} {value}"),
                "this machine's store is the cache; leave it out",
            );
        }
    }
    for entitlement in &request.entitlements {
        if !["network.host", "security.insecure"].contains(&entitlement.as_str()) {
            return unsupported(
                &format!("--allow {entitlement}"),
                "known are network.host and security.insecure",
            );
        }
    }
    for tag in &request.tags {
        Reference::parse(tag).map_err(|reason| BuildError::Option {
            option: format!("tag `{tag}`"),
            reason: reason.to_string(),
        })?;
    }
    Ok(())
}

/// Refuses commands of a foreign platform where the kernel has nobody to run them.
fn runnable(
    stages: &Stages,
    needed: &[usize],
    host: &Platform,
    platform: &Platform,
) -> Result<(), BuildError> {
    let runs = needed.iter().any(|stage| {
        // A stage with a platform of its own is as its author wants it.
        let stage = &stages.list[*stage];
        stage.from.platform.is_none()
            && stage
                .instructions
                .iter()
                .any(|instruction| matches!(instruction.kind, Kind::Run(..)))
    });
    if !runs || platform.runs_on(host) {
        return Ok(());
    }
    Err(BuildError::Unsupported {
        option: format!("--platform {platform}"),
        reason: format!(
            "RUN needs an emulator for {} here: register one with binfmt_misc (qemu-user-static), or build on such a machine",
            platform.arch
        ),
    })
}

fn epoch(request: &BuildRequest) -> Result<Option<i64>, BuildError> {
    match request
        .args
        .get("SOURCE_DATE_EPOCH")
        .filter(|text| !text.is_empty())
    {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| BuildError::Option {
            option: format!("SOURCE_DATE_EPOCH `{text}`"),
            reason: "it is a number of seconds".into(),
        }),
    }
}

/// Values of the arguments before the first `FROM`, and of the automatic ones, with these build arguments.
fn globals_with(
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
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => {
                    let lookup = |name: &str| globals.get(name).cloned();
                    let expander = Expander {
                        escape: file.directives.escape,
                        lookup: &lookup,
                        keep_quotes: false,
                    };
                    let value = expander.word(default).map_err(|reason| {
                        BuildError::Dockerfile(parse::error(
                            &file.source,
                            instruction.span,
                            reason,
                            None,
                        ))
                    })?;
                    Some(value)
                }
                (None, None) => None,
            };
            if let Some(value) = value {
                globals.insert(name.clone(), value);
            }
        }
    }
    Ok(globals)
}

/// What each `FROM` means: a stage before it, or an image.
fn bases(
    file: &Dockerfile,
    stages: &Stages,
    request: &BuildRequest,
    globals: &BTreeMap<String, String>,
    host: &Platform,
) -> Result<Vec<Origin>, BuildError> {
    let lookup = |name: &str| globals.get(name).cloned();
    let expander = Expander {
        escape: file.directives.escape,
        lookup: &lookup,
        keep_quotes: false,
    };
    let mut bases = Vec::with_capacity(stages.list.len());
    for (index, stage) in stages.list.iter().enumerate() {
        let wrong = |message: String, help: Option<&str>| {
            BuildError::Dockerfile(parse::error(&file.source, stage.span, message, help))
        };
        let image = expander
            .word(&stage.from.image)
            .map_err(|reason| wrong(reason, None))?;
        if image.is_empty() {
            let message = format!("base name (`{}`) should not be blank", stage.from.image);
            return Err(wrong(
                message,
                Some("give the variable a default: `ARG NAME=value` before the first FROM"),
            ));
        }
        if let Some(text) = &stage.from.platform {
            let text = expander.word(text).map_err(|reason| wrong(reason, None))?;
            if text.is_empty() {
                return Err(wrong("the platform is blank after expansion".into(), None));
            }
            values::platform(&text, host).map_err(|reason| wrong(reason, None))?;
        }
        // A named context of the stage's own name takes its place.
        let replaced = stage
            .from
            .name
            .as_ref()
            .filter(|name| request.contexts.contains_key(*name));
        bases.push(match (replaced, stages.by_name(&image, index)) {
            (Some(name), _) => Origin::Outside(name.clone()),
            (None, _) if request.contexts.contains_key(&image) => Origin::Outside(image),
            (None, Some(base)) => Origin::Stage(base),
            (None, None) => Origin::Outside(image),
        });
    }
    Ok(bases)
}

/// Makes the image of the target's result and hands it out.
fn finish(
    solver: &Solver<'_>,
    result: &StageResult,
    outcome: &mut BuildOutcome,
) -> Result<(), BuildError> {
    let count = |counter: &std::sync::atomic::AtomicUsize| {
        counter.load(std::sync::atomic::Ordering::Relaxed)
    };
    outcome.cached = count(&solver.shared.cached);
    outcome.explanations = solver.shared.explanations();
    outcome.executed = count(&solver.shared.executed);
    output::write(solver, result, outcome)
}

#[cfg(test)]
mod tests;
