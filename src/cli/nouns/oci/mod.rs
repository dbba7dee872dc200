//! `gantry oci`: our runtime in the grammar of `runc`, for programs that drive an OCI runtime.
//!
//! Nothing here starts a thread: the process that makes a container must have one.

mod act;
mod log;
mod watching;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use gantry_engine::oci::Store;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

use log::Log;
use watching::{EventsArgs, SpecArgs, UpdateArgs};

/// What was typed after `oci`.
#[derive(Debug, Args)]
pub struct OciArgs {
    /// Directory of the containers' state; default: `/run/gantry/oci`.
    #[arg(long = "root", id = "oci_root", value_name = "DIR")]
    root: Option<PathBuf>,
    /// Write messages to this file too.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Format of that file.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Write what is done to the log too.
    #[arg(long)]
    debug: bool,
    /// Use systemd for cgroups (refused).
    #[arg(long, hide = true)]
    systemd_cgroup: bool,
    /// Path of the program that checkpoints (refused).
    #[arg(long, hide = true, value_name = "PATH")]
    criu: Option<PathBuf>,
    /// Ignore cgroup permission errors: `true` is refused.
    #[arg(long, hide = true, default_value = "auto")]
    rootless: String,
    /// The operation.
    #[command(subcommand)]
    command: OciCommand,
}

/// Format of the log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// A line of words a message.
    Text,
    /// A JSON object a message.
    Json,
}

/// Operations on containers made of bundles.
#[derive(Debug, Subcommand)]
enum OciCommand {
    /// Create a container from a bundle.
    Create(CreateArgs),
    /// Run the program of a created container.
    Start(IdArgs),
    /// Create a container, start it, and stay until it ends.
    Run(RunArgs),
    /// Execute a further process in a container.
    Exec(ExecArgs),
    /// Show the state of a container.
    State(IdArgs),
    /// List containers.
    List(ListArgs),
    /// List the processes of a container.
    Ps(PsArgs),
    /// Send a signal to a container.
    Kill(KillArgs),
    /// Freeze a container.
    Pause(IdArgs),
    /// Let a frozen container run again.
    Resume(IdArgs),
    /// Delete a container.
    Delete(DeleteArgs),
    /// Tell what a container uses, again and again, and when it runs out of memory.
    Events(EventsArgs),
    /// Change limits of a container.
    Update(Box<UpdateArgs>),
    /// Write a `config.json` to begin with.
    Spec(SpecArgs),
    /// Show what this runtime can do.
    Features,
}

/// A container's id.
#[derive(Debug, Args)]
struct IdArgs {
    /// The container.
    id: String,
}

/// What `create` and `run` have in common.
#[derive(Debug, Args)]
struct CreateArgs {
    /// Directory with `config.json`.
    #[arg(short = 'b', long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Unix socket that gets the terminal's master.
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Write the pid of the first process to this file.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Pass this many descriptors after the standard ones on.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1024))]
    preserve_fds: u32,
    /// Do not use pivot_root (refused).
    #[arg(long, hide = true)]
    no_pivot: bool,
    /// Keep the caller's session keyring (refused).
    #[arg(long, hide = true)]
    no_new_keyring: bool,
    /// Unix socket that gets a descriptor of the first process (refused).
    #[arg(long, hide = true, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// The container's id.
    id: String,
}

/// What was typed after `run`.
#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    create: CreateArgs,
    /// Leave the container alone once it runs.
    #[arg(short = 'd', long)]
    detach: bool,
    /// Do not delete it at its end.
    #[arg(long)]
    keep: bool,
    /// Do not adopt orphans of the container; nothing here does.
    #[arg(long, hide = true)]
    no_subreaper: bool,
}

