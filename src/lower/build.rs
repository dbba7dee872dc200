//! A service's `build` section as a build request.

use crate::backend::{BuildSpec, SecretSource};
use crate::model::Project;

use super::{Finding, image_name};

/// What the command line adds to a build.
#[derive(Clone, Debug, Default)]
pub struct BuildOverrides {
    /// `--build-arg`, resolved.
    pub args: Vec<(String, String)>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--pull`.
    pub pull: bool,
    /// `--ssh`.
    pub ssh: Vec<String>,
    /// `--check`.
    pub check: bool,
}

/// The build of a service; `None` when it has none.
pub fn request(
    project: &Project,
    name: &str,
    overrides: &BuildOverrides,
) -> Option<Result<BuildSpec, Vec<Finding>>> {
    let service = project.services.get(name)?;
    let build = service.build.as_ref()?;
    let mut findings = Vec::new();
    let mut refuse = |given: bool, attribute: &str, message: &str| {
        if given {
            findings.push(Finding {
                path: format!("services.{name}.build.{attribute}"),
                message: message.to_owned(),
                hint: None,
            });
        }
    };
    refuse(
        !matches!(build.isolation.as_str(), "" | "default"),
        "isolation",
        "`isolation` is of Windows",
    );
    refuse(
        !build.cache_from.is_empty(),
        "cache_from",
        "caches outside this machine are not supported",
    );
    refuse(
        !build.cache_to.is_empty(),
        "cache_to",
        "caches outside this machine are not supported",
    );
    refuse(
        !matches!(build.provenance.as_str(), "" | "false"),
        "provenance",
        "attestations are not supported",
    );
    refuse(
        !matches!(build.sbom.as_str(), "" | "false"),
        "sbom",
        "attestations are not supported",
    );
    refuse(
        build.privileged,
        "privileged",
        "privileged builds are not supported",
    );
    refuse(
        !build.no_cache_filter.is_empty(),
        "no_cache_filter",
        "only `no_cache` for the whole build is supported",
    );
    refuse(
        build.context.starts_with("service:"),
        "context",
        "another service's image cannot be the context; use `additional_contexts`",
    );
    let image = image_name(&project.name, name, service);
    let mut args: Vec<(String, String)> = build
        .args
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
        .collect();
    for (key, value) in &overrides.args {
        args.retain(|(old, _)| old != key);
        args.push((key.clone(), value.clone()));
    }
    let contexts = build
        .additional_contexts
        .iter()
        .map(|(key, value)| (key.clone(), context(project, value)))
        .collect();
    let mut secrets = Vec::new();
    for mount in &build.secrets {
        let id = if mount.target.is_empty() {
            &mount.source
        } else {
            &mount.target
        };
        let Some(secret) = project.secrets.get(&mount.source) else {
            continue;
        };
        if !secret.file.is_empty() {
            secrets.push((id.clone(), SecretSource::File(secret.file.clone().into())));
        } else if let Some(value) = project.secret_value(secret) {
            secrets.push((id.clone(), SecretSource::Bytes(value.as_bytes().to_vec())));
        } else {
            findings.push(Finding {
                path: format!("secrets.{}", mount.source),
                message: "the secret has no value".to_owned(),
                hint: Some("use `file:`, or export the variable".to_owned()),
            });
        }
    }
    if !findings.is_empty() {
        return Some(Err(findings));
    }
    let mut ssh: Vec<_> = build
        .ssh
        .iter()
        .map(|key| {
            if key.path.is_empty() {
                key.id.clone()
            } else {
                format!("{}={}", key.id, key.path)
            }
        })
        .collect();
    ssh.extend(overrides.ssh.iter().cloned());
    let inline = !build.dockerfile_inline.is_empty();
    Some(Ok(BuildSpec {
        context: Some(build.context.clone()),
        dockerfile: (!inline && !build.dockerfile.is_empty())
            .then(|| build.dockerfile.clone().into()),
        inline: inline.then(|| build.dockerfile_inline.clone()),
        target: super::some(&build.target),
        args,
        tags: std::iter::once(image)
            .chain(build.tags.iter().cloned())
            .collect(),
        labels: build.labels.clone().into_iter().collect(),
        platforms: if build.platforms.is_empty() {
            super::some(&service.platform).into_iter().collect()
        } else {
            build.platforms.clone()
        },
        contexts,
        secrets,
        ssh,
        extra_hosts: build.extra_hosts.clone(),
        network: super::some(&build.network),
        shm_size: u64::try_from(build.shm_size.0).ok().filter(|n| *n > 0),
        ulimits: build
            .ulimits
            .iter()
            .map(|(name, limit)| {
                let (soft, hard) = limit.limits();
                (name.clone(), gantry_engine::spec::Ulimit { soft, hard })
            })
            .collect(),
        entitlements: build.entitlements.clone(),
        no_cache: build.no_cache || overrides.no_cache,
        pull: build.pull || overrides.pull,
        check: overrides.check,
    }))
}

/// `service:x` is the image of that service.
fn context(project: &Project, value: &str) -> String {
    match value.strip_prefix("service:") {
        Some(other) => match project.services.get(other) {
            Some(service) => format!(
                "docker-image://{}",
                image_name(&project.name, other, service)
            ),
            None => value.to_owned(),
        },
        None => value.to_owned(),
    }
}

/// Services whose image a build needs first.
#[must_use]
pub fn prerequisites(project: &Project, name: &str) -> Vec<String> {
    let build = project.services.get(name).and_then(|s| s.build.as_ref());
    build
        .into_iter()
        .flat_map(|build| build.additional_contexts.values())
        .filter_map(|value| value.strip_prefix("service:"))
        .map(str::to_owned)
        .collect()
}
