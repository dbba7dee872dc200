//! What may be asked of `up`.

use std::time::Duration;

/// What the user asked of `up`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpOptions {
    /// Services named; empty means all.
    pub services: Vec<String>,
    /// Whether what they depend on belongs to it.
    pub dependencies: Dependencies,
    /// A service that is only planned for: what it needs is provided, its containers are left alone.
    pub around: Option<String>,
    /// When to replace containers of the named services.
    pub recreate: Recreate,
    /// When to replace containers of what they depend on.
    pub recreate_dependencies: Recreate,
    /// Whether a replacement gets fresh anonymous volumes.
    pub anonymous: Anonymous,
    /// What becomes of volumes whose declaration changed.
    pub changed_volumes: ChangedVolumes,
    /// What becomes of containers that no service owns.
    pub orphans: Orphans,
    /// Whether to start anything.
    pub start: Start,
    /// Grace period for what must stop; `None` is each container's own.
    pub timeout: Option<Duration>,
}

/// Whether dependencies take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Dependencies {
    Included,
    Ignored,
}

/// When containers are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recreate {
    /// When they differ from the file.
    Diverged,
    /// Always.
    Forced,
    /// Never.
    Never,
}

/// Anonymous volumes of replaced containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// The replacement takes them over.
    Inherited,
    /// The replacement gets new ones.
    Renewed,
}

/// Volumes whose declaration changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedVolumes {
    /// They stay, with a warning.
    Kept,
    /// They are made anew; their data is lost.
    Recreated,
}

/// Containers that no service owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// They stay, with a warning.
    Reported,
    /// They stay, without a word.
    Ignored,
    /// They go.
    Removed,
}

/// Whether containers are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Start {
    Yes,
    No,
}
