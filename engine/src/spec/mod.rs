//! What a caller asks the engine for: plain data, no behaviour, no I/O.
//!
//! Compose, the `container run` command and the Docker API each convert to these
//! types; `container` turns them into one OCI runtime specification. Wire quirks
//! ("empty means default", "0 means unlimited") end before they reach this module.
//! Start with [`ContainerSpec`].

mod container;
mod health;
mod mounts;
mod network;
mod ports;
mod resources;
mod security;

pub use container::{
    ContainerSpec, FileSpec, LogDriver, LogSpec, NamespaceMode, RestartPolicy, UserNamespace,
};
pub use health::Healthcheck;
pub use mounts::{BindOptions, MountKind, MountSpec, Propagation, TmpfsOptions};
pub use network::{
    DnsSpec, EndpointSpec, ExtraHost, IpamPool, Link, NetworkDriver, NetworkMode, NetworkSpec,
};
pub use ports::{PortSpec, Protocol};
pub use resources::{BlockIoDevice, BlockIoLimits, DeviceSpec, Resources, Ulimit};
pub use security::{SeccompSpec, SecuritySpec};
