//! `image build`.

mod refused;
mod request;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use gantry_engine::build::{self, BuildDeps, BuildProgress, BuildRequest, Cancel};
use gantry_engine::engine::Engine;

use crate::backend::engine::steps::Steps;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::{Global, Progress};
use crate::cli::nouns::container::values;
use crate::cli::output::print;
use crate::cli::session::colour;
use crate::executor::{Event, Kind, Phase};
use crate::ui::progress::{Mode, Reporter};

/// What was typed after `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// A line for /etc/hosts of RUN steps, host:ip.
    #[arg(long)]
    add_host: Vec<String>,
    /// Entitlement: network.host, security.insecure.
    #[arg(long)]
    allow: Vec<String>,
    /// Build argument, NAME=value; a name alone takes its value from here.
    #[arg(long)]
    build_arg: Vec<String>,
    /// Named context, NAME=path or address.
    #[arg(long)]
    build_context: Vec<String>,
    /// Where steps may come from: an image, or type=registry|local,...
    #[arg(long)]
    cache_from: Vec<String>,
    /// Where steps go: type=registry|local|inline,...
    #[arg(long)]
    cache_to: Vec<String>,
    /// What to do: build, or check.
    #[arg(long, default_value = "build")]
    call: String,
    /// Parent of the cgroups of RUN steps.
    #[arg(long)]
    cgroup_parent: Option<String>,
    /// Check the Dockerfile only.
    #[arg(long)]
    check: bool,
    /// Tell why each step ran or did not.
    #[arg(long)]
    explain: bool,
    /// The Dockerfile; - is standard input.
    #[arg(short = 'f', long)]
    file: Option<PathBuf>,
    /// Write the image's id to a file.
    #[arg(long)]
    iidfile: Option<PathBuf>,
    /// Label, key=value.
    #[arg(long)]
    label: Vec<String>,
    /// Keep the result as an image, whatever else becomes of it.
    #[arg(long)]
    load: bool,
    /// Write what is known about the result to a file, as JSON.
    #[arg(long)]
    metadata_file: Option<PathBuf>,
    /// Network of RUN steps: default, none, host or a network's name.
    #[arg(long, default_value = "default")]
    network: String,
    /// Run every step.
    #[arg(long)]
    no_cache: bool,
    /// Run every step of this stage.
    #[arg(long)]
    no_cache_filter: Vec<String>,
    /// What becomes of the result: type=local|tar|oci|docker,dest=PATH, or type=image|registry,name=NAME,push=true.
    #[arg(short = 'o', long)]
    output: Vec<String>,
    /// Platform, os/arch[/variant].
    #[arg(long, value_delimiter = ',')]
    platform: Vec<String>,
    /// How progress is shown: auto, tty, plain, rawjson, quiet.
    #[arg(long, default_value = "auto")]
    progress: String,
    /// Look for newer base images.
    #[arg(long)]
    pull: bool,
    /// Push the result to the registries of its names.
    #[arg(long)]
    push: bool,
    /// Only the image's id.
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Secret, id=ID[,src=FILE|env=NAME].
    #[arg(long)]
    secret: Vec<String>,
    /// Size of /dev/shm in RUN steps.
    #[arg(long)]
    shm_size: Option<String>,
    /// Agent socket, default or ID=SOCKET.
    #[arg(long)]
    ssh: Vec<String>,
    /// Name of the result.
    #[arg(short = 't', long)]
    tag: Vec<String>,
    /// Stage to build.
    #[arg(long)]
    target: Option<String>,
    /// Resource limit of RUN steps, name=soft[:hard].
    #[arg(long)]
    ulimit: Vec<String>,
    #[command(flatten)]
    refused: refused::RefusedOptions,
    /// The context: a directory, a URL, or - for standard input.
    #[arg(value_name = "PATH|URL|-")]
    context: String,
}

