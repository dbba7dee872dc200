//! `container inspect`: Docker's JSON shape.

use clap::Args;
use gantry_engine::container::{Container, MountPoint, MountType};
use gantry_engine::engine::Engine;
use gantry_engine::spec::{NamespaceMode, NetworkMode, RestartPolicy};
use serde_json::{Map, Value, json};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::nouns::print_inspected;

/// What was typed after `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json or a template.
    #[arg(short = 'f', long)]
    format: Option<String>,
    /// Containers.
    #[arg(value_name = "CONTAINER", required = true)]
    names: Vec<String>,
}

/// Runs the command.
pub fn run(engine: &Engine, args: &InspectArgs) -> Result<Exit, CliError> {
    print_inspected(args.format.as_deref(), &args.names, |name| {
        Ok(to_json(&engine.inspect(name)?))
    })
}

/// The name of a mounted volume.
pub fn volume_name(mount: &MountPoint) -> Option<&str> {
    match &mount.kind {
        MountType::Volume { name, .. } => Some(name),
        _ => None,
    }
}

/// Names of the networks of the engine that a container is to be on.
pub fn planned_networks(mode: &NetworkMode) -> impl Iterator<Item = &str> {
    let endpoints = match mode {
        NetworkMode::Networks(endpoints) => endpoints.as_slice(),
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => &[],
    };
    let default = matches!(mode, NetworkMode::Networks(list) if list.is_empty());
    let names = endpoints.iter().map(|endpoint| endpoint.network.as_str());
    default.then_some("bridge").into_iter().chain(names)
}

const NEVER: &str = "0001-01-01T00:00:00Z";

fn time(time: Option<jiff::Timestamp>) -> String {
    time.map_or_else(|| NEVER.to_owned(), |time| format!("{time:.9}"))
}

fn to_json(container: &Container) -> Value {
    let spec = &container.spec;
    let (path, arguments) = container
        .command
        .split_first()
        .map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    json!({
        "Id": container.id.to_string(),
        "Created": time(Some(container.created)),
        "Path": path,
        "Args": arguments,
        "State": state(container),
        "Image": container.image_id,
        "LogPath": container.log_path,
        "Name": format!("/{}", container.name),
        "RestartCount": container.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "Mounts": container.mounts.iter().map(mount).collect::<Vec<_>>(),
        "HostConfig": host_config(container),
        "Config": {
            "Hostname": spec.hostname.clone().unwrap_or_else(|| container.id.to_string()[..12].to_owned()),
            "Domainname": spec.domainname.clone().unwrap_or_default(),
            "User": spec.user.clone().unwrap_or_default(),
            "Tty": spec.tty,
            "OpenStdin": spec.open_stdin,
            "StdinOnce": spec.stdin_once,
            "Env": container.env,
            "Cmd": spec.command,
            "Image": container.image,
            "WorkingDir": spec.working_dir.clone().unwrap_or_default(),
            "Entrypoint": spec.entrypoint,
            "Labels": container.labels,
            "ExposedPorts": container.exposed.iter().map(|p| (p.clone(), json!({}))).collect::<Map<_, _>>(),
            "StopSignal": spec.stop_signal,
            "StopTimeout": spec.stop_timeout.map(|t| t.as_secs()),
        },
        "NetworkSettings": network_settings(container),
    })
}

fn state(container: &Container) -> Value {
    let state = &container.state;
    let status = state.status.as_str();
    let mut value = json!({
        "Status": status,
        "Running": state.status.is_up(),
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": status == "dead",
        "Pid": state.pid.unwrap_or(0),
        "ExitCode": state.exit_code,
        "Error": state.error.clone().unwrap_or_default(),
        "StartedAt": time(state.started_at),
        "FinishedAt": time(state.finished_at),
    });
    if let Some(health) = &container.health {
        let probes: Vec<Value> = health
            .log
            .iter()
            .map(|probe| {
                json!({
                    "Start": time(Some(probe.start)),
                    "End": time(Some(probe.end)),
                    "ExitCode": probe.exit_code,
                    "Output": probe.output,
                })
            })
            .collect();
        value["Health"] = json!({
            "Status": health.status.as_str(),
            "FailingStreak": health.failing_streak,
            "Log": probes,
        });
    }
    value
}

fn mount(mount: &MountPoint) -> Value {
    let kind = match &mount.kind {
        MountType::Bind { .. } => "bind",
        MountType::Volume { .. } => "volume",
        MountType::Tmpfs(_) => "tmpfs",
        MountType::Image { .. } => "image",
    };
    let mut value = json!({
        "Type": kind,
        "Source": mount.source,
        "Destination": mount.target,
        "Mode": "",
        "RW": !mount.read_only,
        "Propagation": "",
    });
    if let Some(name) = volume_name(mount) {
        value["Name"] = json!(name);
        value["Driver"] = json!("local");
    }
    value
}

