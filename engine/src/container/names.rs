//! Names for containers that were given none: an adjective and a noun.

use crate::state::{ContainerId, Name, StateError};

use super::ContainerError;
use super::store::ContainerStore;

const LEFT: [&str; 32] = [
    "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "cosy",
    "crisp", "eager", "early", "fair", "fleet", "frank", "gentle", "glad", "keen", "kind",
    "lively", "lucid", "mellow", "merry", "noble", "plain", "proud", "quick", "quiet", "sunny",
    "swift", "warm",
];

const RIGHT: [&str; 32] = [
    "anchor", "barge", "beacon", "boom", "bosun", "bridge", "buoy", "cable", "cargo", "crane",
    "deck", "derrick", "dock", "ferry", "harbour", "hoist", "hull", "jetty", "keel", "lock",
    "mast", "pier", "pilot", "pulley", "quay", "rudder", "sail", "sling", "tide", "tug", "wharf",
    "winch",
];

/// Reserves a free one: first plain, then with a number behind it.
pub fn reserve_random(
    store: &ContainerStore,
    id: &ContainerId,
    alive: &dyn Fn(&ContainerId) -> bool,
) -> Result<Name, ContainerError> {
    // The id is random already; a name made from it needs no second source.
    let digits = |range: std::ops::Range<usize>| {
        usize::from_str_radix(&id.as_str()[range], 16).unwrap_or_default()
    };
    let base = format!(
        "{}_{}",
        LEFT[digits(16..20) % LEFT.len()],
        RIGHT[digits(20..24) % RIGHT.len()]
    );
    let names = store.paths().names();
    let mut candidate: Name = base.parse()?;
    loop {
        match names.reserve(&candidate, id, alive) {
            Ok(()) => return Ok(candidate),
            Err(StateError::NameTaken { .. }) => {
                let fresh = ContainerId::random().map_err(crate::state::failed(
                    "choose a name in",
                    &store.paths().at("names"),
                ))?;
                candidate = format!("{base}_{}", &fresh.as_str()[..4]).parse()?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
