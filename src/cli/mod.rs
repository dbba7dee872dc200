//! Flags to calls; returns an exit code.
//!
//! One grammar for two things: the verbs of `docker compose` ([`verbs`]) and the nouns of the
//! engine ([`nouns`]). Flags are read in two steps: the clap structs hold what was typed,
//! `resolve()` turns them into options in which nothing is open that has a default.

pub mod apply;
pub mod attached;
pub mod builds;
mod copying;
pub mod deferred;
pub mod error;
pub mod exit;
mod findings;
pub mod flags;
pub mod follow;
pub mod global;
pub mod interrupt;
pub mod lifecycle;
pub mod nouns;
pub mod output;
pub mod platform;
pub mod session;
mod stats;
pub mod time;
pub mod verbs;
mod written;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use gantry_engine::engine::EngineError;

use deferred::{Deferred, at_once};
use error::CliError;
use exit::Exit;
use global::{Global, GlobalArgs};

/// compose.yaml on Linux from one executable, with its own container engine.
#[derive(Debug, Parser)]
#[command(
    name = "gantry",
    version,
    disable_version_flag = true,
    // A flag that is given twice: the last one counts, as in Docker.
    args_override_self = true
)]
pub struct Cli {
    /// Flags before the verb.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// Print the version.
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// Everything that can be typed after the global flags.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach local standard input, output, and error streams to a service's running container.
    Attach(Deferred<verbs::attach::AttachArgs>),
    /// Build or rebuild services.
    Build(Deferred<verbs::build::BuildArgs>),
    /// Create a new image from a service container's changes.
    Commit(Deferred<verbs::commit::CommitArgs>),
    /// Copy files or folders between a service container and this machine.
    Cp(Deferred<verbs::cp::CpArgs>),
    /// Creates containers for a service.
    Create(Deferred<verbs::create::CreateArgs>),
    /// Stop and remove containers, networks.
    Down(Deferred<verbs::down::DownArgs>),
    /// Receive real time events from containers.
    Events(Deferred<verbs::events::EventsArgs>),
    /// Execute a command in a running container.
    Exec(Deferred<verbs::exec::ExecArgs>),
    /// Export a service container's filesystem as a tar archive.
    Export(Deferred<verbs::export::ExportArgs>),
    /// List images used by the created containers.
    Images(Deferred<verbs::images::ImagesArgs>),
    /// Force stop service containers.
    Kill(Deferred<verbs::kill::KillArgs>),
    /// View output from containers.
    Logs(Deferred<verbs::logs::LogsArgs>),
    /// List running compose projects.
    Ls(Deferred<verbs::ls::LsArgs>),
    /// Speak the Language Server Protocol with an editor: problems, completion, meanings, definitions.
    Lsp(Deferred<verbs::lsp::LspArgs>),
    /// Pause services.
    Pause(Deferred<verbs::pause::PauseArgs>),
    /// Print the public port for a port binding.
    Port(Deferred<verbs::port::PortArgs>),
    /// List containers.
    Ps(Deferred<verbs::ps::PsArgs>),
    /// Pull service images.
    Pull(Deferred<verbs::pull::PullArgs>),
    /// Push service images.
    Push(Deferred<verbs::push::PushArgs>),
    /// Restart service containers.
    Restart(Deferred<verbs::restart::RestartArgs>),
    /// Removes stopped service containers.
    Rm(Deferred<verbs::rm::RmArgs>),
    /// Run a one-off command on a service.
    Run(Deferred<verbs::run::RunArgs>),
    /// Scale services.
    Scale(Deferred<verbs::scale::ScaleArgs>),
    /// Start services.
    Start(Deferred<verbs::start::StartArgs>),
    /// Display a live stream of container(s) resource usage statistics.
    Stats(Deferred<verbs::stats::StatsArgs>),
    /// Stop services.
    Stop(Deferred<verbs::stop::StopArgs>),
    /// Display the running processes.
    Top(Deferred<verbs::top::TopArgs>),
    /// Unpause services.
    Unpause(Deferred<verbs::unpause::UnpauseArgs>),
    /// Create and start containers.
    Up(Deferred<verbs::up::UpArgs>),
    /// Show the version.
    Version(Deferred<verbs::version::VersionArgs>),
    /// List volumes.
    Volumes(Deferred<verbs::volumes::VolumesArgs>),
    /// Block until containers of all (or specified) services stop.
    Wait(Deferred<verbs::wait::WaitArgs>),
    /// Watch build context for service and rebuild/refresh containers when files are updated.
    Watch(Deferred<verbs::watch::WatchArgs>),
    /// Show where a value comes from: every source in order of precedence.
    Why(Deferred<verbs::why::WhyArgs>),
    /// Parse, resolve and render compose file in canonical format.
    Config(Deferred<verbs::config::ConfigArgs>),
    /// Publish compose application (refused).
    #[command(hide = true)]
    Publish(Refused),
    /// Convert compose files into another model (refused).
    #[command(hide = true)]
    Bridge(Refused),
    /// Experimental commands (refused).
    #[command(hide = true)]
    Alpha(Refused),
    /// Look for images (refused).
    #[command(hide = true)]
    Search(Refused),
    /// Manage containers without a Compose file.
    #[command(subcommand)]
    Container(Deferred<Box<nouns::container::ContainerCommand>>),
    /// Manage images.
    #[command(subcommand)]
    Image(Deferred<nouns::image::ImageCommand>),
    /// Log in to a registry.
    Login(Deferred<nouns::login::LoginArgs>),
    /// Log out of a registry.
    Logout(Deferred<nouns::login::LogoutArgs>),
    /// Manage networks.
    #[command(subcommand)]
    Network(Deferred<nouns::network::NetworkCommand>),
    /// Manage volumes.
    #[command(subcommand)]
    Volume(Deferred<nouns::volume::VolumeCommand>),
    /// Run OCI bundles, in the grammar of `runc`.
    Oci(Deferred<nouns::oci::OciArgs>),
    /// Manage Gantry itself.
    #[command(subcommand)]
    System(Deferred<nouns::system::SystemCommand>),
}

