//! What values may be: asked by a check of the file before anything runs, and by the build when it meets them.

use super::chmod::Change;
use super::git::GitRef;
use crate::image::Reference;

/// Why a value cannot be, and what to write instead.
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: Option<&'static str>,
}

/// A wrong value without another to write.
fn wrong(message: impl Into<String>) -> Wrong {
    Wrong {
        message: message.into(),
        help: None,
    }
}

impl Wrong {
    fn instead(self, help: &'static str) -> Self {
        Self {
            help: Some(help),
            ..self
        }
    }
}

/// The mode of `--chmod`.
pub(super) fn chmod(text: &str) -> Result<Change, Wrong> {
    Change::parse(text).ok_or_else(|| {
        wrong(format!("invalid value `{text}` for --chmod"))
            .instead("an octal mode from 0 to 07777, or a symbolic one as u=rwX,go=rX")
    })
}

/// The image of `FROM` and `--from`.
pub(super) fn image_name(name: &str) -> Result<Reference, Wrong> {
    Reference::parse(name).map_err(|reason| {
        wrong(format!("invalid image name `{name}`: {reason}"))
            .instead("write [host/]name[:tag][@digest]")
    })
}

/// Who takes sources.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Copy,
    Add,
}

/// What a source word names.
pub(super) enum Source {
    Files,
    Url,
    Git(GitRef),
}

/// Reads a source word.
pub(super) fn source(text: &str, verb: Verb, has_checksum: bool) -> Result<Source, Wrong> {
    let source = match GitRef::parse(text) {
        Some(git) => Source::Git(git),
        None if text.starts_with("http://") || text.starts_with("https://") => Source::Url,
        None => Source::Files,
    };
    let remote = match &source {
        Source::Files => None,
        Source::Url => Some("a URL"),
        Source::Git(_) => Some("a git repository"),
    };
    match (remote, &source) {
        (Some(what), _) if verb == Verb::Copy => {
            Err(wrong(format!("COPY cannot take {what}: `{text}`")).instead("use ADD"))
        }
        (None, _) if has_checksum => Err(wrong("--checksum is for URLs and git repositories only")),
        (_, Source::Git(git)) if git.is_local() => {
            let message = format!("ADD cannot take a repository of this machine: `{text}`");
            Err(wrong(message).instead("give it as a context: --build-context NAME=file://…"))
        }
        _ => Ok(source),
    }
}
