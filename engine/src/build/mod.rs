//! Dockerfile to image, in this process and on this store.
//!
//! Begin with [`BuildRequest`] and [`build`]. A Dockerfile is parsed (`parse`), its stages become a
//! graph of which only the target's part is kept (`recipe`, `graph`), each needed stage is walked on a thread of its
//! own (`solve`, `stage`), and each instruction that makes files (`file_step`, `copy`, `run`) becomes a layer: looked up in the
//! content-keyed cache first (`digest`, `cache`).
//!
//! Refused by name: several platforms in one build, platforms that this machine cannot run, caches that are no
//! registry's and no directory's (`sharing`), devices. Frontends from images are never run (`# syntax=` is ignored, as BuildKit does with its own name).

mod attributes;
mod cache;
mod chmod;
mod context;
mod copier;
mod copy;
mod diagnostic;
mod digest;
mod error;
mod expand;
mod explain;
mod fetch;
mod file_step;
mod former;
#[cfg(fuzzing)]
pub mod fuzzing;
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
mod recipe;
mod remote;
mod request;
mod run;
mod scratch;
mod select;
mod sharing;
mod solve;
mod stage;
mod stages;
mod store;
mod tree;
mod untar;
mod values;
mod variables;

use std::path::Path;

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
use recipe::Recipe;
use scratch::Scratch;
use sharing::{CacheTo, Imports};
use solve::{Shared, Solver, StageResult};

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
    let home = deps.paths.root().join("build");
    for directory in ["contexts", "locks", "mounts", "cache"] {
        make(&home.join(directory))?;
    }
    let (work, contexts) = (home.join("work"), home.join("contexts"));
    let scratch = Scratch::new(&work, deps.paths.trash()).map_err(cannot_make(&work))?;
    let (context, text) =
        context::open(&request.context, &request.dockerfile, &scratch, &contexts)?;
    let recipe = Recipe::read(request, &text)?;
    let warnings = warn(
        request,
        &recipe,
        &context.tree.ignore,
        deps.images,
        progress,
    )?;
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
    recipe.runnable()?;
    let cache = home.join("cache");
    let solver = Solver {
        request,
        images: deps.images,
        root: deps.paths.root().to_owned(),
        run_dir: deps.paths.run().to_owned(),
        file: &recipe.file,
        stages: &recipe.stages,
        bases: &recipe.bases,
        globals: &recipe.globals,
        context,
        platform: recipe.platform.clone(),
        epoch: epoch(request)?,
        cache: cache::Cache::open(cache.clone()).map_err(cannot_make(&cache))?,
        imports: Imports::new(&request.cache_from)?,
        exports: exports(request)?,
        scratch,
        lease: deps.images.lease().map_err(|source| BuildError::Store {
            action: "begin a build".into(),
            kind: crate::error::Classify::kind(&source),
            source: Box::new(source),
        })?,
        shared: Shared::new(recipe.stages.list.len(), progress, cancel),
    };
    let result = solver.run(&recipe.needed, recipe.target)?;
    if let Some(index) = &solver.context.tree.index {
        index.save();
    }
    finish(&solver, &result, &mut outcome)?;
    sharing::export(&[(&solver, &result)])?;
    Ok(outcome)
}

/// Tells the warnings; with `# check=error=true` they end the build.
fn warn(
    request: &BuildRequest,
    recipe: &Recipe,
    ignore: &Patterns,
    images: &ImageStore,
    progress: ProgressSink<'_>,
) -> Result<Vec<Diagnostic>, BuildError> {
    let config = recipe.check_config(request)?;
    let warnings = recipe.warnings(request, &config, ignore, &|name| {
        let image = store::resolve(images, name).ok()??;
        Some(image.config.clone())
    });
    for warning in &warnings {
        progress(BuildProgress::Warning(warning.clone()));
    }
    let of_a_rule = |warning: &Diagnostic| matches!(warning.severity, Severity::Warning(Some(_)));
    if config.error && warnings.iter().any(of_a_rule) {
        return Err(BuildError::Lint(warnings));
    }
    Ok(warnings)
}

fn make(path: &Path) -> Result<(), BuildError> {
    std::fs::create_dir_all(path).map_err(cannot_make(path))
}

fn cannot_make(path: &Path) -> impl FnOnce(std::io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Io {
        action: "make",
        path,
        source,
    }
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

/// Where the cache goes; the reference's build argument asks for an inline one too.
fn exports(request: &BuildRequest) -> Result<Vec<CacheTo>, BuildError> {
    let given = request.args.get("BUILDKIT_INLINE_CACHE");
    let inline = given.is_some_and(|value| matches!(value.as_str(), "1" | "true"));
    let flags = request.cache_to.iter().map(String::as_str);
    flags
        .chain(inline.then_some("type=inline"))
        .map(CacheTo::parse)
        .collect()
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
