//! The doing of `COPY` and `ADD`, once it is known that it must be done.

use std::io::Write;
use std::os::fd::AsFd;

use rustix::fs::FileType;

use super::source::Item;
use super::words::Flags;
use crate::build::chmod::Change;
use crate::build::copier::{Attributes, Copier};
use crate::build::fetch::Download;
use crate::build::file_step::NotWritten;
use crate::build::former::Tracker;
use crate::build::git::{Access, GitRef};
use crate::build::ignore::Patterns;
use crate::build::select::{self, Selected};
use crate::build::stage::Stage;
use crate::build::tree::{self, Tree};
use crate::build::{context, owner, untar};

/// The doing, once it is known that it must be done.
pub(super) struct Job<'j> {
    pub(super) dest: &'j str,
    pub(super) into: bool,
    pub(super) flags: &'j Flags<'j>,
    pub(super) exclude: &'j Patterns,
    pub(super) mode: Option<Change>,
    pub(super) chown: Option<&'j str>,
    /// As it was written; `mode` is what it says.
    pub(super) chmod: Option<&'j str>,
}

impl Job<'_> {
    /// Writes everything into a root.
    pub(super) fn write(
        &self,
        stage: &Stage<'_, '_>,
        from: &Tree,
        to: &Tree,
        items: &[Item],
        mut tracker: Option<&mut Tracker<'_>>,
    ) -> Result<(), NotWritten> {
        let owner = self
            .chown
            .map(|text| owner::resolve(to, text))
            .transpose()?;
        let attributes = Attributes {
            owner,
            mode: self.mode.clone(),
            created: stage.solver.epoch,
        };
        for item in items {
            // Hard links are kept inside one source only.
            let mut copier = Copier::new(to, &attributes).tracked(tracker.as_deref_mut());
            match item {
                Item::Files { selected, skip } => {
                    for selected in selected {
                        self.files(&mut copier, from, selected, *skip)?;
                    }
                }
                Item::Text { name, content } => {
                    copier.write(name, 0o644, None, self.dest, self.into, &mut |file| {
                        file.write_all(content.as_bytes())
                    })?
                }
                Item::Url(download) => self.url(&mut copier, download)?,
                Item::Git { commit, git } => self.checkout(stage, &mut copier, commit, git)?,
            }
        }
        Ok(())
    }

    /// Checks a repository out and copies what was asked for of it.
    fn checkout(
        &self,
        stage: &Stage<'_, '_>,
        copier: &mut Copier<'_, '_>,
        commit: &str,
        git: &GitRef,
    ) -> Result<(), NotWritten> {
        let part = stage
            .solver
            .scratch
            .directory()
            .map_err(|error| error.to_string())?;
        let access = Access::of(stage.solver.request, git);
        git.checkout(commit, part.path(), self.flags.keep_git_dir, &access)?;
        let from = context::filled(part, "").map_err(|error| error.to_string())?;
        let subdir = git.subdir.as_deref().unwrap_or_default();
        let found = select::select(&from.tree, subdir, false).map_err(|error| error.to_string())?;
        let found =
            found.ok_or_else(|| format!("the git repository has no `{subdir}` at {commit}"))?;
        for selected in found {
            copier.copy(&from.tree, &selected, self.dest, self.into, self.exclude)?;
        }
        Ok(())
    }

    fn files(
        &self,
        copier: &mut Copier<'_, '_>,
        from: &Tree,
        selected: &Selected,
        skip: usize,
    ) -> Result<(), NotWritten> {
        if self.flags.add
            && self.flags.unpack != Some(false)
            && let Some(entry) = &selected.entry
            && entry.kind() == FileType::RegularFile
        {
            let file = tree::open_file(selected.dir.as_fd(), &entry.name)
                .map_err(|error| error.to_string())?;
            if let Some(archive) = untar::open(file).map_err(|error| error.to_string())? {
                return Ok(self.unpack(copier, archive)?);
            }
        }
        if self.flags.parents {
            copier.copy_with_parents(from, selected, skip, self.dest, self.exclude)?;
        } else {
            copier.copy(from, selected, self.dest, self.into, self.exclude)?;
        }
        Ok(())
    }

    fn unpack(
        &self,
        copier: &mut Copier<'_, '_>,
        archive: Box<dyn std::io::Read>,
    ) -> Result<(), String> {
        let dir = copier
            .make_directory(self.dest)
            .map_err(|error| error.to_string())?;
        untar::unpack(archive, dir, copier.attributes.owner).map_err(|error| error.to_string())
    }

    fn url(&self, copier: &mut Copier<'_, '_>, download: &Download) -> Result<(), String> {
        let open = || std::fs::File::open(&download.path).map_err(|error| error.to_string());
        if self.flags.unpack == Some(true)
            && let Some(archive) = untar::open(open()?).map_err(|error| error.to_string())?
        {
            return self.unpack(copier, archive);
        }
        let mut body = open()?;
        copier
            .write(
                &download.name,
                0o600,
                Some(download.mtime.unwrap_or(0)),
                self.dest,
                self.into,
                &mut |file| std::io::copy(&mut body, file).map(drop),
            )
            .map_err(|error| error.to_string())
    }
}
