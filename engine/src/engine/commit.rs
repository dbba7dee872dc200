//! Images from containers.

use std::fs;

use indexmap::IndexMap;

use crate::build::{self, BuildDeps, BuildRequest, Cancel, ContextSource, DockerfileSource};
use crate::container::events::Action;
use crate::container::record::Record;
use crate::container::{ContainerError, Status, diff};
use crate::image::{History, Image, ImageConfig, ImageError, ImageId, Reference};
use crate::layer::{ChainId, Kin};
use crate::mount::RootMount;
use crate::snapshot;

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
        let made = self.snapshot(&record, options);
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

    /// A layer of what the container has written, over its image.
    fn snapshot(&self, record: &Record, options: &CommitOptions) -> Result<Image> {
        let upper = match &record.root {
            RootMount::Overlay(overlay) => overlay.upper.as_ref(),
            RootMount::Directory { .. } => None,
        };
        let upper = upper.ok_or_else(|| ContainerError::Unsupported {
            option: "`commit`".to_owned(),
            reason: "the container's root is not layered".to_owned(),
        })?;
        let image = self.images.resolve(&record.image_id)?;
        let lease = self.images.lease()?;
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
            )
            .map_err(layer)?;
        lease.protect(&made.chain_id)?;
        let mut config = configuration(&image, record, options);
        config.rootfs.diff_ids.push(made.diff_id);
        let chains: Vec<ChainId> = image
            .layers
            .iter()
            .map(|layer| layer.chain_id)
            .chain([made.chain_id])
            .collect();
        Ok(self.images.add(&config, &chains)?)
    }

    /// The image with `--change` lines applied: a build that has nothing but them.
    pub(super) fn changed(&self, image: &Image, changes: &[String]) -> Result<ImageId> {
        let text = format!("FROM {}\n{}\n", image.id, changes.join("\n"));
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
fn configuration(image: &Image, record: &Record, options: &CommitOptions) -> ImageConfig {
    let (spec, resolved) = (&record.spec, &record.resolved);
    let mut config = image.config.clone();
    let run = &mut config.config;
    for (name, value) in &spec.env {
        let prefix = format!("{name}=");
        run.env.retain(|line| !line.starts_with(&prefix));
        run.env
            .extend(value.iter().map(|value| format!("{prefix}{value}")));
    }
    run.labels.clone_from(&resolved.labels);
    run.user.clone_from(&resolved.user);
    if spec.working_dir.is_some() {
        run.working_dir.clone_from(&resolved.working_dir);
    }
    for port in &resolved.exposed {
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
    let now = jiff::Timestamp::now().to_string();
    config.created = Some(now.clone());
    config.author = options.author.clone().unwrap_or_default();
    config.history.push(History {
        created: Some(now),
        created_by: resolved.argv.join(" "),
        author: config.author.clone(),
        comment: options.message.clone().unwrap_or_default(),
        ..History::default()
    });
    config
}