/// The rest of a command line that is refused anyway.
#[derive(Debug, clap::Args)]
pub struct Refused {
    /// Whatever follows.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<OsString>,
}

/// The whole grammar.
#[must_use]
pub fn grammar() -> clap::Command {
    flags::with_boolean_values(at_once(Cli::command))
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os()).into()
}

/// Runs a command line.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match flags::with_boolean_values(Cli::command())
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(error) => {
            if error.kind() == clap::error::ErrorKind::MissingSubcommand {
                // Nobody is left to tell when standard error is closed.
                let _ = write!(std::io::stderr(), "{}", Cli::command().render_help());
                return Exit::Usage;
            }
            // Switches read better without the values that they may have: `--build`, not
            // `--build[=<BUILD>]`.
            let error = match at_once(Cli::command).try_get_matches_from(&arguments) {
                Err(plain) if plain.kind() == error.kind() => plain,
                _ => error,
            };
            // A broken pipe while printing help is nobody's error.
            let _ = error.print();
            return if error.use_stderr() {
                misunderstood(error.kind(), &arguments)
            } else {
                Exit::Success
            };
        }
    };
    let global = cli.global.resolve();
    match dispatch(&global, cli.command) {
        Ok(exit) => exit,
        Err(CliError::Refused(refused)) => {
            eprint!("{}", findings::errors(&global, &refused));
            CliError::Refused(refused).exit()
        }
        Err(error) => {
            eprint!("{}{}", error.render(), written::notes(&global, &error));
            error.exit()
        }
    }
}

/// The exit of a command line with a wrong flag: where a program's exit code was to be expected, not one that a
/// program could have. What is missing altogether Docker answers like any other verb.
fn misunderstood(kind: clap::error::ErrorKind, arguments: &[OsString]) -> Exit {
    if kind == clap::error::ErrorKind::MissingRequiredArgument {
        return Exit::Usage;
    }
    let typed = Cli::command()
        .ignore_errors(true)
        .try_get_matches_from(arguments);
    let verb = typed.as_ref().ok().and_then(|typed| {
        let (noun, typed) = typed.subcommand()?;
        Some((noun, typed.subcommand_name()?))
    });
    match verb {
        Some(("container", "run" | "exec")) => Exit::Child(Exit::BEFORE_RUN),
        _ => Exit::Usage,
    }
}

/// Whether a verb works with containers, images, networks or volumes.
fn needs_engine(command: &Command) -> bool {
    !matches!(
        command,
        Command::Lsp(_)
            | Command::Version(_)
            | Command::Why(_)
            | Command::Config(_)
            | Command::Publish(_)
            | Command::Bridge(_)
            | Command::Alpha(_)
            | Command::Search(_)
            | Command::Login(_)
            | Command::Logout(_)
    )
}

