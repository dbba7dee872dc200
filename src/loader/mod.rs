//! From Compose files to a [`Project`], with file, line and column for every problem.
//!
//! Begin with [`load`]. One file per phase, in the order they run: `discover` finds files,
//! `env` reads `.env`, `yaml` makes a tree with places, `interpolate` fills variables in,
//! `extends` and `include` bring other files, `reset` and `merge` lay files over each other,
//! `unique` drops repeated items, `schema` and `validate` check shapes, `rules` what shapes cannot
//! say, `canonical` ends short syntax, `defaults`, `paths`, `env_files`, `normalize`, `decode` make
//! the model, `profiles` selects and `consistency` checks references. Nothing here reads the process environment: it is in [`LoadOptions`].

mod canonical;
mod consistency;
mod decode;
mod defaults;
pub mod diagnostic;
pub mod discover;
pub mod emit;
pub mod env;
mod env_files;
mod extends;
#[cfg(test)]
mod hostile;
mod include;
pub mod interpolate;
pub mod lint;
mod merge;
mod normalize;
mod paths;
mod pipeline;
mod profiles;
mod reset;
mod rules;
pub mod schema;
pub mod short;
pub mod silence;
pub mod source;
mod trail;
pub mod tree;
mod unique;
mod validate;
mod values;
pub mod variables;
pub mod why;
pub mod words;
pub mod yaml;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use source::{Buffers, FileId, Location, Reached, Source, Sources, Span};

pub use merge::with_rules as merged_by_rule;
pub(crate) use unique::has_items as has_unique_items;

use crate::model::Project;
use pipeline::{Pipeline, Scope};
use tree::Node;

/// What to load and how.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// `-f`, in order; `-` is standard input; empty: `COMPOSE_FILE`, else search.
    pub files: Vec<PathBuf>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// `--env-file`, in order; empty: `COMPOSE_ENV_FILES`, else `.env`.
    pub env_files: Vec<PathBuf>,
    /// `--profile`; empty: `COMPOSE_PROFILES`.
    pub profiles: Vec<String>,
    /// The process environment.
    pub environment: BTreeMap<String, String>,
    /// The directory the command runs in; absolute.
    pub working_dir: PathBuf,
    /// Services named on the command line (patterns); empty: all that are enabled.
    pub services: Vec<String>,
    /// Whether the services that the named ones depend on are selected too.
    pub dependencies: Dependencies,
    /// Which networks, volumes, secrets and configs are kept.
    pub resources: KeepResources,
    /// Substitute variables.
    pub interpolate: bool,
    /// Add implied names, networks and dependencies.
    pub normalize: bool,
    /// Make paths absolute.
    pub resolve_paths: bool,
    /// Check references and exclusive attributes.
    pub check_consistency: bool,
    /// Check that no two selected services name their containers alike.
    pub check_container_names: bool,
    /// Read `env_file` and `label_file`.
    pub resolve_environment: bool,
    /// Texts that take the place of files.
    pub buffers: Buffers,
    /// Look for what is right and probably not meant; with what is known of images.
    pub lints: Option<Arc<dyn lint::Images>>,
    /// Names of warnings that are not wanted.
    pub silence: Vec<String>,
}

impl LoadOptions {
    /// Everything on, nothing selected.
    pub fn new(working_dir: PathBuf, environment: BTreeMap<String, String>) -> Self {
        Self {
            files: Vec::new(),
            project_name: None,
            project_directory: None,
            env_files: Vec::new(),
            profiles: Vec::new(),
            environment,
            working_dir,
            services: Vec::new(),
            dependencies: Dependencies::Include,
            resources: KeepResources::Used,
            interpolate: true,
            normalize: true,
            resolve_paths: true,
            check_consistency: true,
            check_container_names: true,
            resolve_environment: true,
            buffers: Buffers::default(),
            lints: None,
            silence: Vec::new(),
        }
    }
}

/// Whether a selection brings what it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependencies {
    /// Yes.
    Include,
    /// No (`--no-deps`).
    Ignore,
}

/// Which shared resources stay in the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepResources {
    /// Those that a selected service uses.
    Used,
    /// All (`--all-resources`).
    All,
}

/// A loaded project and what it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// Warnings, in file order; render them to standard error.
    pub warnings: Diagnostics,
    /// The canonical tree the project was decoded from: every node knows its place.
    pub tree: Node,
}

impl Loaded {
    /// Where a value was written (`services.web.ports[0]`), or the nearest value around it.
    pub fn locate(&self, dotted: &str) -> Option<Location> {
        self.warnings.sources.locate(self.tree.locate(dotted)?)
    }

    /// A problem with a value of the loaded project, found after loading. Add it to a clone of
    /// [`Loaded::warnings`] to render it with its excerpt.
    pub fn problem(
        &self,
        severity: Severity,
        code: &'static str,
        dotted: &str,
        message: impl Into<String>,
    ) -> Diagnostic {
        let place = self.tree.locate(dotted).unwrap_or(Span::NONE);
        Diagnostic {
            severity,
            ..Diagnostic::error(code, place, message).at(dotted)
        }
    }
}

