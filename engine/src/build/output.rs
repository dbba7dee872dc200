//! What becomes of the result: an image in the store, an archive, plain files.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use super::copier::{Attributes, Copier};
use super::digest::Fields;
use super::error::BuildError;
use super::ignore::Patterns;
use super::request::Output;
use super::solve::{Solver, StageResult};
use super::store::Keep;
use super::tree::{Tree, View};
use super::{BuildOutcome, history, overlay, select, sharing, store};
use crate::error::Classify;
use crate::image::{Descriptor, Image, Platform, Reference};
use crate::layer::{self, TarOptions};

/// A platform's build and what it gave.
type Built<'b> = (&'b Solver<'b>, Arc<StageResult>);

/// Makes everything that was asked for, of all platforms.
pub(super) fn write(built: &[Built<'_>], outcome: &mut BuildOutcome) -> Result<(), BuildError> {
    let Some((solver, _)) = built.first() else {
        return Ok(());
    };
    let outputs: &[Output] = match solver.request.outputs.as_slice() {
        [] => &[Output::Image],
        outputs => outputs,
    };
    let keep = match outputs.contains(&Output::Image) {
        true => Keep::Stored,
        false => Keep::Described,
    };
    let mut images: Vec<Image> = Vec::new();
    let mut archived = None;
    for output in outputs {
        match output {
            Output::None => {}
            Output::Local(path) => local(built, path)?,
            Output::Docker(_) if built.len() > 1 => return Err(one_platform()),
            Output::Tar(path) => tar(built, path)?,
            Output::Image => {
                make(built, keep, &mut images)?;
                name(solver, &images, outcome)?;
            }
            Output::Docker(path) | Output::Oci(path) => {
                make(built, keep, &mut images)?;
                archived = Some(archive(solver, &images, path)?);
            }
        }
    }
    describe(&images, archived.as_ref(), outcome);
    let names = references(&solver.request.tags)?;
    if !images.is_empty() && !names.is_empty() {
        let names: Vec<String> = names.iter().map(Reference::familiar).collect();
        outcome.metadata["image.name"] = names.join(",").into();
    }
    Ok(())
}

/// The files of one platform in a directory, of several each in one below it.
fn local(built: &[Built<'_>], path: &Path) -> Result<(), BuildError> {
    if let [(_, only)] = built {
        return copy_out(only, path);
    }
    for (solver, result) in built {
        copy_out(result, &path.join(folder(solver)))?;
    }
    Ok(())
}

/// Where a platform's files go among those of others, as the reference has it: `linux_arm64`.
fn folder(solver: &Solver<'_>) -> String {
    solver.platform.to_string().replace('/', "_")
}

fn one_platform() -> BuildError {
    BuildError::Unsupported {
        option: "--output type=docker of several platforms".into(),
        reason: "it holds one; use type=oci, type=tar or type=local, or build one platform".into(),
    }
}

/// What `--iidfile` and `--metadata-file` tell. An image in the store has its id for a digest, as Docker's store
/// has it: its manifest is made when it leaves. `archived` is the manifest, or the index, of one that has left.
fn describe(images: &[Image], archived: Option<&Descriptor>, outcome: &mut BuildOutcome) {
    let host = Platform::host();
    let ours = images
        .iter()
        .find(|image| host.accepts(&image.config.platform()).is_some());
    let Some(image) = ours.or(images.first()) else {
        return;
    };
    outcome.image_id = Some(image.id.to_string());
    let digest = archived.map_or(image.id, |descriptor| descriptor.digest);
    let metadata = &mut outcome.metadata;
    metadata["containerimage.config.digest"] = image.id.to_string().into();
    metadata["containerimage.digest"] = digest.to_string().into();
    if let Some(descriptor) = archived {
        metadata["containerimage.descriptor"] = serde_json::json!({
            "mediaType": descriptor.media_type,
            "digest": digest.to_string(),
            "size": descriptor.size,
        });
    }
    if images.len() > 1 {
        let each = images.iter().map(|image| {
            (
                image.config.platform().to_string(),
                image.id.to_string().into(),
            )
        });
        metadata["gantry.platforms"] = serde_json::Value::Object(each.collect());
    }
}

/// The images, made once for all outputs.
fn make(built: &[Built<'_>], keep: Keep, images: &mut Vec<Image>) -> Result<(), BuildError> {
    if images.is_empty() {
        for (solver, result) in built {
            images.push(image(solver, result, keep)?);
        }
    }
    Ok(())
}

/// Makes the image. The same result gives the same bytes, and so the same id, at any time.
fn image(solver: &Solver<'_>, result: &StageResult, keep: Keep) -> Result<Image, BuildError> {
    let mut config = result.config.clone();
    config.config.labels.extend(solver.request.labels.clone());
    config.base = (!result.stack.below.is_empty()).then(|| "host".to_owned());
    config.created = None;
    history::date(&mut config.history);
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
    store::image(solver.images, &config, &result.stack, keep, &solver.lease)
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
        Some(time) if solver.shared.has_executed() => time,
        _ => solver.now(),
    };
    solver.cache.put_text(&key, &now);
    now
}

fn name(
    solver: &Solver<'_>,
    images: &[Image],
    outcome: &mut BuildOutcome,
) -> Result<(), BuildError> {
    for reference in references(&solver.request.tags)? {
        store::tag(solver.images, images, &reference)?;
        outcome.tags.push(reference.familiar().to_string());
    }
    Ok(())
}

/// The names that the result is to have.
pub(super) fn references(tags: &[String]) -> Result<Vec<Reference>, BuildError> {
    let parse = |tag: &String| {
        Reference::parse(tag).map_err(|reason| BuildError::Option {
            option: format!("tag `{tag}`"),
            reason: reason.to_string(),
        })
    };
    tags.iter().map(parse).collect()
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
fn copy_out(result: &StageResult, path: &Path) -> Result<(), BuildError> {
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

/// Writes the files as one tar archive; those of several platforms each below a folder.
fn tar(built: &[Built<'_>], path: &Path) -> Result<(), BuildError> {
    let mut roots = Vec::with_capacity(built.len());
    for (solver, result) in built {
        let root = match merged(result)? {
            Some(tree) => tree,
            None => {
                let empty = solver.root.join("build/empty");
                std::fs::create_dir_all(&empty).map_err(io("create", &empty))?;
                Tree::open(&empty, View::Image).map_err(io("open", &empty))?
            }
        };
        roots.push((folder(solver), root));
    }
    let directories: Vec<(String, String)> = roots
        .iter()
        .map(|(name, root)| {
            let fd = root.root().as_raw_fd();
            (name.clone(), format!("/proc/self/fd/{fd}/."))
        })
        .collect();
    let mut out = sink(path)?;
    let options = TarOptions::default();
    match directories.as_slice() {
        [(_, only)] => layer::write_tar(Path::new(only), &mut out, &options).map(drop),
        all => layer::write_trees(all, &mut out, &options),
    }
    .map_err(cannot_write)?;
    out.flush().map_err(io("write", path))
}

/// Writes the images as an archive that is a Docker archive and an OCI layout at once. Gives what describes them
/// in it.
fn archive(solver: &Solver<'_>, images: &[Image], path: &Path) -> Result<Descriptor, BuildError> {
    let names = references(&solver.request.tags)?;
    let mut out = sink(path)?;
    let descriptor = solver
        .images
        .save_images(images, &names, &mut out)
        .map_err(cannot_write)?;
    out.flush().map_err(io("write", path))?;
    Ok(descriptor)
}

fn cannot_write<E: Classify + std::error::Error + Send + Sync + 'static>(source: E) -> BuildError {
    BuildError::Store {
        action: "write the archive".into(),
        kind: source.kind(),
        source: Box::new(source),
    }
}

fn sink(path: &Path) -> Result<Box<dyn Write>, BuildError> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdout().lock()));
    }
    let file = std::fs::File::create(path).map_err(io("create", path))?;
    Ok(Box::new(std::io::BufWriter::new(file)))
}
