//! Images: looking them up, moving them, building them.

use std::path::PathBuf;
use std::time::SystemTime;

use gantry_engine::build::{
    self, BuildDeps, BuildProgress, BuildRequest, ContextSource, DockerfileSource, NoCache,
    PullPolicy, RunNetwork,
};
use gantry_engine::container::events::Action;
use gantry_engine::engine::Engine;
use gantry_engine::error::{Classify as _, ErrorKind};
use gantry_engine::image::{Platform, Reference, Transfer, TransferState};
use gantry_engine::registry::{self, RegistryOptions};
use gantry_engine::spec::ExtraHost;

use super::steps::Steps;
use crate::backend::{
    BackendError, BuildCancel, BuildEvent, BuildSpec, Image, ImageProgress, Result, SecretSource,
};

pub(super) fn find(engine: &Engine, name: &str) -> Result<Option<Image>> {
    let image = match engine.images().resolve(name) {
        Ok(image) => image,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(BackendError::wrap(
                format!("cannot look at image `{name}`"),
                error,
            ));
        }
    };
    let (tags, digests) = engine
        .images()
        .names(&image.id)
        .map_err(|error| BackendError::wrap(format!("cannot look at image `{name}`"), error))?;
    let names = tags.iter().chain(&digests);
    let run = &image.config.config;
    Ok(Some(Image {
        id: image.id.to_string(),
        tags: tags.iter().map(Reference::familiar).collect(),
        platform: platform(
            &image.config.os,
            &image.config.architecture,
            &image.config.variant,
        ),
        size: image.size(),
        created: image.config.created.as_deref().and_then(time),
        tagged: names
            .filter_map(|name| engine.images().named_at(name))
            .max(),
        volumes: run.volumes.keys().cloned().collect(),
        has_healthcheck: run
            .healthcheck
            .as_ref()
            .is_some_and(|check| check.test.first().is_some_and(|word| word != "NONE")),
        working_dir: Some(run.working_dir.clone()).filter(|dir| !dir.is_empty()),
    }))
}

fn platform(os: &str, architecture: &str, variant: &str) -> String {
    let slash = if variant.is_empty() { "" } else { "/" };
    format!("{os}/{architecture}{slash}{variant}")
}

fn time(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

fn reference(text: &str) -> Result<Reference> {
    Reference::parse(text).map_err(|error| {
        BackendError::new(
            ErrorKind::Invalid,
            format!("`{text}` is not an image's name: {error}"),
        )
    })
}

fn word(state: TransferState) -> &'static str {
    match state {
        TransferState::Waiting => "Waiting",
        TransferState::Downloading => "Downloading",
        TransferState::Uploading => "Pushing",
        TransferState::Retrying => "Retrying",
        TransferState::Exists => "Already exists",
        TransferState::Mounted => "Mounted",
        TransferState::Done => "Done",
    }
}

fn told(transfer: Transfer) -> ImageProgress {
    ImageProgress {
        id: transfer.layer,
        status: word(transfer.state).to_owned(),
        current: transfer.total.is_some().then_some(transfer.current),
        total: transfer.total,
    }
}

pub(super) fn pull(
    engine: &Engine,
    name: &str,
    platform: Option<&str>,
    progress: &(dyn Fn(ImageProgress) + Sync),
) -> Result<String> {
    let failed = |error| BackendError::wrap(format!("cannot pull image `{name}`"), error);
    let platform = platform
        .map(Platform::parse)
        .transpose()
        .map_err(|error| BackendError::wrap(format!("cannot pull image `{name}`"), error))?;
    let options = RegistryOptions {
        platform,
        ..RegistryOptions::of_machine()
    };
    let pulled =
        registry::pull_blocking(engine.images(), &reference(name)?, &options, &|transfer| {
            progress(told(transfer));
        })
        .map_err(failed)?;
    engine.tell_image(name, name, Action::Pull);
    Ok(pulled.image.id.to_string())
}

pub(super) fn push(
    engine: &Engine,
    name: &str,
    progress: &(dyn Fn(ImageProgress) + Sync),
) -> Result<()> {
    let options = RegistryOptions::of_machine();
    registry::push_blocking(engine.images(), &reference(name)?, &options, &|transfer| {
        progress(told(transfer));
    })
    .map_err(|error| BackendError::wrap(format!("cannot push image `{name}`"), error))?;
    engine.tell_image(name, name, Action::Push);
    Ok(())
}