/// The canonical tree of a project, before it becomes the typed model.
#[derive(Clone, Debug)]
pub struct LoadedTree {
    /// Project name.
    pub name: String,
    /// The tree.
    pub root: Node,
    /// Compose files, absolute.
    pub files: Vec<PathBuf>,
    /// Project directory.
    pub directory: PathBuf,
    /// Variables of interpolation.
    pub variables: env::Variables,
    /// Files of `--env-file`.
    pub env_files: Vec<PathBuf>,
    /// Profiles asked for.
    pub profiles: Vec<String>,
    /// Warnings.
    pub warnings: Diagnostics,
}

/// Loads a project. `Err` holds every problem found, in file order.
pub fn load(options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let examined = examine(options);
    match (examined.project, examined.tree) {
        (Some(project), Some(tree)) if !examined.diagnostics.has_errors() => Ok(Loaded {
            project,
            warnings: examined.diagnostics,
            tree: tree.root,
        }),
        _ => Err(examined.diagnostics),
    }
}

/// Everything that can be said about a project's files, right or wrong.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Every problem found, in file order.
    pub diagnostics: Diagnostics,
    /// The canonical tree without what is wrong; `None` when nothing could be read.
    pub tree: Option<LoadedTree>,
    project: Option<Project>,
}

/// Loads a project as far as it goes: what [`load`] does, for those who want to know about
/// wrong files too.
pub fn examine(options: &LoadOptions) -> Examined {
    let (mut tree, mut problems, mut sources) = match load_stage(options) {
        Ok(stage) => stage,
        Err(diagnostics) => {
            return Examined {
                diagnostics,
                tree: None,
                project: None,
            };
        }
    };
    consistency::extension_names(&mut tree.root, options.check_consistency, &mut problems);
    values::convert(&mut tree.root, &mut problems);
    let Some(mut project) = decode::decode_what_fits::<Project>(&mut tree.root, &mut problems)
    else {
        return Examined {
            diagnostics: collect(problems, sources),
            tree: Some(tree),
            project: None,
        };
    };
    project.name = tree.name.clone();
    project.working_dir = tree.directory.clone();
    project.compose_files = tree.files.clone();
    project.env_files = tree.env_files.clone();
    project.environment = tree.variables.to_map();
    profiles::enable(&mut project, &tree.profiles);
    for service in project.services.values_mut() {
        // `scale` is the shorter way to say `deploy.replicas`.
        if let (Some(scale), Some(deploy)) = (service.scale, &mut service.deploy)
            && deploy.replicas.is_none()
            && options.check_consistency
        {
            deploy.replicas = Some(scale);
        }
    }
    if options.check_consistency {
        let mut found = Vec::new();
        consistency::check(&project, &tree.root, &mut found);
        problems = without_consequences(problems, found);
    }
    lint::profiles(&project, &options.profiles, &mut problems);
    if !has_errors(&problems) {
        if let Some(images) = &options.lints {
            lint::check(&project, &tree.root, &**images, &mut problems);
            words::check(&tree.root, &mut problems);
        }
        env_files::resolve(
            &mut project,
            &mut tree,
            options,
            &mut sources,
            &mut problems,
        );
        if let Err(problem) = profiles::select(&mut project, options) {
            problems.push(*problem);
        }
    }
    if options.check_consistency && options.check_container_names {
        let mut found = Vec::new();
        consistency::container_names(&project, &tree.root, &mut found);
        problems = without_consequences(problems, found);
    }
    silence::apply(&tree.root, &options.silence, &mut problems);
    Examined {
        diagnostics: collect(problems, sources),
        tree: Some(tree),
        project: Some(project),
    }
}

/// Loads a project as far as the canonical tree.
pub fn load_tree(options: &LoadOptions) -> Result<LoadedTree, Diagnostics> {
    let (mut tree, mut problems, sources) = load_stage(options)?;
    silence::apply(&tree.root, &options.silence, &mut problems);
    let diagnostics = collect(problems, sources);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    tree.warnings = diagnostics;
    Ok(tree)
}

impl LoadedTree {
    /// The tree as a document, as written except for what loading changed.
    pub fn document(&self) -> serde_json::Value {
        document(&self.root)
    }
}

/// A part of a tree as a document.
pub fn document(node: &Node) -> serde_json::Value {
    decode::decode(node).unwrap_or_default()
}

type Stage = (LoadedTree, Vec<Diagnostic>, Sources);

