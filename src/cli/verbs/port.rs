//! `port`: print the public port for a port binding.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `port`.
#[derive(Debug, Args)]
pub struct PortArgs {
    /// Index of the container if service has multiple replicas.
    #[arg(long)]
    pub index: Option<u32>,
    /// tcp or udp.
    #[arg(long, default_value = "tcp")]
    pub protocol: String,
    /// The service.
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// Port in the container.
    #[arg(value_name = "PRIVATE_PORT")]
    pub private_port: u16,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: PortArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "port" })
}
