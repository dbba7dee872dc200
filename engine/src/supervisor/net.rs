//! A container's network, as the supervisor uses it: connecting, the two loops, giving back.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use tokio::task::{JoinHandle, spawn_local};

use crate::container::record::{Files, Live, Record};
use crate::container::{ContainerError, ContainerStore};
use crate::network::publish::{self, Forwarder, Listener, Published};
use crate::network::{self, Endpoint, NetNs, NetworkStore, Request, dns, resolv};
use crate::spec::{EndpointSpec, Link, NetworkMode, PortSpec, Protocol};
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

/// Gives a container its network, which belongs to its user namespace if it has one of its own.
pub fn connect(
    store: &ContainerStore,
    record: &Record,
    userns: Option<BorrowedFd<'_>>,
) -> Result<Network, ContainerError> {
    let mut network = Network::default();
    match &record.spec.network {
        NetworkMode::Host => {}
        NetworkMode::None => network.netns = Some(network::loopback(userns)?.netns),
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
                    userns,
                    ..request(record, endpoints, &|owner| is_alive(store, owner))
                },
            )?;
            network.netns = Some(sandbox.netns);
            network.endpoints = sandbox.endpoints;
            network.responder = bind_responder(store, record, &network)?;
            let published: Vec<_> = network.listeners.iter().map(Listener::published).collect();
            translate(store, &published, &network.endpoints)?;
        }
    }
    Ok(network)
}

/// Has the packet filter lead to published ports, on networks that ask for it.
fn translate(
    store: &ContainerStore,
    published: &[Published],
    endpoints: &[Endpoint],
) -> Result<(), ContainerError> {
    let networks = NetworkStore::open(store.paths());
    if let Some(obstacle) = publish::translate(&networks, published, endpoints)? {
        eprintln!("published ports: {obstacle}");
    }
    Ok(())
}

/// A container's wish for places on networks.
pub fn request<'a>(
    record: &'a Record,
    endpoints: &'a [EndpointSpec],
    alive: &'a (dyn Fn(&str) -> bool + Sync),
) -> Request<'a> {
    Request {
        owner: record.id.as_str(),
        process: None,
        name: record.name.as_str(),
        hostname: &record.resolved.hostname,
        mac_address: record.spec.mac_address.as_deref(),
        endpoints,
        alive,
        userns: None,
    }
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
    let (NetworkMode::Networks(_) | NetworkMode::None, Some(init)) =
        (&record.spec.network, live.init)
    else {
        return Ok(network);
    };
    let netns = NetNs::of_process(init.pid as u32)
        .map_err(host("enter the network of", record.name.as_str()))?;
    network.netns = Some(netns);
    network.endpoints.clone_from(&live.endpoints);
    // A port that somebody took meanwhile is lost, and no reason to give the container up.
    let (listeners, lost) = publish::rebind(&live.ports);
    network.listeners = listeners;
    for error in lost {
        eprintln!("published ports: {error}");
    }
    match bind_responder(store, record, &network) {
        Ok(responder) => network.responder = responder,
        Err(error) => eprintln!("name server: {error}"),
    }
    Ok(network)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// `/etc/hosts` of a container with a network of its own.
pub fn hosts(record: &Record, endpoints: &[Endpoint]) -> String {
    resolv::hosts(&resolv::HostsFile {
        hostname: &record.resolved.hostname,
        domainname: record.spec.domainname.as_deref(),
        endpoints,
        extra_hosts: &record.spec.extra_hosts,
        host_gateway: endpoints.iter().find_map(Endpoint::machine),
    })
}

/// Its `/etc/resolv.conf`: names our name server where it is on networks.
pub fn resolv_conf(record: &Record, endpoints: &[Endpoint]) -> String {
    let host = read("/etc/resolv.conf".as_ref());
    resolv::resolv_conf(&record.spec.dns, &host, !endpoints.is_empty())
}

