//! What is wrong with a specification, as far as its own text tells: no machine is looked at. [`beyond`] is told
//! what the machine has.
//!
//! All problems come at once, each with the option it is about, so that a caller can point at
//! the place its user wrote. [`super::create`] refuses the first one.

use std::path::Path;
use std::time::Duration;

use crate::spec::{ContainerSpec, Healthcheck, LogDriver, NamespaceMode, NetworkMode, Resources};
use crate::supervisor::LogOptions;

use super::machine::Machine;
use super::{ContainerError, ids, oci, signal};

/// Longest host name the kernel takes.
const LONGEST_HOSTNAME: usize = 64;

/// An option of a [`ContainerSpec`], by its field's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A single value.
    Option(&'static str),
    /// An entry of a list.
    Item(&'static str, usize),
    /// An entry of a map.
    Key(&'static str, String),
    /// The mount at this target.
    Mount(String),
    /// An option of the endpoint on this network.
    Endpoint(String, &'static str),
    /// An option that the container has decided whose network this one shares.
    Shared(&'static str),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

/// Everything that is wrong with a specification by itself.
#[must_use]
pub fn check(spec: &ContainerSpec) -> Vec<Problem> {
    check_among(spec, &|one, other| one == other)
}

/// [`check`], where it is known which texts name the same container.
pub(super) fn check_among(spec: &ContainerSpec, same: &dyn Fn(&str, &str) -> bool) -> Vec<Problem> {
    let mut found = Found::default();
    texts(spec, &mut found);
    process(spec, &mut found);
    probe(spec, &mut found);
    mounts(spec, &mut found);
    network(spec, &mut found);
    security(spec, same, &mut found);
    resources(&spec.resources, &mut found);
    ulimits(spec, &mut found);
    found.0
}

/// What a specification asks for that a machine does not have.
#[must_use]
pub fn beyond(machine: &Machine, asked: &Resources) -> Option<Problem> {
    let cpus = machine.cpus;
    // Below a hundredth the kernel takes no quota.
    if let Some(share) = asked.cpus
        && !(0.01..=cpus as f64).contains(&share)
    {
        return Some(Problem {
            place: Place::Option("cpus"),
            message: format!(
                "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available, and not {share}"
            ),
        });
    }
    let lists = [
        ("cpuset_cpus", "CPUs", &asked.cpuset_cpus, &machine.cpu_list),
        (
            "cpuset_mems",
            "memory nodes",
            &asked.cpuset_mems,
            &machine.node_list,
        ),
    ];
    lists
        .into_iter()
        .find_map(|(option, what, wanted, available)| {
            let wanted = wanted.as_deref()?;
            (!is_part(wanted, available)).then(|| Problem {
                place: Place::Option(option),
                message: format!(
                    "requested {what} are not available: requested {wanted}, available {available}"
                ),
            })
        })
}

/// Whether a list of numbers has none that another one has not.
fn is_part(wanted: &str, available: &str) -> bool {
    let (Some(wanted), Some(available)) = (number_list(wanted), number_list(available)) else {
        // What is no list is refused as such.
        return true;
    };
    wanted.iter().all(|(first, last)| {
        available
            .iter()
            .any(|(from, to)| from <= first && last <= to)
    })
}

/// Everything that is wrong with limits by themselves.
#[must_use]
pub fn limits(asked: &Resources) -> Vec<Problem> {
    let mut found = Found::default();
    resources(asked, &mut found);
    found.0
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn say(&mut self, place: Place, message: impl Into<String>) {
        self.0.push(Problem {
            place,
            message: message.into(),
        });
    }

    fn refused<T>(&mut self, place: Place, result: Result<T, ContainerError>) {
        if let Err(error) = result {
            self.say(place, error.to_string());
        }
    }
}

/// The kernel's strings end at a NUL.
fn texts(spec: &ContainerSpec, found: &mut Found) {
    let mut look = |name: &'static str, text: Option<&str>| {
        if text.is_some_and(|text| text.contains('\0')) {
            found.say(
                Place::Option(name),
                format!("`{name}` holds a NUL character"),
            );
        }
    };
    for (name, words) in [("entrypoint", &spec.entrypoint), ("command", &spec.command)] {
        words
            .iter()
            .flatten()
            .for_each(|word| look(name, Some(word)));
    }
    look("user", spec.user.as_deref());
    look("working_dir", spec.working_dir.as_deref());
    look("hostname", spec.hostname.as_deref());
    look("domainname", spec.domainname.as_deref());
    for (name, value) in &spec.env {
        let place = || Place::Key("env", name.clone());
        if name.is_empty() {
            let value = value.as_deref().unwrap_or_default();
            found.say(
                place(),
                format!("the environment variable `={value}` has no name"),
            );
        }
        if name.contains('\0') || value.as_deref().is_some_and(|value| value.contains('\0')) {
            found.say(
                place(),
                format!("the environment variable `{name}` holds a NUL character"),
            );
        }
    }
}

fn process(spec: &ContainerSpec, found: &mut Found) {
    if let Some(dir) = spec
        .working_dir
        .as_deref()
        .filter(|dir| !dir.is_empty() && !dir.starts_with('/'))
    {
        found.say(
            Place::Option("working_dir"),
            format!("the working directory `{dir}` is not an absolute path"),
        );
    }
    if let Some(name) = &spec.hostname
        && name.len() > LONGEST_HOSTNAME
    {
        found.say(
            Place::Option("hostname"),
            format!("the host name `{name}` is longer than {LONGEST_HOSTNAME} bytes"),
        );
    }
    let named = spec.hostname.is_some() || spec.domainname.is_some();
    if named && spec.uts != NamespaceMode::Private {
        found.say(
            Place::Option("hostname"),
            "a host name needs a UTS namespace of the container's own".to_owned(),
        );
    }
    if let Some(name) = &spec.stop_signal {
        found.refused(Place::Option("stop_signal"), signal::parse(name));
    }
    if spec.log.driver != LogDriver::None {
        for (key, message) in LogOptions::parse(&spec.log.options)
            .err()
            .into_iter()
            .flatten()
        {
            found.say(Place::Key("log", key), message);
        }
    }
}

/// Shorter times are mistakes: of a number without its unit, mostly.
fn probe(spec: &ContainerSpec, found: &mut Found) {
    let Some(Healthcheck::Probe {
        interval,
        timeout,
        start_period,
        start_interval,
        ..
    }) = &spec.healthcheck
    else {
        return;
    };
    for (name, time) in [
        ("interval", interval),
        ("timeout", timeout),
        ("start_period", start_period),
        ("start_interval", start_interval),
    ] {
        let shortest = Duration::from_millis(1);
        if time.is_some_and(|time| !time.is_zero() && time < shortest) {
            found.say(
                Place::Key("healthcheck", name.to_owned()),
                format!("the health check's {name} is less than a millisecond"),
            );
        }
    }
}

fn mounts(spec: &ContainerSpec, found: &mut Found) {
    for (index, mount) in spec.mounts.iter().enumerate() {
        let target = &mount.target;
        let parts = |target| Path::new(target).components();
        let message = if target.contains('\0') {
            format!("the mount target `{target}` holds a NUL character")
        } else if !target.starts_with('/') {
            format!("the mount target `{target}` is not an absolute path")
        } else if target.split('/').all(|part| matches!(part, "" | ".")) {
            "nothing can be mounted over the container's root `/`".to_owned()
        } else if spec.mounts[..index]
            .iter()
            .any(|earlier| parts(&earlier.target).eq(parts(target)))
        {
            format!("Duplicate mount point: {target}")
        } else {
            continue;
        };
        found.say(Place::Mount(target.clone()), message);
    }
}

fn network(spec: &ContainerSpec, found: &mut Found) {
    let mac = |text: &str| crate::network::parse_mac(text).map_err(ContainerError::from);
    if let Some(address) = &spec.mac_address {
        found.refused(Place::Option("mac_address"), mac(address));
    }
    if let NetworkMode::Networks(endpoints) = &spec.network {
        for endpoint in endpoints {
            if let Some(address) = &endpoint.mac_address {
                let place = Place::Endpoint(endpoint.network.clone(), "mac_address");
                found.refused(place, mac(address));
            }
        }
    }
    if let NetworkMode::Container(_) = spec.network {
        shared_network(spec, found);
    }
    for (index, port) in spec.expose.iter().enumerate() {
        if !is_exposed_port(port) {
            found.say(
                Place::Item("expose", index),
                format!("`{port}` is not a port: expected PORT[-PORT][/PROTOCOL]"),
            );
        }
    }
}

/// Name, addresses and ports are those of the container whose network it is.
fn shared_network(spec: &ContainerSpec, found: &mut Found) {
    let dns = &spec.dns;
    let asked = [
        ("hostname", spec.hostname.is_some(), "hostname"),
        (
            "dns",
            !(dns.servers.is_empty() && dns.search.is_empty() && dns.options.is_empty()),
            "dns",
        ),
        (
            "extra_hosts",
            !spec.extra_hosts.is_empty(),
            "custom host-to-IP mapping",
        ),
        ("mac_address", spec.mac_address.is_some(), "mac-address"),
        (
            "ports",
            !spec.ports.is_empty() || spec.publish_all,
            "port publishing",
        ),
        ("expose", !spec.expose.is_empty(), "port exposing"),
    ];
    for (option, _, what) in asked.into_iter().filter(|(_, asked, _)| *asked) {
        found.say(
            Place::Shared(option),
            format!("conflicting options: {what} and the network mode of another container"),
        );
    }
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn is_exposed_port(text: &str) -> bool {
    exposed_ports(text).is_some()
}

/// The ports of an entry of `expose`, one by one: `80/tcp` for `80`; `None` when it is none.
pub(super) fn exposed_ports(text: &str) -> Option<Vec<String>> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    let protocol = protocol.to_ascii_lowercase();
    let possible =
        first > 0 && first <= last && matches!(protocol.as_str(), "tcp" | "udp" | "sctp");
    possible.then(|| {
        (first..=last)
            .map(|port| format!("{port}/{protocol}"))
            .collect()
    })
}

fn security(spec: &ContainerSpec, same: &dyn Fn(&str, &str) -> bool, found: &mut Found) {
    for (option, names) in [
        ("cap_add", &spec.security.cap_add),
        ("cap_drop", &spec.security.cap_drop),
    ] {
        for (index, name) in names.iter().enumerate() {
            found.refused(
                Place::Item(option, index),
                oci::capability_list(std::slice::from_ref(name)),
            );
        }
    }
    if let Some((option, why)) = ids::conflict(spec, same) {
        found.say(Place::Option(option), why);
    }
    for name in spec.sysctls.keys() {
        found.refused(Place::Key("sysctls", name.clone()), oci::sysctl(spec, name));
    }
    for (index, rule) in spec.device_cgroup_rules.iter().enumerate() {
        found.refused(
            Place::Item("device_cgroup_rules", index),
            oci::device_rule(rule),
        );
    }
}

fn resources(asked: &Resources, found: &mut Found) {
    found.refused(Place::Option("memory"), oci::memory(asked));
    if let (Some(limit), Some(reservation)) = (asked.memory, asked.memory_reservation)
        && limit < reservation
    {
        found.say(
            Place::Option("memory_reservation"),
            "minimum memory limit can not be less than memory reservation limit: \
             lower the reservation, or allow more memory",
        );
    }
    if let Some(swappiness) = asked.memory_swappiness
        && swappiness > 100
    {
        found.say(
            Place::Option("memory_swappiness"),
            format!("invalid value {swappiness} of memory swappiness: valid is 0 to 100"),
        );
    }
    found.refused(Place::Option("cpus"), oci::cpu(asked));
    if let Some(period) = asked.cpu_period.filter(|period| *period != 0)
        && !(1_000..=1_000_000).contains(&period)
    {
        found.say(
            Place::Option("cpu_period"),
            format!("CPU CFS period {period} is not between 1000 (1 ms) and 1000000 (1 s)"),
        );
    }
    if let Some(quota) = asked.cpu_quota
        && !matches!(quota, -1 | 0 | 1_000..)
    {
        found.say(
            Place::Option("cpu_quota"),
            format!("CPU CFS quota {quota} is less than 1000 (1 ms)"),
        );
    }
    for (option, list) in [
        ("cpuset_cpus", &asked.cpuset_cpus),
        ("cpuset_mems", &asked.cpuset_mems),
    ] {
        if let Some(list) = list.as_deref().filter(|list| number_list(list).is_none()) {
            found.say(
                Place::Option(option),
                format!("`{list}` is not a list of numbers such as `0-3,6`"),
            );
        }
    }
    if let Some(weight) = asked.block_io.weight
        && !(10..=1000).contains(&weight)
    {
        found.say(
            Place::Option("block_io_weight"),
            format!("the block I/O weight {weight} is not between 10 and 1000"),
        );
    }
}

fn ulimits(spec: &ContainerSpec, found: &mut Found) {
    for (name, limit) in &spec.ulimits {
        found.refused(
            Place::Key("ulimits", name.clone()),
            oci::rlimit(name, *limit),
        );
    }
}

/// The kernel's list format, as ranges: numbers and ranges, separated by commas.
fn number_list(text: &str) -> Option<Vec<(u32, u32)>> {
    let ranges = text.trim().split(',').map(|entry| {
        let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some((first, last))
    });
    ranges.collect()
}

#[cfg(test)]
mod tests;
