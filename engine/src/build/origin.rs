//! What a `FROM` or `from` leads to: an image of the store (pulled when it must be), a stage, a context.

use std::sync::Arc;

use super::checks;
use super::context::{self, Context};
use super::diagnostic::Span;
use super::error::BuildError;
use super::graph::{self, Origin};
use super::overlay;
use super::progress::BuildProgress;
use super::request::PullPolicy;
use super::solve::StageResult;
use super::stage::{Stage, stack_key};
use super::store::{self, Stack};
use super::tree::{Tree, View};
use super::variables::Variables;
use crate::image::Image;

/// How contexts that are OCI layouts begin.
const LAYOUT: &str = "oci-layout://";

/// What a `from` leads to.
pub(super) enum Files {
    /// The main context or a named one.
    Context(Arc<Context>),
    /// A stage or an image.
    Stack(Stack),
}

impl Stage<'_, '_> {
    /// Prepares the base; gives its triggers.
    pub(super) fn from(&mut self, span: Span) -> Result<Vec<String>, BuildError> {
        match &self.solver.bases[self.index] {
            Origin::Stage(base) => {
                let base = self.solver.stage(*base)?;
                self.result = StageResult::clone(&base);
                self.done += 1;
            }
            Origin::Outside(name) if name == "scratch" => {}
            Origin::Outside(name) => {
                let shown = self.vertex_name(&format!("FROM {name}"));
                let image = self.image(span, name, shown)?;
                let stack = store::stack(&image);
                self.result = StageResult {
                    key: stack_key(&stack),
                    stack,
                    variables: Variables::from_env(&image.config.config.env),
                    config: image.config.clone(),
                    steps: Vec::new(),
                };
            }
        }
        let run = &mut self.result.config.config;
        if !run.env.iter().any(|entry| entry.starts_with("PATH=")) {
            run.env
                .push(format!("PATH={}", crate::runtime::defaults::PATH));
            self.result
                .variables
                .set("PATH", crate::runtime::defaults::PATH);
        }
        if run.working_dir.is_empty() {
            run.working_dir = "/".into();
        }
        Ok(std::mem::take(&mut run.on_build))
    }

    /// An image of the store, pulled when it must be.
    /// `shown` is the step's name.
    fn image(&mut self, span: Span, name: &str, shown: String) -> Result<Image, BuildError> {
        let solver = self.solver;
        let name = match solver.request.context_of(name) {
            None => name,
            Some(value) => match value.strip_prefix("docker-image://") {
                Some(image) => image,
                None if value.starts_with(LAYOUT) => return self.layout_image(span, value, shown),
                None => {
                    let message = format!("named context `{name}` is not an image");
                    return Err(self.wrong(
                        span,
                        message,
                        Some("FROM takes docker-image:// and oci-layout:// contexts"),
                    ));
                }
            },
        };
        let step = solver.number();
        let reference =
            checks::image_name(name).map_err(|bad| self.wrong(span, bad.message, bad.help))?;
        let policy = solver.request.pull;
        let local = crate::image::is_host_image(name);
        let mut others = None;
        if policy != PullPolicy::Always || local {
            match store::resolve(solver.images, name, self.platform())? {
                Ok(image) if self.protect(&image)? => {
                    solver.tell(BuildProgress::Cached { step, name: shown });
                    return Ok(image);
                }
                // Somebody has removed it just now.
                Ok(_) => {}
                Err(available) => others = available,
            }
            if policy == PullPolicy::Never || local {
                let message = match others {
                    Some(others) => format!(
                        "image `{name}` is here for {others}, not for {}",
                        self.platform()
                    ),
                    None => format!("image `{name}` is not in the store"),
                };
                return Err(self.wrong(span, message, Some("load or pull it, or allow pulling")));
            }
        }
        let begun = std::time::Instant::now();
        solver.tell(BuildProgress::Started {
            step,
            name: shown.clone(),
        });
        match super::remote::pull(solver, &reference, self.platform(), step) {
            Ok(image) => {
                solver.tell(BuildProgress::Done {
                    step,
                    elapsed: begun.elapsed(),
                });
                Ok(image)
            }
            Err((kind, reason)) => {
                solver.tell(BuildProgress::Failed {
                    step,
                    error: reason.clone(),
                });
                let message = format!("cannot get image `{name}`: {reason}");
                let help = others.map(|others| {
                    format!(
                        "it is here for {others} only; this stage is built for {}",
                        self.platform()
                    )
                });
                Err(solver.step_error(&shown, &self.source, span, kind, message, help))
            }
        }
    }

