//! What translation finds: attributes that are refused, and those that have no effect.

/// An attribute that is refused, or one that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Dotted path in the Compose file: `services.web.runtime`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub help: String,
}

/// Everything that one translation found, in the order of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What the engine cannot do.
    pub refused: Vec<Finding>,
    /// What is left out without harm.
    pub warnings: Vec<Finding>,
}

impl Findings {
    /// Refuses an attribute; `help` is what to do instead.
    pub(super) fn refuse(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.refused.push(finding(path, message, help));
    }

    /// Tells that an attribute has no effect.
    pub(super) fn warn(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.warnings.push(finding(path, message, help));
    }
}

fn finding(
    path: impl Into<String>,
    message: impl Into<String>,
    help: impl Into<String>,
) -> Finding {
    Finding {
        path: path.into(),
        message: message.into(),
        help: help.into(),
    }
}
