//! Steps that write files without running anything: `WORKDIR` here, `COPY` and `ADD` in `copy`.

use super::copier::{Attributes, Copier, CopyError};
use super::diagnostic::Span;
use super::digest::{Fields, Hash};
use super::error::BuildError;
use super::explain::{Ingredients, STEP_BEFORE};
use super::former::Unfit;
use super::history::LayerOf;
use super::stage::Stage;
use super::store;
use super::tree::{Tree, View};
use super::vertex::Made;
use super::{overlay, owner, values};
use crate::error::ErrorKind;
use crate::layer::{Kin, Layer};

/// Where the files of a step are written.
#[derive(Clone, Copy)]
pub(super) enum Canvas<'l> {
    /// The stage's root.
    Root,
    /// An empty root.
    Alone,
    /// The stage's root with what the step put there before: its former layer.
    Over(&'l Layer),
}

/// Why a step wrote nothing.
pub(super) enum NotWritten {
    /// It cannot be done over the former layer.
    Unfit,
    /// It cannot be done, and this is why.
    Failed(String),
}

impl From<Unfit> for NotWritten {
    fn from(_: Unfit) -> Self {
        Self::Unfit
    }
}

impl From<String> for NotWritten {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<CopyError> for NotWritten {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Unfit => Self::Unfit,
            error => Self::Failed(error.to_string()),
        }
    }
}

/// Writes a step's files; the stage's root is given, and whether it is over the former layer.
pub(super) type Write<'w> =
    dyn FnMut(&Stage<'_, '_>, &Tree, Canvas<'_>) -> Result<(), NotWritten> + 'w;

impl Stage<'_, '_> {
    /// Whether the cache knows a step on top of what the stage has.
    pub(super) fn knows(&self, key: &Hash) -> bool {
        let top = self.result.stack.top().map(ToString::to_string);
        !self.no_cache && self.solver.cache.get(key, top.as_ref()).is_some()
    }

    /// `WORKDIR`: the directory and those above it, made where they are missing.
    pub(super) fn workdir(&mut self, span: Span, text: &str) -> Result<(), BuildError> {
        let path = self.expand(span, text)?;
        let path = values::workdir(&self.result.config.config.working_dir, &path);
        self.result.config.config.working_dir.clone_from(&path);
        let name = self.vertex_name(&format!("WORKDIR {path}"));
        if path == "/" {
            self.history(format!("WORKDIR {path}"), LayerOf::Nothing);
            return Ok(());
        }
        let user = self.result.config.config.user.clone();
        // The directory that is made does not depend on how its path is written.
        let directory = values::clean(&path);
        let mut fields = Fields::new("workdir");
        fields
            .add(&self.result.key)
            .add(directory.as_bytes())
            .add(user.as_bytes());
        let key = fields.finish();
        let mut write = |stage: &Stage<'_, '_>, tree: &Tree, _: Canvas<'_>| {
            let owner = match user.as_str() {
                "" => None,
                user => Some(owner::resolve(tree, user)?),
            };
            let attributes = Attributes {
                owner,
                mode: None,
                created: stage.solver.epoch,
            };
            Copier::new(tree, &attributes).make_directory(&directory)?;
            Ok(())
        };
        let mut ingredients = Ingredients::default();
        ingredients
            .add(STEP_BEFORE, &self.result.key)
            .add("the directory", directory.as_bytes())
            .add("the user", user.as_bytes());
        let made = self.file_vertex(span, &name, key, Canvas::Root, &mut write)?;
        self.explain(&name, &format!("WORKDIR {text}"), &made, &ingredients);
        self.push(key, made, format!("WORKDIR {path}"));
        Ok(())
    }

    /// A step that writes files: what `write` leaves becomes the layer. On [`Canvas::Over`] it is done anew on
    /// [`Canvas::Root`] when it does not fit.
    pub(super) fn file_vertex(
        &self,
        span: Span,
        name: &str,
        key: Hash,
        canvas: Canvas<'_>,
        write: &mut Write<'_>,
    ) -> Result<Made, BuildError> {
        let solver = self.solver;
        let failed =
            |reason| solver.step_error(name, &self.source, span, ErrorKind::Invalid, reason, None);
        solver.vertex(name, &key, &self.result.stack, self.no_cache, &mut |_| {
            let mut canvas = canvas;
            loop {
                match self.draw(canvas, write)? {
                    Ok(layer) => return Ok(layer),
                    // What fails over the former layer may do so because of it.
                    Err(_) if matches!(canvas, Canvas::Over(_)) => canvas = Canvas::Root,
                    Err(NotWritten::Unfit) => {
                        return Err(failed("the step cannot be described".to_owned()));
                    }
                    Err(NotWritten::Failed(reason)) => return Err(failed(reason)),
                }
            }
        })
    }

    /// One attempt.
    fn draw(
        &self,
        canvas: Canvas<'_>,
        write: &mut Write<'_>,
    ) -> Result<Result<Layer, NotWritten>, BuildError> {
        let solver = self.solver;
        let io = |action: &'static str| {
            move |source| BuildError::Io {
                action,
                path: solver.root.join("build"),
                source,
            }
        };
        let part = solver
            .scratch
            .directory()
            .map_err(io("create a directory in"))?;
        let upper = part.make("upper").map_err(io("create a directory in"))?;
        let work = part.make("work").map_err(io("create a directory in"))?;
        let stack = &self.result.stack;
        let (mut lower, kin) = match canvas {
            Canvas::Root => (Vec::new(), Kin::First),
            Canvas::Alone => (Vec::new(), Kin::None),
            Canvas::Over(former) => (former.dirs().cloned().collect(), Kin::Over(former)),
        };
        if !matches!(canvas, Canvas::Alone) {
            lower.extend(stack.lower());
        }
        let root = overlay::mount(&lower, Some((&upper, &work))).map_err(io("mount layers in"))?;
        let tree = Tree::new(root, View::Image);
        if let Err(reason) = write(self, &tree, canvas) {
            return Ok(Err(reason));
        }
        drop(tree);
        store::commit(
            solver.images,
            &upper,
            stack,
            kin,
            solver.epoch,
            &solver.lease,
        )
        .map(Ok)
    }
}