pub(super) fn build(
    engine: &Engine,
    spec: &BuildSpec,
    cancel: &BuildCancel,
    progress: &(dyn Fn(BuildEvent) + Send + Sync),
) -> Result<String> {
    let deps = BuildDeps {
        paths: engine.paths(),
        images: engine.images(),
    };
    let steps = Steps::default();
    let sink = |event: BuildProgress| {
        if let Some(event) = steps.name(event) {
            progress(event);
        }
    };
    let outcome = build::build(&request(spec)?, deps, &sink, cancel).map_err(|error| {
        let drawn = error.diagnostic().map(build::Diagnostic::render);
        BackendError {
            drawn,
            ..BackendError::wrap("cannot build the image", error)
        }
    });
    engine.sweep_later();
    let outcome = outcome?;
    if spec.check {
        return Ok(String::new());
    }
    outcome.image_id.ok_or_else(|| {
        BackendError::new(
            ErrorKind::Invalid,
            "the build gave no image: its outputs ask for none",
        )
    })
}

fn request(spec: &BuildSpec) -> Result<BuildRequest> {
    let context = match spec.context.as_deref() {
        None => ContextSource::Empty,
        Some(text) => match spec.directory() {
            Some(directory) => ContextSource::Directory(directory.to_owned()),
            None => ContextSource::Url(text.to_owned()),
        },
    };
    let dockerfile = match (&spec.inline, &spec.dockerfile) {
        (Some(text), _) => DockerfileSource::Text {
            name: "dockerfile_inline".to_owned(),
            text: text.clone().into_bytes(),
        },
        // Relative to the context, not to where the command runs.
        (None, Some(path)) => DockerfileSource::Path(match spec.directory() {
            Some(directory) => directory.join(path),
            None => path.clone(),
        }),
        (None, None) => DockerfileSource::Default,
    };
    Ok(BuildRequest {
        context,
        dockerfile,
        target: spec.target.clone(),
        args: spec.args.iter().cloned().collect(),
        tags: spec.tags.clone(),
        labels: spec.labels.iter().cloned().collect(),
        platforms: spec.platforms.clone(),
        secrets: spec
            .secrets
            .iter()
            .map(|(id, source)| (id.clone(), secret(source)))
            .collect(),
        ssh: spec.ssh.iter().filter_map(|text| ssh(text)).collect(),
        contexts: spec.contexts.iter().cloned().collect(),
        no_cache: match (spec.no_cache, spec.no_cache_filter.is_empty()) {
            (true, _) => NoCache::All,
            (false, true) => NoCache::Never,
            (false, false) => NoCache::Stages(spec.no_cache_filter.clone()),
        },
        pull: if spec.pull {
            PullPolicy::Always
        } else {
            PullPolicy::Missing
        },
        network: match spec.network.as_deref() {
            None | Some("" | "default") => RunNetwork::Default,
            Some("none") => RunNetwork::None,
            Some("host") => RunNetwork::Host,
            Some(name) => RunNetwork::Named(name.to_owned()),
        },
        extra_hosts: spec
            .extra_hosts
            .iter()
            .map(|line| extra_host(line))
            .collect::<Result<_>>()?,
        shm_size: spec.shm_size,
        ulimits: spec.ulimits.iter().cloned().collect(),
        entitlements: spec.entitlements.clone(),
        cache_from: spec.cache_from.clone(),
        cache_to: spec.cache_to.clone(),
        check: spec.check,
        ..BuildRequest::default()
    })
}

fn secret(source: &SecretSource) -> build::SecretSource {
    match source {
        SecretSource::File(path) => build::SecretSource::File(path.clone()),
        SecretSource::Bytes(bytes) => build::SecretSource::Bytes(bytes.clone()),
    }
}

/// `id` or `id=path`; an id alone is the agent of this session.
fn ssh(text: &str) -> Option<(String, PathBuf)> {
    match text.split_once('=') {
        Some((id, path)) => Some((id.to_owned(), path.into())),
        None => Some((text.to_owned(), std::env::var_os("SSH_AUTH_SOCK")?.into())),
    }
}

fn extra_host(line: &str) -> Result<ExtraHost> {
    let parsed = line.split_once('=').and_then(|(name, address)| {
        let address = match address {
            "host-gateway" => None,
            ip => Some(ip.parse().ok()?),
        };
        Some(ExtraHost {
            name: name.to_owned(),
            address,
        })
    });
    parsed.ok_or_else(|| {
        BackendError::new(
            ErrorKind::Invalid,
            format!("extra host `{line}`: expected name=address"),
        )
    })
}
