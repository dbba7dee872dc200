//! `network ls` and `network inspect`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use clap::Args;
use gantry_engine::container::{Container, ListFilter};
use gantry_engine::engine::{Engine, EngineError};
use gantry_engine::network::{FixedNetwork, Network};
use gantry_engine::spec::NetworkMode;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::nouns::listing::{self, Filters, NEVER};
use crate::cli::nouns::{print_inspected, shape};
use crate::cli::output::List;
use crate::ui::table::Table;
use crate::ui::template::Format;

/// What was typed after `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json or a template.
    #[arg(short = 'f', long)]
    format: Option<String>,
    /// Details of a swarm's services; there are none.
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Networks.
    #[arg(value_name = "NETWORK", required = true)]
    names: Vec<String>,
}

/// What was typed after `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// dangling=, driver=, id=, label=, name=, scope=, type=.
    #[arg(short = 'f', long)]
    filter: Vec<String>,
    /// table, json, or a template.
    #[arg(long, default_value = "table")]
    format: String,
    /// Whole ids.
    #[arg(long)]
    no_trunc: bool,
    /// Only ids.
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// What a list shows of a network.
struct Row {
    id: String,
    name: String,
    driver: &'static str,
    shown: Value,
}

impl Row {
    fn of(network: &Network) -> Self {
        Self::new(
            &network.id,
            &network.name,
            network.driver.name(),
            json!({
                "CreatedAt": listing::created(network.created),
                "IPv4": network.ipv4.to_string(),
                "IPv6": network.ipv6.to_string(),
                "Internal": network.internal.to_string(),
                "Labels": listing::labels_text(&network.labels),
            }),
        )
    }

    fn of_fixed(network: FixedNetwork) -> Self {
        Self::new(
            &network.id(),
            network.name(),
            network.driver(),
            json!({ "CreatedAt": "", "IPv4": "true", "IPv6": "false", "Internal": "false", "Labels": "" }),
        )
    }

    fn new(id: &str, name: &str, driver: &'static str, mut shown: Value) -> Self {
        shown["Driver"] = json!(driver);
        shown["Name"] = json!(name);
        shown["Scope"] = json!("local");
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            driver,
            shown,
        }
    }
}

/// `ls`.
pub fn ls(engine: &Engine, args: &LsArgs) -> Result<Exit, CliError> {
    let format = Format::parse(&args.format)?;
    let filters = Filters::parse(
        &args.filter,
        &["dangling", "driver", "id", "label", "name", "scope", "type"],
    )?;
    let dangling = filters.flag("dangling")?;
    let used = match dangling {
        Some(_) => engine.networks_in_use()?,
        None => BTreeSet::new(),
    };
    let fits = |id: &str, name: &str, driver: &str, built_in: bool| {
        filters.name(name)
            && filters.any("id", |wanted| id.starts_with(wanted))
            && filters.any("driver", |wanted| wanted == driver)
            && filters.any("scope", |scope| scope == "local")
            && filters.any("type", |kind| (kind == "builtin") == built_in)
            && dangling.is_none_or(|wanted| (built_in || used.contains(id)) != wanted)
    };
    let networks = engine.networks().list().map_err(EngineError::from)?;
    let made = networks.iter().filter(|network| {
        let driver = network.driver.name();
        fits(&network.id, &network.name, driver, is_default(network))
            && filters.labels(&network.labels)
    });
    let fixed = FixedNetwork::ALL.into_iter().filter(|network| {
        fits(&network.id(), network.name(), network.driver(), true) && !filters.has("label")
    });
    let mut rows: Vec<Row> = made.map(Row::of).chain(fixed.map(Row::of_fixed)).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    for row in &mut rows {
        row.id = listing::id(&row.id, args.no_trunc);
        row.shown["ID"] = json!(row.id);
    }
    if args.quiet {
        listing::print_lines(rows.iter().map(|row| &row.id))?;
        return Ok(Exit::Success);
    }
    List {
        format,
        rows: rows.iter().map(|row| row.shown.clone()).collect(),
    }
    .print(|| {
        let mut table = Table::new(&["NETWORK ID", "NAME", "DRIVER", "SCOPE"], 10);
        for row in &rows {
            table.row([&row.id, &row.name, row.driver, "local"]);
        }
        table
    })?;
    Ok(Exit::Success)
}

