//! Dockerfile to image, in this process and on this store.
//!
//! Begin with [`BuildRequest`] and [`build`]. A Dockerfile is parsed (`parse`), its stages become a
//! graph of which only the target's part is kept (`recipe`, `graph`), each needed stage is walked on a thread of its
//! own (`solve`, `stage`), and each instruction that makes files (`file_step`, `copy`, `run`) becomes a layer: looked up in the
//! content-keyed cache first (`digest`, `cache`).
//!
//! Several platforms are several solvers on one context; each stage has a platform of its own (`recipe`).
//!
//! Refused by name: commands of platforms that this machine cannot run, caches that are no registry's and no
//! directory's (`sharing`), devices. Frontends from images are never run (`# syntax=` is ignored, as BuildKit does with its own name).

mod attributes;
mod cache;
mod checks;
mod chmod;
mod configuration;
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
mod history;
mod ignore;
mod layout;
mod lint;
mod origin;
mod output;
mod overlay;
mod owner;
mod parse;
mod platform;
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
mod turns;
mod untar;
mod values;
mod variables;
mod vertex;

use std::path::Path;
use std::sync::Arc;

pub use diagnostic::{Diagnostic, Severity, Source, Span};
pub use error::BuildError;
pub use explain::Explanation;
pub use git::is_remote;
pub use ignore::{BadPattern, Patterns};
pub use lint::Rule;
pub use progress::{BuildProgress, Cancel, LogStream, ProgressSink, StepId};
pub use request::{
    BuildRequest, ContextSource, DockerfileSource, NoCache, Output, PullPolicy, RunNetwork,
    SecretSource,
};
pub use run::run_role;

use crate::image::ImageStore;
use crate::state::Paths;
use recipe::Recipe;
use scratch::Scratch;
use sharing::{CacheTo, Imports};
use solve::{Shared, Solver};
use turns::Tally;

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
    let (context, text) = context::open(request, &scratch, &contexts)?;
    let recipes = recipe::platforms(request)?
        .into_iter()
        .map(|platform| Recipe::read(request, &text, platform))
        .collect::<Result<Vec<_>, _>>()?;
    let mut outcome = BuildOutcome {
        image_id: None,
        tags: Vec::new(),
        cached: 0,
        executed: 0,
        warnings: warn(
            request,
            &recipes,
            &context.tree.ignore,
            deps.images,
            progress,
        )?,
        explanations: Vec::new(),
        metadata: serde_json::json!({}),
    };
    if request.check {
        return Ok(outcome);
    }
    for recipe in &recipes {
        recipe.runnable()?;
    }
    let tally = Tally::default();
    let mut solvers = Vec::with_capacity(recipes.len());
    for recipe in &recipes {
        let shared = Shared::new(recipe.stages.list.len(), progress, cancel, &tally);
        let solver = solver(request, deps, recipe, context.clone(), shared)?;
        solvers.push(Solver {
            several: recipes.len() > 1,
            ..solver
        });
    }
    let mut results = Vec::with_capacity(recipes.len());
    for (solver, recipe) in solvers.iter().zip(&recipes) {
        results.push((solver, solver.run(&recipe.needed, recipe.target)?));
    }
    if let Some(index) = &context.tree.index {
        index.save();
    }
    tally.tell(&mut outcome);
    output::write(&results, &mut outcome)?;
    sharing::export(&results)?;
    Ok(outcome)
}

/// What builds a recipe's platform.
fn solver<'a>(
    request: &'a BuildRequest,
    deps: BuildDeps<'a>,
    recipe: &'a Recipe,
    context: Arc<context::Context>,
    shared: Shared<'a>,
) -> Result<Solver<'a>, BuildError> {
    let home = deps.paths.root().join("build");
    let (work, cache) = (home.join("work"), home.join("cache"));
    Ok(Solver {
        request,
        images: deps.images,
        root: deps.paths.root().to_owned(),
        run_dir: deps.paths.run().to_owned(),
        file: &recipe.file,
        stages: &recipe.stages,
        bases: &recipe.bases,
        platforms: &recipe.platforms,
        globals: &recipe.globals,
        context,
        platform: recipe.platform.clone(),
        several: false,
        epoch: epoch(request)?,
        cache: cache::Cache::open(cache.clone()).map_err(cannot_make(&cache))?,
        imports: Imports::new(&request.cache_from)?,
        exports: exports(request)?,
        scratch: Scratch::new(&work, deps.paths.trash()).map_err(cannot_make(&work))?,
        lease: deps.images.lease().map_err(|source| BuildError::Store {
            action: "begin a build".into(),
            kind: crate::error::Classify::kind(&source),
            source: Box::new(source),
        })?,
        shared,
    })
}

/// Tells the warnings; with `# check=error=true` they end the build, as does what is wrong in any case.
fn warn(
    request: &BuildRequest,
    recipes: &[Recipe],
    ignore: &Patterns,
    images: &ImageStore,
    progress: ProgressSink<'_>,
) -> Result<Vec<Diagnostic>, BuildError> {
    // Warnings are about the file, not about platforms: those of the first will do.
    let Some(recipe) = recipes.first() else {
        return Ok(Vec::new());
    };
    let config = recipe.check_config(request)?;
    let lint::Found { warnings, error } = recipe.examine(request, &config, ignore, &|name| {
        let image = images.resolve_for(name, &recipe.platform.of_image());
        image.ok().map(|image| image.config)
    });
    for warning in &warnings {
        progress(BuildProgress::Warning(warning.clone()));
    }
    if let Some(error) = error {
        return Err(BuildError::Dockerfile(error));
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
    for entitlement in &request.entitlements {
        if !["network.host", "security.insecure"].contains(&entitlement.as_str()) {
            return Err(BuildError::Unsupported {
                option: format!("--allow {entitlement}"),
                reason: "known are network.host and security.insecure".to_owned(),
            });
        }
    }
    output::references(&request.tags)?;
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

#[cfg(test)]
mod tests;