/// While this process has one thread: an ordinary user's command goes on in their namespace.
fn enter(command: &Command) -> Result<(), CliError> {
    let runs_program = matches!(command, Command::Container(Deferred(noun))
        if matches!(**noun, nouns::container::ContainerCommand::Run(_)));
    match gantry_engine::rootless::enter().map_err(EngineError::from) {
        Ok(None) => Ok(()),
        Ok(Some(warning)) => {
            eprintln!("warning: {warning}");
            Ok(())
        }
        Err(source) if runs_program => Err(CliError::before_run(source)),
        Err(source) => Err(source.into()),
    }
}

fn dispatch(global: &Global, command: Command) -> Result<Exit, CliError> {
    if needs_engine(&command) {
        enter(&command)?;
    }
    match command {
        Command::Attach(Deferred(args)) => verbs::attach::run(global, args),
        Command::Build(Deferred(args)) => verbs::build::run(global, args),
        Command::Commit(Deferred(args)) => verbs::commit::run(global, args),
        Command::Cp(Deferred(args)) => verbs::cp::run(global, args),
        Command::Create(Deferred(args)) => verbs::create::run(global, args),
        Command::Down(Deferred(args)) => verbs::down::run(global, args),
        Command::Events(Deferred(args)) => verbs::events::run(global, args),
        Command::Exec(Deferred(args)) => verbs::exec::run(global, args),
        Command::Export(Deferred(args)) => verbs::export::run(global, args),
        Command::Images(Deferred(args)) => verbs::images::run(global, args),
        Command::Kill(Deferred(args)) => verbs::kill::run(global, args),
        Command::Logs(Deferred(args)) => verbs::logs::run(global, args),
        Command::Ls(Deferred(args)) => verbs::ls::run(global, args),
        Command::Lsp(Deferred(args)) => verbs::lsp::run(global, args),
        Command::Pause(Deferred(args)) => verbs::pause::run(global, args),
        Command::Port(Deferred(args)) => verbs::port::run(global, args),
        Command::Ps(Deferred(args)) => verbs::ps::run(global, args),
        Command::Pull(Deferred(args)) => verbs::pull::run(global, args),
        Command::Push(Deferred(args)) => verbs::push::run(global, args),
        Command::Restart(Deferred(args)) => verbs::restart::run(global, args),
        Command::Rm(Deferred(args)) => verbs::rm::run(global, args),
        Command::Run(Deferred(args)) => verbs::run::run(global, args),
        Command::Scale(Deferred(args)) => verbs::scale::run(global, args),
        Command::Start(Deferred(args)) => verbs::start::run(global, args),
        Command::Stats(Deferred(args)) => verbs::stats::run(global, args),
        Command::Stop(Deferred(args)) => verbs::stop::run(global, args),
        Command::Top(Deferred(args)) => verbs::top::run(global, args),
        Command::Unpause(Deferred(args)) => verbs::unpause::run(global, args),
        Command::Up(Deferred(args)) => verbs::up::run(global, args),
        Command::Version(Deferred(args)) => verbs::version::run(global, args),
        Command::Volumes(Deferred(args)) => verbs::volumes::run(global, args),
        Command::Wait(Deferred(args)) => verbs::wait::run(global, args),
        Command::Watch(Deferred(args)) => verbs::watch::run(global, args),
        Command::Why(Deferred(args)) => verbs::why::run(global, args),
        Command::Config(Deferred(args)) => verbs::config::run(global, args),
        Command::Publish(_) => Err(refused("publish")),
        Command::Bridge(_) => Err(refused("bridge")),
        Command::Search(_) => Err(nouns::image::no_search("search")),
        Command::Alpha(_) => Err(refused("alpha")),
        Command::Container(Deferred(command)) => nouns::container::run(global, *command),
        Command::Image(Deferred(command)) => nouns::image::run(global, command),
        Command::Login(Deferred(args)) => nouns::login::login(&args),
        Command::Logout(Deferred(args)) => nouns::login::logout(&args),
        Command::Network(Deferred(command)) => nouns::network::run(global, command),
        Command::Volume(Deferred(command)) => nouns::volume::run(global, command),
        Command::Oci(Deferred(args)) => nouns::oci::run(global, args),
        Command::System(Deferred(command)) => nouns::system::run(global, command),
    }
}

fn refused(verb: &'static str) -> CliError {
    CliError::Unsupported {
        what: format!("the verb `{verb}`"),
        reason: "it belongs to Docker's own cloud and plug-in programs",
    }
}