/// Writes `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.
pub fn write_files(
    store: &ContainerStore,
    record: &Record,
    files: &Files,
    endpoints: &[Endpoint],
) -> Result<(), ContainerError> {
    let (hosts, resolv_conf) = match &record.spec.network {
        NetworkMode::Container(other) => {
            let other = store.files(&other.parse::<ContainerId>()?);
            (read(&other.hosts()), read(&other.resolv_conf()))
        }
        NetworkMode::Host => {
            let mut hosts = read("/etc/hosts".as_ref());
            hosts.push_str(&resolv::extra_hosts(&record.spec.extra_hosts, None));
            (hosts, resolv_conf(record, endpoints))
        }
        NetworkMode::None | NetworkMode::Networks(_) => {
            (hosts(record, endpoints), resolv_conf(record, endpoints))
        }
    };
    for (path, text) in [
        (files.hosts(), hosts),
        (files.resolv_conf(), resolv_conf),
        (files.hostname(), format!("{}\n", record.resolved.hostname)),
    ] {
        use std::os::unix::fs::PermissionsExt;
        write_file(&path, text.as_bytes(), Durability::Boot)?;
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
        &links(record),
        resolv::upstreams(&record.spec.dns, &host),
    )
}

fn links(record: &Record) -> Vec<Link> {
    match &record.spec.network {
        NetworkMode::Networks(list) => list.iter().flat_map(|spec| spec.links.clone()).collect(),
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => Vec::new(),
    }
}

/// Whether its program may be a name server itself, which wants port 53 of every address.
fn serves_names(record: &Record) -> bool {
    let mut exposed = record.resolved.exposed.iter();
    exposed.any(|port| port.starts_with("53/"))
        || record
            .spec
            .ports
            .iter()
            .any(|port| port.container_port == 53)
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
            let yields = serves_names(record);
            Ok(Some(dns::Responder::bind(netns, config, yields)?))
        }
        _ => Ok(None),
    }
}

/// The network of a container that runs: the tasks that serve it, and what can be changed of them.
#[derive(Default)]
pub struct Wiring {
    /// Its namespace; `None` is one that it shares.
    pub netns: Option<NetNs>,
    dns: Option<dns::Handle>,
    forwarder: Option<publish::Handle>,
    published: Vec<Published>,
    tasks: Vec<JoinHandle<()>>,
}

impl Wiring {
    /// Begins to serve names and published ports.
    pub fn start(network: &mut Network) -> io::Result<Self> {
        let mut wiring = Self::default();
        if let Some(netns) = &network.netns {
            wiring.netns = Some(netns.try_clone()?);
        }
        if let Some(responder) = network.responder.take() {
            wiring.answer(responder);
        }
        let listeners = std::mem::take(&mut network.listeners);
        wiring.published = listeners.iter().map(Listener::published).collect();
        if let (false, Some(netns)) = (listeners.is_empty(), &network.netns) {
            let forwarder = Forwarder::new(listeners, netns, &network.endpoints)?;
            wiring.forwarder = Some(forwarder.handle());
            wiring.tasks.push(spawn_local(forwarder.run()));
        }
        Ok(wiring)
    }

    fn answer(&mut self, responder: dns::Responder) {
        self.dns = Some(responder.handle());
        self.tasks.push(spawn_local(responder.run()));
    }

    /// Serves these endpoints from now on.
    pub fn update(
        &mut self,
        store: &ContainerStore,
        record: &Record,
        endpoints: &[Endpoint],
    ) -> Result<(), ContainerError> {
        let config = dns_config(store, record, endpoints);
        match (&self.dns, &self.netns) {
            (Some(dns), _) => dns.update(config),
            (None, Some(netns)) if !endpoints.is_empty() => {
                let responder = dns::Responder::bind(netns, config, serves_names(record))?;
                self.answer(responder);
            }
            (None, _) => {}
        }
        if let Some(forwarder) = &self.forwarder {
            forwarder.update(endpoints);
        }
        translate(store, &self.published, endpoints)?;
        Ok(())
    }

    /// Ends the tasks.
    pub async fn end(&mut self) {
        self.netns = None;
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }
}

/// Addresses and names go back; those of a predecessor killed before it wrote them down as well.
pub fn release(
    store: &ContainerStore,
    record: &Record,
    endpoints: &[Endpoint],
) -> Result<(), ContainerError> {
    // One that has left its last network has given everything back.
    let on_networks = matches!(record.spec.network, NetworkMode::Networks(_));
    if on_networks || !endpoints.is_empty() {
        network::release(
            &NetworkStore::open(store.paths()),
            record.id.as_str(),
            endpoints,
        )?;
    }
    Ok(())
}
