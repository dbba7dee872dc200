//! Where an ordinary user's things are (XDG Base Directory Specification).

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::RootlessError;

/// The user's directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    data: PathBuf,
    run: PathBuf,
}

impl Places {
    /// From `XDG_DATA_HOME`, `XDG_RUNTIME_DIR` and `HOME`; without a runtime directory, a private
    /// one below /tmp.
    pub fn of_user() -> Result<Self, RootlessError> {
        let absolute = |name| {
            let path = std::env::var_os(name).map(PathBuf::from)?;
            path.is_absolute().then_some(path)
        };
        let data = absolute("XDG_DATA_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".local/share")))
            .ok_or(RootlessError::Directory {
                path: "~".into(),
                reason: "HOME is not set",
            })?;
        let run = match absolute("XDG_RUNTIME_DIR").filter(|path| path.is_dir()) {
            Some(path) => path.join("gantry"),
            None => PathBuf::from(format!("/tmp/gantry-{}", real_user())),
        };
        private(&run)?;
        Ok(Self {
            data: data.join("gantry"),
            run,
        })
    }

    /// What outlives a login.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What lives as long as a boot.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Who holds the namespace.
    pub(super) fn holder(&self) -> PathBuf {
        self.run.join("holder.json")
    }

    /// Where the cgroups of the containers are.
    pub(super) fn scope(&self) -> PathBuf {
        self.run.join("scope.json")
    }

    /// The number of the process that carries packets out.
    pub(super) fn egress(&self) -> PathBuf {
        self.run.join("egress.pid")
    }

    /// Held by whoever makes or ends a holder.
    pub(super) fn making(&self) -> PathBuf {
        self.run.join("holder.lock")
    }

    /// Held, together, by all that use the namespace.
    pub(super) fn users(&self) -> PathBuf {
        self.run.join("users.lock")
    }
}

/// The id that the machine knows: in the namespace, the user is root.
fn real_user() -> u32 {
    let here = rustix::process::getuid().as_raw();
    crate::sys::user_namespace::outside(here).unwrap_or(here)
}

/// Makes a directory that nobody else can use, or finds that it is one.
fn private(path: &Path) -> Result<(), RootlessError> {
    let wrong = |reason| RootlessError::Directory {
        path: path.to_owned(),
        reason,
    };
    if let Err(error) = fs::DirBuilder::new().mode(0o700).create(path)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(wrong(
            "it cannot be made; set XDG_RUNTIME_DIR to a directory of yours",
        ));
    }
    let data = fs::symlink_metadata(path).map_err(|_| wrong("it cannot be read"))?;
    if !data.is_dir() || data.uid() != rustix::process::geteuid().as_raw() {
        return Err(wrong(
            "it belongs to somebody else; set XDG_RUNTIME_DIR to a directory of yours",
        ));
    }
    if data.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|_| wrong("others can use it"))?;
    }
    Ok(())
}
