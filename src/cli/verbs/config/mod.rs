//! `config`: the canonical model, printed; what is wrong with it; its schema.
//!
//! Problems are text on standard error. With `--format json` they are a list on standard output
//! too, in place of the model that could not be made: see `problems`.

mod digests;
mod images;
mod text;

use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::{output, session};
use crate::loader::{self, Diagnostics, LoadOptions, Loaded, LoadedTree, schema, silence};
use text::{Dollars, Form, list, names_of_services, render, untyped, variables};

/// What was typed after `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Print environment used for interpolation.
    #[arg(long)]
    pub environment: bool,
    /// Format the output. Values: [yaml | json].
    #[arg(long)]
    pub format: Option<String>,
    /// Print the service config hash, one per line.
    #[arg(long)]
    pub hash: Option<String>,
    /// Print the image names, one per line.
    #[arg(long)]
    pub images: bool,
    /// Produces an override file with image digests.
    #[arg(long)]
    pub lock_image_digests: bool,
    /// Look for what is right and probably not meant, and print nothing else.
    #[arg(long)]
    pub lint: bool,
    /// Print the model names, one per line.
    #[arg(long)]
    pub models: bool,
    /// Print the network names, one per line.
    #[arg(long)]
    pub networks: bool,
    /// Don't check model consistency - warning: may produce invalid Compose output.
    #[arg(long)]
    pub no_consistency: bool,
    /// Changes nothing, as in Docker Compose 2.40: service env files are resolved.
    #[arg(long)]
    pub no_env_resolution: bool,
    /// Don't interpolate environment variables.
    #[arg(long)]
    pub no_interpolate: bool,
    /// Don't normalize compose model.
    #[arg(long)]
    pub no_normalize: bool,
    /// Don't resolve file paths.
    #[arg(long)]
    pub no_path_resolution: bool,
    /// Save to file.
    #[arg(short = 'o', long)]
    pub output: Option<String>,
    /// Print the profile names, one per line.
    #[arg(long)]
    pub profiles: bool,
    /// Only validate the configuration, don't print anything.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Pin image tags to digests.
    #[arg(long)]
    pub resolve_image_digests: bool,
    /// Print the JSON Schema of Compose files.
    #[arg(long)]
    pub schema: bool,
    /// Leave a warning out, by its name.
    #[arg(long, value_name = "NAME")]
    pub silence: Vec<String>,
    /// Print the service names, one per line.
    #[arg(long = "services")]
    pub names_of_services: bool,
    /// Print model variables and default values.
    #[arg(long)]
    pub variables: bool,
    /// Print the volume names, one per line.
    #[arg(long)]
    pub volumes: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// Every problem of the compose files, flags that need a registry, an output that cannot be written.
pub fn run(global: &Global, args: ConfigArgs) -> Result<Exit, CliError> {
    let view = View::of(&args);
    let format = args.format.as_deref().filter(|format| !format.is_empty());
    let form = match format {
        None | Some("yaml") => Form::Yaml,
        Some("json") => Form::Json,
        // Names are printed as they are.
        Some(_) if view.is_of_names() && !args.lint && !args.schema => Form::Yaml,
        Some(other) => {
            return Err(CliError::usage(format!(
                "unsupported format `{other}`: use `yaml` or `json`"
            )));
        }
    };
    if args.schema {
        let schema = serde_json::to_string_pretty(&schema::json_schema()).unwrap_or_default();
        return write(&args, schema + "\n");
    }
    if args.no_interpolate && (args.resolve_image_digests || args.lock_image_digests) {
        return Err(CliError::usage(
            "digests cannot be resolved with `--no-interpolate`: the names are not known",
        ));
    }
    let mut options = session::options(global)?;
    for name in &args.silence {
        if let Some(help) = silence::unknown(name) {
            return Err(CliError::usage(format!(
                "`--silence {name}`: no such warning; {help}"
            )));
        }
    }
    options.silence.clone_from(&args.silence);
    if args.lint {
        return lint(global, options, form);
    }
    options.interpolate = !args.no_interpolate;
    options.normalize = !args.no_normalize;
    options.resolve_paths = !args.no_path_resolution;
    options.check_consistency = !args.no_consistency;
    options.check_container_names = view == View::Document;
    // As with docker compose, `--no-env-resolution` leaves the document as it is: `env_file` is
    // part of `environment` either way. What needs no values does not read the files, and hashes
    // are taken without what is in them.
    options.resolve_environment = matches!(view, View::Document | View::Environment);
    let text = match view {
        View::Variables => {
            options.interpolate = false;
            variables(&load_tree(global, &options, form)?, format)
        }
        View::Services if args.no_interpolate => {
            names_of_services(&load_tree(global, &options, form)?)
        }
        View::Document if args.no_interpolate => {
            let document = load_tree(global, &options, form)?.document();
            let document = untyped(document, form, options.normalize);
            render(&document, form, Dollars::Keep)?
        }
        _ => {
            let named = matches!(view, View::Document | View::Images | View::Profiles);
            options.services = if named {
                args.services.clone()
            } else {
                Vec::new()
            };
            // The process ends with the verb: to take a large model apart before would take longer
            // than some parts of loading it.
            let mut loaded = ManuallyDrop::new(load(global, &options, form)?);
            if args.resolve_image_digests || args.lock_image_digests {
                digests::resolve(&mut loaded.project)?;
            }
            if args.lock_image_digests && !args.quiet {
                let lock = digests::lock(&loaded.project);
                return write(&args, render(&lock, form, Dollars::Double)?);
            }
            list(view, args.hash.as_deref(), &loaded.project, form)?
        }
    };
    if args.quiet {
        return Ok(Exit::Success);
    }
    write(&args, text)
}

