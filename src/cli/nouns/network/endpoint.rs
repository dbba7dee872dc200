//! `network connect` and `network disconnect`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;
use gantry_engine::engine::Engine;
use gantry_engine::spec::{EndpointSpec, Link};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::nouns::container::{refuse, values};

/// What was typed after `connect`.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// Further name on the network.
    #[arg(long)]
    alias: Vec<String>,
    /// Driver options (refused).
    #[arg(long, hide = true)]
    driver_opt: Vec<String>,
    /// Priority as the default route: 0.
    #[arg(long, hide = true, allow_negative_numbers = true)]
    gw_priority: Option<i64>,
    /// Fixed IPv4 address.
    #[arg(long)]
    ip: Option<Ipv4Addr>,
    /// Fixed IPv6 address.
    #[arg(long)]
    ip6: Option<Ipv6Addr>,
    /// Another container's name here, container[:name].
    #[arg(long)]
    link: Vec<String>,
    /// Link-local addresses (refused).
    #[arg(long, hide = true)]
    link_local_ip: Vec<IpAddr>,
    /// The network.
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container.
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// What was typed after `disconnect`.
#[derive(Debug, Args)]
pub struct DisconnectArgs {
    /// A container that is gone is no error.
    #[arg(short = 'f', long)]
    force: bool,
    /// The network.
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container.
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// `connect`.
pub fn connect(engine: &Engine, args: &ConnectArgs) -> Result<Exit, CliError> {
    if !args.driver_opt.is_empty() {
        return Err(refuse(
            "driver-opt",
            "an endpoint of a bridge has no options",
        ));
    }
    if args.gw_priority.is_some_and(|priority| priority != 0) {
        return Err(refuse(
            "gw-priority",
            "the first network with a way out is the default route",
        ));
    }
    if !args.link_local_ip.is_empty() {
        return Err(refuse(
            "link-local-ip",
            "a bridge gives each container its own address; choose it with --ip",
        ));
    }
    let links: Vec<Link> = values::each("link", &args.link, values::link)?;
    engine.connect_network(
        &args.container,
        &EndpointSpec {
            network: args.network.clone(),
            aliases: args.alias.clone(),
            ipv4: args.ip,
            ipv6: args.ip6,
            links,
            ..EndpointSpec::default()
        },
    )?;
    Ok(Exit::Success)
}

/// `disconnect`.
pub fn disconnect(engine: &Engine, args: &DisconnectArgs) -> Result<Exit, CliError> {
    use gantry_engine::error::{Classify as _, ErrorKind};
    match engine.disconnect_network(&args.container, &args.network) {
        Err(error) if args.force && error.kind() == ErrorKind::NotFound => Ok(Exit::Success),
        result => result.map(|()| Exit::Success).map_err(CliError::from),
    }
}
