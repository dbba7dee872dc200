//! The namespace that has the bridges and the packet filter: the machine's, or for an ordinary
//! user that of their holder. Commands and supervisors live in the machine's in any case, where
//! published ports are; they visit the other one for everything that concerns networks.

use std::sync::OnceLock;

use super::NetworkError;
use super::netns::NetNs;

static HOME: OnceLock<NetNs> = OnceLock::new();

/// Says once, at the beginning of a process, that the bridges are in another namespace than ours.
pub fn set_home(namespace: NetNs) {
    let _ = HOME.set(namespace);
}

/// Runs `f` with the calling thread where the bridges are.
pub(super) fn at_home<T: Send>(
    f: impl FnOnce() -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    match HOME.get() {
        None => f(),
        Some(home) => home
            .visit(f)
            .map_err(NetworkError::kernel("enter the namespace of the networks"))?,
    }
}
