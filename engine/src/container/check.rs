//! What is wrong with a specification, as far as its own text tells: no machine is looked at. [`beyond`] is told
//! what the machine has.
//!
//! All problems come at once, each with the option it is about, so that a caller can point at
//! the place its user wrote. [`super::create`] refuses the first one.

use crate::spec::{ContainerSpec, LogDriver, NamespaceMode, NetworkMode, Resources};

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
    let mut found = Found::default();
    texts(spec, &mut found);
    process(spec, &mut found);
    mounts(spec, &mut found);
    network(spec, &mut found);
    security(spec, &mut found);
    resources(spec, &mut found);
    found.0
}

/// What a specification asks for that a machine with so many CPUs does not have.
#[must_use]
pub fn beyond(cpus: usize, resources: &Resources) -> Option<Problem> {
    let asked = resources.cpus?;
    // Below a hundredth the kernel takes no quota.
    let possible = (0.01..=cpus as f64).contains(&asked);
    (!possible).then(|| Problem {
        place: Place::Option("cpus"),
        message: format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available, and not {asked}"
        ),
    })
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
    if spec.log.driver == LogDriver::JsonFile {
        for (key, value) in &spec.log.options {
            let option = [(key.clone(), value.clone())].into();
            if let Err(message) = crate::supervisor::LogLimits::from_options(&option) {
                found.say(Place::Key("log", key.clone()), message);
            }
        }
    }
}

fn mounts(spec: &ContainerSpec, found: &mut Found) {
    for mount in &spec.mounts {
        let target = &mount.target;
        let message = if target.contains('\0') {
            format!("the mount target `{target}` holds a NUL character")
        } else if !target.starts_with('/') {
            format!("the mount target `{target}` is not an absolute path")
        } else if target.split('/').all(|part| matches!(part, "" | ".")) {
            "nothing can be mounted over the container's root `/`".to_owned()
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
    for (index, port) in spec.expose.iter().enumerate() {
        if !is_exposed_port(port) {
            found.say(
                Place::Item("expose", index),
                format!("`{port}` is not a port: expected PORT[-PORT][/PROTOCOL]"),
            );
        }
    }
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn is_exposed_port(text: &str) -> bool {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let numbers = (first.parse::<u16>(), last.parse::<u16>());
    matches!(numbers, (Ok(first), Ok(last)) if first > 0 && first <= last)
        && matches!(
            protocol.to_ascii_lowercase().as_str(),
            "tcp" | "udp" | "sctp"
        )
}

fn security(spec: &ContainerSpec, found: &mut Found) {
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
    if let Some((option, why)) = ids::conflict(spec) {
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

fn resources(spec: &ContainerSpec, found: &mut Found) {
    let asked = &spec.resources;
    found.refused(Place::Option("memory"), oci::memory(asked));
    found.refused(Place::Option("cpus"), oci::cpu(asked));
    for (option, list) in [
        ("cpuset_cpus", &asked.cpuset_cpus),
        ("cpuset_mems", &asked.cpuset_mems),
    ] {
        if let Some(list) = list.as_deref().filter(|list| !is_number_list(list)) {
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
    for (name, limit) in &spec.ulimits {
        found.refused(
            Place::Key("ulimits", name.clone()),
            oci::rlimit(name, *limit),
        );
    }
}

/// The kernel's list format: numbers and ranges, separated by commas.
fn is_number_list(text: &str) -> bool {
    text.trim().split(',').all(|entry| {
        let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
        matches!(
            (first.trim().parse::<u32>(), last.trim().parse::<u32>()),
            (Ok(first), Ok(last)) if first <= last
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{LogSpec, MountKind, MountSpec, TmpfsOptions, Ulimit};

    fn places(spec: &ContainerSpec) -> Vec<Place> {
        check(spec).into_iter().map(|found| found.place).collect()
    }

    #[test]
    fn a_plain_container_is_right() {
        let spec = ContainerSpec {
            command: Some(vec!["true".to_owned()]),
            working_dir: Some("/srv".to_owned()),
            stop_signal: Some("SIGINT".to_owned()),
            expose: ["80", "53/udp", "8000-8010"].map(str::to_owned).to_vec(),
            mac_address: Some("02:42:ac:11:00:02".to_owned()),
            ..ContainerSpec::default()
        };
        assert_eq!(check(&spec), []);
    }

    #[test]
    fn a_share_of_the_cpus_is_one_that_the_machine_has() {
        let refused = |cpus| {
            let asked = Resources {
                cpus,
                ..Resources::default()
            };
            beyond(2, &asked).map(|problem| problem.message)
        };
        for possible in [None, Some(0.01), Some(0.5), Some(2.0)] {
            assert_eq!(refused(possible), None, "{possible:?}");
        }
        for impossible in [0.009, 2.01, 64.0, f64::INFINITY, f64::NAN] {
            let message = refused(Some(impossible)).expect("refused");
            assert!(message.contains("0.01 to 2.00"), "{message}");
        }
    }

    #[test]
    fn every_wrong_option_is_found_with_its_place() {
        let mut spec = ContainerSpec {
            command: Some(vec!["a\0b".to_owned()]),
            env: [(String::new(), Some("x".to_owned()))]
                .into_iter()
                .collect(),
            working_dir: Some("here".to_owned()),
            hostname: Some("h".repeat(65)),
            stop_signal: Some("SIGNOTHING".to_owned()),
            log: LogSpec {
                options: [("tag".to_owned(), "x".to_owned())].into(),
                ..LogSpec::default()
            },
            mac_address: Some("zz".to_owned()),
            expose: ["x", "0", "9-8", "80/icmp"].map(str::to_owned).to_vec(),
            device_cgroup_rules: vec!["bogus".to_owned()],
            ..ContainerSpec::default()
        };
        for target in ["there", "/", "//./"] {
            spec.mounts.push(MountSpec {
                target: target.to_owned(),
                kind: MountKind::Tmpfs(TmpfsOptions::default()),
                read_only: false,
            });
        }
        spec.security.cap_add = vec!["NET_ADMIN".to_owned(), "NOTHING".to_owned()];
        spec.sysctls
            .insert("kernel.panic".to_owned(), "1".to_owned());
        spec.ulimits
            .insert("nofile".to_owned(), Ulimit { soft: 2, hard: 1 });
        spec.resources.memory = Some(5);
        spec.resources.cpuset_cpus = Some("3-1".to_owned());
        spec.resources.block_io.weight = Some(5);
        let expected = [
            Place::Option("command"),
            Place::Key("env", String::new()),
            Place::Option("working_dir"),
            Place::Option("hostname"),
            Place::Option("stop_signal"),
            Place::Key("log", "tag".to_owned()),
            Place::Mount("there".to_owned()),
            Place::Mount("/".to_owned()),
            Place::Mount("//./".to_owned()),
            Place::Option("mac_address"),
            Place::Item("expose", 0),
            Place::Item("expose", 1),
            Place::Item("expose", 2),
            Place::Item("expose", 3),
            Place::Item("cap_add", 1),
            Place::Key("sysctls", "kernel.panic".to_owned()),
            Place::Item("device_cgroup_rules", 0),
            Place::Option("memory"),
            Place::Option("cpuset_cpus"),
            Place::Option("block_io_weight"),
            Place::Key("ulimits", "nofile".to_owned()),
        ];
        assert_eq!(places(&spec), expected);
    }
}
