//! `--cache-to`: the steps of this build for other machines.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Step;
use super::directory::Directory;
use super::document::{self, Known};
use super::option::{CacheTo, Mode, Target};
use crate::build::diagnostic::{Diagnostic, Severity, Source, Span};
use crate::build::digest::hex;
use crate::build::error::BuildError;
use crate::build::progress::{BuildProgress, StepId};
use crate::build::remote;
use crate::build::solve::{Solver, StageResult};
use crate::content::Digest;
use crate::error::{Classify, ErrorKind};
use crate::image::{Descriptor, ImageError, Manifest, Reference, media};

type Failure = (ErrorKind, Box<dyn Error + Send + Sync>);

/// The list of steps that goes into an image's configuration, when it was asked for: those that made its layers.
pub(in crate::build) fn inline(solver: &Solver<'_>, result: &StageResult) -> Option<Value> {
    let mut exports = solver.exports.iter();
    if !exports.any(|to| to.target == Target::Inline) {
        return None;
    }
    let place = |step: &Step| {
        let mut layers = result.stack.layers.iter();
        layers.position(|layer| layer.chain_id == step.layer.chain_id)
    };
    let steps = result.steps.iter().filter_map(|step| {
        Some(document::Inline {
            layer: place(step)?,
            key: hex(&step.key),
            created: step.created.clone(),
            step: step.name.clone(),
        })
    });
    serde_json::to_value(steps.collect::<Vec<_>>()).ok()
}

/// Writes the caches that were asked for. `results` are the targets, one for each platform.
pub(in crate::build) fn export(
    results: &[(&Solver<'_>, Arc<StageResult>)],
) -> Result<(), BuildError> {
    let Some((solver, _)) = results.first() else {
        return Ok(());
    };
    let elsewhere = |to: &&CacheTo| to.target != Target::Inline;
    for to in solver.exports.iter().filter(elsewhere) {
        let (number, begun) = (solver.number(), std::time::Instant::now());
        solver.tell(BuildProgress::Started {
            step: number,
            name: format!("exporting cache to {to}"),
        });
        let written = write(solver, number, to, &steps(to.mode, results));
        solver.tell(match &written {
            Err((_, error)) if !to.may_fail => BuildProgress::Failed {
                step: number,
                error: error.to_string(),
            },
            _ => BuildProgress::Done {
                step: number,
                elapsed: begun.elapsed(),
            },
        });
        match written {
            Ok(()) => {}
            Err((_, error)) if to.may_fail => warn(solver, to, &error.to_string()),
            Err((kind, source)) => {
                return Err(BuildError::Export {
                    to: to.to_string(),
                    source,
                    kind,
                });
            }
        }
    }
    Ok(())
}

fn warn(solver: &Solver<'_>, to: &CacheTo, reason: &str) {
    solver.tell(BuildProgress::Warning(Diagnostic {
        severity: Severity::Warning(None),
        source: Source::new("--cache-to", b""),
        span: Span::default(),
        message: format!("cannot export the cache to `{to}`: {reason}"),
        help: None,
    }));
}

/// The steps to write, each once.
fn steps(mode: Mode, results: &[(&Solver<'_>, Arc<StageResult>)]) -> Vec<Step> {
    let mut seen = BTreeSet::new();
    let mut steps: Vec<Step> = Vec::new();
    for (solver, result) in results {
        let mut all = result.steps.clone();
        if mode == Mode::Max {
            all.extend(solver.shared.steps_of_all_stages());
        }
        all.retain(|step| seen.insert((step.key, step.layer.chain_id)));
        steps.extend(all);
    }
    steps
}

fn write(solver: &Solver<'_>, number: StepId, to: &CacheTo, steps: &[Step]) -> Result<(), Failure> {
    let mut manifest = Manifest {
        schema_version: 2,
        media_type: media::OCI_MANIFEST.to_owned(),
        config: Descriptor::new(document::MEDIA_TYPE, Digest::of(b""), 0),
        layers: Vec::new(),
        extra: Map::new(),
    };
    let mut list = Vec::new();
    for step in steps {
        let blob = blob(solver, step).map_err(of_store)?;
        list.push(Known {
            key: hex(&step.key),
            parent: step.layer.parent,
            diff_id: step.layer.diff_id,
            blob: blob.digest,
            created: step.created.clone(),
            step: step.name.clone(),
        });
        if !manifest
            .layers
            .iter()
            .any(|layer| layer.digest == blob.digest)
        {
            manifest.layers.push(blob);
        }
    }
    if list.is_empty() {
        let reason =
            "no step can be used elsewhere: none made a layer, or they lie over the `host` image";
        return Err((ErrorKind::Invalid, reason.into()));
    }
    let json = |error: serde_json::Error| (ErrorKind::Internal, error.into());
    let config = serde_json::to_vec(&document::Document::new(list)).map_err(json)?;
    manifest.config.digest = Digest::of(&config);
    manifest.config.size = config.len() as u64;
    let bytes = serde_json::to_vec(&manifest).map_err(json)?;
    match &to.target {
        Target::Inline => Ok(()),
        Target::Directory { path, tag } => {
            directory(solver, path, tag, &manifest, (&config, &bytes))
                .map_err(|error| (Classify::kind(&error), error.into()))
        }
        Target::Registry(reference) => {
            registry(solver, reference, &manifest, (&config, &bytes), number)
        }
    }
}

/// The archive of a step's layer, made where there is none.
fn blob(solver: &Solver<'_>, step: &Step) -> Result<Descriptor, ImageError> {
    solver.lease.protect(&step.layer.chain_id)?;
    solver.images.archive_of(&step.layer)
}

fn directory(
    solver: &Solver<'_>,
    path: &Path,
    tag: &str,
    manifest: &Manifest,
    (config, bytes): (&[u8], &[u8]),
) -> io::Result<()> {
    let directory = Directory(path);
    directory.make()?;
    for layer in &manifest.layers {
        directory.copy(&layer.digest, &solver.images.content().path(&layer.digest))?;
    }
    directory.put(config)?;
    directory.put(bytes)?;
    directory.tag(tag, bytes)
}

fn registry(
    solver: &Solver<'_>,
    reference: &Reference,
    manifest: &Manifest,
    (config, bytes): (&[u8], &[u8]),
    step: StepId,
) -> Result<(), Failure> {
    solver
        .lease
        .protect(&manifest.config.digest)
        .map_err(of_store)?;
    let put = solver.images.content().put(config);
    put.map_err(|error| (error.kind(), error.into()))?;
    remote::push(solver, reference, manifest, bytes, step)
        .map_err(|(kind, reason)| (kind, reason.into()))
}

fn of_store(error: ImageError) -> Failure {
    (error.kind(), error.into())
}
