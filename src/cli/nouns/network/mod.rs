//! `gantry network`: the engine's networks without a Compose file.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clap::{Args, Subcommand};
use gantry_engine::spec::{IpamPool, NetworkDriver, NetworkSpec};

use super::container::{refuse, values};
use super::listing::{self, Filters};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::nouns::{confirm, each, open};
use crate::cli::output::print;

use self::endpoint::{ConnectArgs, DisconnectArgs};
pub use self::show::endpoint_id;
use self::show::{InspectArgs, LsArgs};

mod endpoint;
mod show;

/// What was typed after `network`.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Put a container on a network, running or not.
    Connect(ConnectArgs),
    /// Make a network.
    Create(CreateArgs),
    /// Take a container off a network, running or not.
    Disconnect(DisconnectArgs),
    /// Everything known about networks, as JSON.
    Inspect(InspectArgs),
    /// List networks.
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove every network that no container uses.
    Prune(PruneArgs),
    /// Remove networks.
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
}

/// What was typed after `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Let containers from anywhere join.
    #[arg(long)]
    attachable: bool,
    /// Address never given out, name=address.
    #[arg(long)]
    aux_address: Vec<String>,
    /// Network to copy the configuration from (refused).
    #[arg(long, hide = true)]
    config_from: Option<String>,
    /// Configuration alone (refused).
    #[arg(long, hide = true)]
    config_only: bool,
    /// Driver: bridge, macvlan, ipvlan.
    #[arg(short = 'd', long, default_value = "bridge")]
    driver: String,
    /// The bridge's or, with macvlan and ipvlan, the router's address, one a subnet.
    #[arg(long)]
    gateway: Vec<IpAddr>,
    /// Routing mesh of a swarm (refused).
    #[arg(long, hide = true)]
    ingress: bool,
    /// Address management: default.
    #[arg(long, default_value = "default", hide = true)]
    ipam_driver: String,
    /// Options of address management (refused).
    #[arg(long, hide = true)]
    ipam_opt: Vec<String>,
    /// Reach of the network: local.
    #[arg(long, hide = true)]
    scope: Option<String>,
    /// No way out.
    #[arg(long)]
    internal: bool,
    /// Part of the subnet from which addresses are given out.
    #[arg(long)]
    ip_range: Vec<String>,
    /// Give out IPv4 addresses.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ipv4: bool,
    /// Give out IPv6 addresses.
    #[arg(long)]
    ipv6: bool,
    /// Label, key=value.
    #[arg(long)]
    label: Vec<String>,
    /// Driver option, key=value.
    #[arg(short = 'o', long)]
    opt: Vec<String>,
    /// Subnet, 10.5.0.0/24.
    #[arg(long)]
    subnet: Vec<String>,
    /// Name.
    #[arg(value_name = "NETWORK")]
    name: String,
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

/// What was typed after `rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// A missing network is no error.
    #[arg(short = 'f', long)]
    force: bool,
    /// Networks.
    #[arg(value_name = "NETWORK", required = true)]
    names: Vec<String>,
}

/// Runs the command.
pub fn run(global: &Global, command: NetworkCommand) -> Result<Exit, CliError> {
    let engine = open(global)?;
    match command {
        NetworkCommand::Connect(args) => endpoint::connect(&engine, &args),
        NetworkCommand::Disconnect(args) => endpoint::disconnect(&engine, &args),
        NetworkCommand::Create(args) => {
            let network = engine.create_network(&spec(&args)?)?;
            if let Some(obstacle) = network.obstacle() {
                eprintln!("warning: {obstacle}");
            }
            print(&format!("{}\n", network.id))?;
            Ok(Exit::Success)
        }
        NetworkCommand::Inspect(args) => show::inspect(&engine, &args),
        NetworkCommand::Ls(args) => show::ls(&engine, &args),
        NetworkCommand::Prune(args) => {
            let filter = Filters::parse(&args.filter, listing::PRUNE)?.prune()?;
            confirm(
                args.force,
                "This removes all networks that no container uses.",
            )?;
            listing::print_deleted("Networks", &engine.prune_networks(&filter)?)?;
            Ok(Exit::Success)
        }
        NetworkCommand::Rm(args) => {
            each(&args.names, args.force, |name| engine.remove_network(name))
        }
    }
}

/// Refuses what belongs to a swarm or to plug-ins.
fn check(args: &CreateArgs) -> Result<(), CliError> {
    let refused = [
        (
            args.config_from.is_some(),
            "config-from",
            "every network carries its own configuration",
        ),
        (
            args.config_only,
            "config-only",
            "every network carries its own configuration",
        ),
        (args.ingress, "ingress", "there is no swarm"),
        (
            args.ipam_driver != "default",
            "ipam-driver",
            "addresses are managed by the engine itself, `default`",
        ),
        (
            !args.ipam_opt.is_empty(),
            "ipam-opt",
            "address management has no options; see --subnet, --ip-range and --gateway",
        ),
        (
            args.scope.as_deref().is_some_and(|scope| scope != "local"),
            "scope",
            "a network reaches as far as this machine, `local`",
        ),
    ];
    match refused.into_iter().find(|(given, ..)| *given) {
        Some((_, flag, reason)) => Err(refuse(flag, reason)),
        None => Ok(()),
    }
}

fn spec(args: &CreateArgs) -> Result<NetworkSpec, CliError> {
    check(args)?;
    let driver = NetworkDriver::of_name(&args.driver).ok_or_else(|| {
        let reason = "bridge, macvlan and ipvlan are supported";
        values::bad("driver", &args.driver, reason)
    })?;
    if args.subnet.is_empty() && !(args.gateway.is_empty() && args.ip_range.is_empty()) {
        return Err(CliError::usage("--gateway and --ip-range need a --subnet"));
    }
    let mut pools: Vec<IpamPool> = args
        .subnet
        .iter()
        .enumerate()
        .map(|(n, subnet)| IpamPool {
            subnet: subnet.clone(),
            ip_range: args.ip_range.get(n).cloned(),
            gateway: args.gateway.get(n).copied(),
            reserved: BTreeMap::new(),
        })
        .collect();
    for text in &args.aux_address {
        let (name, address) = text
            .split_once('=')
            .and_then(|(name, address)| Some((name, address.parse::<IpAddr>().ok()?)))
            .ok_or_else(|| values::bad("aux-address", text, "expected name=address"))?;
        let pool = pools
            .iter_mut()
            .find(|pool| pool.subnet.contains(':') == address.is_ipv6())
            .ok_or_else(|| CliError::usage("--aux-address needs a --subnet of its family"))?;
        pool.reserved.insert(name.to_owned(), address);
    }
    Ok(NetworkSpec {
        name: args.name.clone(),
        driver,
        driver_opts: values::pairs("opt", &args.opt)?,
        labels: values::labels(&[], &args.label)?,
        internal: args.internal,
        attachable: args.attachable,
        ipv4: args.ipv4,
        ipv6: args.ipv6,
        pools,
    })
}
