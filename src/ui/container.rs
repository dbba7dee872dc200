//! A container's state, ports and command in Docker's words.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::text;
use crate::backend::{Container, Health, MountedSource, PublishedPort, State};
use crate::plan::{labels, observed};

/// `Up 3 seconds (healthy)`, `Exited (0) 2 minutes ago`.
pub fn status(container: &Container, now: SystemTime) -> String {
    let since = |time: Option<SystemTime>| {
        time.and_then(|time| now.duration_since(time).ok())
            .unwrap_or(Duration::ZERO)
    };
    match &container.state {
        State::Created => "Created".to_owned(),
        State::Running | State::Stopping => {
            let up = format!("Up {}", text::duration(since(container.started)));
            match container.health.as_ref().map(health_words) {
                Some(words) => format!("{up} ({words})"),
                None => up,
            }
        }
        State::Paused => format!("Up {} (Paused)", text::duration(since(container.started))),
        State::Restarting(ended) => {
            format!(
                "Restarting ({}) {}",
                ended.code,
                text::ago(since(container.finished))
            )
        }
        State::Removing => "Removal In Progress".to_owned(),
        State::Exited(ended) => {
            format!(
                "Exited ({}) {}",
                ended.code,
                text::ago(since(container.finished))
            )
        }
        State::Dead => "Dead".to_owned(),
    }
}

fn health_words(health: &Health) -> String {
    match health.status.word() {
        "starting" => "health: starting".to_owned(),
        word => word.to_owned(),
    }
}

/// `0.0.0.0:8080->80/tcp, 443/tcp`.
pub fn ports(ports: &[PublishedPort]) -> String {
    let mut texts: Vec<String> = ports.iter().map(port).collect();
    texts.dedup();
    texts.join(", ")
}

fn port(port: &PublishedPort) -> String {
    let inside = format!("{}/{}", port.container_port, port.protocol);
    match (port.host_ip, port.host_port) {
        (Some(address), Some(outside)) => format!("{}->{inside}", socket(address, outside)),
        (None, Some(outside)) => format!("{outside}->{inside}"),
        (_, None) => inside,
    }
}

/// `127.0.0.1:80`, `[::1]:80`.
pub fn socket(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// The command in quotes, cut to 20 characters unless it is wanted whole.
pub fn command(argv: &[String], whole: bool) -> String {
    let text = argv.join(" ");
    let shown = if whole || text.chars().count() <= 20 {
        text
    } else {
        text.chars().take(19).collect::<String>() + "…"
    };
    format!("\"{shown}\"")
}

/// The id, whole or its first twelve digits.
pub fn id(container: &Container, whole: bool) -> String {
    if whole {
        container.id.0.clone()
    } else {
        container.id.short().to_owned()
    }
}

/// The object of `container ls --format json`, whose fields templates name too.
pub fn to_json(container: &Container, now: SystemTime, whole: bool) -> Value {
    let age = now
        .duration_since(container.created)
        .unwrap_or(Duration::ZERO);
    let labels: Vec<String> = container
        .labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let networks: Vec<&str> = container
        .networks
        .iter()
        .map(|e| e.network.as_str())
        .collect();
    json!({
        "Command": command(&container.command, whole),
        "CreatedAt": created_at(container.created),
        "ID": id(container, whole),
        "Image": container.image,
        "Labels": labels.join(","),
        "LocalVolumes": container.mounts.iter().filter(|m| is_volume(&m.source)).count().to_string(),
        "Mounts": container.mounts.iter().map(|m| mount(&m.source, whole)).collect::<Vec<_>>().join(","),
        "Names": container.name,
        "Networks": networks.join(","),
        "Ports": ports(&container.ports),
        "RunningFor": text::ago(age),
        "Size": "0B",
        "State": container.state.word(),
        "Status": status(container, now),
    })
}

/// The object of Compose's `ps --format json`: that of `container ls` and what Compose adds.
pub fn to_compose_json(container: &Container, now: SystemTime, whole: bool) -> Value {
    let mut value = to_json(container, now, whole);
    value["ExitCode"] = match &container.state {
        State::Exited(ended) => json!(ended.code),
        _ => json!(0),
    };
    let health = container.health.as_ref();
    value["Health"] = json!(health.map_or("", |health| health.status.word()));
    value["Name"] = json!(container.name);
    value["Project"] = json!(container.label(labels::PROJECT).unwrap_or_default());
    value["Publishers"] = json!(publishers(&container.ports));
    value["Service"] = json!(observed::service(container));
    if let Value::Object(fields) = &mut value {
        fields.sort_keys();
    }
    value
}

fn publishers(ports: &[PublishedPort]) -> Vec<Value> {
    let one = |port: &PublishedPort| {
        json!({
            "URL": port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            "TargetPort": port.container_port,
            "PublishedPort": port.host_port.unwrap_or(0),
            "Protocol": port.protocol.to_string(),
        })
    };
    ports.iter().map(one).collect()
}

fn is_volume(source: &MountedSource) -> bool {
    matches!(
        source,
        MountedSource::Volume(_) | MountedSource::AnonymousVolume(_)
    )
}

fn mount(source: &MountedSource, whole: bool) -> String {
    let text = match source {
        MountedSource::Bind(path) => path.display().to_string(),
        MountedSource::Volume(name) | MountedSource::AnonymousVolume(name) => name.clone(),
        MountedSource::Other => return String::new(),
    };
    if whole || text.chars().count() <= 15 {
        text
    } else {
        text.chars().take(14).collect::<String>() + "…"
    }
}

/// Go's `2006-01-02 15:04:05 -0700 MST` in UTC.
fn created_at(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map(|time| time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string())
        .unwrap_or_default()
}

/// RFC 3339 with nanoseconds, as log lines and events show times.
pub fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map(|time| format!("{time:.9}"))
        .unwrap_or_default()
}
