//! `gantry container`: the engine's containers without a Compose file.
//!
//! Grammar and output are `docker container`'s.

mod devices;
mod files;
mod inspect;
mod list;
mod options;
mod refused;
mod stream;
mod usage;
pub(in crate::cli) mod values;

pub(super) use inspect::volume_name;
pub(super) use refused::refuse;

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use gantry_engine::container::create::find_platform;
use gantry_engine::engine::{Engine, EngineError, RemoveOptions, StopOptions, WaitFor};
use gantry_engine::spec::ContainerSpec;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::nouns::listing::{self, Filters};
use crate::cli::nouns::{confirm, each, open};
use crate::cli::output::print;
use options::ContainerOptions;

/// What was typed after `container`.
#[derive(Debug, Subcommand)]
pub enum ContainerCommand {
    /// Connect to a running container's streams.
    Attach(stream::AttachArgs),
    /// Make an image of a container.
    Commit(files::CommitArgs),
    /// Copy files between a container and this machine.
    Cp(files::CpArgs),
    /// Make a container; do not start it.
    #[command(disable_help_flag = true)]
    Create(CreateArgs),
    /// What a container has changed in its file system.
    Diff(files::DiffArgs),
    /// Run a command in a running container.
    Exec(stream::ExecArgs),
    /// Write a container's file system as a tar archive.
    Export(files::ExportArgs),
    /// Everything known about containers, as JSON.
    Inspect(inspect::InspectArgs),
    /// Send a signal.
    Kill(KillArgs),
    /// What containers have written.
    Logs(stream::LogsArgs),
    /// List containers.
    #[command(visible_aliases = ["list", "ps"])]
    Ls(list::LsArgs),
    /// Freeze every process of containers.
    Pause(Names),
    /// Ports published by a container.
    Port(PortArgs),
    /// Remove every stopped container.
    Prune(PruneArgs),
    /// Give a container another name.
    Rename(RenameArgs),
    /// Stop containers and start them again.
    Restart(StopArgs),
    /// Remove containers.
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Make a container, start it, and stay connected.
    #[command(disable_help_flag = true)]
    Run(stream::RunArgs),
    /// Start containers.
    Start(stream::StartArgs),
    /// What containers use, live.
    Stats(usage::StatsArgs),
    /// Stop containers.
    Stop(StopArgs),
    /// Processes of a container.
    Top(usage::TopArgs),
    /// Thaw containers.
    Unpause(Names),
    /// Change limits and restart policy of containers.
    Update(Box<usage::UpdateArgs>),
    /// Wait until containers have ended and print their exit codes.
    Wait(Names),
}

/// Containers by name or id.
#[derive(Debug, Args)]
pub struct Names {
    /// Containers.
    #[arg(value_name = "CONTAINER", required = true)]
    names: Vec<String>,
}

/// What was typed after `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Streams that `start --attach` connects: it connects all.
    #[arg(short = 'a', long, hide = true)]
    attach: Vec<String>,
    #[command(flatten)]
    options: ContainerOptions,
    /// Write the id to a file that does not exist.
    #[arg(long)]
    cidfile: Option<String>,
}

/// What was typed after `kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Signal.
    #[arg(short = 's', long, default_value = "KILL")]
    signal: String,
    #[command(flatten)]
    names: Names,
}

/// What was typed after `stop` or `restart`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Signal instead of the container's own.
    #[arg(short = 's', long)]
    signal: Option<String>,
    /// Seconds until SIGKILL; -1 waits for ever.
    #[arg(
        short = 't',
        long,
        visible_alias = "time",
        allow_negative_numbers = true
    )]
    timeout: Option<i64>,
    #[command(flatten)]
    names: Names,
}

impl StopArgs {
    fn options(&self) -> StopOptions {
        StopOptions {
            timeout: self.timeout.map(values::patience),
            signal: values::given(&self.signal),
            at_shutdown: false,
        }
    }
}

