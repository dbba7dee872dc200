//! What is known at a point of a stage, and how certain that is.

use std::collections::{BTreeMap, BTreeSet};

use super::Subject;
use crate::build::graph::Origin;
use crate::build::request::PullPolicy;
use crate::build::variables::Variables;
use crate::image::ImageConfig;

/// What is known at a point of a stage.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) variables: Variables,
    /// Arguments that were declared, with or without a value.
    pub(super) declared: Vec<String>,
    /// `false` where the base image is not in the store: any variable may be set there.
    pub(super) known: bool,
    /// The build takes this very base image.
    pub(super) sure: bool,
    /// Variables that may have another value in the build, where the base image is not sure.
    guessed: BTreeSet<String>,
    /// The working directory, where that is known.
    pub(super) directory: Option<String>,
    /// Instructions that are stored for stages on this one.
    pub(super) triggers: Vec<String>,
    /// A `SHELL` says what runs shell forms.
    pub(super) shell: bool,
    /// A `WORKDIR` was given in this file.
    pub(super) workdir: bool,
}

impl State {
    /// The empty stage.
    fn scratch() -> Self {
        Self {
            known: true,
            sure: true,
            directory: Some("/".to_owned()),
            ..Self::default()
        }
    }

    /// What an image of the store gives.
    fn of(image: ImageConfig, sure: bool) -> Self {
        let variables = Variables::from_env(&image.config.env);
        Self {
            guessed: match sure {
                true => BTreeSet::new(),
                false => variables.names().map(str::to_owned).collect(),
            },
            variables,
            known: sure,
            sure,
            directory: sure.then_some(image.config.working_dir),
            triggers: match sure {
                true => image.config.on_build,
                false => Vec::new(),
            },
            shell: image.config.shell.is_some_and(|shell| !shell.is_empty()),
            ..Self::default()
        }
    }

    /// What a stage begins with; `ends` is what those before it ended with.
    pub(super) fn begin(
        subject: &Subject<'_>,
        base: &Origin,
        ends: &BTreeMap<usize, Self>,
    ) -> Self {
        let mut state = match base {
            Origin::Stage(base) => ends.get(base).cloned().unwrap_or_default(),
            Origin::Outside(name) if name == "scratch" => Self::scratch(),
            Origin::Outside(name) => match (subject.image)(name) {
                Some(image) => {
                    let renewed = subject.request.pull == PullPolicy::Always;
                    Self::of(image, subject.request.check || !renewed)
                }
                None => Self::default(),
            },
        };
        if state.variables.get("PATH").is_none() {
            state.set("PATH", crate::runtime::defaults::PATH, !state.sure);
        }
        state
    }

    pub(super) fn set(&mut self, name: &str, value: &str, guessed: bool) {
        self.variables.set(name, value);
        match guessed {
            true => self.guessed.insert(name.to_owned()),
            false => self.guessed.remove(name),
        };
    }

    /// Whether the build may see another value than the one that is known here.
    pub(super) fn is_guess(&self, name: &str) -> bool {
        !self.sure && (self.guessed.contains(name) || self.variables.get(name).is_none())
    }
}
