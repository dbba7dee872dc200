//! `--cache-from`: what other machines made.
//!
//! A cache is opened when this machine's own has no answer, so a build that has nothing to do asks nobody. Of it
//! only the layers come that a step needs. A cache that cannot be used is a warning: the step runs.

use std::io;
use std::sync::OnceLock;

use super::directory::Directory;
use super::document::{Index, Known};
use super::option::CacheFrom;
use crate::build::diagnostic::{Diagnostic, Severity, Source, Span};
use crate::build::digest::{Hash, hex};
use crate::build::error::BuildError;
use crate::build::progress::BuildProgress;
use crate::build::remote;
use crate::build::solve::Solver;
use crate::build::store::Stack;
use crate::content::ContentError;
use crate::image::{Descriptor, Staged, quiet};
use crate::layer::{Layer, chain_id, fill_implied};

/// The caches of a build.
#[derive(Debug, Default)]
pub(in crate::build) struct Imports {
    sources: Vec<CacheFrom>,
    opened: OnceLock<Vec<(CacheFrom, Index)>>,
}

/// A step that another machine did.
pub(in crate::build) struct Imported {
    pub(in crate::build) layer: Layer,
    pub(in crate::build) created: String,
}

impl Imports {
    /// Reads the flags.
    pub(in crate::build) fn new(flags: &[String]) -> Result<Self, BuildError> {
        let sources = flags.iter().map(|text| CacheFrom::parse(text));
        Ok(Self {
            sources: sources.collect::<Result<_, _>>()?,
            opened: OnceLock::new(),
        })
    }

    /// The layer of a step on top of a stack, if one of the caches has it.
    pub(in crate::build) fn find(
        &self,
        solver: &Solver<'_>,
        key: &Hash,
        below: &Stack,
    ) -> Option<Imported> {
        // Steps over the machine's own files are no other machine's.
        if self.sources.is_empty() || !below.below.is_empty() {
            return None;
        }
        let opened = self.opened.get_or_init(|| open(solver, &self.sources));
        let key = hex(key);
        opened.iter().find_map(|(from, index)| {
            let (known, blob) = index.find(&key, below.top())?;
            match bring(solver, from, known, blob, below) {
                Ok(layer) => Some(Imported {
                    layer,
                    created: known.created.clone(),
                }),
                Err(reason) => {
                    warn(
                        solver,
                        from,
                        &format!("cannot bring a layer of it: {reason}"),
                    );
                    None
                }
            }
        })
    }
}

fn open(solver: &Solver<'_>, sources: &[CacheFrom]) -> Vec<(CacheFrom, Index)> {
    let mut opened = Vec::new();
    for from in sources {
        let (step, begun) = (solver.number(), std::time::Instant::now());
        let name = format!("importing cache manifest from {from}");
        solver.tell(BuildProgress::Started { step, name });
        let read = match from {
            CacheFrom::Registry(reference) => {
                remote::artifact(solver, reference).map_err(|(_, reason)| reason)
            }
            CacheFrom::Directory { path, tag, digest } => {
                Directory(path).read(tag, digest.as_ref())
            }
        };
        match read.and_then(|(manifest, config)| Index::read(&manifest, &config)) {
            Ok(index) => opened.push((from.clone(), index)),
            Err(reason) => warn(solver, from, &reason),
        }
        let elapsed = begun.elapsed();
        solver.tell(BuildProgress::Done { step, elapsed });
    }
    opened
}

/// Tells that a cache is of no use; the build goes on without.
fn warn(solver: &Solver<'_>, from: &CacheFrom, reason: &str) {
    solver.tell(BuildProgress::Warning(Diagnostic {
        severity: Severity::Warning(None),
        source: Source::new("--cache-from", b""),
        span: Span::default(),
        message: format!("cannot use the cache `{from}`: {reason}"),
        help: None,
    }));
}

/// Makes a layer of the cache one of this machine.
fn bring(
    solver: &Solver<'_>,
    from: &CacheFrom,
    known: &Known,
    blob: &Descriptor,
    below: &Stack,
) -> Result<Layer, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let layers = solver.images.layers();
    let chain = chain_id(below.top(), &known.diff_id);
    for digest in [&chain, &blob.digest] {
        solver.lease.protect(digest).map_err(|e| text(&e))?;
    }
    if let Ok(layer) = layers.get(&chain) {
        return Ok(layer);
    }
    let staged = match from {
        CacheFrom::Registry(reference) => {
            let (step, begun) = (solver.number(), std::time::Instant::now());
            let name = format!("importing layer {} of {from}", blob.digest.short());
            solver.tell(BuildProgress::Started { step, name });
            let staged = remote::layer(solver, reference, blob, &known.diff_id, step);
            let elapsed = begun.elapsed();
            solver.tell(BuildProgress::Done { step, elapsed });
            staged.map_err(|(_, reason)| reason)?
        }
        CacheFrom::Directory { path, .. } => copied(solver, &Directory(path), known, blob)?,
    };
    fill_implied(&staged.unpacked, &staged.draft.dir(), &below.lower()).map_err(|e| text(&e))?;
    layers
        .publish(
            staged.draft,
            known.diff_id,
            below.top(),
            staged.unpacked.size,
            Some(staged.blob),
        )
        .map_err(|e| text(&e))
}

/// A layer of a directory: its archive is verified, kept, and unpacked.
fn copied(
    solver: &Solver<'_>,
    directory: &Directory<'_>,
    known: &Known,
    blob: &Descriptor,
) -> Result<Staged, String> {
    let content = solver.images.content();
    if !content.contains(&blob.digest) {
        let keep = || -> Result<(), ContentError> {
            let mut ingest = content.ingest()?;
            directory
                .open(&blob.digest)
                .and_then(|mut file| io::copy(&mut file, &mut ingest))
                .map_err(ContentError::io("copy", ingest.path()))?;
            ingest.commit(Some(&blob.digest)).map(drop)
        };
        keep().map_err(|error| error.to_string())?;
    }
    let staged = solver
        .images
        .stage_blob(&blob.digest, &known.diff_id, &quiet);
    staged.map_err(|error| error.to_string())
}
