//! Volumes, binds, tmpfs, configs and secrets.

use std::path::PathBuf;

use gantry_engine::spec::{
    BindOptions, ContainerSpec, FileSpec, MountKind, MountSpec, Propagation, TmpfsOptions,
};

use crate::backend::VolumeSpec;
use crate::model::{self, FileMount, Mount, MountType, Service};
use crate::plan::labels;

use super::{Context, Findings, some, words};

/// Keys of the named volumes a service mounts.
pub(super) fn keys(service: &Service) -> Vec<String> {
    let mut keys: Vec<_> = service
        .volumes
        .iter()
        .filter(|mount| mount.r#type == MountType::Volume && !mount.source.is_empty())
        .map(|mount| mount.source.clone())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// What is ours alone: whether the ids of a bind mount are mapped.
fn own(entry: &Mount) -> Result<bool, String> {
    let Some(own) = entry.extensions.get("x-gantry") else {
        return Ok(false);
    };
    let own = own
        .as_object()
        .ok_or("`x-gantry` must be a mapping".to_owned())?;
    if let Some(key) = own.keys().find(|key| *key != "idmap") {
        return Err(format!("`{key}` is not known in the `x-gantry` of a mount"));
    }
    match own.get("idmap") {
        None => Ok(false),
        Some(_) if entry.r#type != MountType::Bind => {
            Err("only the ids of a bind mount are mapped (`x-gantry.idmap`)".to_owned())
        }
        Some(idmap) => idmap
            .as_bool()
            .ok_or("`x-gantry.idmap` must be true or false".to_owned()),
    }
}

/// A volume of the project.
pub(super) fn volume(project: &str, key: &str, volume: &model::Volume) -> VolumeSpec {
    let hash = model::volume_hash(volume);
    VolumeSpec {
        name: volume.name.clone(),
        driver: some(&volume.driver).unwrap_or_else(|| "local".to_owned()),
        options: volume.driver_opts.clone(),
        labels: super::labels::of_resource(project, labels::VOLUME, key, hash, &volume.labels),
    }
}

pub(super) fn apply(context: &Context<'_>, spec: &mut ContainerSpec, findings: &mut Findings) {
    let service = context.service;
    for (index, entry) in service.volumes.iter().enumerate() {
        let path = context.path(&format!("volumes[{index}]"));
        if let Some(mount) = mount(context, entry, &path, findings) {
            spec.mounts.push(mount);
        }
    }
    for (index, entry) in service.tmpfs.iter().enumerate() {
        match words::tmpfs(entry) {
            Ok(mount) => spec.mounts.push(mount),
            Err(message) => findings.refuse(
                context.path(&format!("tmpfs[{index}]")),
                message,
                "write `PATH:size=64m,mode=1777,uid=0,gid=0`; options are those of `mount -t tmpfs`",
            ),
        }
    }
    for entry in &service.volumes_from {
        spec.volumes_from.push(volumes_from(context, entry));
    }
    files(context, spec, findings);
    // A mount below another's target comes after it.
    spec.mounts.sort_by_key(|mount| {
        mount
            .target
            .split('/')
            .filter(|part| !part.is_empty())
            .count()
    });
}

fn volumes_from(context: &Context<'_>, entry: &str) -> String {
    if let Some(container) = entry.strip_prefix("container:") {
        return container.to_owned();
    }
    let (service, mode) = entry.split_once(':').unwrap_or((entry, ""));
    let name = context.container_of(service);
    if mode.is_empty() {
        name
    } else {
        format!("{name}:{mode}")
    }
}

fn mount(
    context: &Context<'_>,
    entry: &Mount,
    path: &str,
    findings: &mut Findings,
) -> Option<MountSpec> {
    let mut refuse = |message: String, hint: &str| {
        findings.refuse(path, message, hint);
        None
    };
    let idmap = match own(entry) {
        Ok(idmap) => idmap,
        Err(message) => {
            return refuse(message, "write `x-gantry: { idmap: true }` at a bind mount");
        }
    };
    let kind = match entry.r#type {
        MountType::Bind => {
            let options = entry.bind.clone().unwrap_or_default();
            let propagation = match words::propagation(&options.propagation) {
                Ok(propagation) => propagation,
                Err(message) => {
                    let hint =
                        "use `rprivate`, `private`, `rshared`, `shared`, `rslave` or `slave`";
                    return refuse(message, hint);
                }
            };
            let non_recursive = match options.recursive.as_str() {
                "" | "enabled" | "writable" => false,
                "disabled" => true,
                "readonly" if entry.read_only && propagation == Propagation::RPrivate => false,
                other => {
                    return refuse(
                        format!(
                            "`bind.recursive: {other}` needs `read_only: true` and the propagation `rprivate`"
                        ),
                        "use `enabled` or `disabled`, or make the mount read-only",
                    );
                }
            };
            MountKind::Bind {
                source: PathBuf::from(&entry.source),
                options: BindOptions {
                    create_source: options.create_host_path,
                    non_recursive,
                    writable_below: options.recursive == "writable",
                    propagation,
                    idmap,
                },
            }
        }
        MountType::Volume => {
            let options = entry.volume.clone().unwrap_or_default();
            let name = some(&entry.source).map(|key| {
                context
                    .project
                    .volumes
                    .get(&key)
                    .map_or(key, |volume| volume.name.clone())
            });
            MountKind::Volume {
                name,
                no_copy: options.nocopy,
                subpath: some(&options.subpath),
                labels: options.labels,
            }
        }
        MountType::Tmpfs => {
            let options = entry.tmpfs.clone().unwrap_or_default();
            MountKind::Tmpfs(TmpfsOptions {
                size: u64::try_from(options.size.0).ok().filter(|size| *size > 0),
                mode: (options.mode != 0).then_some(options.mode),
                ..TmpfsOptions::default()
            })
        }
        MountType::Image => MountKind::Image {
            reference: entry.source.clone(),
            subpath: entry.image.as_ref().and_then(|image| some(&image.subpath)),
        },
        MountType::Cluster => {
            return refuse("`type: cluster` needs a swarm".to_owned(), "use a volume");
        }
        MountType::Npipe => {
            return refuse("`type: npipe` is of Windows".to_owned(), "use a bind mount");
        }
    };
    Some(MountSpec {
        target: entry.target.clone(),
        kind,
        read_only: entry.read_only,
    })
}

