//! Images from containers.

use std::fs;
use std::time::Duration;

use indexmap::IndexMap;

use crate::build::{self, BuildDeps, BuildRequest, Cancel, ContextSource, DockerfileSource};
use crate::container::events::Action;
use crate::container::record::Record;
use crate::container::{Container, ContainerError, Status, diff};
use crate::image::{
    HealthConfig, History, Image, ImageConfig, ImageError, ImageId, Lease, Reference, RunConfig,
};
use crate::layer::{ChainId, Kin};
use crate::mount::RootMount;
use crate::snapshot;
use crate::spec::{Healthcheck, MountKind};

use super::{Engine, EngineError, Result};

/// How a container becomes an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// Name of the image.
    pub reference: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// What was done.
    pub message: Option<String>,
    /// Lines of a Dockerfile that change the configuration.
    pub changes: Vec<String>,
    /// Freeze the container meanwhile, if it runs.
    pub pause: bool,
}

/// Instructions that change nothing but the configuration.
const CHANGES: &[&str] = &[
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

impl Engine {
    /// Makes an image of a container's files and settings.
    pub fn commit(&self, reference: &str, options: &CommitOptions) -> Result<ImageId> {
        let name = match &options.reference {
            Some(text) => Some(Reference::parse(text).map_err(ImageError::from)?),
            None => None,
        };
        check_changes(&options.changes)?;
        let container = self.inspect(reference)?;
        let record = self.containers.store().read(&container.id)?;
        let pause = options.pause && container.state.status == Status::Running;
        if pause {
            self.pause(record.id.as_str())?;
        }
        let lease = self.images.lease()?;
        let made = self.snapshot(&container, &record, options, &lease);
        if pause {
            self.unpause(record.id.as_str())?;
        }
        let made = made?;
        let id = if options.changes.is_empty() {
            made.id
        } else {
            self.changed(&made, &options.changes)?
        };
        if let Some(name) = name {
            self.images.tag(&id, &name)?;
        }
        self.containers.tell(&record, Action::Commit);
        Ok(id)
    }

    /// What an image of the container would say about how to run it: what its own image says, and what it was given.
    pub fn run_config(&self, container: &Container) -> RunConfig {
        // An image that is gone says nothing any more.
        let image = self.images.resolve(&container.image_id);
        let image = image.map_or_else(|_| RunConfig::default(), |image| image.config.config);
        run_config(image, container)
    }

    /// A layer of what the container has written, over its image.
    fn snapshot(
        &self,
        container: &Container,
        record: &Record,
        options: &CommitOptions,
        lease: &Lease,
    ) -> Result<Image> {
        let upper = match &record.root {
            RootMount::Overlay(overlay) => overlay.upper.as_ref(),
            RootMount::Directory { .. } => None,
        };
        let upper = upper.ok_or_else(|| ContainerError::Unsupported {
            option: "`commit`".to_owned(),
            reason: "the container's root is not layered".to_owned(),
        })?;
        let image = self.images.resolve(&record.image_id)?;
        let draft = self.images.layers().draft().map_err(layer)?;
        let copy = draft.dir();
        snapshot::copy_upper(upper, &copy).map_err(ContainerError::from)?;
        forget_engine_files(record, &copy);
        let layers = self.images.layers();
        let made = layers
            .commit(
                &copy,
                image.chain().as_ref(),
                &image.base.lower(),
                Kin::None,
                &|chain| lease.claim(chain),
            )
            .map_err(layer)?;
        let mut config = configuration(&image, container, options);
        config.rootfs.diff_ids.push(made.diff_id);
        let chains: Vec<ChainId> = image
            .layers
            .iter()
            .map(|layer| layer.chain_id)
            .chain([made.chain_id])
            .collect();
        Ok(self.images.add_leased(&config, &chains, lease)?)
    }

    /// The image with `--change` lines applied: a build that has nothing but them.
    pub(super) fn changed(&self, image: &Image, changes: &[String]) -> Result<ImageId> {
        let text = format!("FROM {}\n{}\n", image.id, in_turn(changes).join("\n"));
        let request = BuildRequest {
            context: ContextSource::Empty,
            dockerfile: DockerfileSource::Text {
                name: "--change".to_owned(),
                text: text.into_bytes(),
            },
            pull: build::PullPolicy::Never,
            platforms: vec![image.config.platform().to_string()],
            args: IndexMap::new(),
            ..BuildRequest::default()
        };
        let deps = BuildDeps {
            paths: &self.paths,
            images: &self.images,
        };
        let outcome = build::build(&request, deps, &|_| {}, &Cancel::default())
            .map_err(|error| EngineError::Build(Box::new(error)))?;
        let id: ImageId = match outcome.image_id.as_deref().map(str::parse) {
            Some(Ok(id)) => id,
            _ => image.id,
        };
        if id != image.id {
            // What lies between has no name and no use.
            let _ = self.remove_image(&image.id.to_string(), true);
        }
        Ok(id)
    }
}

fn layer(error: crate::layer::LayerError) -> EngineError {
    ContainerError::from(snapshot::SnapshotError::from(error)).into()
}

pub(super) fn check_changes(changes: &[String]) -> Result<()> {
    for change in changes {
        let word = change.split_whitespace().next().unwrap_or_default();
        if !CHANGES.contains(&word.to_uppercase().as_str()) || change.contains('\n') {
            return Err(ContainerError::Invalid(format!(
                "`{change}` is not a valid change: one line that begins with {}",
                CHANGES.join(", ")
            ))
            .into());
        }
    }
    Ok(())
}

/// The user last: as with Docker, it need not be one whom the image knows, and so cannot own a directory that
/// `WORKDIR` makes.
fn in_turn(changes: &[String]) -> Vec<&str> {
    let is_user = |change: &&str| {
        let word = change.split_whitespace().next().unwrap_or_default();
        word.eq_ignore_ascii_case("USER")
    };
    let changes = changes.iter().map(String::as_str);
    let (users, mut others): (Vec<_>, Vec<_>) = changes.partition(is_user);
    others.extend(users);
    others
}

/// Empty files and directories that only mounts needed are no part of the image.
fn forget_engine_files(record: &Record, copy: &std::path::Path) {
    // The deepest first; what has content, or is no file of ours, stays.
    for path in diff::ours(record).iter().rev() {
        let place = copy.join(path.strip_prefix("/").unwrap_or(path));
        let Ok(metadata) = fs::symlink_metadata(&place) else {
            continue;
        };
        if metadata.is_dir() {
            let _ = fs::remove_dir(&place);
        } else if metadata.is_file() && metadata.len() == 0 {
            let _ = fs::remove_file(&place);
        }
    }
}

/// The image's configuration with what the container was given.
fn configuration(image: &Image, container: &Container, options: &CommitOptions) -> ImageConfig {
    let mut config = image.config.clone();
    config.config = run_config(config.config, container);
    let now = jiff::Timestamp::now().to_string();
    config.created = Some(now.clone());
    config.author = options.author.clone().unwrap_or_default();
    config.history.push(History {
        created: Some(now),
        created_by: container.command.join(" "),
        author: config.author.clone(),
        comment: options.message.clone().unwrap_or_default(),
        ..History::default()
    });
    config
}

fn run_config(mut run: RunConfig, container: &Container) -> RunConfig {
    let spec = &container.spec;
    for (name, value) in &spec.env {
        let prefix = format!("{name}=");
        run.env.retain(|line| !line.starts_with(&prefix));
        run.env
            .extend(value.iter().map(|value| format!("{prefix}{value}")));
    }
    run.labels.clone_from(&container.labels);
    run.user.clone_from(&container.user);
    if spec.working_dir.is_some() {
        run.working_dir.clone_from(&container.working_dir);
    }
    for port in &container.exposed {
        run.exposed_ports.entry(port.clone()).or_default();
    }
    if let Some(entrypoint) = &spec.entrypoint {
        run.entrypoint = Some(entrypoint.clone());
        run.cmd = None;
    }
    if let Some(command) = &spec.command {
        run.cmd = Some(command.clone());
    }
    if let Some(signal) = &spec.stop_signal {
        run.stop_signal.clone_from(signal);
    }
    for mount in &spec.mounts {
        if let MountKind::Volume { name: None, .. } = mount.kind {
            run.volumes.entry(mount.target.clone()).or_default();
        }
    }
    if let Some(check) = &spec.healthcheck {
        run.healthcheck = Some(health_config(check, run.healthcheck.unwrap_or_default()));
    }
    run
}

/// A probe as an image says it; what was not given is the image's.
fn health_config(check: &Healthcheck, image: HealthConfig) -> HealthConfig {
    let Healthcheck::Probe {
        test,
        interval,
        timeout,
        retries,
        start_period,
        start_interval,
    } = check
    else {
        let test = vec!["NONE".to_owned()];
        return HealthConfig { test, ..image };
    };
    let nanos = |given: &Option<Duration>, image: i64| match given {
        Some(time) if !time.is_zero() => i64::try_from(time.as_nanos()).unwrap_or(i64::MAX),
        _ => image,
    };
    HealthConfig {
        test: test.as_deref().map_or(image.test, words),
        interval: nanos(interval, image.interval),
        timeout: nanos(timeout, image.timeout),
        start_period: nanos(start_period, image.start_period),
        start_interval: nanos(start_interval, image.start_interval),
        retries: retries.map_or(image.retries, i64::from),
    }
}

/// An argument vector of a probe in an image's words.
fn words(test: &[String]) -> Vec<String> {
    match test {
        [shell, flag, script] if shell == "/bin/sh" && flag == "-c" => {
            vec!["CMD-SHELL".to_owned(), script.clone()]
        }
        words => [&["CMD".to_owned()], words].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_changed_last() {
        let changes = ["user u", "WORKDIR /x", "USER v", "ENV a=b"].map(str::to_owned);
        assert_eq!(
            in_turn(&changes),
            ["WORKDIR /x", "ENV a=b", "user u", "USER v"]
        );
    }

    #[test]
    fn what_a_probe_leaves_out_is_the_images() {
        let image = HealthConfig {
            test: vec!["CMD-SHELL".to_owned(), "true".to_owned()],
            interval: 5,
            ..HealthConfig::default()
        };
        let disabled = health_config(&Healthcheck::Disabled, image.clone());
        assert_eq!(
            (disabled.test, disabled.interval),
            (vec!["NONE".to_owned()], 5)
        );
        let given = Healthcheck::Probe {
            test: Some(["/bin/sh", "-c", "x"].map(str::to_owned).to_vec()),
            interval: Some(Duration::ZERO),
            timeout: Some(Duration::from_nanos(7)),
            retries: Some(2),
            start_period: None,
            start_interval: None,
        };
        let merged = health_config(&given, image);
        let expected = HealthConfig {
            test: vec!["CMD-SHELL".to_owned(), "x".to_owned()],
            interval: 5,
            timeout: 7,
            retries: 2,
            ..HealthConfig::default()
        };
        assert_eq!(merged, expected);
    }
}
