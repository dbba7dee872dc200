//! `NetworkSettings`: what a container has of the network, or will have when it runs.

use gantry_engine::container::Container;
use gantry_engine::network::{Endpoint, FixedNetwork};
use gantry_engine::spec::EndpointSpec;
use serde_json::{Map, Value, json};

use crate::cli::nouns::network::endpoint_id;

/// The object.
pub fn settings(container: &Container) -> Value {
    let first = container.endpoints.first();
    let address = first.map_or_else(|| blank(""), |first| endpoint_addresses(container, first));
    let key = container
        .state
        .pid
        .map(|pid| format!("/proc/{pid}/ns/net"))
        .unwrap_or_default();
    let mut value = json!({
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": key,
        "Ports": ports(container),
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
    });
    if let (Value::Object(fields), Value::Object(more)) = (&mut value, address) {
        fields.extend(more);
    }
    value["Networks"] = json!(networks(container));
    value
}

/// What is published, while it runs, and what is documented.
fn ports(container: &Container) -> Map<String, Value> {
    let mut map = Map::new();
    if !container.state.status.is_up() {
        return map;
    }
    for port in &container.exposed {
        map.insert(port.clone(), Value::Null);
    }
    for port in &container.ports {
        let binding =
            json!({ "HostIp": port.host_ip.to_string(), "HostPort": port.host_port.to_string() });
        let entry = map
            .entry(format!("{}/{}", port.container_port, port.protocol))
            .or_insert(Value::Null);
        match entry {
            Value::Array(list) => list.push(binding),
            other => *other = json!([binding]),
        }
    }
    map
}

fn networks(container: &Container) -> Map<String, Value> {
    let planned = container.spec.network.endpoints();
    let mut networks = Map::new();
    for endpoint in &container.endpoints {
        let spec = planned.iter().find(|spec| {
            spec.network == endpoint.network || endpoint.network_id.starts_with(&spec.network)
        });
        let addresses = endpoint_addresses(container, endpoint);
        let value = entry(container, spec, &endpoint.network_id, addresses);
        networks.insert(endpoint.network.clone(), value);
    }
    if container.endpoints.is_empty() {
        for spec in &planned {
            networks.insert(
                spec.network.clone(),
                entry(container, Some(spec), &fixed_id(&spec.network), blank("")),
            );
        }
    }
    networks
}

/// The id of a network that is always there; of another it is known once the container has been started.
fn fixed_id(name: &str) -> String {
    FixedNetwork::find(name).map_or_else(String::new, FixedNetwork::id)
}

fn entry(
    container: &Container,
    spec: Option<&EndpointSpec>,
    network_id: &str,
    addresses: Value,
) -> Value {
    let fixed = spec
        .filter(|spec| spec.ipv4.is_some() || spec.ipv6.is_some() || !spec.link_local.is_empty());
    let fixed = fixed.map(|spec| {
        let mut fixed = json!({
            "IPv4Address": spec.ipv4.map(|ip| ip.to_string()).unwrap_or_default(),
            "IPv6Address": spec.ipv6.map(|ip| ip.to_string()).unwrap_or_default(),
        });
        if !spec.link_local.is_empty() {
            fixed["LinkLocalIPs"] = json!(spec.link_local);
        }
        fixed
    });
    let aliases = spec.map(|spec| spec.aliases.clone()).unwrap_or_default();
    let links: Vec<String> = spec
        .map(|spec| spec.links.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|link| format!("{}:{}", link.target, link.alias))
        .collect();
    let mut names = vec![container.name.clone()];
    names.extend(aliases.iter().cloned());
    names.push(container.id.short().to_owned());
    let mut value = json!({
        "IPAMConfig": fixed,
        "Links": (!links.is_empty()).then_some(links),
        "Aliases": (!aliases.is_empty()).then_some(aliases),
        "DriverOpts": spec.and_then(driver_opts),
        "GwPriority": spec.map_or(0, |spec| spec.gw_priority),
        "NetworkID": network_id,
        "DNSNames": names,
    });
    if let (Value::Object(fields), Value::Object(more)) = (&mut value, addresses) {
        fields.extend(more);
    }
    value
}

/// The driver options that an endpoint's settings come from, or could.
fn driver_opts(spec: &EndpointSpec) -> Option<Value> {
    let sysctls = spec.sysctls.iter();
    let sysctls: Vec<_> = sysctls
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let sysctls = (!sysctls.is_empty()).then(|| sysctls.join(","));
    let options = [
        (
            "com.docker.network.endpoint.ifname",
            spec.interface_name.clone(),
        ),
        ("com.docker.network.endpoint.sysctls", sysctls),
    ];
    let given: Map<_, _> = options
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))))
        .collect();
    (!given.is_empty()).then_some(Value::Object(given))
}

fn endpoint_addresses(container: &Container, endpoint: &Endpoint) -> Value {
    let mut value = blank(&endpoint.mac);
    value["EndpointID"] = json!(endpoint_id(&endpoint.network_id, container.id.as_str()));
    if let Some((address, prefix)) = endpoint.ipv4 {
        value["IPAddress"] = json!(address.to_string());
        value["IPPrefixLen"] = json!(prefix);
    }
    if let Some((address, prefix)) = endpoint.ipv6 {
        value["GlobalIPv6Address"] = json!(address.to_string());
        value["GlobalIPv6PrefixLen"] = json!(prefix);
    }
    if let Some(gateway) = endpoint.gateway4 {
        value["Gateway"] = json!(gateway.to_string());
    }
    if let Some(gateway) = endpoint.gateway6 {
        value["IPv6Gateway"] = json!(gateway.to_string());
    }
    value
}

/// The addresses of what has none.
fn blank(mac: &str) -> Value {
    json!({
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": mac,
    })
}
