//! `container inspect`: Docker's JSON shape. What Docker leaves out of JSON is left out here too; templates find it by
//! the table in `shape`.

mod host_config;
mod network;

use clap::Args;
use gantry_engine::container::{Container, MountPoint, MountType};
use gantry_engine::engine::Engine;
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::nouns::listing::NEVER;
use crate::cli::nouns::{print_inspected, shape};

/// What was typed after `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json or a template.
    #[arg(short = 'f', long)]
    format: Option<String>,
    /// What it has written, and with its image, in bytes.
    #[arg(short = 's', long)]
    size: bool,
    /// Containers.
    #[arg(value_name = "CONTAINER", required = true)]
    names: Vec<String>,
}

/// Runs the command.
pub fn run(engine: &Engine, args: &InspectArgs) -> Result<Exit, CliError> {
    let look = |name: &str| {
        let container = engine.inspect(name)?;
        let mut value = to_json(engine, &container);
        if args.size {
            let written = engine.written(&container);
            let image = engine.images().resolve(&container.image_id)?;
            value["SizeRw"] = json!(written);
            value["SizeRootFs"] = json!(written + image.size());
        }
        Ok(value)
    };
    print_inspected(args.format.as_deref(), shape::CONTAINER, &args.names, look)
}

/// The name of a mounted volume.
pub fn volume_name(mount: &MountPoint) -> Option<&str> {
    match &mount.kind {
        MountType::Volume { name, .. } => Some(name),
        _ => None,
    }
}

fn time(time: Option<jiff::Timestamp>) -> String {
    time.map_or_else(|| NEVER.to_owned(), |time| format!("{time:.9}"))
}

fn to_json(engine: &Engine, container: &Container) -> Value {
    let (path, arguments) = container
        .command
        .split_first()
        .map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    let run = engine.paths().run_container(&container.id);
    json!({
        "Id": container.id.to_string(),
        "Created": time(Some(container.created)),
        "Path": path,
        "Args": arguments,
        "State": state(container),
        "Image": container.image_id,
        "ResolvConfPath": run.join("resolv.conf"),
        "HostnamePath": run.join("hostname"),
        "HostsPath": run.join("hosts"),
        "LogPath": container.log_path,
        "Name": format!("/{}", container.name),
        "RestartCount": container.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": container.spec.security.apparmor.clone().unwrap_or_default(),
        "ExecIDs": null,
        "HostConfig": host_config::host_config(container),
        "GraphDriver": { "Name": "overlay2", "Data": layers(engine, container) },
        "Mounts": mounts(container),
        "Config": config(engine, container),
        "NetworkSettings": network::settings(container),
    })
}

/// Where its root is made of. It is mounted nowhere but in its own namespace.
fn layers(engine: &Engine, container: &Container) -> Value {
    let dir = engine.paths().container(&container.id);
    let image = engine.images().resolve(&container.image_id);
    let lower: Vec<String> = image
        .map(|image| image.lower())
        .unwrap_or_default()
        .iter()
        .map(|layer| layer.display().to_string())
        .collect();
    let merged = container.state.pid.map(|pid| format!("/proc/{pid}/root"));
    json!({
        "ID": container.id.to_string(),
        "LowerDir": lower.join(":"),
        "MergedDir": merged.unwrap_or_default(),
        "UpperDir": dir.join("upper"),
        "WorkDir": dir.join("work"),
    })
}

fn config(engine: &Engine, container: &Container) -> Value {
    let (spec, run) = (&container.spec, engine.run_config(container));
    let (entrypoint, command) = container.command.split_at(container.entrypoint_len);
    let listed = |list: &[String]| (!list.is_empty()).then(|| list.to_owned());
    let mut value = json!({
        "Hostname": container.hostname,
        "Domainname": spec.domainname.clone().unwrap_or_default(),
        "User": container.user,
        "AttachStdin": false,
        "AttachStdout": false,
        "AttachStderr": false,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StdinOnce": spec.stdin_once,
        "Env": container.env,
        "Cmd": listed(command),
        "Image": container.image,
        "Volumes": (!run.volumes.is_empty()).then_some(run.volumes),
        "WorkingDir": container.working_dir,
        "Entrypoint": listed(entrypoint),
        "OnBuild": null,
        "Labels": container.labels,
    });
    if !container.exposed.is_empty() {
        let ports = container.exposed.iter().map(|p| (p.clone(), json!({})));
        value["ExposedPorts"] = Value::Object(ports.collect());
    }
    if !run.stop_signal.is_empty() {
        value["StopSignal"] = json!(run.stop_signal);
    }
    if let Some(timeout) = spec.stop_timeout {
        value["StopTimeout"] = json!(timeout.as_secs());
    } else if let Some(seconds) = run.stop_timeout {
        value["StopTimeout"] = json!(seconds);
    }
    if let Some(check) = run.healthcheck {
        value["Healthcheck"] = json!(check);
    }
    if let Some(shell) = run.shell {
        value["Shell"] = json!(shell);
    }
    value
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

/// What is mounted, but for memory: Docker shows that as `HostConfig.Tmpfs` alone.
fn mounts(container: &Container) -> Vec<Value> {
    let is_memory = |mount: &MountPoint| matches!(mount.kind, MountType::Tmpfs(_));
    let mounts = container.mounts.iter();
    mounts.filter(|m| !is_memory(m)).map(mount).collect()
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
        "Mode": if mount.read_only { "ro" } else { "" },
        "RW": !mount.read_only,
        "Propagation": if kind == "bind" { "rprivate" } else { "" },
    });
    if let Some(name) = volume_name(mount) {
        value["Name"] = json!(name);
        value["Driver"] = json!("local");
    }
    value
}
