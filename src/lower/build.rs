//! A service's `build` section as a build request.

use crate::backend::{BuildSpec, SecretSource};
use gantry_engine::image::Platform;

use crate::model::{Build, Project, Service};

use super::{Findings, image_name, image_reference, some};

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
    /// All of `build.platforms`, not only the one that can run here.
    pub every_platform: bool,
}

/// The build of a service; `None` when it has none. It is right only when nothing was refused.
pub fn request(
    project: &Project,
    name: &str,
    overrides: &BuildOverrides,
    findings: &mut Findings,
) -> Option<BuildSpec> {
    let service = project.any_service(name)?;
    let build = service.build.as_ref()?;
    refuse(name, build, findings);
    if let Some(image) = some(&service.image) {
        image_reference(&image, format!("services.{name}.image"), findings);
    }
    for (index, tag) in build.tags.iter().enumerate() {
        let path = format!("services.{name}.build.tags[{index}]");
        image_reference(tag, path, findings);
    }
    let path = |attribute: &str| format!("services.{name}.build.{attribute}");
    let inline = !build.dockerfile_inline.is_empty();
    Some(BuildSpec {
        context: Some(build.context.clone()),
        dockerfile: (!inline && !build.dockerfile.is_empty())
            .then(|| build.dockerfile.clone().into()),
        inline: inline.then(|| build.dockerfile_inline.clone()),
        target: some(&build.target),
        args: args(build, overrides),
        tags: std::iter::once(image_name(&project.name, name, service))
            .chain(build.tags.iter().cloned())
            .collect(),
        labels: build.labels.clone().into_iter().collect(),
        platforms: platforms(service, build, overrides),
        contexts: build
            .additional_contexts
            .iter()
            .map(|(key, value)| (key.clone(), context(project, value)))
            .collect(),
        secrets: secrets(project, build, findings),
        ssh: ssh(build, overrides),
        extra_hosts: build.extra_hosts.clone(),
        network: some(&build.network),
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
        no_cache_filter: build.no_cache_filter.clone(),
        cache_from: caches(&path("cache_from"), &build.cache_from, findings),
        cache_to: caches(&path("cache_to"), &build.cache_to, findings),
        pull: build.pull || overrides.pull,
        check: overrides.check,
    })
}

/// Refuses what the result would be wrong without.
fn refuse(name: &str, build: &Build, findings: &mut Findings) {
    let path = |attribute: &str| format!("services.{name}.build.{attribute}");
    for (given, attribute, message, help) in [
        (
            !matches!(build.isolation.as_str(), "" | "default"),
            "isolation",
            "`isolation` is of Windows and has no meaning on Linux",
            "remove it",
        ),
        (
            !matches!(build.provenance.as_str(), "" | "false"),
            "provenance",
            "attestations are not supported",
            "write `provenance: false`, or remove it",
        ),
        (
            !matches!(build.sbom.as_str(), "" | "false"),
            "sbom",
            "attestations are not supported",
            "write `sbom: false`, or remove it",
        ),
        (
            build.privileged,
            "privileged",
            "privileged builds are not supported",
            "remove it; `RUN --security=insecure` with `entitlements: [security.insecure]` asks for one step",
        ),
        (
            build.context.starts_with("service:"),
            "context",
            "another service's image cannot be the context",
            "name it under `additional_contexts` and use it with `FROM`",
        ),
    ] {
        if given {
            findings.refuse(path(attribute), message, help);
        }
    }
}

/// The caches that can be used. One of GitHub's runners is left out elsewhere by the reference too.
fn caches(path: &str, caches: &[String], findings: &mut Findings) -> Vec<String> {
    let mut kept = Vec::new();
    for (index, text) in caches.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let kind = text
            .split(',')
            .find_map(|pair| pair.trim().strip_prefix("type="));
        match kind {
            None | Some("registry" | "local" | "inline") => kept.push(text.clone()),
            Some("gha") => findings.warn(
                path,
                "a cache of type `gha` is ignored: it is of GitHub's runners",
                "leave it for them, or remove it",
            ),
            Some(other) => findings.refuse(
                path,
                format!("caches of type `{other}` are not supported"),
                "use type=registry, type=local or type=inline",
            ),
        }
    }
    kept
}

/// The file's arguments, then those of the command line; one without a value is left out.
fn args(build: &Build, overrides: &BuildOverrides) -> Vec<(String, String)> {
    let mut args: Vec<(String, String)> = build
        .args
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
        .collect();
    for (key, value) in &overrides.args {
        args.retain(|(old, _)| old != key);
        args.push((key.clone(), value.clone()));
    }
    args
}

/// `build` makes all platforms; what only wants to run makes one: the service's own, or this machine's.
fn platforms(service: &Service, build: &Build, overrides: &BuildOverrides) -> Vec<String> {
    if overrides.every_platform && !build.platforms.is_empty() {
        return build.platforms.clone();
    }
    if let Some(platform) = some(&service.platform) {
        return vec![platform];
    }
    let host = Platform::host();
    let is_ours = |text: &&String| {
        let platform = Platform::parse(text);
        platform.is_ok_and(|platform| host.accepts(&platform).is_some())
    };
    let ours = build.platforms.iter().find(is_ours);
    ours.or(build.platforms.first())
        .cloned()
        .into_iter()
        .collect()
}

fn secrets(
    project: &Project,
    build: &Build,
    findings: &mut Findings,
) -> Vec<(String, SecretSource)> {
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
            findings.refuse(
                format!("secrets.{}", mount.source),
                "the secret has no value",
                "use `file:`, or export the variable",
            );
        }
    }
    secrets
}

fn ssh(build: &Build, overrides: &BuildOverrides) -> Vec<String> {
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
    ssh
}

/// `service:x` is the image of that service.
fn context(project: &Project, value: &str) -> String {
    match value.strip_prefix("service:") {
        Some(other) => match project.any_service(other) {
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
    let build = project.any_service(name).and_then(|s| s.build.as_ref());
    build
        .into_iter()
        .flat_map(|build| build.additional_contexts.values())
        .filter_map(|value| value.strip_prefix("service:"))
        .map(str::to_owned)
        .collect()
}