/// To `-o`, or to standard output.
fn write(args: &ConfigArgs, text: String) -> Result<Exit, CliError> {
    match &args.output {
        Some(path) => std::fs::write(path, text).map_err(|source| CliError::Io {
            what: format!("write `{path}`"),
            source,
        })?,
        None => output::print(&text)?,
    }
    Ok(Exit::Success)
}

/// Prints every problem and every lint, and nothing else. As JSON they are always a list on
/// standard output, empty when there is nothing to say.
fn lint(global: &Global, mut options: LoadOptions, form: Form) -> Result<Exit, CliError> {
    options.lints = Some(Arc::new(images::Local::open(global.root.as_deref())));
    let found = loader::examine(&options).diagnostics;
    let exit = if found.has_errors() {
        Exit::Failure
    } else {
        Exit::Success
    };
    match form {
        Form::Yaml => tell(global, &found),
        Form::Json => output::print(&json(&found))?,
    }
    Ok(exit)
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Document,
    Services,
    Volumes,
    Networks,
    Models,
    Profiles,
    Images,
    Hash,
    Environment,
    Variables,
}

impl View {
    /// The first of these flags that was given, in docker compose's order.
    fn of(args: &ConfigArgs) -> Self {
        [
            (args.names_of_services, Self::Services),
            (args.volumes, Self::Volumes),
            (args.networks, Self::Networks),
            (args.models, Self::Models),
            (args.hash.is_some(), Self::Hash),
            (args.profiles, Self::Profiles),
            (args.images, Self::Images),
            (args.variables, Self::Variables),
            (args.environment, Self::Environment),
        ]
        .into_iter()
        .find(|(given, _)| *given)
        .map_or(Self::Document, |(_, view)| view)
    }

    /// Whether it is lines, neither a document nor a table.
    fn is_of_names(self) -> bool {
        !matches!(self, Self::Document | Self::Variables)
    }
}

fn load(global: &Global, options: &LoadOptions, form: Form) -> Result<Loaded, CliError> {
    let loaded = loader::load(options).map_err(|p| problems(global, p, form))?;
    tell(global, &loaded.warnings);
    Ok(loaded)
}

fn load_tree(global: &Global, options: &LoadOptions, form: Form) -> Result<LoadedTree, CliError> {
    let tree = loader::load_tree(options).map_err(|p| problems(global, p, form))?;
    tell(global, &tree.warnings);
    Ok(tree)
}

/// What keeps the model from being made. Who asked for JSON gets it as JSON too.
fn problems(global: &Global, problems: Diagnostics, form: Form) -> CliError {
    if form == Form::Json
        && let Err(error) = output::print(&json(&problems))
    {
        return error;
    }
    CliError::Load(problems.render(session::colour(global)))
}

fn tell(global: &Global, warnings: &Diagnostics) {
    // Nobody is left to tell when standard error is closed.
    let text = warnings.render(session::colour(global));
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn json(problems: &Diagnostics) -> String {
    serde_json::to_string_pretty(&problems.to_json()).unwrap_or_default() + "\n"
}
