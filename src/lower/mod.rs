//! The one translation from the model to the engine's specifications.
//!
//! [`lower`] takes a project and returns a [`Stack`]: what `plan` compares ([`Desired`]) and the
//! specifications the executor hands to the backend. Attributes that the engine cannot do are
//! refused here by name, all at once; those that only mean something to an orchestrator are
//! told. Nothing is ignored silently. No engine is called and no file is read.

pub mod build;
mod check;
mod devices;
mod finding;
mod instance;
mod labels;
mod mounts;
mod network;
mod oneoff;
mod process;
mod refuse;
mod resources;
mod security;
pub mod words;

pub use network::published;
pub use security::security_option;

use std::collections::{BTreeMap, BTreeSet};

use gantry_engine::container::machine::Machine;
use gantry_engine::image::Reference;
use gantry_engine::spec::{ContainerSpec, NetworkSpec};
use indexmap::IndexMap;
use sha2::{Digest as _, Sha256};

use crate::backend::VolumeSpec;
use crate::model::{self, Project, Service};
use crate::plan::{self, Desired, Resource};

pub use finding::{Finding, Findings};
pub use oneoff::{OneOff, PublishedPorts};

/// A project, ready for planning and executing.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The project.
    pub project: Project,
    /// What the plan compares.
    pub desired: Desired,
    /// A container of each service, without name and number.
    templates: IndexMap<String, ContainerSpec>,
    /// Networks by key.
    networks: BTreeMap<String, NetworkSpec>,
    /// Volumes by key.
    volumes: BTreeMap<String, VolumeSpec>,
}

/// What is not in the file: what the command line adds, and what the machine has.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The machine on which containers are made now.
    pub machine: Option<Machine>,
    /// `--scale`.
    pub scale: BTreeMap<String, u32>,
    /// `--compatibility`.
    pub underscores: bool,
}

/// Translates a project. Containers can be made of the stack only when nothing is refused;
/// stopping and removing what exists needs no more than the rest.
pub fn lower(project: Project, overrides: &Overrides) -> (Stack, Findings) {
    let mut findings = Findings::default();
    refuse::project(&project, &mut findings);
    let mut templates = IndexMap::new();
    for (name, service) in &project.services {
        refuse::service(name, service, &mut findings);
        let context = Context {
            project: &project,
            name,
            service,
            separator: separator(overrides),
        };
        let spec = template(&context, &mut findings);
        if let Some(machine) = &overrides.machine {
            check::machine(&context, &spec, machine, &mut findings);
        }
        templates.insert(name.clone(), spec);
    }
    let networks = project
        .networks
        .iter()
        .filter(|(_, network)| !network.external)
        .filter_map(|(key, network)| {
            let spec = network::network(&project.name, key, network, &mut findings)?;
            Some((key.clone(), spec))
        })
        .collect();
    let volumes = project
        .volumes
        .iter()
        .filter(|(_, volume)| !volume.external)
        .map(|(key, volume)| (key.clone(), mounts::volume(&project.name, key, volume)))
        .collect();
    let desired = desired(&project, overrides);
    let stack = Stack {
        project,
        desired,
        templates,
        networks,
        volumes,
    };
    (stack, findings)
}

/// One service and where it stands.
struct Context<'a> {
    project: &'a Project,
    name: &'a str,
    service: &'a Service,
    separator: char,
}

impl Context<'_> {
    /// Dotted path of an attribute.
    fn path(&self, attribute: &str) -> String {
        format!("services.{}.{attribute}", self.name)
    }

    /// Name of the first container of another service: whose namespace or mounts are shared.
    fn container_of(&self, service: &str) -> String {
        match self.project.services.get(service) {
            Some(other) if !other.container_name.is_empty() => other.container_name.clone(),
            _ => format!(
                "{}{}{service}{}1",
                self.project.name, self.separator, self.separator
            ),
        }
    }
}

fn separator(overrides: &Overrides) -> char {
    if overrides.underscores { '_' } else { '-' }
}

/// The container that every container of the service is made after.
fn template(context: &Context<'_>, findings: &mut Findings) -> ContainerSpec {
    let mut spec = ContainerSpec {
        image: image_name(&context.project.name, context.name, context.service),
        ..ContainerSpec::default()
    };
    if let Some(image) = some(&context.service.image) {
        image_reference(&image, context.path("image"), findings);
    }
    process::apply(context, &mut spec, findings);
    mounts::apply(context, &mut spec, findings);
    network::apply(context, &mut spec, findings);
    security::apply(context, &mut spec, findings);
    resources::apply(context, &mut spec, findings);
    labels::apply(context, &mut spec);
    check::apply(context, &spec, findings);
    spec
}

