//! Networks, a service's place in them, published ports, resolver settings.

use std::collections::{BTreeMap, BTreeSet};

use gantry_engine::network::{FixedNetwork, add_link_local, set_endpoint_option};
use gantry_engine::spec::{
    ContainerSpec, DnsSpec, EndpointSpec, IpamPool, NetworkDriver, NetworkMode, NetworkSpec,
    PortSpec, Protocol,
};

use crate::model::{self, Port, Project, Service};
use crate::plan::labels;

use super::{Context, Findings, some, words};

/// Whether a network is the machine's own, or none: `external: true` with its name.
pub(super) fn fixed(network: &model::Network) -> Option<FixedNetwork> {
    let named = FixedNetwork::ALL
        .into_iter()
        .find(|fixed| fixed.name() == network.name);
    named.filter(|_| network.external)
}

/// Keys of the networks a service joins.
pub(super) fn keys(project: &Project, service: &Service) -> Vec<String> {
    let is_made = |key: &&str| project.networks.get(*key).and_then(fixed).is_none();
    match service.network_mode() {
        model::NetworkMode::Networks => service
            .networks_by_priority()
            .into_iter()
            .map(|(key, _)| key)
            .filter(is_made)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// Names other than their own under which services are linked to. The engine knows aliases of
/// a container on a network and no links, so the linked service answers to the name.
pub(super) fn link_aliases(project: &Project) -> BTreeMap<&str, BTreeSet<String>> {
    let mut aliases: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for service in project.services.values() {
        for link in &service.links {
            if let Some((target, alias)) = link.split_once(':')
                && target != alias
            {
                aliases.entry(target).or_default().insert(alias.to_owned());
            }
        }
    }
    aliases
}

/// A network of the project.
pub(super) fn network(
    project: &str,
    key: &str,
    network: &model::Network,
    findings: &mut Findings,
) -> Option<NetworkSpec> {
    let mut pools = Vec::new();
    for (index, pool) in network.ipam.config.iter().enumerate() {
        match ipam_pool(pool) {
            Ok(pool) => pools.push(pool),
            Err((attribute, value)) => {
                findings.refuse(
                    format!("networks.{key}.ipam.config[{index}].{attribute}"),
                    format!("`{value}` is not an IP address"),
                    "write an address of the pool's subnet",
                );
                return None;
            }
        }
    }
    let hash = model::network_hash(network);
    Some(NetworkSpec {
        name: network.name.clone(),
        // Others are refused or, as `overlay`, bridges here: see `refuse`.
        driver: NetworkDriver::of_name(&network.driver).unwrap_or_default(),
        driver_opts: network.driver_opts.clone(),
        labels: super::labels::of_resource(project, labels::NETWORK, key, hash, &network.labels),
        internal: network.internal,
        attachable: network.attachable,
        ipv4: network.enable_ipv4.unwrap_or(true),
        ipv6: network.enable_ipv6.unwrap_or(false),
        pools,
    })
}

fn ipam_pool(pool: &model::IpamPool) -> Result<IpamPool, (String, String)> {
    let gateway = match some(&pool.gateway) {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| ("gateway".to_owned(), text.clone()))?,
        ),
    };
    let mut reserved = BTreeMap::new();
    for (name, text) in &pool.aux_addresses {
        let address = text
            .parse()
            .map_err(|_| (format!("aux_addresses.{name}"), text.clone()))?;
        reserved.insert(name.clone(), address);
    }
    Ok(IpamPool {
        subnet: pool.subnet.clone(),
        ip_range: some(&pool.ip_range),
        gateway,
        reserved,
    })
}

pub(super) fn apply(context: &Context<'_>, spec: &mut ContainerSpec, findings: &mut Findings) {
    let service = context.service;
    spec.network = match service.network_mode() {
        model::NetworkMode::Networks => networks(context, findings),
        model::NetworkMode::None => NetworkMode::None,
        model::NetworkMode::Host => NetworkMode::Host,
        model::NetworkMode::Bridge => NetworkMode::Networks(Vec::new()),
        model::NetworkMode::Service(name) => NetworkMode::Container(context.container_of(name)),
        model::NetworkMode::Container(name) => NetworkMode::Container(name.to_owned()),
        model::NetworkMode::Named(name) => NetworkMode::Networks(vec![EndpointSpec {
            network: name.to_owned(),
            ..EndpointSpec::default()
        }]),
    };
    spec.mac_address = some(&service.mac_address);
    for (index, port) in service.ports.iter().enumerate() {
        match published(port) {
            Ok(port) => spec.ports.push(port),
            Err(message) => findings.refuse(
                context.path(&format!("ports[{index}]")),
                message,
                "write `[ADDRESS:][HOST_PORT:]PORT[/tcp|/udp]`; ports are 1 to 65535",
            ),
        }
    }
    spec.expose = service.expose.clone();
    for (index, line) in service.extra_hosts.iter().enumerate() {
        match words::extra_host(line) {
            Ok(host) => spec.extra_hosts.push(host),
            Err(message) => findings.refuse(
                context.path(&format!("extra_hosts[{index}]")),
                message,
                "write `name=address`; `host-gateway` stands for this machine",
            ),
        }
    }
    let mut servers = Vec::new();
    for (index, text) in service.dns.iter().enumerate() {
        match text.parse() {
            Ok(address) => servers.push(address),
            Err(_) => findings.refuse(
                context.path(&format!("dns[{index}]")),
                format!("`{text}` is not an IP address"),
                "a name server is given by its address, such as `9.9.9.9`",
            ),
        }
    }
    spec.dns = DnsSpec {
        servers,
        search: service.dns_search.clone(),
        options: service.dns_opt.clone(),
    };
}