fn namespace(mode: &NamespaceMode) -> String {
    match mode {
        NamespaceMode::Private => String::new(),
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::Container(name) => format!("container:{name}"),
    }
}

fn network_mode(mode: &NetworkMode) -> String {
    match mode {
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Container(name) => format!("container:{name}"),
        NetworkMode::Networks(list) => list
            .first()
            .map_or_else(|| "bridge".to_owned(), |endpoint| endpoint.network.clone()),
    }
}

fn host_config(container: &Container) -> Value {
    let spec = &container.spec;
    let (restart, retries) = match spec.restart {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure { max_retries } => ("on-failure", max_retries.unwrap_or(0)),
    };
    let resources = &spec.resources;
    json!({
        "AutoRemove": spec.auto_remove,
        "NetworkMode": network_mode(&spec.network),
        "PortBindings": ports(container),
        "RestartPolicy": { "Name": restart, "MaximumRetryCount": retries },
        "CapAdd": spec.security.cap_add,
        "CapDrop": spec.security.cap_drop,
        "Dns": spec.dns.servers,
        "DnsOptions": spec.dns.options,
        "DnsSearch": spec.dns.search,
        "GroupAdd": spec.group_add,
        "IpcMode": namespace(&spec.ipc),
        "PidMode": namespace(&spec.pid),
        "UTSMode": namespace(&spec.uts),
        "Privileged": spec.security.privileged,
        "PublishAllPorts": spec.publish_all,
        "ReadonlyRootfs": spec.security.read_only_rootfs,
        "Sysctls": spec.sysctls,
        "ShmSize": spec.shm_size.unwrap_or(64 << 20),
        "Init": spec.init,
        "OomScoreAdj": resources.oom_score_adj.unwrap_or(0),
        "OomKillDisable": resources.oom_kill_disable,
        "Memory": resources.memory.unwrap_or(0),
        "MemoryReservation": resources.memory_reservation.unwrap_or(0),
        "MemorySwap": resources.memory_swap.unwrap_or(0),
        "NanoCpus": resources.cpus.map_or(0, |cpus| (cpus * 1e9).round() as i64),
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "CpuPeriod": resources.cpu_period.unwrap_or(0),
        "CpuQuota": resources.cpu_quota.unwrap_or(0),
        "CpusetCpus": resources.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": resources.cpuset_mems.clone().unwrap_or_default(),
        "PidsLimit": resources.pids,
        "Cgroup": container.cgroup,
    })
}

fn ports(container: &Container) -> Map<String, Value> {
    let mut map: Map<String, Value> = container
        .exposed
        .iter()
        .map(|port| (port.clone(), Value::Null))
        .collect();
    for port in &container.ports {
        let binding =
            json!({ "HostIp": port.host_ip.to_string(), "HostPort": port.host_port.to_string() });
        let entry = map
            .entry(format!("{}/{}", port.container_port, port.protocol))
            .or_insert(Value::Null);
        match entry {
            Value::Array(list) => list.push(binding),
            other => *other = json!([binding]),
        }
    }
    map
}

fn network_settings(container: &Container) -> Value {
    let mut networks = Map::new();
    for endpoint in &container.endpoints {
        let (address, prefix) = endpoint
            .ipv4
            .map_or((String::new(), 0), |(ip, prefix)| (ip.to_string(), prefix));
        let (address6, prefix6) = endpoint
            .ipv6
            .map_or((String::new(), 0), |(ip, prefix)| (ip.to_string(), prefix));
        networks.insert(
            endpoint.network.clone(),
            json!({
                "NetworkID": endpoint.network_id,
                "Aliases": endpoint.aliases,
                "Gateway": endpoint.gateway4.map(|ip| ip.to_string()).unwrap_or_default(),
                "IPAddress": address,
                "IPPrefixLen": prefix,
                "IPv6Gateway": endpoint.gateway6.map(|ip| ip.to_string()).unwrap_or_default(),
                "GlobalIPv6Address": address6,
                "GlobalIPv6PrefixLen": prefix6,
                "MacAddress": endpoint.mac.to_string(),
            }),
        );
    }
    let first = container.endpoints.first();
    json!({
        "Ports": ports(container),
        "IPAddress": first.and_then(|e| e.ipv4).map(|(ip, _)| ip.to_string()).unwrap_or_default(),
        "Gateway": first.and_then(|e| e.gateway4).map(|ip| ip.to_string()).unwrap_or_default(),
        "Networks": networks,
    })
}
