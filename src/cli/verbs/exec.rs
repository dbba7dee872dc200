//! `exec`: execute a command in a running container.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `exec`.
#[derive(Debug, Args)]
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
    /// Disable pseudo-TTY allocation. By default 'docker compose exec' allocates a TTY.
    #[arg(short = 'T', long)]
    pub no_tty: bool,
    /// Give extended privileges to the process.
    #[arg(long)]
    pub privileged: bool,
    /// Run the command as this user.
    #[arg(short = 'u', long)]
    pub user: Option<String>,
    /// Path to workdir directory for this command.
    #[arg(short = 'w', long)]
    pub workdir: Option<String>,
    /// The service, then the command and its arguments: everything after the service's
    /// name belongs to the command, flags too.
    #[arg(
        value_name = "SERVICE [COMMAND [ARGS...]]",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub service_and_command: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: ExecArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "exec" })
}