/// 64 digits that no other endpoint has.
pub fn endpoint_id(network_id: &str, container_id: &str) -> String {
    let seed = format!("{network_id} {container_id}");
    base16ct::lower::encode_string(&Sha256::digest(seed))
}

/// Made by the engine, not by a user.
fn is_default(network: &Network) -> bool {
    network.name == "bridge"
}

/// `inspect`.
pub fn inspect(engine: &Engine, args: &InspectArgs) -> Result<Exit, CliError> {
    print_inspected(
        args.format.as_deref(),
        shape::NETWORK,
        &args.names,
        |name| match FixedNetwork::find(name) {
            Some(network) => fixed(engine, network),
            None => made(engine, name),
        },
    )
}

/// The fields that all networks have.
fn object(id: &str, name: &str, driver: &str, containers: Map<String, Value>) -> Value {
    json!({
        "Name": name,
        "Id": id,
        "Created": NEVER,
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": { "Driver": "default", "Options": null, "Config": null },
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": containers,
        "Options": {},
        "Labels": {},
    })
}

fn fixed(engine: &Engine, network: FixedNetwork) -> Result<Value, EngineError> {
    let is_on = |container: &&Container| {
        container.state.status.is_up()
            && matches!(
                (network, &container.spec.network),
                (FixedNetwork::Host, NetworkMode::Host) | (FixedNetwork::None, NetworkMode::None)
            )
    };
    let containers = engine.list(&ListFilter::everything())?;
    let members = containers.iter().filter(is_on).map(|container| {
        let member = json!({
            "Name": container.name,
            "EndpointID": "",
            "MacAddress": "",
            "IPv4Address": "",
            "IPv6Address": "",
        });
        (container.id.to_string(), member)
    });
    let (id, members) = (network.id(), members.collect());
    Ok(object(&id, network.name(), network.driver(), members))
}

fn made(engine: &Engine, name: &str) -> Result<Value, EngineError> {
    let network = engine.networks().get(name)?;
    // Docker writes the prefix behind the address.
    let address = |ip: Option<IpAddr>| {
        let prefix = |ip: &IpAddr| {
            let mut pools = network.pools.iter();
            pools
                .find(|pool| pool.subnet.contains(*ip))
                .map(|pool| pool.subnet.prefix())
        };
        match ip.map(|ip| (ip, prefix(&ip))) {
            Some((ip, Some(prefix))) => format!("{ip}/{prefix}"),
            Some((ip, None)) => ip.to_string(),
            None => String::new(),
        }
    };
    let mut containers = Map::new();
    for member in engine.networks().members(&network)? {
        containers.insert(
            member.owner.clone(),
            json!({
                "Name": member.name,
                "EndpointID": endpoint_id(&network.id, &member.owner),
                "MacAddress": member.mac.to_string(),
                "IPv4Address": address(member.ipv4.map(IpAddr::V4)),
                "IPv6Address": address(member.ipv6.map(IpAddr::V6)),
            }),
        );
    }
    let pools: Vec<Value> = network
        .pools
        .iter()
        .map(|pool| {
            let mut shown = json!({
                "Subnet": pool.subnet.to_string(),
                "Gateway": pool.gateway.to_string(),
            });
            if let Some(range) = &pool.ip_range {
                shown["IPRange"] = json!(range.to_string());
            }
            if !pool.reserved.is_empty() {
                shown["AuxiliaryAddresses"] = json!(pool.reserved);
            }
            shown
        })
        .collect();
    let driver = network.driver.name();
    let mut value = object(&network.id, &network.name, driver, containers);
    value["Created"] = json!(format!("{:.9}", network.created));
    value["EnableIPv4"] = json!(network.ipv4);
    value["EnableIPv6"] = json!(network.ipv6);
    value["IPAM"]["Options"] = json!({});
    value["IPAM"]["Config"] = json!(pools);
    value["Internal"] = json!(network.internal);
    value["Attachable"] = json!(network.attachable);
    value["Options"] = json!(network.driver_opts);
    value["Labels"] = json!(network.labels);
    Ok(value)
}
