//! `attach`: attach local standard input, output, and error streams to a service's running container.

use clap::Args;

use crate::backend::AttachSpec;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::{OneOff, Session};

/// What was typed after `attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Override the key sequence for detaching from a container.
    #[arg(long)]
    pub detach_keys: Option<String>,
    /// index of the container if service has multiple replicas.
    #[arg(long)]
    pub index: Option<u32>,
    /// Do not attach STDIN.
    #[arg(long)]
    pub no_stdin: bool,
    /// Proxy all received signals to the process.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sig_proxy: bool,
    /// The service.
    #[arg(value_name = "SERVICE")]
    pub service: String,
}

/// Runs the verb.
pub fn run(global: &Global, args: AttachArgs) -> Result<Exit, CliError> {
    let session = Session::named(global)?;
    let container = session.one_of(&args.service, args.index, OneOff::Include)?;
    if !container.state.is_live() {
        return Err(CliError::NotRunning {
            service: args.service,
        });
    }
    let spec = AttachSpec {
        stdin: !args.no_stdin,
        signals: args.sig_proxy,
        detach_keys: args.detach_keys,
        start: false,
    };
    let code = session.backend.attach(&container.id, &spec)?;
    Ok(Exit::of_child(code))
}