/// A service on a network that is always there is on no other.
fn networks(context: &Context<'_>, findings: &mut Findings) -> NetworkMode {
    let joined = &context.service.networks;
    let found = joined.keys().find_map(|key| {
        let network = context.project.networks.get(key)?;
        Some((key, fixed(network)?))
    });
    match found {
        None => NetworkMode::Networks(endpoints(context, findings)),
        Some((key, network)) => {
            if joined.len() > 1 {
                findings.refuse(
                    context.path(&format!("networks.{key}")),
                    format!(
                        "a service on network `{}` cannot be on others",
                        network.name()
                    ),
                    "leave it or the others out",
                );
            }
            if let Some(attachment) = joined[key].as_ref() {
                refuse_options(context, key, network, attachment, findings);
            }
            match network {
                FixedNetwork::Host => NetworkMode::Host,
                FixedNetwork::None => NetworkMode::None,
            }
        }
    }
}

/// There is no endpoint on a network that is always there, so it can be given nothing.
fn refuse_options(
    context: &Context<'_>,
    key: &str,
    network: FixedNetwork,
    attachment: &model::Attachment,
    findings: &mut Findings,
) {
    let given = [
        ("aliases", !attachment.aliases.is_empty()),
        ("ipv4_address", !attachment.ipv4_address.is_empty()),
        ("ipv6_address", !attachment.ipv6_address.is_empty()),
        ("mac_address", !attachment.mac_address.is_empty()),
        ("interface_name", !attachment.interface_name.is_empty()),
    ];
    for (attribute, _) in given.into_iter().filter(|(_, given)| *given) {
        findings.refuse(
            context.path(&format!("networks.{key}.{attribute}")),
            format!("network `{}` gives no {attribute}", network.name()),
            "leave it out",
        );
    }
}

fn endpoints(context: &Context<'_>, findings: &mut Findings) -> Vec<EndpointSpec> {
    let linked = link_aliases(context.project);
    let mut endpoints = Vec::new();
    for (key, attachment) in context.service.networks_by_priority() {
        let network = context
            .project
            .networks
            .get(key)
            .map_or_else(|| key.to_owned(), |network| network.name.clone());
        let mut endpoint = EndpointSpec {
            network,
            aliases: vec![context.name.to_owned()],
            ..EndpointSpec::default()
        };
        endpoint
            .aliases
            .extend(linked.get(context.name).into_iter().flatten().cloned());
        if let Some(attachment) = attachment {
            let mut address = |text: &str, attribute: &str| {
                findings.refuse(
                    context.path(&format!("networks.{key}.{attribute}")),
                    format!("`{text}` is no such address"),
                    "write an address of the network's subnet",
                );
            };
            for alias in &attachment.aliases {
                if !endpoint.aliases.contains(alias) {
                    endpoint.aliases.push(alias.clone());
                }
            }
            if let Some(text) = some(&attachment.ipv4_address) {
                match text.parse() {
                    Ok(parsed) => endpoint.ipv4 = Some(parsed),
                    Err(_) => address(&text, "ipv4_address"),
                }
            }
            if let Some(text) = some(&attachment.ipv6_address) {
                match text.parse() {
                    Ok(parsed) => endpoint.ipv6 = Some(parsed),
                    Err(_) => address(&text, "ipv6_address"),
                }
            }
            for (index, text) in attachment.link_local_ips.iter().enumerate() {
                let added = text
                    .parse()
                    .map(|parsed| add_link_local(&mut endpoint, parsed));
                if !matches!(added, Ok(Ok(()))) {
                    findings.refuse(
                        context.path(&format!("networks.{key}.link_local_ips[{index}]")),
                        format!("`{text}` is not a link-local address"),
                        "write one of 169.254.0.0/16 or fe80::/10",
                    );
                }
            }
            endpoint.mac_address = some(&attachment.mac_address);
            for (option, value) in &attachment.driver_opts {
                if let Err(error) = set_endpoint_option(&mut endpoint, option, value) {
                    findings.refuse(
                        context.path(&format!("networks.{key}.driver_opts.{option}")),
                        error.to_string(),
                        "the options of an endpoint are `com.docker.network.endpoint.ifname` and `.sysctls`",
                    );
                }
            }
            if let Some(name) = some(&attachment.interface_name) {
                endpoint.interface_name = Some(name);
            }
            endpoint.gw_priority = attachment.gw_priority;
        }
        endpoints.push(endpoint);
    }
    endpoints
}

/// A published port of the long form. An error says what is wrong with it.
pub fn published(port: &Port) -> Result<PortSpec, String> {
    let container_port = u16::try_from(port.target)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("`{}` is not a port", port.target))?;
    let host_ports = port.host_ports();
    if host_ports.is_none() && !matches!(port.published.as_str(), "" | "0") {
        return Err(format!(
            "`{}` is neither a port nor a range",
            port.published
        ));
    }
    let host_ip = match some(&port.host_ip) {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| format!("`{text}` is not an IP address"))?,
        ),
    };
    let protocol = match port.protocol.as_str() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        other => return Err(format!("`{other}` is not a transport protocol")),
    };
    Ok(PortSpec {
        container_port,
        host_ports,
        host_ip,
        protocol,
    })
}