/// Everything up to the canonical tree. Problems of shape are in the list; `Err` is for what
/// leaves nothing to go on with.
fn load_stage(options: &LoadOptions) -> Result<Stage, Diagnostics> {
    let mut sources = Sources::with_buffers(options.buffers.clone());
    let mut problems = Vec::new();
    let found = discover::discover(options, &mut sources, &mut problems);
    if found.files.is_empty() {
        problems.push(
            Diagnostic::error(
                "no-compose-file",
                Span::NONE,
                "no configuration file provided: not found",
            )
            .note(format!(
                "looked for {} in {} and its parents",
                discover::FILE_NAMES.join(", "),
                options.working_dir.display()
            ))
            .help("create `compose.yaml`, or name a file with `-f`"),
        );
    }
    let given = discover::given_name(options, &found.variables);
    if has_errors(&problems) || given.is_err() {
        problems.extend(given.err().map(|p| *p));
        return Err(collect(problems, sources));
    }
    let mut pipeline = Pipeline::new(options, sources, problems);
    let mut variables = found.variables;
    let name = match given {
        Ok(Some(name)) => name,
        _ => name_of_files(&mut pipeline, &found.files, &variables)
            .unwrap_or_else(|| discover::directory_name(&found.directory)),
    };
    variables.set("COMPOSE_PROJECT_NAME", &name, Span::NONE);
    let mut scope = Scope::new(found.directory.clone(), found.directory.clone(), variables);
    let root = pipeline.model(&found.files, &mut scope);
    let Pipeline {
        mut sources,
        mut problems,
        ..
    } = pipeline;
    let Some(mut root) = root else {
        return Err(collect(problems, std::mem::take(&mut sources)));
    };
    let empty = root.as_map().is_none_or(|m| m.is_empty());
    if empty && !has_errors(&problems) {
        let file = found
            .files
            .first()
            .map(|f| f.display().to_string())
            .unwrap_or_default();
        problems.push(
            Diagnostic::error(
                "empty-file",
                Span::NONE,
                format!("empty compose file: {file}"),
            )
            .help("add `services:`"),
        );
    } else if name.is_empty() {
        problems.push(
            Diagnostic::error(
                "bad-project-name",
                Span::NONE,
                "project name must not be empty",
            )
            .help("give one with `-p`, or write `name:` at the top of the file"),
        );
    }
    if empty || name.is_empty() {
        return Err(collect(problems, sources));
    }
    if options.normalize {
        let mut own = env::Variables::default();
        own.set("COMPOSE_PROJECT_NAME", &name, Span::NONE);
        // Without interpolation the environment is not asked, but for what the project sets.
        let variables = if options.interpolate {
            &scope.variables
        } else {
            &own
        };
        normalize::normalize(&mut root, &name, variables);
    }
    let tree = LoadedTree {
        name,
        root,
        files: found.files,
        directory: found.directory,
        variables: scope.variables,
        env_files: found.env_files,
        profiles: found.profiles,
        warnings: Diagnostics::default(),
    };
    Ok((tree, problems, sources))
}

/// The last `name:` of the files, interpolated and, unless normalization is off, in normal form.
fn name_of_files(
    pipeline: &mut Pipeline<'_>,
    files: &[PathBuf],
    variables: &env::Variables,
) -> Option<String> {
    let mut name = None;
    for file in files {
        for document in pipeline.documents(file)?.iter() {
            if let Some(text) = document.root.get("name").and_then(Node::as_str)
                && !text.is_empty()
            {
                name = Some(text.to_owned());
            }
        }
    }
    let mut name = name?;
    if pipeline.options.interpolate {
        // A malformed one is reported when the file is interpolated.
        name =
            interpolate::substitute(&name, variables, &mut interpolate::Trace::default()).ok()?;
    }
    Some(if pipeline.options.normalize {
        discover::normalize_name(&name)
    } else {
        name
    })
}

/// Adds what the last phase found, except what may follow from earlier problems: about attributes
/// that lost a part, about services as a whole that lost one, and references when a top-level
/// part was lost.
fn without_consequences(problems: Vec<Diagnostic>, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let errors = || problems.iter().filter(|p| p.severity == Severity::Error);
    // `services.NAME.ATTRIBUTE`, or what there is of it.
    let attribute_of = |path: &str| {
        path.strip_prefix("services.").map(|rest| {
            rest.splitn(3, ['.', '['])
                .take(2)
                .collect::<Vec<_>>()
                .join(".")
        })
    };
    let damaged: Vec<String> = errors().filter_map(|p| attribute_of(&p.path)).collect();
    let lost_top_level = errors().any(|p| attribute_of(&p.path).is_none());
    let overlap = |a: &str, b: &str| {
        let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
        long.strip_prefix(short)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut all = problems.clone();
    all.extend(found.into_iter().filter(|p| {
        let consequence = attribute_of(&p.path)
            .is_some_and(|found| damaged.iter().any(|damaged| overlap(&found, damaged)))
            || lost_top_level && p.code == "undefined-reference";
        !consequence
    }));
    all
}

fn has_errors(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|p| p.severity == Severity::Error)
}

fn collect(problems: Vec<Diagnostic>, sources: Sources) -> Diagnostics {
    let mut said = HashSet::new();
    let list = problems
        .into_iter()
        .filter(|p| said.insert((p.span, p.code, p.message.clone())))
        .collect();
    let mut diagnostics = Diagnostics { list, sources };
    diagnostics.sort();
    diagnostics
}
