//! `exec`: execute a command in a running container.

use std::io::IsTerminal as _;

use clap::{ArgAction, Args};

use crate::backend::ExecSpec;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::{OneOff, Session};

/// What was typed after `exec`.
#[derive(Debug, Args)]
#[command(override_usage = "gantry exec [OPTIONS] SERVICE COMMAND [ARGS...]")]
pub struct ExecArgs {
    /// Detached mode: Run command in the background.
    #[arg(short = 'd', long)]
    pub detach: bool,
    /// Set environment variables.
    #[arg(short = 'e', long)]
    pub env: Vec<String>,
    /// Index of the container if service has multiple replicas.
    #[arg(long)]
    pub index: Option<u32>,
    /// Keep STDIN open even if not attached.
    #[arg(short = 'i', long, hide = true, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub interactive: bool,
    /// Disable pseudo-TTY allocation. By default a TTY is allocated when standard output is one.
    #[arg(short = 'T', long, alias = "no-TTY")]
    pub no_tty: bool,
    /// Give extended privileges to the process.
    #[arg(long)]
    pub privileged: bool,
    /// Allocate a pseudo-TTY, where there is a terminal.
    #[arg(short = 't', long, hide = true, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tty: bool,
    /// Run the command as this user.
    #[arg(short = 'u', long)]
    pub user: Option<String>,
    /// Path to workdir directory for this command.
    #[arg(short = 'w', long)]
    pub workdir: Option<String>,
    /// The service, then the command and its arguments: everything after the service's
    /// name belongs to the command, flags too.
    // Without `allow_hyphen_values`, or `-u1` would be taken for the service.
    #[arg(
        value_name = "SERVICE [COMMAND [ARGS...]]",
        required = true,
        num_args = 1..,
        trailing_var_arg = true
    )]
    pub service_and_command: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: ExecArgs) -> Result<Exit, CliError> {
    let (service, argv) = split(args.service_and_command, "exec")?;
    if argv.is_empty() {
        return Err(CliError::usage("`exec` needs a command"));
    }
    if global.dry_run {
        return Err(CliError::Unsupported {
            what: "`--dry-run` of `exec`".to_owned(),
            reason: "what a command does is not known before it runs",
        });
    }
    let session = Session::named(global)?;
    let container = session.one_of(&service, args.index, OneOff::Include)?;
    if !container.state.is_live() {
        return Err(CliError::NotRunning { service });
    }
    let tty = args.tty
        && !args.no_tty
        && !args.detach
        && std::io::stdout().is_terminal()
        && std::io::stdin().is_terminal();
    let spec = ExecSpec {
        argv,
        env: args.env.iter().map(|entry| variable(entry)).collect(),
        user: args.user,
        workdir: args.workdir,
        tty,
        stdin: args.interactive && !args.detach,
        privileged: args.privileged,
        detach: args.detach,
    };
    let code = session.backend.exec(&container.id, &spec)?;
    Ok(Exit::of_child(code))
}

/// The service's name and what follows it.
pub fn split(words: Vec<String>, verb: &str) -> Result<(String, Vec<String>), CliError> {
    let mut words = words.into_iter();
    match words.next() {
        Some(flag) if flag.starts_with('-') => Err(CliError::usage(format!(
            "`{verb}` does not know the flag `{flag}`"
        ))),
        Some(service) => Ok((service, words.collect())),
        None => Err(CliError::usage(format!("`{verb}` needs a service"))),
    }
}

/// `KEY=VALUE`, or `KEY` for this process's value; a `KEY` that is not set here is unset there.
pub fn variable(entry: &str) -> (String, Option<String>) {
    match entry.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (entry.to_owned(), std::env::var(entry).ok()),
    }
}
