//! `config`: the canonical model, printed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use clap::Args;
use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::{output, session};
use crate::loader::{self, LoadOptions, Loaded, LoadedTree, emit};
use crate::model::{Project, canonical, config_hash};
use crate::ui::table::Table;

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
    /// Print the model names, one per line.
    #[arg(long)]
    pub models: bool,
    /// Print the network names, one per line.
    #[arg(long)]
    pub networks: bool,
    /// Don't check model consistency - warning: may produce invalid Compose output.
    #[arg(long)]
    pub no_consistency: bool,
    /// Don't resolve service env files.
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
    let form = match args.format.as_deref() {
        None | Some("yaml") => Form::Yaml,
        Some("json") => Form::Json,
        Some(other) => {
            return Err(CliError::usage(format!(
                "unsupported format `{other}`: use `yaml` or `json`"
            )));
        }
    };
    if args.resolve_image_digests || args.lock_image_digests {
        return Err(CliError::Unsupported {
            what: "the flags `--resolve-image-digests` and `--lock-image-digests`".to_owned(),
            reason: "`config` does not ask registries; write digests in the file",
        });
    }
    let mut options = session::options(global)?;
    options.interpolate = !args.no_interpolate;
    options.normalize = !args.no_normalize;
    options.resolve_paths = !args.no_path_resolution;
    options.check_consistency = !args.no_consistency;
    // As with docker compose, `--no-env-resolution` leaves this output as it is: `env_file` is
    // part of `environment` either way. Hashes are taken without it.
    options.resolve_environment = args.hash.is_none();
    let view = View::of(&args);
    let text = match view {
        View::Variables => {
            options.interpolate = false;
            variables(&load_tree(global, &options)?, form)
        }
        View::Document if args.no_interpolate => {
            let document = sorted(load_tree(global, &options)?.document());
            render(&document, form, Dollars::Keep)
        }
        _ => {
            let named = matches!(view, View::Document | View::Images);
            options.services = if named {
                args.services.clone()
            } else {
                Vec::new()
            };
            let loaded = load(global, &options)?;
            list(view, &args, &loaded.project, form)?
        }
    };
    if args.quiet {
        return Ok(Exit::Success);
    }
    match &args.output {
        Some(path) => std::fs::write(path, text).map_err(|source| CliError::Io {
            what: format!("write `{path}`"),
            source,
        })?,
        None => output::print(&text)?,
    }
    Ok(Exit::Success)
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Yaml,
    Json,
}

/// Whether `$` is doubled, so that the output loads again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dollars {
    Double,
    Keep,
}

fn load(global: &Global, options: &LoadOptions) -> Result<Loaded, CliError> {
    let colour = session::colour(global);
    let loaded = loader::load(options).map_err(|p| CliError::Load(p.render(colour)))?;
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().write_all(loaded.warnings.render(colour).as_bytes());
    Ok(loaded)
}

fn load_tree(global: &Global, options: &LoadOptions) -> Result<LoadedTree, CliError> {
    let colour = session::colour(global);
    let tree = loader::load_tree(options).map_err(|p| CliError::Load(p.render(colour)))?;
    let _ = std::io::stderr().write_all(tree.warnings.render(colour).as_bytes());
    Ok(tree)
}

fn list(view: View, args: &ConfigArgs, project: &Project, form: Form) -> Result<String, CliError> {
    let names = |names: Vec<&String>| lines(names.into_iter().cloned());
    Ok(match view {
        View::Services => names(project.services.keys().collect()),
        View::Volumes => names(project.volumes.keys().collect()),
        View::Networks => names(project.networks.keys().collect()),
        View::Models => lines(
            project
                .models
                .values()
                .filter(|m| !m.model.is_empty())
                .map(|m| m.model.clone()),
        ),
        View::Profiles => {
            let all: BTreeSet<String> = project
                .services
                .values()
                .chain(project.disabled_services.values())
                .flat_map(|s| s.profiles.iter().cloned())
                .collect();
            lines(all)
        }
        View::Images => lines(project.services.iter().map(|(name, service)| {
            if service.image.is_empty() {
                format!("{}-{name}", project.name)
            } else {
                service.image.clone()
            }
        })),
        View::Hash => hashes(args.hash.as_deref().unwrap_or("*"), project)?,
        View::Environment => lines(project.environment.iter().map(|(k, v)| format!("{k}={v}"))),
        View::Document | View::Variables => {
            let document = match form {
                Form::Json => canonical::json(project),
                Form::Yaml => canonical::yaml(project),
            };
            render(&document, form, Dollars::Double)
        }
    })
}

fn lines(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().map(|item| item + "\n").collect()
}

fn hashes(names: &str, project: &Project) -> Result<String, CliError> {
    if names == "*" {
        return Ok(lines(project.services.iter().map(|(name, service)| {
            format!("{name} {}", config_hash(service))
        })));
    }
    let mut wanted: Vec<&str> = names.split(',').collect();
    wanted.sort_unstable();
    let mut text = String::new();
    for name in wanted {
        let service = project
            .any_service(name)
            .ok_or_else(|| CliError::NotFound {
                what: "service",
                name: name.to_owned(),
                hint: None,
            })?;
        text += &format!("{name} {}\n", config_hash(service));
    }
    Ok(text)
}

fn render(document: &Value, form: Form, dollars: Dollars) -> String {
    let text = match form {
        Form::Yaml => emit::yaml(document),
        Form::Json => {
            let pretty = serde_json::to_string_pretty(document).unwrap_or_default();
            canonical::escape_html(&pretty) + "\n"
        }
    };
    match dollars {
        Dollars::Double => text.replace('$', "$$"),
        Dollars::Keep => text,
    }
}

/// Keys in order, at every depth.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map.into_iter().collect();
            ordered.into_iter().map(|(k, v)| (k, sorted(v))).collect()
        }
        Value::Array(list) => list.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Every variable the files use.
fn variables(tree: &LoadedTree, form: Form) -> String {
    let found = loader::variables::of(&tree.root);
    if form == Form::Json {
        let map: serde_json::Map<String, Value> = found
            .iter()
            .map(|v| {
                let value = serde_json::json!({
                    "Name": v.name,
                    "DefaultValue": v.default,
                    "PresenceValue": v.alternate,
                    "Required": v.required,
                });
                (v.name.clone(), value)
            })
            .collect();
        return serde_json::to_string_pretty(&map).unwrap_or_default() + "\n";
    }
    let mut table = Table::new(&["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"], 4);
    for v in found {
        table.row(vec![v.name, v.required.to_string(), v.default, v.alternate]);
    }
    table.render()
}