/// Refuses what is no name of an image.
fn image_reference(text: &str, path: String, findings: &mut Findings) {
    if let Err(error) = Reference::parse(text) {
        let why = std::error::Error::source(&error);
        let message = match why {
            Some(why) => format!("{error}: {why}"),
            None => error.to_string(),
        };
        let remedy = "write `[REGISTRY/]NAME[:TAG][@DIGEST]`, the name in lower case";
        findings.refuse(path, message, remedy);
    }
}

/// The image of a service: as written, or `<project>-<service>` for one that is only built.
#[must_use]
pub fn image_name(project: &str, name: &str, service: &Service) -> String {
    if service.image.is_empty() {
        format!("{project}-{name}")
    } else {
        service.image.clone()
    }
}

fn desired(project: &Project, overrides: &Overrides) -> Desired {
    let aliases = network::link_aliases(project);
    let services = project
        .services
        .iter()
        .map(|(name, service)| {
            let replicas = overrides
                .scale
                .get(name)
                .copied()
                .unwrap_or_else(|| service.replicas());
            let entry = plan::Service {
                replicas,
                container_name: some(&service.container_name),
                config_hash: config_hash(service, aliases.get(name.as_str())),
                image_id: None,
                depends_on: dependencies(project, service),
                tied_to: joined(service)
                    .into_iter()
                    .chain(sources(service))
                    .collect(),
                joined: joined(service),
                networks: network::keys(project, service),
                volumes: mounts::keys(service),
            };
            (name.clone(), entry)
        })
        .collect();
    Desired {
        project: project.name.clone(),
        separator: separator(overrides),
        services,
        disabled: project.disabled_services.keys().cloned().collect(),
        networks: project
            .networks
            .iter()
            .filter(|(_, n)| network::fixed(n).is_none())
            .map(|(key, n)| {
                (
                    key.clone(),
                    resource(&n.name, n.external, model::network_hash(n)),
                )
            })
            .collect(),
        volumes: project
            .volumes
            .iter()
            .map(|(key, v)| {
                (
                    key.clone(),
                    resource(&v.name, v.external, model::volume_hash(v)),
                )
            })
            .collect(),
    }
}

fn resource(name: &str, external: bool, config_hash: String) -> Resource {
    Resource {
        name: name.to_owned(),
        external,
        config_hash,
    }
}

/// Docker Compose's hash; a service that others link to under another name also depends on
/// those names, because here they are its aliases.
fn config_hash(service: &Service, aliases: Option<&BTreeSet<String>>) -> String {
    let hash = model::config_hash(service);
    let Some(aliases) = aliases else {
        return hash;
    };
    let mut digest = Sha256::new();
    digest.update(hash.as_bytes());
    for alias in aliases {
        digest.update(b"\0");
        digest.update(alias.as_bytes());
    }
    base16ct::lower::encode_string(&digest.finalize())
}

fn dependencies(project: &Project, service: &Service) -> IndexMap<String, plan::Dependency> {
    service
        .depends_on
        .iter()
        // One that a profile switches off is only left in when it is not required.
        .filter(|(name, _)| project.services.contains_key(*name))
        .map(|(name, dependency)| {
            let entry = plan::Dependency {
                condition: match dependency.condition {
                    model::Condition::Started => plan::Condition::Started,
                    model::Condition::Healthy => plan::Condition::Healthy,
                    model::Condition::CompletedSuccessfully => {
                        plan::Condition::CompletedSuccessfully
                    }
                },
                required: dependency.required.0,
                restart: dependency.restart,
            };
            (name.clone(), entry)
        })
        .collect()
}

/// Services whose container's namespaces this one's shares.
fn joined(service: &Service) -> BTreeSet<String> {
    let namespaces = [
        &service.network_mode,
        &service.ipc,
        &service.pid,
        &service.uts,
        &service.cgroup,
        &service.userns_mode,
    ];
    let services = namespaces
        .into_iter()
        .filter_map(|mode| mode.strip_prefix("service:"));
    services.map(str::to_owned).collect()
}

/// Services that a service takes the volumes of.
fn sources(service: &Service) -> impl Iterator<Item = String> {
    let entries = service.volumes_from.iter();
    entries
        .filter(|entry| !entry.starts_with("container:"))
        .map(|entry| entry.split(':').next().unwrap_or(entry).to_owned())
}

/// An attribute that was left empty is not set.
fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
