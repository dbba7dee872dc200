//! `port`: print the public port for a port binding.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::print;
use crate::cli::session::{OneOff, Session};
use crate::ui::container::socket;

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
pub fn run(global: &Global, args: PortArgs) -> Result<Exit, CliError> {
    let session = Session::named(global)?;
    let container = session.one_of(&args.service, args.index, OneOff::Include)?;
    let found = container.ports.iter().find_map(|port| {
        let asked = port.container_port == args.private_port
            && port.protocol.to_string() == args.protocol.to_lowercase();
        asked.then(|| port.host_ip.zip(port.host_port)).flatten()
    });
    let (address, port) = found.ok_or_else(|| CliError::NotFound {
        what: "published port",
        name: format!(
            "{}/{} of {}",
            args.private_port, args.protocol, container.name
        ),
        hint: Some(format!(
            "publish it with `ports:` of service `{}`",
            args.service
        )),
    })?;
    print(&format!("{}\n", socket(address, port)))?;
    Ok(Exit::Success)
}
