//! A container's network, as the supervisor uses it: connecting, the two loops, giving back.

use std::fs;
use std::io;
use std::net::IpAddr;

use tokio::task::{JoinHandle, spawn_local};

use crate::container::record::{Files, Live, Record};
use crate::container::{ContainerError, ContainerStore};
use crate::network::publish::{self, Forwarder, Listener};
use crate::network::{self, Endpoint, NetNs, NetworkStore, Request, dns, resolv};
use crate::spec::{NetworkMode, PortSpec, Protocol};
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
    /// Its name server.
    pub responder: Option<dns::Responder>,
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
            network.listeners = publish::bind(&ports(record))
                .map_err(|error| error.naming(|command| supervised(store, record, command)))?;
            let sandbox = network::connect(
                &NetworkStore::open(store.paths()),
                &Request {
                    owner: record.id.as_str(),
                    name: record.name.as_str(),
                    hostname: &record.resolved.hostname,
                    mac_address: record.spec.mac_address.as_deref(),
                    endpoints,
                    alive: &|owner| is_alive(store, owner),
                },
            )?;
            network.netns = Some(sandbox.netns);
            network.endpoints = sandbox.endpoints;
            network.responder = bind_responder(store, record, &network)?;
        }
    }
    Ok(network)
}

/// What a process with this command line supervises, below the same root.
fn supervised(store: &ContainerStore, record: &Record, command: &str) -> Option<String> {
    let (_, arguments) = command.split_once(crate::role::SUPERVISOR)?;
    let id = arguments
        .split_whitespace()
        .find_map(|word| word.parse::<ContainerId>().ok())?;
    if id == record.id {
        return Some("another of its own ports".to_owned());
    }
    let other = store.read(&id).ok()?;
    Some(format!("container `{}`", other.name))
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
pub fn reconnect(
    store: &ContainerStore,
    record: &Record,
    live: &Live,
) -> Result<Network, ContainerError> {
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
    match bind_responder(store, record, &network) {
        Ok(responder) => network.responder = responder,
        Err(error) => eprintln!("name server: {error}"),
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
        NetworkMode::Host => {
            let mut hosts = read("/etc/hosts".as_ref());
            hosts.push_str(&resolv::extra_hosts(&record.spec.extra_hosts, None));
            let resolv_conf = resolv::resolv_conf(&record.spec.dns, &host_resolv, false);
            (hosts, resolv_conf)
        }
        NetworkMode::None | NetworkMode::Networks(_) => {
            let hosts = resolv::hosts(&resolv::HostsFile {
                hostname: &record.resolved.hostname,
                domainname: record.spec.domainname.as_deref(),
                endpoints,
                extra_hosts: &record.spec.extra_hosts,
                host_gateway: endpoints
                    .iter()
                    .find_map(|endpoint| endpoint.gateway4)
                    .map(IpAddr::V4),
            });
            let embedded = !endpoints.is_empty();
            (
                hosts,
                resolv::resolv_conf(&record.spec.dns, &host_resolv, embedded),
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

/// What the name server is to know.
pub fn dns_config(store: &ContainerStore, record: &Record, endpoints: &[Endpoint]) -> dns::Config {
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    dns::Config::new(
        &NetworkStore::open(store.paths()),
        endpoints,
        resolv::upstreams(&record.spec.dns, &host),
    )
}

/// The name server's sockets in the container's namespace, before its program can ask.
pub fn bind_responder(
    store: &ContainerStore,
    record: &Record,
    network: &Network,
) -> Result<Option<dns::Responder>, ContainerError> {
    match &network.netns {
        Some(netns) if !network.endpoints.is_empty() => {
            let config = dns_config(store, record, &network.endpoints);
            Ok(Some(dns::Responder::bind(netns, config)?))
        }
        _ => Ok(None),
    }
}

/// The name server and the published ports, as tasks.
pub fn spawn_tasks(network: &mut Network) -> io::Result<Vec<JoinHandle<()>>> {
    let mut tasks = Vec::new();
    if let Some(responder) = network.responder.take() {
        tasks.push(spawn_local(responder.run()));
    }
    let listeners = std::mem::take(&mut network.listeners);
    if let (false, Some(netns)) = (listeners.is_empty(), &network.netns) {
        let forwarder = Forwarder::new(listeners, netns, &network.endpoints)?;
        tasks.push(spawn_local(forwarder.run()));
    }
    Ok(tasks)
}

/// Addresses and names go back; those of a predecessor killed before it wrote them down as well.
pub fn release(store: &ContainerStore, record: &Record, live: &Live) -> Result<(), ContainerError> {
    if matches!(record.spec.network, NetworkMode::Networks(_)) {
        network::release(
            &NetworkStore::open(store.paths()),
            record.id.as_str(),
            &live.endpoints,
        )?;
    }
    Ok(())
}
