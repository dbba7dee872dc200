//! `RUN --mount=type=cache`: directories that outlive builds, below `build/mounts`.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::execute::Runner;
use super::mounts::{one_source, with_tree};
use crate::build::copier::{Attributes, Copier};
use crate::build::digest::{Fields, hex};
use crate::build::error::BuildError;
use crate::build::ignore::Patterns;
use crate::build::origin::Files;
use crate::build::parse::mount::{Mount, Sharing};
use crate::build::stage::stack_key;
use crate::build::tree::{Tree, View};
use crate::build::values;
use crate::error::ErrorKind;
use crate::state::{Lock, StateError, touch};

impl Runner<'_, '_, '_> {
    /// The directory of a cache mount, and the lock that its sharing asks for.
    pub(super) fn cache_directory(
        &self,
        mount: &Mount,
        seed: Option<&Files>,
    ) -> Result<(PathBuf, Lock), BuildError> {
        let home = self.cache_home(mount, seed);
        std::fs::create_dir_all(&home).map_err(self.internal("open a cache mount"))?;
        touch(&home).map_err(self.internal("open a cache mount"))?;
        let (directory, lock) =
            lock(&home, mount.sharing).map_err(|error| self.cannot_lock(&error))?;
        // One filler at a time.
        let making =
            Lock::exclusive(&home.join("making.lock")).map_err(|error| self.cannot_lock(&error))?;
        if self.stage.no_cache && directory.exists() {
            self.throw_away(&directory)?;
        }
        if !directory.exists() {
            self.fill(&directory, mount, seed)?;
        }
        drop(making);
        Ok((directory, lock))
    }

    /// Where the directories of one cache lie: by its namespace, its name (the target as it is written, where none is
    /// given), and what it begins with.
    fn cache_home(&self, mount: &Mount, seed: Option<&Files>) -> PathBuf {
        let solver = self.stage.solver;
        let namespace = solver.request.args.get("BUILDKIT_CACHE_MOUNT_NS");
        let name = mount.id.as_deref().unwrap_or(&mount.target);
        let mut fields = Fields::new("cache mount");
        fields
            .add(namespace.map_or(&[][..], |namespace| namespace.as_bytes()))
            .add(values::clean(name).as_bytes());
        if let Some(Files::Stack(stack)) = seed {
            fields.add(&stack_key(stack)).add(mount.source.as_bytes());
        }
        solver.root.join("build/mounts").join(hex(&fields.finish()))
    }

    fn cannot_lock(&self, error: &StateError) -> BuildError {
        let message = format!("cannot lock a cache mount: {error}");
        self.error(ErrorKind::Internal, message, None)
    }

    fn throw_away(&self, directory: &Path) -> Result<(), BuildError> {
        let failed = self.internal("open a cache mount");
        let trash = self.stage.solver.scratch.directory().map_err(&failed)?;
        std::fs::rename(directory, trash.path().join("old")).map_err(&failed)
    }

    /// Makes the directory, in one step for those who look at it, with what `from=` gives it.
    fn fill(
        &self,
        directory: &Path,
        mount: &Mount,
        seed: Option<&Files>,
    ) -> Result<(), BuildError> {
        let failed = self.internal("open a cache mount");
        let part = self.stage.solver.scratch.directory().map_err(&failed)?;
        let new = part.make("new").map_err(&failed)?;
        if let Some(files) = seed {
            with_tree(self.stage, files, |tree, _| {
                let selected = one_source(tree, &mount.source)?;
                let to = Tree::open(&new, View::Image).map_err(|error| error.to_string())?;
                let attributes = Attributes::default();
                Copier::new(&to, &attributes)
                    .copy(tree, &selected, "/", true, &Patterns::default())
                    .map_err(|error| error.to_string())
            })
            .map_err(|reason| self.error(ErrorKind::NotFound, reason, None))?;
        }
        let (uid, gid) = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
        let mode = std::fs::Permissions::from_mode(mount.mode.unwrap_or(0o755) & 0o777);
        chown(&new, Some(uid), Some(gid)).map_err(&failed)?;
        std::fs::set_permissions(&new, mode).map_err(&failed)?;
        std::fs::rename(&new, directory).map_err(&failed)
    }
}

/// The first directory that may be used, locked. Only private caches have several.
fn lock(home: &Path, sharing: Sharing) -> Result<(PathBuf, Lock), StateError> {
    let mut number = 0;
    loop {
        let directory = home.join(number.to_string());
        let path = home.join(format!("{number}.lock"));
        match sharing {
            Sharing::Shared => return Ok((directory, Lock::shared(&path)?)),
            Sharing::Locked => return Ok((directory, Lock::exclusive(&path)?)),
            Sharing::Private => match Lock::try_exclusive(&path)? {
                Some(lock) => return Ok((directory, lock)),
                None => number += 1,
            },
        }
    }
}