    /// Keeps the layers of an image until the build has ended, whoever removes the image; gives whether they are there.
    fn protect(&self, image: &Image) -> Result<bool, BuildError> {
        // Protected first, looked for then: they cannot be collected in between.
        for layer in &image.layers {
            let protected = self.solver.lease.protect(&layer.chain_id);
            protected.map_err(store::failed("keep a layer".to_owned()))?;
        }
        Ok(self.solver.images.get(&image.id).is_ok())
    }

    /// The image of an OCI layout, brought into the store.
    fn layout_image(&mut self, span: Span, value: &str, name: String) -> Result<Image, BuildError> {
        let solver = self.solver;
        let step = solver.number();
        solver.tell(BuildProgress::Started { step, name });
        let begun = std::time::Instant::now();
        let place = value.strip_prefix(LAYOUT).unwrap_or(value);
        let image = store::layout(solver.images, place).map_err(|error| {
            let error = match error {
                BuildError::Context { reason, .. } => {
                    self.wrong(span, format!("cannot use `{value}`: {reason}"), None)
                }
                other => other,
            };
            solver.tell(BuildProgress::Failed {
                step,
                error: error.to_string(),
            });
            error
        })?;
        self.protect(&image)?;
        solver.tell(BuildProgress::Done {
            step,
            elapsed: begun.elapsed(),
        });
        Ok(image)
    }

    /// What a `from` of COPY or of a mount means; `None` is the main context.
    pub(super) fn files(&mut self, span: Span, from: Option<&str>) -> Result<Files, BuildError> {
        let solver = self.solver;
        let Some(from) = from.filter(|from| !from.is_empty()) else {
            return Ok(Files::Context(solver.context.clone()));
        };
        let context = solver.request.context_of(from);
        if let Some(value) = context
            && !value.starts_with("docker-image://")
            && !value.starts_with(LAYOUT)
        {
            return self.named_context(span, from, value).map(Files::Context);
        }
        let origin = match context {
            Some(_) => Origin::Outside(from.to_owned()),
            None => graph::origin(&self.source, span, solver.stages, from, self.index)
                .map_err(BuildError::Dockerfile)?,
        };
        match origin {
            Origin::Stage(stage) => {
                let result = solver.stage(stage)?;
                Ok(Files::Stack(result.stack.clone()))
            }
            Origin::Outside(name) if name == "scratch" => Ok(Files::Stack(Stack::empty())),
            Origin::Outside(name) => {
                // Not a step of this stage: it has no number there.
                let image = self.image(span, &name, format!("FROM {name}"))?;
                Ok(Files::Stack(store::stack(&image)))
            }
        }
    }

    fn named_context(
        &self,
        span: Span,
        name: &str,
        value: &str,
    ) -> Result<Arc<Context>, BuildError> {
        let solver = self.solver;
        let mut named = solver
            .shared
            .named
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(context) = named.get(name) {
            return Ok(context.clone());
        }
        for refused in ["target:", "input:"] {
            if value.starts_with(refused) {
                let message = format!(
                    "named context `{name}`: `{refused}` contexts belong to a build of several targets"
                );
                let help = "build that target first and give it as docker-image://NAME";
                return Err(self.wrong(span, message, Some(help)));
            }
        }
        let context = if super::git::is_remote(value) {
            super::fetch::context(solver.request, value, &solver.scratch)?
        } else {
            context::named(
                std::path::Path::new(value),
                &solver.root.join("build/contexts"),
            )?
        };
        let context = Arc::new(context);
        named.insert(name.to_owned(), context.clone());
        Ok(context)
    }

    /// Opens the files of a stack for reading.
    pub(super) fn open(&self, stack: &Stack) -> Result<Tree, BuildError> {
        let root = overlay::mount(&self.lower(stack)?, None).map_err(|source| BuildError::Io {
            action: "mount the layers of",
            path: self.label.clone().into(),
            source,
        })?;
        Ok(Tree::new(root, View::Image))
    }

    /// The directories of a stack, topmost first; an empty one for a stack without layers.
    pub(super) fn lower(&self, stack: &Stack) -> Result<Vec<std::path::PathBuf>, BuildError> {
        let mut lower = stack.lower();
        if lower.is_empty() {
            let path = self.solver.root.join("build/empty");
            std::fs::create_dir_all(&path).map_err(|source| BuildError::Io {
                action: "create",
                path: path.clone(),
                source,
            })?;
            lower.push(path);
        }
        Ok(lower)
    }
}
