//! The engine's data in the Compose side's words.

use std::time::{Duration, SystemTime};

use gantry_engine::container as engine;
use gantry_engine::container::events::{Action as EventAction, Event};
use gantry_engine::engine::{LogEntry, Stream as EngineStream};
use gantry_engine::network::Network as EngineNetwork;
use gantry_engine::volume::{Volume as EngineVolume, VolumeSpec as EngineVolumeSpec, VolumeStore};

use crate::backend::{
    Action, Change, Container, ContainerId, Ended, Endpoint, Health, HealthStatus, LogLine,
    Mounted, MountedSource, Network, Probe, PublishedPort, State, Stream, Usage, Volume,
    VolumeSpec,
};

/// A container as the Compose side sees it.
pub fn container(container: engine::Container) -> Container {
    let networks = if container.endpoints.is_empty() {
        planned(&container.spec.network)
    } else {
        container.endpoints.iter().map(endpoint).collect()
    };
    Container {
        id: ContainerId(container.id.to_string()),
        state: state(&container.state),
        started: container.state.started_at.map(SystemTime::from),
        finished: container.state.finished_at.map(SystemTime::from),
        health: container.health.as_ref().map(health),
        ports: ports(&container),
        networks,
        mounts: container.mounts.iter().map(mounted).collect(),
        joined: container
            .spec
            .joined()
            .map(|id| ContainerId(id.to_owned()))
            .collect(),
        tty: container.spec.tty,
        pid: container.state.pid.and_then(|pid| u32::try_from(pid).ok()),
        name: container.name,
        image: container.image,
        image_id: container.image_id,
        command: container.command,
        labels: container.labels,
        created: container.created.into(),
    }
}

/// The networks a container will be on once it runs.
fn planned(mode: &gantry_engine::spec::NetworkMode) -> Vec<Endpoint> {
    mode.endpoints()
        .into_iter()
        .map(|endpoint| Endpoint {
            network: endpoint.network,
            address: endpoint.ipv4.map(Into::into),
            aliases: endpoint.aliases,
        })
        .collect()
}

fn endpoint(endpoint: &gantry_engine::network::Endpoint) -> Endpoint {
    let ipv4 = endpoint.ipv4.map(|(address, _)| address.into());
    Endpoint {
        network: endpoint.network.clone(),
        address: ipv4.or(endpoint.ipv6.map(|(address, _)| address.into())),
        aliases: endpoint.aliases.clone(),
    }
}

fn state(state: &engine::State) -> State {
    match state.status {
        engine::Status::Created => State::Created,
        engine::Status::Running if state.stopping => State::Stopping,
        engine::Status::Running => State::Running,
        engine::Status::Paused => State::Paused,
        engine::Status::Restarting => State::Restarting(ended(state)),
        engine::Status::Removing => State::Removing,
        engine::Status::Exited => State::Exited(ended(state)),
        engine::Status::Dead => State::Dead,
    }
}

fn ended(state: &engine::State) -> Ended {
    Ended {
        code: state.exit_code.into(),
        oom: state.oom_killed,
        error: state.error.clone(),
    }
}

fn health_status(status: engine::HealthStatus) -> HealthStatus {
    match status {
        engine::HealthStatus::Starting => HealthStatus::Starting,
        engine::HealthStatus::Healthy => HealthStatus::Healthy,
        engine::HealthStatus::Unhealthy => HealthStatus::Unhealthy,
    }
}

fn health(health: &engine::Health) -> Health {
    let probe = |probe: &engine::Probe| Probe {
        exit_code: probe.exit_code,
        output: probe.output.clone(),
    };
    Health {
        status: health_status(health.status),
        failing_streak: health.failing_streak,
        log: health.log.iter().map(probe).collect(),
    }
}

