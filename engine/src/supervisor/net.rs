//! A container's network, as the supervisor uses it: connecting, the two loops, giving back.

use std::fs;
use std::io;
use std::net::IpAddr;

use tokio::task::{JoinHandle, spawn_local};

use crate::container::record::{Files, Live, Record};
use crate::container::{ContainerError, ContainerStore};
use crate::network::publish::{self, Listener};
use crate::network::{self, Endpoint, NetNs, NetworkStore, Request, resolv};
use crate::spec::{EndpointSpec, NetworkMode, PortSpec, Protocol};
use crate::state::{ContainerId, Durability, write_file};

use super::setup::{host, init_of, is_alive};

/// What a container has of the network.
#[derive(Default)]
pub struct Network {
    /// Its namespace; `None` is the host's.
    pub netns: Option<NetNs>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The published ports' sockets.
    pub listeners: Vec<Listener>,
}

/// Gives a container its network.
pub fn connect(store: &ContainerStore, record: &Record) -> Result<Network, ContainerError> {
    let mut network = Network::default();
    match &record.spec.network {
        NetworkMode::Host => {}
        NetworkMode::None => network.netns = Some(network::loopback()?.netns),
        NetworkMode::Container(other) => {
            let pid = init_of(store, &other.parse()?)?;
            let netns = NetNs::of_process(pid as u32)
                .map_err(host("enter the network of", other.as_str()))?;
            network.netns = Some(netns);
        }
        NetworkMode::Networks(endpoints) => {
            // The ports first: a conflict is the most likely failure and the cheapest to find.
            network.listeners = publish::bind(&ports(record))?;
            let endpoints = endpoint_specs(record, endpoints);
            let sandbox = network::connect(
                &NetworkStore::open(store.paths()),
                &Request {
                    owner: record.id.as_str(),
                    name: record.name.as_str(),
                    endpoints: &endpoints,
                    alive: &|owner| is_alive(store, owner),
                },
            )?;
            network.netns = Some(sandbox.netns);
            network.endpoints = sandbox.endpoints;
        }
    }
    Ok(network)
}

/// The endpoints asked for, with the names under which Docker lets a container be found: its short
/// id, and its host name where it was given one.
fn endpoint_specs(record: &Record, asked: &[EndpointSpec]) -> Vec<EndpointSpec> {
    let mut endpoints = asked.to_vec();
    if endpoints.is_empty() {
        endpoints.push(EndpointSpec {
            network: "bridge".to_owned(),
            ..EndpointSpec::default()
        });
    }
    for endpoint in &mut endpoints {
        let names = [Some(record.id.short()), record.spec.hostname.as_deref()];
        for name in names.into_iter().flatten() {
            if !endpoint.aliases.iter().any(|alias| alias == name) {
                endpoint.aliases.push(name.to_owned());
            }
        }
        if endpoint.mac_address.is_none() {
            endpoint.mac_address.clone_from(&record.spec.mac_address);
        }
    }
    endpoints
}

/// The ports to publish: those asked for, and with `publish_all` every other documented one.
fn ports(record: &Record) -> Vec<PortSpec> {
    let mut ports = record.spec.ports.clone();
    let documented = record
        .resolved
        .exposed
        .iter()
        .filter(|_| record.spec.publish_all);
    for exposed in documented {
        let Some((port, protocol)) = exposed.split_once('/') else {
            continue;
        };
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => continue,
        };
        let Ok(container_port) = port.parse() else {
            continue;
        };
        let known = |p: &PortSpec| p.container_port == container_port && p.protocol == protocol;
        if !ports.iter().any(known) {
            ports.push(PortSpec {
                container_port,
                host_ports: None,
                host_ip: None,
                protocol,
            });
        }
    }
    ports
}

/// Picks up the network of a container that runs already.
pub fn reconnect(record: &Record, live: &Live) -> Result<Network, ContainerError> {
    let mut network = Network::default();
    let (NetworkMode::Networks(_), Some(init)) = (&record.spec.network, live.init) else {
        return Ok(network);
    };
    let netns = NetNs::of_process(init.pid as u32)
        .map_err(host("enter the network of", record.name.as_str()))?;
    network.netns = Some(netns);
    network.endpoints.clone_from(&live.endpoints);
    // A port that somebody took meanwhile is lost, and no reason to give the container up.
    match publish::rebind(&live.ports) {
        Ok(listeners) => network.listeners = listeners,
        Err(error) => eprintln!("published ports: {error}"),
    }
    Ok(network)
}

/// Writes `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.
pub fn write_files(
    store: &ContainerStore,
    record: &Record,
    files: &Files,
    endpoints: &[Endpoint],
) -> Result<(), ContainerError> {
    let read = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default();
    let host_resolv = read("/etc/resolv.conf".as_ref());
    let (hosts, resolv_conf) = match &record.spec.network {
        NetworkMode::Container(other) => {
            let other = store.files(&other.parse::<ContainerId>()?);
            (read(&other.hosts()), read(&other.resolv_conf()))
        }
        mode => {
            let hosts = resolv::Hosts {
                hostname: &record.resolved.hostname,
                domainname: record.spec.domainname.as_deref(),
                endpoints,
                extra: &record.spec.extra_hosts,
                host_gateway: (*mode == NetworkMode::Host)
                    .then_some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
            };
            let resolver = if endpoints.is_empty() {
                resolv::Resolver::Direct
            } else {
                resolv::Resolver::Embedded
            };
            let hosts = if *mode == NetworkMode::Host && record.spec.extra_hosts.is_empty() {
                read("/etc/hosts".as_ref())
            } else {
                hosts.render()
            };
            (
                hosts,
                resolv::resolv_conf(&record.spec.dns, &host_resolv, resolver),
            )
        }
    };
    for (path, text) in [
        (files.hosts(), hosts),
        (files.resolv_conf(), resolv_conf),
        (files.hostname(), format!("{}\n", record.resolved.hostname)),
    ] {
        use std::os::unix::fs::PermissionsExt;
        write_file(&path, text.as_bytes(), Durability::Process)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
            .map_err(host("open", path.display().to_string()))?;
    }
    Ok(())
}

/// The name server and the published ports, as tasks.
pub fn spawn_tasks(
    store: &ContainerStore,
    record: &Record,
    network: &mut Network,
) -> io::Result<Vec<JoinHandle<()>>> {
    let _ = (
        store,
        record,
        network,
        spawn_local::<std::future::Ready<()>>,
    );
    Ok(Vec::new())
}

/// Addresses and names go back; those of a predecessor killed before it wrote them down as well.
pub fn release(store: &ContainerStore, record: &Record, live: &Live) -> Result<(), ContainerError> {
    let NetworkMode::Networks(asked) = &record.spec.network else {
        return Ok(());
    };
    let networks = NetworkStore::open(store.paths());
    let mut endpoints = live.endpoints.clone();
    if endpoints.is_empty() {
        for endpoint in endpoint_specs(record, asked) {
            // A network that is gone has no lease of ours.
            if let Ok(network) = networks.get(&endpoint.network) {
                endpoints.push(lease_on(network.id, network.name));
            }
        }
    }
    network::disconnect(&networks, record.id.as_str(), &endpoints)?;
    Ok(())
}

fn lease_on(network_id: String, network: String) -> Endpoint {
    Endpoint {
        network_id,
        network,
        interface: String::new(),
        host_interface: String::new(),
        ipv4: None,
        ipv6: None,
        gateway4: None,
        gateway6: None,
        mac: String::new(),
        aliases: Vec::new(),
        internal: false,
    }
}
