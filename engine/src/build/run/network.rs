//! The network of a `RUN` step: a namespace on a network of the engine, and the two files that go with it.

use std::os::fd::{AsFd, BorrowedFd};

use super::document::{Network, RunSpec};
use crate::network::resolv::{self, HostsFile};
use crate::network::{self, NetworkError, NetworkStore, Request, Sandbox};
use crate::spec::{DnsSpec, EndpointSpec};
use crate::state::Paths;
use crate::sys::ProcessRef;

/// A step's network; given back by [`Connected::release`].
pub(super) struct Connected {
    store: NetworkStore,
    owner: String,
    sandbox: Option<Sandbox>,
}

impl Connected {
    /// Connects. The caller is single-threaded.
    pub(super) fn new(spec: &RunSpec) -> Result<Self, NetworkError> {
        let store = NetworkStore::open(&Paths::new(spec.root.clone(), spec.run_dir.clone()));
        let sandbox = match &spec.network {
            Network::Host => None,
            Network::None => Some(network::loopback(None)?),
            Network::Named(name) => {
                let endpoint = EndpointSpec {
                    network: name.clone(),
                    ..Default::default()
                };
                let request = Request {
                    userns: None,
                    owner: &spec.id,
                    process: ProcessRef::of(std::process::id() as i32),
                    name: &format!("build-{}", &spec.id[..12]),
                    hostname: &spec.hostname,
                    mac_address: None,
                    endpoints: &[endpoint],
                    alive: &|_| true,
                };
                Some(network::connect(&store, &request)?)
            }
        };
        Ok(Self {
            store,
            owner: spec.id.clone(),
            sandbox,
        })
    }

    /// The namespace; `None` is the machine's.
    pub(super) fn netns(&self) -> Option<BorrowedFd<'_>> {
        self.sandbox.as_ref().map(|sandbox| sandbox.netns.as_fd())
    }

    /// `/etc/resolv.conf` and `/etc/hosts`.
    pub(super) fn files(&self, spec: &RunSpec) -> [(&'static str, String); 2] {
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let endpoints = self
            .sandbox
            .as_ref()
            .map_or(&[][..], |sandbox| &sandbox.endpoints);
        let hosts = HostsFile {
            hostname: &spec.hostname,
            domainname: None,
            endpoints,
            extra_hosts: &spec.extra_hosts,
            host_gateway: endpoints.iter().find_map(network::Endpoint::machine),
        };
        // No supervisor answers for a step: it asks the machine's own servers.
        let resolv = resolv::resolv_conf(&DnsSpec::default(), &host, false);
        [("resolv.conf", resolv), ("hosts", resolv::hosts(&hosts))]
    }

    /// Gives leases and names back.
    pub(super) fn release(self) -> Result<(), NetworkError> {
        match &self.sandbox {
            Some(sandbox) if !sandbox.endpoints.is_empty() => {
                network::disconnect(&self.store, &self.owner, &sandbox.endpoints)
            }
            _ => Ok(()),
        }
    }
}
