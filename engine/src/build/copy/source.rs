//! The source words of `COPY` and `ADD`: files of a tree, addresses, repositories.

use super::words::Flags;
use crate::build::checks::{self, Source, Verb};
use crate::build::diagnostic::Span;
use crate::build::digest::hex;
use crate::build::error::BuildError;
use crate::build::fetch::{self, Download};
use crate::build::git::{Access, GitRef};
use crate::build::select::{self, Selected};
use crate::build::stage::Stage;
use crate::build::tree::{self, Tree};
use crate::build::values;
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

/// Finds what source words name.
pub(super) struct Finder<'f, 's, 'a> {
    pub(super) stage: &'f Stage<'s, 'a>,
    pub(super) span: Span,
    /// The step's name.
    pub(super) step: &'f str,
    pub(super) tree: &'f Tree,
    pub(super) flags: &'f Flags<'f>,
    pub(super) checksum: Option<&'f str>,
}

impl Finder<'_, '_, '_> {
    /// What all these name.
    pub(super) fn all(&self, sources: &[String]) -> Result<Vec<Item>, BuildError> {
        sources.iter().map(|source| self.find(source)).collect()
    }

    fn find(&self, source: &str) -> Result<Item, BuildError> {
        let verb = match self.flags.add {
            true => Verb::Add,
            false => Verb::Copy,
        };
        let found = checks::source(source, verb, self.checksum.is_some())
            .map_err(|bad| self.wrong(bad.message, bad.help))?;
        match found {
            Source::Git(git) => self.git(git),
            Source::Url => self.url(source),
            Source::Files => self.files(source),
        }
    }

    fn git(&self, git: GitRef) -> Result<Item, BuildError> {
        let commit = git
            .resolve(&Access::of(self.stage.solver.request, &git))
            .map_err(|reason| self.failed(ErrorKind::NotFound, reason, None))?;
        if let Some(checksum) = self.checksum
            && (checksum.len() < 7 || !commit.starts_with(&checksum.to_ascii_lowercase()))
        {
            let message = format!("checksum `{checksum}` does not match the commit `{commit}`");
            return Err(self.failed(ErrorKind::Invalid, message, None));
        }
        Ok(Item::Git { commit, git })
    }

    fn url(&self, source: &str) -> Result<Item, BuildError> {
        let download = fetch::file(self.stage.solver, source)
            .map_err(|(kind, reason)| self.failed(kind, reason, None))?;
        let Some(checksum) = self.checksum else {
            return Ok(Item::Url(download));
        };
        let well_formed = checksum
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64);
        if !well_formed {
            let help = "write sha256:<64 hex digits>";
            return Err(self.wrong(format!("invalid --checksum `{checksum}`"), Some(help)));
        }
        let found = format!("sha256:{}", hex(&download.digest));
        if found != checksum.to_ascii_lowercase() {
            let message = format!(
                "checksum mismatch of `{source}`: its digest is {found}, --checksum says {checksum}"
            );
            return Err(self.failed(ErrorKind::Invalid, message, None));
        }
        Ok(Item::Url(download))
    }

    fn files(&self, source: &str) -> Result<Item, BuildError> {
        let (word, skip) = match self.flags.parents {
            true => pivot(source),
            false => (source, 0),
        };
        match select::select(self.tree, word, self.flags.parents) {
            Ok(Some(selected)) => Ok(Item::Files { selected, skip }),
            Ok(None) => Err(self.not_found(source)),
            Err(error) => {
                let message = format!("cannot use source `{source}`: {error}");
                Err(self.failed(ErrorKind::Invalid, message, None))
            }
        }
    }

    fn not_found(&self, source: &str) -> BuildError {
        let shown = values::clean(&format!("/{source}"));
        let help = match (self.flags.from, tree::exists(self.tree, &shown)) {
            (None, true) => "an ignore file excludes it; add an exception `!` for it",
            (None, false) => "paths are relative to the build context",
            (Some(_), _) => "paths are relative to the root of the source",
        };
        let message = format!("`{shown}` not found");
        self.failed(ErrorKind::NotFound, message, Some(help))
    }

    /// The instruction is wrong.
    fn wrong(&self, message: impl Into<String>, help: Option<&str>) -> BuildError {
        self.stage.wrong(self.span, message, help)
    }

    /// The step fails.
    fn failed(&self, kind: ErrorKind, message: String, help: Option<&str>) -> BuildError {
        let help = help.map(str::to_owned);
        let (solver, place) = (self.stage.solver, &self.stage.source);
        solver.step_error(self.step, place, self.span, kind, message, help)
    }
}

/// The word of a `--parents` source, and how many of its directories stand before `/./`: those are not made in the
/// destination.
fn pivot(source: &str) -> (&str, usize) {
    let word = source.trim_start_matches("./");
    let skip = word.find("/./").map_or(0, |at| {
        let base = values::clean(&format!("/{}", &word[..at]));
        base.split('/').filter(|part| !part.is_empty()).count()
    });
    (word, skip)
}
