//! Whether a `COPY` can be done over what it put there before (see `former`), and remembering for it.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::job::Job;
use super::source::Item;
use crate::build::digest::{Fields, hex};
use crate::build::former::{Former, Noted};
use crate::build::stage::Stage;
use crate::build::store;
use crate::build::tree::{Tree, View};
use crate::layer::Layer;

/// Fewer files are copied as quickly as they are compared.
const WORTH_IT: usize = 64;

/// Where a step's former layer is remembered.
pub(super) struct Memory {
    path: PathBuf,
}

impl Memory {
    /// For steps that copy whole files from a context; none for others. The name covers everything that
    /// decides where the step puts things, and what it puts them on, but not what they are.
    pub(super) fn of(
        stage: &Stage<'_, '_>,
        job: &Job<'_>,
        tree: &Tree,
        items: &[Item],
    ) -> Option<Self> {
        let flags = job.flags;
        if tree.view != View::Context
            || tree.index.is_none()
            || flags.link
            || flags.parents
            // Directories that are made on the way would keep the times of an earlier build.
            || stage.solver.epoch.is_some()
        {
            return None;
        }
        let stack = &stage.result.stack;
        let mut fields = Fields::new("former");
        fields.add(stack.bottom.as_bytes());
        fields.list(stack.layers.iter().map(|layer| layer.chain_id.to_string()));
        fields.add(job.dest.as_bytes()).add(&[u8::from(job.into)]);
        fields.add(job.chown.unwrap_or_default().as_bytes());
        fields.add(job.chmod.unwrap_or_default().as_bytes());
        fields.list(&job.exclude.texts);
        for item in items {
            let Item::Files { selected, .. } = item else {
                return None;
            };
            for selected in selected {
                // A file that ADD may unpack.
                if flags.add && selected.entry.is_some() {
                    return None;
                }
                fields
                    .add(selected.named.as_bytes())
                    .add(selected.path.as_bytes())
                    .add(&[u8::from(selected.entry.is_some())]);
            }
        }
        let name = format!("{}.former", hex(&fields.finish()));
        Some(Self {
            path: stage.solver.root.join("build/cache").join(name),
        })
    }

    /// What the step did before, if the layer of it is still there.
    pub(super) fn former(&self, stage: &Stage<'_, '_>) -> Option<(Former, Layer)> {
        let former = Former::read(&self.path)?;
        // Protected first, looked for then: it cannot be collected in between.
        stage.solver.lease.protect(&former.layer).ok()?;
        let layer = store::layer(stage.solver.images, &former.layer.to_string())?;
        let whole = layer.over.is_none() && layer.parent.as_ref() == stage.result.stack.top();
        whole.then_some((former, layer))
    }

    /// Remembers a layer that has all its files. When much was written over a former one, the next build
    /// starts from a whole layer again.
    pub(super) fn keep(&self, layer: &Layer, noted: &Noted) {
        match noted.over {
            None if noted.marks.check().is_ok() && noted.marks.len() >= WORTH_IT => {
                noted.marks.save(&self.path, &layer.chain_id);
            }
            Some(all) if noted.written > all / 4 => {
                let _ = std::fs::remove_file(&self.path);
            }
            _ => {}
        }
    }
}
