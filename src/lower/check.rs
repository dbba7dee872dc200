//! What the engine finds wrong with a service's container, told at the place in the file.

use gantry_engine::container::check::{Place, beyond, check};
use gantry_engine::container::machine::Machine;
use gantry_engine::spec::ContainerSpec;

use super::{Context, Findings};

/// What this machine does not have. A file is shared between machines: so this is asked only
/// where containers are made.
pub(super) fn machine(
    context: &Context<'_>,
    spec: &ContainerSpec,
    machine: &Machine,
    findings: &mut Findings,
) {
    if let Some(problem) = beyond(machine, &spec.resources) {
        let path = context.path(&attribute(context, &problem.place));
        findings.refuse(path, problem.message, help(&problem.place));
    }
}

pub(super) fn apply(context: &Context<'_>, spec: &ContainerSpec, findings: &mut Findings) {
    for problem in check(spec) {
        let path = context.path(&attribute(context, &problem.place));
        findings.refuse(path, problem.message, help(&problem.place));
    }
}

/// The attribute that an option of the engine comes from.
fn attribute(context: &Context<'_>, place: &Place) -> String {
    let service = context.service;
    match place {
        Place::Option("memory") if service.mem_limit.0 == 0 => {
            "deploy.resources.limits.memory".to_owned()
        }
        Place::Option("memory") => "mem_limit".to_owned(),
        Place::Option("cpus") if service.cpus.0 == 0.0 => "deploy.resources.limits.cpus".to_owned(),
        Place::Option("cpuset_cpus") => "cpuset".to_owned(),
        Place::Option("memory_reservation") if service.mem_reservation.0 == 0 => {
            "deploy.resources.reservations.memory".to_owned()
        }
        Place::Option("memory_reservation") => "mem_reservation".to_owned(),
        Place::Option("memory_swappiness") => "mem_swappiness".to_owned(),
        Place::Shared("dns") if service.dns.is_empty() && service.dns_search.is_empty() => {
            "dns_opt".to_owned()
        }
        Place::Shared("dns") if service.dns.is_empty() => "dns_search".to_owned(),
        Place::Shared(name) => (*name).to_owned(),
        Place::Option("block_io_weight") => "blkio_config.weight".to_owned(),
        Place::Option("user_namespace") => "userns_mode".to_owned(),
        Place::Option("network") => "network_mode".to_owned(),
        Place::Option(name) => (*name).to_owned(),
        Place::Item(list, index) => format!("{list}[{index}]"),
        Place::Key("env", name) => format!("environment.{name}"),
        Place::Key("log", name) => format!("logging.options.{name}"),
        Place::Key(map, name) => format!("{map}.{name}"),
        Place::Mount(target) => mount(context, target),
        Place::Endpoint(network, option) => {
            let key = service.networks.keys().find(|key| {
                let declared = context.project.networks.get(*key);
                declared.is_some_and(|declared| declared.name == *network)
            });
            format!(
                "networks.{}.{option}",
                key.map_or(network.as_str(), String::as_str)
            )
        }
    }
}

fn mount(context: &Context<'_>, target: &str) -> String {
    let service = context.service;
    let volumes = service.volumes.iter().map(|mount| mount.target.as_str());
    let tmpfs = service.tmpfs.iter().map(|entry| {
        entry
            .split_once(':')
            .map_or(entry.as_str(), |(path, _)| path)
    });
    let files =
        |list: &[crate::model::FileMount]| list.iter().position(|entry| entry.target == target);
    if let Some(index) = volumes.into_iter().position(|known| known == target) {
        format!("volumes[{index}]")
    } else if let Some(index) = tmpfs.into_iter().position(|known| known == target) {
        format!("tmpfs[{index}]")
    } else if let Some(index) = files(&service.secrets) {
        format!("secrets[{index}]")
    } else if let Some(index) = files(&service.configs) {
        format!("configs[{index}]")
    } else {
        "volumes".to_owned()
    }
}

/// What to write instead.
fn help(place: &Place) -> &'static str {
    match place {
        Place::Option("working_dir") => "begin it with `/`",
        Place::Option("stop_signal") => "use a name such as `SIGTERM` or a number",
        Place::Option("memory") => "use `6m` or more",
        Place::Option("cpus") => "use a number such as `0.5`, or leave it out for all of them",
        Place::Option("cpuset_cpus") => "write `0-3` or `0,2`",
        Place::Option("hostname") => "use one of at most 64 bytes, and no `uts: host`",
        Place::Option("mac_address") | Place::Endpoint(..) => "write `02:42:ac:11:00:02`",
        Place::Option("block_io_weight") => "use a number from 10 to 1000",
        Place::Option("memory_reservation") => "lower it, or raise the limit of memory",
        Place::Option("memory_swappiness") => "use a number from 0 to 100",
        Place::Option("cpu_period") => "use a number from 1000 to 1000000",
        Place::Option("cpu_quota") => "use 1000 or more, or leave it out for no limit",
        Place::Shared(_) => "leave it out here, and set it at the container whose network this is",
        Place::Option("user_namespace") => "leave it out, or leave out what it contradicts",
        Place::Option("pid" | "ipc" | "uts" | "cgroup" | "network") => {
            "leave it out, or let `userns_mode` be that of the same container"
        }
        Place::Option("entrypoint" | "command" | "user" | "domainname") => {
            "remove the character `\\0`"
        }
        Place::Option(_) => "leave it out, or use another value",
        Place::Key("env", _) => "write `NAME=value`",
        Place::Key("log", _) => {
            "for instance `max-size: 10m`, `max-file: 3`, `compress: true`, `tag: \"{{.Name}}\"`"
        }
        Place::Key("healthcheck", _) => "use `1ms` or more; `0` for what the image says",
        Place::Key("ulimits", _) => "for instance `nofile: { soft: 1024, hard: 4096 }`",
        Place::Key(..) => "set it on the machine, or leave it out",
        Place::Mount(_) => "mount it at an absolute path below `/`, and nothing else there",
        Place::Item("cap_add" | "cap_drop", _) => "use a name such as `NET_ADMIN`, or `ALL`",
        Place::Item("expose", _) => "write `8080` or `8080/udp`",
        Place::Item(..) => "type, `major:minor`, and letters of `rwm`",
    }
}