/// Runs the command.
pub fn run(global: &Global, engine: &Engine, args: &BuildArgs) -> Result<Exit, CliError> {
    args.refused.check()?;
    let (request, pushed) = request::request(args)?;
    if request.check {
        return check(engine, &request);
    }
    let reporter = Reporter::new(mode(global, args)?, "Building", colour(global), false);
    let name = request
        .tags
        .first()
        .cloned()
        .unwrap_or_else(|| args.context.clone());
    let steps = Steps::default();
    let tell = |event| {
        reporter.tell(Event::Build {
            service: name.clone(),
            event,
        })
    };
    let phase = |phase| {
        reporter.tell(Event::Phase {
            kind: Kind::Image,
            name: name.clone(),
            phase,
        })
    };
    if !args.quiet {
        phase(Phase::Building);
    }
    let deps = BuildDeps {
        paths: engine.paths(),
        images: engine.images(),
    };
    let outcome = build::build(
        &request,
        deps,
        &|event| {
            if let Some(event) = steps.name(event) {
                tell(event);
            }
        },
        &Cancel::default(),
    );
    engine.sweep_later();
    let outcome = match outcome {
        Ok(outcome) => {
            if !args.quiet {
                phase(Phase::Built);
            }
            reporter.finish();
            outcome
        }
        Err(error) => {
            if !args.quiet {
                phase(Phase::Error("the build failed".to_owned()));
            }
            reporter.finish();
            return Err(CliError::Build(Box::new(error)));
        }
    };
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|source| CliError::Io {
            what: format!("write `{}`", path.display()),
            source,
        })
    };
    if let (Some(path), Some(id)) = (&args.iidfile, &outcome.image_id) {
        write(path, id)?;
    }
    if let Some(path) = &args.metadata_file {
        write(
            path,
            &serde_json::to_string_pretty(&outcome.metadata).unwrap_or_default(),
        )?;
    }
    for build::Explanation { step, ran, reason } in &outcome.explanations {
        let what = if *ran { "ran" } else { "cached" };
        print(&format!("{step}\n    {what}: {reason}\n"))?;
    }
    for name in &pushed {
        let told = super::transfer::push_one(engine, &super::reference(name)?, None, args.quiet)?;
        // A quiet build prints the image's id and nothing else.
        if !args.quiet {
            print(&told)?;
        }
    }
    if let Some(id) = outcome.image_id.filter(|_| args.quiet) {
        print(&format!("{id}\n"))?;
    }
    Ok(Exit::Success)
}

/// `--check`: the warnings on standard output, and a failure when there are any. What no build could do is an error,
/// after the warnings before it.
fn check(engine: &Engine, request: &BuildRequest) -> Result<Exit, CliError> {
    let deps = BuildDeps {
        paths: engine.paths(),
        images: engine.images(),
    };
    let warnings = Mutex::new(Vec::new());
    let note = |event| {
        if let BuildProgress::Warning(warning) = event {
            let mut warnings = warnings.lock().unwrap_or_else(PoisonError::into_inner);
            warnings.push(warning);
        }
    };
    let outcome = build::build(request, deps, &note, &Cancel::default());
    let warnings = warnings
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match outcome {
        Ok(_) => {
            print(&super::check::report(&warnings))?;
            Ok(if warnings.is_empty() {
                Exit::Success
            } else {
                Exit::Failure
            })
        }
        Err(error) => {
            if !warnings.is_empty() {
                print(&super::check::report(&warnings))?;
            }
            Err(CliError::Build(Box::new(error)))
        }
    }
}

fn mode(global: &Global, args: &BuildArgs) -> Result<Mode, CliError> {
    Ok(match args.progress.as_str() {
        _ if args.quiet => Mode::Quiet,
        "auto" => match global.progress {
            Progress::Auto => Mode::from(Progress::Auto),
            other => other.into(),
        },
        "tty" => Mode::Tty,
        "plain" => Mode::Plain,
        "rawjson" | "json" => Mode::Json,
        "quiet" | "none" => Mode::Quiet,
        other => {
            return Err(values::bad(
                "progress",
                other,
                "auto, tty, plain, rawjson or quiet",
            ));
        }
    })
}