/// Configs and secrets: files of this machine are bound read-only, contents are written into
/// the container. Docker Compose does the same.
fn files(context: &Context<'_>, spec: &mut ContainerSpec, findings: &mut Findings) {
    let project = context.project;
    for (index, entry) in context.service.secrets.iter().enumerate() {
        let Some(secret) = project.secrets.get(&entry.source) else {
            continue;
        };
        let path = context.path(&format!("secrets[{index}]"));
        let target = target(entry, "/run/secrets/");
        if !secret.file.is_empty() {
            bind_file(spec, entry, &secret.file, target, &path, findings);
        } else if !secret.environment.is_empty() {
            match project.secret_value(secret) {
                Some(value) => write_file(spec, entry, value, target, &path, findings),
                None => findings.refuse(
                    format!("secrets.{}.environment", entry.source),
                    format!("the variable `{}` is not set", secret.environment),
                    "export it, or write it into `.env`",
                ),
            }
        } else {
            no_store(format!("secrets.{}", entry.source), "secret", findings);
        }
    }
    for (index, entry) in context.service.configs.iter().enumerate() {
        let Some(config) = project.configs.get(&entry.source) else {
            continue;
        };
        let path = context.path(&format!("configs[{index}]"));
        let target = target(entry, "/");
        if !config.file.is_empty() {
            bind_file(spec, entry, &config.file, target, &path, findings);
        } else if !config.environment.is_empty() {
            match project.environment.get(&config.environment) {
                Some(value) => write_file(spec, entry, value, target, &path, findings),
                None => findings.refuse(
                    format!("configs.{}.environment", entry.source),
                    format!("the variable `{}` is not set", config.environment),
                    "export it, or write it into `.env`",
                ),
            }
        } else if config.external || !config.driver.is_empty() {
            no_store(format!("configs.{}", entry.source), "config", findings);
        } else {
            write_file(spec, entry, &config.content, target, &path, findings);
        }
    }
}

fn no_store(path: String, kind: &str, findings: &mut Findings) {
    findings.refuse(
        path,
        format!("external {kind}s need a cluster's {kind} store"),
        "use `file:` or `environment:`",
    );
}

fn target(entry: &FileMount, directory: &str) -> String {
    let target = if entry.target.is_empty() {
        &entry.source
    } else {
        &entry.target
    };
    if target.starts_with('/') {
        target.clone()
    } else {
        format!("{directory}{target}")
    }
}

fn bind_file(
    spec: &mut ContainerSpec,
    entry: &FileMount,
    file: &str,
    target: String,
    path: &str,
    findings: &mut Findings,
) {
    if !entry.uid.is_empty() || !entry.gid.is_empty() || entry.mode.is_some() {
        findings.warn(
            path,
            "`uid`, `gid` and `mode` are not supported for a file that is mounted as it is, they will be ignored",
            "change the file's own owner and mode, or use `environment:` or `content:`",
        );
    }
    spec.mounts.push(MountSpec {
        target,
        kind: MountKind::Bind {
            source: PathBuf::from(file),
            options: BindOptions::default(),
        },
        read_only: true,
    });
}

fn write_file(
    spec: &mut ContainerSpec,
    entry: &FileMount,
    content: &str,
    target: String,
    path: &str,
    findings: &mut Findings,
) {
    let mut number = |text: &str, attribute: &str| {
        if text.is_empty() {
            return 0;
        }
        text.parse().unwrap_or_else(|_| {
            findings.refuse(
                format!("{path}.{attribute}"),
                format!("`{text}` is not a number"),
                "write the number of the user or group, as text: `\"1000\"`",
            );
            0
        })
    };
    let uid = number(&entry.uid, "uid");
    let gid = number(&entry.gid, "gid");
    let mode = entry
        .mode
        .map_or(0o444, |mode| u32::try_from(mode.0).unwrap_or(0o444));
    spec.files.push(FileSpec {
        target,
        content: content.as_bytes().to_vec(),
        mode,
        uid,
        gid,
    });
}