/// What was typed after `rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// Kill it when it runs.
    #[arg(short = 'f', long)]
    force: bool,
    /// Remove a link (refused).
    #[arg(short = 'l', long, hide = true)]
    link: bool,
    /// Remove its anonymous volumes too.
    #[arg(short = 'v', long)]
    volumes: bool,
    #[command(flatten)]
    names: Names,
}

/// What was typed after `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// label=, label!=, until=.
    #[arg(long)]
    filter: Vec<String>,
    /// Do not ask.
    #[arg(short = 'f', long)]
    force: bool,
}

/// What was typed after `rename`.
#[derive(Debug, Args)]
pub struct RenameArgs {
    /// The container.
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Its new name.
    #[arg(value_name = "NEW_NAME")]
    name: String,
}

/// What was typed after `port`.
#[derive(Debug, Args)]
pub struct PortArgs {
    /// The container.
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Only this port of it: 80 or 80/udp.
    #[arg(value_name = "PRIVATE_PORT[/PROTO]")]
    port: Option<String>,
}

/// Runs the command.
pub fn run(global: &Global, command: ContainerCommand) -> Result<Exit, CliError> {
    let engine = match open(global) {
        Err(error) if matches!(command, ContainerCommand::Run(_)) => {
            return Err(CliError::before_run(error));
        }
        engine => engine?,
    };
    match command {
        ContainerCommand::Attach(args) => stream::attach(&engine, &args),
        ContainerCommand::Commit(args) => files::commit(&engine, &args),
        ContainerCommand::Cp(args) => files::cp(global, &engine, &args),
        ContainerCommand::Create(args) => create(&engine, &args),
        ContainerCommand::Diff(args) => files::diff(&engine, &args),
        ContainerCommand::Exec(args) => stream::exec(&engine, &args),
        ContainerCommand::Export(args) => files::export(&engine, &args),
        ContainerCommand::Inspect(args) => inspect::run(&engine, &args),
        ContainerCommand::Kill(args) => each(&args.names.names, false, |name| {
            engine.kill(name, &args.signal)
        }),
        ContainerCommand::Logs(args) => stream::logs(&engine, &args),
        ContainerCommand::Ls(args) => list::run(&engine, &args),
        ContainerCommand::Pause(args) => each(&args.names, false, |name| engine.pause(name)),
        ContainerCommand::Port(args) => port(&engine, &args),
        ContainerCommand::Prune(args) => prune(&engine, &args),
        ContainerCommand::Rename(args) => {
            engine.rename(&args.container, &args.name)?;
            Ok(Exit::Success)
        }
        ContainerCommand::Restart(args) => each(&args.names.names, false, |name| {
            engine.restart(name, &args.options())
        }),
        ContainerCommand::Rm(args) if args.link => Err(refuse(
            "link",
            "a link is a name in its container and goes with it; use `network disconnect`",
        )),
        ContainerCommand::Rm(args) => each(&args.names.names, args.force, |name| {
            engine.remove(
                name,
                &RemoveOptions {
                    force: args.force,
                    volumes: args.volumes,
                },
            )
        }),
        ContainerCommand::Run(args) => stream::run(&engine, &args),
        ContainerCommand::Start(args) => stream::start(&engine, &args),
        ContainerCommand::Stats(args) => usage::stats(global, &engine, &args),
        ContainerCommand::Stop(args) => each(&args.names.names, false, |name| {
            engine.stop(name, &args.options())
        }),
        ContainerCommand::Top(args) => usage::top(&engine, &args),
        ContainerCommand::Unpause(args) => each(&args.names, false, |name| engine.unpause(name)),
        ContainerCommand::Update(args) => usage::update(&engine, &args),
        ContainerCommand::Wait(args) => wait(&engine, &args),
    }
}

fn create(engine: &Engine, args: &CreateArgs) -> Result<Exit, CliError> {
    stream::check_streams(&args.attach)?;
    let id = make(
        engine,
        &args.options,
        args.options.to_spec()?,
        &args.cidfile,
    )?;
    print(&format!("{id}\n"))?;
    Ok(Exit::Success)
}

