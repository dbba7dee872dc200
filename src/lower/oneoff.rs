//! The container of `run`: a service's, changed by what the command line says.

use std::collections::BTreeMap;

use gantry_engine::spec::{ContainerSpec, MountSpec, NetworkMode, PortSpec, RestartPolicy};

use crate::plan::labels;

use super::Stack;

/// What `run` changes.
#[derive(Clone, Debug, Default)]
pub struct OneOff {
    /// `--name`; default `<project>-<service>-run-<slug>`.
    pub name: Option<String>,
    /// 12 hexadecimal digits.
    pub slug: String,
    /// Command; empty keeps the service's.
    pub command: Vec<String>,
    /// `--entrypoint`; also clears the service's command.
    pub entrypoint: Option<Vec<String>>,
    /// `-e`, over the service's.
    pub env: Vec<(String, Option<String>)>,
    /// `-l`.
    pub labels: BTreeMap<String, String>,
    /// `-u`.
    pub user: Option<String>,
    /// `-w`.
    pub workdir: Option<String>,
    /// `-v`.
    pub mounts: Vec<MountSpec>,
    /// Which ports are published.
    pub ports: PublishedPorts,
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// Answer to the service's names.
    pub use_aliases: bool,
    /// With a terminal.
    pub tty: bool,
    /// With standard input.
    pub interactive: bool,
    /// Removed when it ends.
    pub remove: bool,
}

/// Ports of a one-off container.
#[derive(Clone, Debug, Default)]
pub enum PublishedPorts {
    /// None: it runs beside the service.
    #[default]
    None,
    /// The service's.
    Service,
    /// These.
    These(Vec<PortSpec>),
}

impl Stack {
    /// The container of a `run`.
    #[must_use]
    pub fn one_off(&self, service: &str, run: OneOff) -> Option<ContainerSpec> {
        let mut spec = self.template(service)?.clone();
        let desired = self.desired.services.get(service)?;
        let separator = self.desired.separator;
        let default = format!(
            "{}{separator}{service}{separator}run{separator}{}",
            self.desired.project, run.slug
        );
        spec.name = Some(run.name.unwrap_or(default));
        if let Some(entrypoint) = run.entrypoint {
            spec.entrypoint = Some(entrypoint);
            spec.command = Some(Vec::new());
        }
        if !run.command.is_empty() {
            spec.command = Some(run.command);
        }
        spec.env.extend(run.env);
        if run.user.is_some() {
            spec.user = run.user;
        }
        if run.workdir.is_some() {
            spec.working_dir = run.workdir;
        }
        spec.tty = run.tty;
        spec.open_stdin = run.interactive;
        spec.stdin_once = run.interactive;
        spec.restart = RestartPolicy::No;
        spec.auto_remove = run.remove;
        spec.security.cap_add.extend(run.cap_add);
        spec.security.cap_drop.extend(run.cap_drop);
        for mount in run.mounts {
            spec.mounts.retain(|old| old.target != mount.target);
            spec.mounts.push(mount);
        }
        match run.ports {
            PublishedPorts::None => spec.ports.clear(),
            PublishedPorts::Service => {}
            PublishedPorts::These(ports) => spec.ports = ports,
        }
        if let NetworkMode::Networks(endpoints) = &mut spec.network {
            for endpoint in endpoints {
                // The service's own address belongs to the service's container.
                endpoint.ipv4 = None;
                endpoint.ipv6 = None;
                endpoint.mac_address = None;
                if !run.use_aliases {
                    endpoint.aliases.clear();
                }
            }
        }
        spec.labels.extend(run.labels);
        for (key, value) in [
            (labels::ONE_OFF, "True".to_owned()),
            (labels::SLUG, run.slug),
            (labels::CONFIG_HASH, desired.config_hash.clone()),
            (labels::NUMBER, "1".to_owned()),
        ] {
            spec.labels.insert(key.to_owned(), value);
        }
        Some(spec)
    }
}