/// What was typed after `exec`.
#[derive(Debug, Args)]
struct ExecArgs {
    /// Unix socket that gets the terminal's master.
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Working directory.
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Set an environment variable.
    #[arg(short = 'e', long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Give it a terminal.
    #[arg(short = 't', long)]
    tty: bool,
    /// Number of the user.
    #[arg(short = 'u', long, value_name = "UID[:GID]", value_parser = user)]
    user: Option<(u32, Option<u32>)>,
    /// Numbers of further groups.
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// File that describes the process.
    #[arg(short = 'p', long, value_name = "FILE", conflicts_with_all = ["cwd", "env", "user", "additional_gids", "cap"])]
    process: Option<PathBuf>,
    /// Leave it alone once it runs.
    #[arg(short = 'd', long)]
    detach: bool,
    /// Write its pid to this file.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// SELinux label (refused).
    #[arg(long, hide = true, value_name = "LABEL")]
    process_label: Option<String>,
    /// AppArmor profile.
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Set no_new_privs.
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability.
    #[arg(short = 'c', long, value_name = "CAP_NAME")]
    cap: Vec<String>,
    /// Pass this many descriptors after the standard ones on.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1024))]
    preserve_fds: u32,
    /// Sub-cgroup of the process (refused).
    #[arg(long, hide = true, value_name = "PATH")]
    cgroup: Vec<String>,
    /// Begin even in a frozen container; it goes on when that does.
    #[arg(long)]
    ignore_paused: bool,
    /// Unix socket that gets a descriptor of the process (refused).
    #[arg(long, hide = true, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// The container's id.
    id: String,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// What was typed after `list`.
#[derive(Debug, Args)]
struct ListArgs {
    /// How to print.
    #[arg(short = 'f', long, value_enum, default_value = "table")]
    format: ListFormat,
    /// Print ids only.
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What was typed after `ps`.
#[derive(Debug, Args)]
struct PsArgs {
    /// How to print.
    #[arg(short = 'f', long, value_enum, default_value = "table")]
    format: ListFormat,
    /// The container's id.
    id: String,
    /// Options of ps(1): `-ef`, which is what there is.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// What was typed after `kill`.
#[derive(Debug, Args)]
struct KillArgs {
    /// Send it to all processes of the container.
    #[arg(short = 'a', long)]
    all: bool,
    /// The container's id.
    id: String,
    /// Name or number.
    #[arg(default_value = "SIGTERM")]
    signal: String,
}

/// What was typed after `delete`.
#[derive(Debug, Args)]
struct DeleteArgs {
    /// Kill it first where it still runs; one that does not exist is fine.
    #[arg(short = 'f', long)]
    force: bool,
    /// The container's id.
    id: String,
}

fn user(text: &str) -> Result<(u32, Option<u32>), String> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("`{text}` is no number of a user or group"))
    };
    match text.split_once(':') {
        None => Ok((number(text)?, None)),
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
    }
}

/// Does one operation.
pub fn run(global: &Global, args: OciArgs) -> Result<Exit, CliError> {
    let log = Log::open(args.log.as_deref(), args.log_format, args.debug)?;
    let done = args.refuse(global).and_then(|()| {
        let store = Store::new(args.directory(global));
        act::act(&store, args.command, &log)
    });
    done.inspect_err(|error| log.error(error))
}

impl OciArgs {
    fn directory(&self, global: &Global) -> PathBuf {
        if let Some(root) = &self.root {
            return root.clone();
        }
        if let Some(root) = &global.root {
            return root.join("run/oci");
        }
        let own = std::env::var_os("XDG_RUNTIME_DIR")
            .filter(|dir| !dir.is_empty() && !rustix::process::geteuid().is_root());
        own.map_or_else(|| PathBuf::from("/run"), PathBuf::from)
            .join("gantry/oci")
    }

    fn refuse(&self, global: &Global) -> Result<(), CliError> {
        let refused = [
            (
                self.systemd_cgroup,
                "--systemd-cgroup",
                "cgroups are made directly; use the cgroup manager `cgroupfs`",
            ),
            (
                self.criu.is_some(),
                "--criu",
                "containers are not checkpointed",
            ),
            (
                self.rootless == "true",
                "--rootless=true",
                "permission errors are not ignored",
            ),
            (
                global.dry_run,
                "--dry-run",
                "operations on bundles are single steps",
            ),
        ];
        refuse(&refused)?;
        match &self.command {
            OciCommand::Create(create) | OciCommand::Run(RunArgs { create, .. }) => create.refuse(),
            OciCommand::Exec(exec) => exec.refuse(),
            _ => Ok(()),
        }
    }
}

impl CreateArgs {
    fn refuse(&self) -> Result<(), CliError> {
        refuse(&[
            (
                self.no_pivot,
                "--no-pivot",
                "without pivot_root a container can leave its root",
            ),
            (
                self.no_new_keyring,
                "--no-new-keyring",
                "the caller's keys would be the container's",
            ),
            (
                self.pidfd_socket.is_some(),
                "--pidfd-socket",
                "use --pid-file",
            ),
        ])
    }
}

impl ExecArgs {
    fn refuse(&self) -> Result<(), CliError> {
        refuse(&[
            (
                self.process_label.as_ref().is_some_and(|l| !l.is_empty()),
                "--process-label",
                "there is no support for SELinux",
            ),
            (
                !self.cgroup.is_empty(),
                "--cgroup",
                "processes join the container's own cgroup",
            ),
            (
                self.pidfd_socket.is_some(),
                "--pidfd-socket",
                "use --pid-file",
            ),
        ])
    }
}

fn refuse(flags: &[(bool, &str, &'static str)]) -> Result<(), CliError> {
    match flags.iter().find(|(given, ..)| *given) {
        None => Ok(()),
        Some((_, flag, reason)) => Err(CliError::Unsupported {
            what: format!("the flag `{flag}`"),
            reason,
        }),
    }
}