/// Creates a container, pulling its image as `--pull` says; returns its id.
fn make(
    engine: &Engine,
    options: &ContainerOptions,
    spec: ContainerSpec,
    cidfile: &Option<String>,
) -> Result<String, CliError> {
    let Some(path) = values::given(cidfile).map(PathBuf::from) else {
        return make_unwritten(engine, options, spec);
    };
    let failed = |source| CliError::Io {
        what: format!("write `{}`", path.display()),
        source,
    };
    // Opened first: a container whose id cannot be written would be nobody's.
    let mut file = match std::fs::File::create_new(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(CliError::usage(format!(
                "--cidfile `{}` exists already",
                path.display()
            )));
        }
        opened => opened.map_err(failed)?,
    };
    let made = make_unwritten(engine, options, spec);
    match &made {
        Ok(id) => file.write_all(id.as_bytes()).map_err(failed)?,
        // Best effort: the first error is the one to tell.
        Err(_) => drop(std::fs::remove_file(&path)),
    }
    made
}

fn make_unwritten(
    engine: &Engine,
    options: &ContainerOptions,
    spec: ContainerSpec,
) -> Result<String, CliError> {
    let policy = super::image::PullPolicy::parse(&options.pull)?;
    // Before anything is pulled that could not run.
    if let Some(platform) = &spec.platform {
        find_platform(platform).map_err(EngineError::from)?;
    }
    super::image::ensure(
        engine,
        &spec.image,
        spec.platform.as_deref(),
        policy,
        options.quiet,
    )?;
    volumes_with_options(engine, options)?;
    let created = engine.create(spec)?;
    crate::cli::output::warn(&created.warnings);
    Ok(created.id.to_string())
}

/// Makes the volumes of `--mount …,volume-opt=…`. One that exists is as good, whatever it is made of.
fn volumes_with_options(engine: &Engine, options: &ContainerOptions) -> Result<(), CliError> {
    for text in &options.mount {
        let wanted = values::volume_to_make(text);
        let wanted = wanted.map_err(|reason| values::bad("mount", text, reason))?;
        if let Some(wanted) = wanted
            && let Some(name) = &wanted.name
            && engine.volumes().get(name).is_err()
        {
            engine.create_volume(&wanted)?;
        }
    }
    Ok(())
}

fn port(engine: &Engine, args: &PortArgs) -> Result<Exit, CliError> {
    let container = engine.inspect(&args.container)?;
    let wanted = args.port.as_deref().map(|port| match port.split_once('/') {
        Some(_) => port.to_owned(),
        None => format!("{port}/tcp"),
    });
    let mut text = String::new();
    for port in &container.ports {
        let inside = format!("{}/{}", port.container_port, port.protocol);
        let outside = crate::ui::container::socket(port.host_ip, port.host_port);
        match &wanted {
            Some(wanted) if *wanted == inside => text += &format!("{outside}\n"),
            Some(_) => {}
            None => text += &format!("{inside} -> {outside}\n"),
        }
    }
    if let (Some(wanted), true) = (wanted, text.is_empty()) {
        return Err(CliError::NotFound {
            what: "published port",
            name: format!("{wanted} of {}", container.name),
            hint: None,
        });
    }
    print(&text)?;
    Ok(Exit::Success)
}

fn prune(engine: &Engine, args: &PruneArgs) -> Result<Exit, CliError> {
    let filter = Filters::parse(&args.filter, listing::PRUNE)?.prune()?;
    confirm(args.force, "This removes all stopped containers.")?;
    let (removed, reclaimed) = engine.prune_containers(&filter)?;
    listing::print_deleted("Containers", &removed)?;
    listing::print_reclaimed(reclaimed)?;
    Ok(Exit::Success)
}

fn wait(engine: &Engine, args: &Names) -> Result<Exit, CliError> {
    let mut exit = Exit::Success;
    for name in &args.names {
        match engine.wait(name, WaitFor::NotRunning) {
            Ok(ended) => print(&format!("{}\n", ended.state.exit_code))?,
            Err(error) => {
                eprint!("{}", CliError::from(error).render());
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}
