//! `network connect` and `network disconnect`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;
use gantry_engine::engine::Engine;
use gantry_engine::network::add_link_local;
use gantry_engine::spec::{EndpointSpec, Link};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::nouns::container::values;

/// What was typed after `connect`.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// Further name on the network.
    #[arg(long)]
    alias: Vec<String>,
    /// Driver option of the endpoint, name=value: com.docker.network.endpoint.ifname or .sysctls.
    #[arg(long)]
    driver_opt: Vec<String>,
    /// The network of the highest one is the default route.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    gw_priority: i64,
    /// Fixed IPv4 address.
    #[arg(long)]
    ip: Option<Ipv4Addr>,
    /// Fixed IPv6 address.
    #[arg(long)]
    ip6: Option<Ipv6Addr>,
    /// Another container's name here, container[:name].
    #[arg(long)]
    link: Vec<String>,
    /// Link-local address besides.
    #[arg(long)]
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
    let links: Vec<Link> = values::each("link", &args.link, values::link)?;
    let mut endpoint = EndpointSpec {
        network: args.network.clone(),
        aliases: args.alias.clone(),
        ipv4: args.ip,
        ipv6: args.ip6,
        links,
        gw_priority: args.gw_priority,
        ..EndpointSpec::default()
    };
    for option in &args.driver_opt {
        values::endpoint_option(&mut endpoint, option)
            .map_err(|reason| values::bad("driver-opt", option, reason))?;
    }
    for address in &args.link_local_ip {
        add_link_local(&mut endpoint, *address)
            .map_err(|error| CliError::usage(format!("--link-local-ip: {error}")))?;
    }
    engine.connect_network(&args.container, &endpoint)?;
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
