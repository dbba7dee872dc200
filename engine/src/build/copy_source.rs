//! The source words of `COPY` and `ADD`: files of a tree, addresses, repositories.

use super::copy_step::Flags;
use super::digest::hex;
use super::error::BuildError;
use super::fetch::{self, Download};
use super::git::GitRef;
use super::select::{self, Selected};
use super::stage::Stage;
use super::tree::{self, Tree};
use super::values;
use crate::error::ErrorKind;

/// One source, found.
pub(super) enum Item {
    /// Files of the tree.
    Files {
        selected: Vec<Selected>,
        skip: usize,
    },
    /// A heredoc.
    Text { name: String, content: String },
    /// A fetched file.
    Url(Download),
    /// Files of a repository.
    Git { commit: String, git: GitRef },
}

impl Item {
    /// How many things it puts into the destination.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Files { selected, .. } => selected.len(),
            _ => 1,
        }
    }
}

/// Finds what one source word names.
pub(super) fn find(
    stage: &Stage<'_, '_>,
    span: super::diagnostic::Span,
    step: &str,
    tree: &Tree,
    source: &str,
    flags: &Flags<'_>,
    checksum: Option<&str>,
) -> Result<Item, BuildError> {
    let failed = |kind, message: String, help: Option<String>| {
        stage
            .solver
            .step_error(step, &stage.source, span, kind, message, help)
    };
    let git = GitRef::parse(source);
    let url = source.starts_with("http://") || source.starts_with("https://");
    if !flags.add && (git.is_some() || url) {
        let what = if git.is_some() {
            "a git repository"
        } else {
            "a URL"
        };
        return Err(stage.wrong(
            span,
            format!("COPY cannot take {what}: `{source}`"),
            Some("use ADD"),
        ));
    }
    if checksum.is_some() && git.is_none() && !url {
        return Err(stage.wrong(
            span,
            "--checksum is for URLs and git repositories only",
            None,
        ));
    }
    if let Some(git) = git {
        let commit = git
            .resolve()
            .map_err(|reason| failed(ErrorKind::NotFound, reason, None))?;
        if let Some(checksum) = checksum
            && (checksum.len() < 7 || !commit.starts_with(&checksum.to_ascii_lowercase()))
        {
            let message = format!("checksum `{checksum}` does not match the commit `{commit}`");
            return Err(failed(ErrorKind::Invalid, message, None));
        }
        return Ok(Item::Git { commit, git });
    }
    if url {
        let download = fetch::file(stage.solver, source)
            .map_err(|(kind, reason)| failed(kind, reason, None))?;
        if let Some(checksum) = checksum {
            let found = format!("sha256:{}", hex(&download.digest));
            let well_formed = checksum
                .strip_prefix("sha256:")
                .is_some_and(|hex| hex.len() == 64);
            if !well_formed {
                return Err(stage.wrong(
                    span,
                    format!("invalid --checksum `{checksum}`"),
                    Some("write sha256:<64 hex digits>"),
                ));
            }
            if found != checksum.to_ascii_lowercase() {
                let message = format!(
                    "checksum mismatch of `{source}`: its digest is {found}, --checksum says {checksum}"
                );
                return Err(failed(ErrorKind::Invalid, message, None));
            }
        }
        return Ok(Item::Url(download));
    }
    // The part after `/./` is kept below the destination.
    let (word, skip) = match flags.parents {
        true => {
            let trimmed = source.trim_start_matches("./");
            match trimmed.find("/./") {
                Some(at) => {
                    let base = values::clean(&format!("/{}", &trimmed[..at]));
                    (
                        trimmed.to_owned(),
                        base.split('/').filter(|part| !part.is_empty()).count(),
                    )
                }
                None => (trimmed.to_owned(), 0),
            }
        }
        false => (source.to_owned(), 0),
    };
    match select::select(tree, &word, flags.parents) {
        Ok(Some(selected)) => Ok(Item::Files { selected, skip }),
        Ok(None) => {
            let shown = values::clean(&format!("/{source}"));
            let hidden = tree::exists(tree, &shown);
            let help = match (flags.from, hidden) {
                (None, true) => {
                    Some("an ignore file excludes it; add an exception `!` for it".to_owned())
                }
                (None, false) => Some("paths are relative to the build context".to_owned()),
                (Some(_), _) => Some("paths are relative to the root of the source".to_owned()),
            };
            Err(failed(
                ErrorKind::NotFound,
                format!("`{shown}` not found"),
                help,
            ))
        }
        Err(error) => Err(failed(
            ErrorKind::Invalid,
            format!("cannot use source `{source}`: {error}"),
            None,
        )),
    }
}
