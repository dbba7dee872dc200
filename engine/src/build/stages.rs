//! A parsed file as global arguments and stages.

use super::diagnostic::{Diagnostic, Span};
use super::parse::{Dockerfile, FromFlags, Instruction, Kind, error};

/// A stage as it was written.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// `FROM`.
    pub(super) from: FromFlags,
    /// The `FROM` line.
    pub(super) span: Span,
    /// The comments right above it.
    pub(super) comments: Vec<String>,
    /// The instructions after it.
    pub(super) instructions: Vec<Instruction>,
}

impl Stage {
    /// What vertex names and messages call it.
    pub(super) fn label(&self, index: usize) -> String {
        self.from
            .name
            .clone()
            .unwrap_or_else(|| format!("stage-{index}"))
    }
}

/// Global arguments with their lines, and the stages.
#[derive(Clone, Debug)]
pub(super) struct Stages {
    /// The `ARG`s before the first `FROM`.
    pub(super) globals: Vec<Instruction>,
    pub(super) list: Vec<Stage>,
}

impl Stages {
    /// Splits the instructions of a file.
    pub(super) fn new(file: &Dockerfile) -> Result<Self, Box<Diagnostic>> {
        let mut stages = Self {
            globals: Vec::new(),
            list: Vec::new(),
        };
        for instruction in &file.instructions {
            match (&instruction.kind, stages.list.last_mut()) {
                (Kind::From(from), _) => {
                    let stage = Stage {
                        from: from.clone(),
                        span: instruction.span,
                        comments: instruction.comments.clone(),
                        instructions: Vec::new(),
                    };
                    stages.list.push(stage);
                }
                (Kind::Arg(_), None) => stages.globals.push(instruction.clone()),
                (_, Some(stage)) => stage.instructions.push(instruction.clone()),
                (_, None) => {
                    let message = format!(
                        "no build stage in current context: {} before FROM",
                        instruction.keyword
                    );
                    let help = "only ARG may come before the first FROM";
                    return Err(error(&file.source, instruction.span, message, Some(help)));
                }
            }
        }
        if stages.list.is_empty() {
            return Err(error(
                &file.source,
                Span::default(),
                "no FROM in the Dockerfile",
                Some("add `FROM image`"),
            ));
        }
        Ok(stages)
    }

    /// The last stage of a name (case does not matter) among the first `before`.
    pub(super) fn by_name(&self, name: &str, before: usize) -> Option<usize> {
        let name = name.to_lowercase();
        self.list[..before]
            .iter()
            .rposition(|stage| stage.from.name.as_deref() == Some(&name))
    }

    /// The stage that a `FROM` names: as [`Stages::by_name`], but case matters. `FROM B` is an image, whatever stages
    /// there are.
    pub(super) fn base(&self, name: &str, before: usize) -> Option<usize> {
        self.by_name(name, before)
            .filter(|stage| self.list[*stage].from.name.as_deref() == Some(name))
    }

    /// The stage that `--target` means, by name; numbers are for `--from` alone.
    pub(super) fn target(&self, target: Option<&str>) -> Option<usize> {
        match target {
            None | Some("") => Some(self.list.len() - 1),
            Some(name) => self.by_name(name, self.list.len()),
        }
    }
}