/// What is published, and what is only documented.
fn ports(container: &engine::Container) -> Vec<PublishedPort> {
    let mut ports: Vec<PublishedPort> = container
        .ports
        .iter()
        .map(|port| PublishedPort {
            host_ip: Some(port.host_ip),
            host_port: Some(port.host_port),
            container_port: port.container_port,
            protocol: port.protocol,
        })
        .collect();
    // As Docker: one that does not run has no ports.
    let up = container.state.status.is_up();
    for exposed in container.exposed.iter().filter(|_| up) {
        let (number, protocol) = exposed.split_once('/').unwrap_or((exposed, "tcp"));
        let Ok(number) = number.parse::<u16>() else {
            continue;
        };
        let protocol = match protocol {
            "udp" => gantry_engine::spec::Protocol::Udp,
            "sctp" => gantry_engine::spec::Protocol::Sctp,
            _ => gantry_engine::spec::Protocol::Tcp,
        };
        if !ports
            .iter()
            .any(|port| port.container_port == number && port.protocol == protocol)
        {
            ports.push(PublishedPort {
                host_ip: None,
                host_port: None,
                container_port: number,
                protocol,
            });
        }
    }
    ports
}

fn mounted(mount: &engine::MountPoint) -> Mounted {
    let source = match &mount.kind {
        engine::MountType::Bind { .. } => MountedSource::Bind(mount.source.clone()),
        engine::MountType::Volume {
            name,
            anonymous: true,
            ..
        } => MountedSource::AnonymousVolume(name.clone()),
        engine::MountType::Volume { name, .. } => MountedSource::Volume(name.clone()),
        engine::MountType::Tmpfs(_) | engine::MountType::Image { .. } => MountedSource::Other,
    };
    Mounted {
        target: mount.target.clone(),
        source,
    }
}

pub(super) fn log_line(entry: LogEntry) -> LogLine {
    LogLine {
        time: entry.time.into(),
        stream: match entry.stream {
            EngineStream::Stdout => Stream::Stdout,
            EngineStream::Stderr => Stream::Stderr,
        },
        text: entry.bytes,
    }
}

/// An event in Docker's words.
pub fn change(event: Event) -> Change {
    let attributes = event.all_attributes();
    let action = match event.action {
        EventAction::Create => Action::Create,
        EventAction::Start => Action::Start,
        EventAction::Die { .. } => Action::Die,
        EventAction::Oom => Action::Oom,
        EventAction::Stop => Action::Stop,
        EventAction::Kill { .. } => Action::Kill,
        EventAction::Pause => Action::Pause,
        EventAction::Unpause => Action::Unpause,
        EventAction::Restart => Action::Restart,
        EventAction::Rename { .. } => Action::Rename,
        EventAction::Destroy => Action::Destroy,
        EventAction::HealthStatus { status } => Action::HealthStatus(health_status(status)),
        other => Action::Other(other.word()),
    };
    Change {
        time: event.time.into(),
        id: ContainerId(event.id),
        action,
        attributes,
    }
}

/// What a container uses.
pub(super) fn usage(stats: &gantry_engine::cgroup::Stats, network: (u64, u64)) -> Usage {
    Usage {
        cpu: Duration::from_nanos(stats.cpu_usage),
        memory: stats.memory_usage,
        memory_limit: stats.memory_limit.unwrap_or_else(machine_memory),
        network_in: network.0,
        network_out: network.1,
        block_in: stats.io_read,
        block_out: stats.io_write,
        pids: stats.pids,
    }
}

/// Bytes received and sent by a process's interfaces, without loopback (proc_pid_net(5)).
pub(super) fn traffic(pid: Option<i32>) -> (u64, u64) {
    let Some(pid) = pid else { return (0, 0) };
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let counters = lines
        .filter(|(name, _)| name.trim() != "lo")
        .map(|(_, counters)| {
            let number = |at: usize| -> u64 {
                counters
                    .split_whitespace()
                    .nth(at)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0)
            };
            (number(0), number(8))
        });
    counters.fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1))
}

/// Bytes of memory of this machine, which is the limit of what has none.
fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

pub(super) fn network(network: EngineNetwork) -> Network {
    Network {
        name: network.name,
        id: network.id,
        driver: network.driver.name().to_owned(),
        labels: network.labels,
    }
}

pub(super) fn volume(store: &VolumeStore, volume: EngineVolume) -> Volume {
    Volume {
        mountpoint: store.data(&volume.name),
        name: volume.name.to_string(),
        driver: "local".to_owned(),
        labels: volume.labels,
    }
}

pub(super) fn volume_spec(spec: &VolumeSpec) -> EngineVolumeSpec {
    EngineVolumeSpec {
        name: Some(spec.name.clone()),
        labels: spec.labels.clone(),
        options: spec.options.clone(),
        ..EngineVolumeSpec::default()
    }
}
