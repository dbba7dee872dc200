//! What becomes of the result: an image in the store, an archive, plain files.

use std::io::Write;
use std::path::Path;

use super::copier::{Attributes, Copier};
use super::digest::Fields;
use super::error::BuildError;
use super::ignore::Patterns;
use super::request::Output;
use super::solve::{Solver, StageResult};
use super::tree::{Tree, View};
use super::{BuildOutcome, overlay, select, sharing, store};
use crate::error::Classify;
use crate::image::{Image, Reference};

/// Makes everything that was asked for.
pub(super) fn write(
    solver: &Solver<'_>,
    result: &StageResult,
    outcome: &mut BuildOutcome,
) -> Result<(), BuildError> {
    let outputs: &[Output] = match solver.request.outputs.as_slice() {
        [] => &[Output::Image],
        outputs => outputs,
    };
    let mut image: Option<Image> = None;
    for output in outputs {
        match output {
            Output::None => {}
            Output::Local(path) => local(result, path)?,
            Output::Tar(path) => tar(solver, result, path)?,
            Output::Image => {
                let image = made(solver, result, &mut image)?;
                name(solver, image, outcome)?;
            }
            Output::Docker(path) | Output::Oci(path) => {
                let image = made(solver, result, &mut image)?;
                archive(solver, image, path)?;
            }
        }
    }
    if let Some(image) = image {
        outcome.image_id = Some(image.id.to_string());
        outcome.metadata = serde_json::json!({
            "containerimage.config.digest": image.id.to_string(),
            "containerimage.digest": image.id.to_string(),
            "image.name": outcome.tags.join(","),
        });
    }
    Ok(())
}

fn made<'i>(
    solver: &Solver<'_>,
    result: &StageResult,
    image: &'i mut Option<Image>,
) -> Result<&'i Image, BuildError> {
    if image.is_none() {
        *image = Some(add(solver, result)?);
    }
    image.as_ref().ok_or(BuildError::Cancelled)
}

/// Stores the image. The same result gives the same bytes, and so the same id, at any time.
fn add(solver: &Solver<'_>, result: &StageResult) -> Result<Image, BuildError> {
    let mut config = result.config.clone();
    config.config.labels.extend(solver.request.labels.clone());
    config.base = (!result.stack.below.is_empty()).then(|| "host".to_owned());
    config.created = None;
    // A base image's own list is about its own steps.
    config.extra.remove(sharing::INLINE);
    if let Some(steps) = sharing::inline(solver, result) {
        config.extra.insert(sharing::INLINE.to_owned(), steps);
    }
    let bytes = config.to_bytes().map_err(|source| BuildError::Store {
        action: "write the configuration".into(),
        kind: source.kind(),
        source: Box::new(source),
    })?;
    config.created = Some(match solver.epoch {
        Some(_) => solver.now(),
        None => created(solver, result, &bytes),
    });
    store::add(solver.images, &config, &result.stack)
}

/// When this very result was made first.
fn created(solver: &Solver<'_>, result: &StageResult, config: &[u8]) -> String {
    let mut fields = Fields::new("created");
    fields.add(config);
    let key = fields.finish();
    if let Some(known) = solver.cache.text(&key) {
        return known;
    }
    let made_here = result
        .config
        .history
        .iter()
        .rev()
        .find(|entry| !entry.empty_layer)
        .and_then(|e| e.created.clone());
    let now = match made_here {
        Some(time)
            if solver
                .shared
                .executed
                .load(std::sync::atomic::Ordering::Relaxed)
                > 0 =>
        {
            time
        }
        _ => solver.now(),
    };
    solver.cache.put_text(&key, &now);
    now
}

fn name(solver: &Solver<'_>, image: &Image, outcome: &mut BuildOutcome) -> Result<(), BuildError> {
    for tag in &solver.request.tags {
        let reference = Reference::parse(tag).map_err(|reason| BuildError::Option {
            option: format!("tag `{tag}`"),
            reason: reason.to_string(),
        })?;
        store::tag(solver.images, image, &reference)?;
        outcome.tags.push(reference.familiar().to_string());
    }
    Ok(())
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Io {
        action,
        path,
        source,
    }
}

/// The merged root, read-only.
fn merged(result: &StageResult) -> Result<Option<Tree>, BuildError> {
    let lower = result.stack.lower();
    if lower.is_empty() {
        return Ok(None);
    }
    let root = overlay::mount(&lower, None).map_err(io("mount", Path::new("the result")))?;
    Ok(Some(Tree::new(root, View::Image)))
}

/// Writes the files below a directory.
fn local(result: &StageResult, path: &Path) -> Result<(), BuildError> {
    std::fs::create_dir_all(path).map_err(io("create", path))?;
    let Some(tree) = merged(result)? else {
        return Ok(());
    };
    let to = Tree::open(path, View::Image).map_err(io("open", path))?;
    let selected = select::select_plain(&tree, "/").map_err(io("read", Path::new("/")))?;
    let attributes = Attributes::default();
    if let Some(selected) = selected {
        Copier::new(&to, &attributes)
            .copy(&tree, &selected, "/", true, &Patterns::default())
            .map_err(|error| BuildError::Io {
                action: "write",
                path: path.to_owned(),
                source: std::io::Error::other(error.to_string()),
            })?;
    }
    Ok(())
}

/// Writes the files as one tar archive.
fn tar(solver: &Solver<'_>, result: &StageResult, path: &Path) -> Result<(), BuildError> {
    use std::os::fd::AsRawFd;
    let mut out = sink(path)?;
    let root = match merged(result)? {
        Some(tree) => tree,
        None => {
            let empty = solver.root.join("build/empty");
            std::fs::create_dir_all(&empty).map_err(io("create", &empty))?;
            Tree::open(&empty, View::Image).map_err(io("open", &empty))?
        }
    };
    let directory = format!("/proc/self/fd/{}/.", root.root().as_raw_fd());
    crate::layer::write_tar(
        Path::new(&directory),
        &mut out,
        &crate::layer::TarOptions::default(),
    )
    .map_err(|source| BuildError::Store {
        action: "write the archive".into(),
        kind: source.kind(),
        source: Box::new(source),
    })?;
    out.flush().map_err(io("write", path))
}

/// Writes the image as an archive that is a Docker archive and an OCI layout at once.
fn archive(solver: &Solver<'_>, image: &Image, path: &Path) -> Result<(), BuildError> {
    let mut out = sink(path)?;
    let names = match solver.request.tags.as_slice() {
        [] => vec![image.id.to_string()],
        tags => {
            for tag in tags {
                if let Ok(reference) = Reference::parse(tag) {
                    store::tag(solver.images, image, &reference)?;
                }
            }
            tags.to_vec()
        }
    };
    solver
        .images
        .save(&names, &mut out)
        .map_err(|source| BuildError::Store {
            action: "write the archive".into(),
            kind: source.kind(),
            source: Box::new(source),
        })?;
    out.flush().map_err(io("write", path))
}

fn sink(path: &Path) -> Result<Box<dyn Write>, BuildError> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdout().lock()));
    }
    let file = std::fs::File::create(path).map_err(io("create", path))?;
    Ok(Box::new(std::io::BufWriter::new(file)))
}
