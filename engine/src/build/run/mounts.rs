//! The mounts of a `RUN`: what each needs before the command starts.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::copy::{Attributes, Copier};
use super::digest::{Fields, hex};
use super::error::BuildError;
use super::ignore::Patterns;
use super::origin::Files;
use super::parse::mount::{Mount, MountType, Sharing};
use super::request::SecretSource;
use super::run_role::{Access, RunMount};
use super::scratch::Part;
use super::ssh;
use super::tree::{Tree, View};
use super::values;
use crate::error::ErrorKind;
use crate::state::Lock;

use super::run_step::{Held, Runner, Taken, one_source, with_tree};

impl Runner<'_, '_, '_> {
    /// Prepares one mount.
    pub(super) fn mount(
        &self,
        taken: &Taken,
        part: &Part,
        mounts: &mut Vec<RunMount>,
        env: &mut Vec<String>,
        held: &mut Held,
    ) -> Result<(), BuildError> {
        let solver = self.stage.solver;
        let mount = &taken.mount;
        let target = taken.target.clone();
        let access = if mount.read_only {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        match (mount.kind, &taken.files) {
            (MountType::Bind, Some(Files::Context(context))) => {
                let copy = solver
                    .scratch
                    .directory()
                    .map_err(self.internal("copy the mount's source"))?;
                let below = copy_out(&context.tree, &mount.source, copy.path())
                    .map_err(|reason| self.error(ErrorKind::NotFound, reason, None))?;
                mounts.push(RunMount::Bind {
                    source: copy.path().join("files"),
                    below,
                    target,
                    access,
                });
                held.parts.push(copy);
            }
            (MountType::Bind, Some(Files::Stack(stack))) => {
                let mut lower = stack.lower();
                if lower.is_empty() {
                    lower.push(self.stage.empty_directory()?);
                }
                let below = with_tree(self.stage, &Files::Stack(stack.clone()), |tree, _| {
                    let selected = one_source(tree, &mount.source)?;
                    Ok(selected.path.to_string_lossy().into_owned())
                })
                .map_err(|reason| self.error(ErrorKind::NotFound, reason, None))?;
                let own = solver
                    .scratch
                    .directory()
                    .map_err(self.internal("prepare a mount"))?;
                own.make("at").map_err(self.internal("prepare a mount"))?;
                if !mount.read_only {
                    own.make("upper")
                        .map_err(self.internal("prepare a mount"))?;
                    own.make("work").map_err(self.internal("prepare a mount"))?;
                }
                mounts.push(RunMount::Layers {
                    lower,
                    directory: own.path().to_owned(),
                    below,
                    target,
                    access,
                });
                held.parts.push(own);
            }
            (MountType::Bind, None) => {}
            (MountType::Cache, files) => {
                let source = self.cache_directory(mount, &target, files.as_ref(), held)?;
                mounts.push(RunMount::Bind {
                    source,
                    below: String::new(),
                    target,
                    access,
                });
            }
            (MountType::Tmpfs, _) => mounts.push(RunMount::Tmpfs {
                target,
                size: mount.size,
            }),
            (MountType::Secret, _) => {
                let id = mount.id.clone().unwrap_or_default();
                let Some(secret) = solver.request.secrets.get(&id) else {
                    if mount.required {
                        let help =
                            format!("give it with --secret id={id},src=FILE or id={id},env=NAME");
                        return Err(self.error(
                            ErrorKind::NotFound,
                            format!("secret `{id}` not found"),
                            Some(help),
                        ));
                    }
                    return Ok(());
                };
                let content = match secret {
                    SecretSource::Bytes(bytes) => bytes.clone(),
                    SecretSource::File(path) => std::fs::read(path).map_err(|error| {
                        self.error(
                            ErrorKind::NotFound,
                            format!(
                                "cannot read secret `{id}` from `{}`: {error}",
                                path.display()
                            ),
                            None,
                        )
                    })?,
                };
                if let Some(name) = &mount.env {
                    env.push(format!("{name}={}", String::from_utf8_lossy(&content)));
                    if mount.target.is_empty() {
                        return Ok(());
                    }
                }
                let (mode, uid, gid) = (
                    mount.mode.unwrap_or(0o400),
                    mount.uid.unwrap_or(0),
                    mount.gid.unwrap_or(0),
                );
                mounts.push(RunMount::File {
                    target,
                    content,
                    mode,
                    uid,
                    gid,
                });
            }
            (MountType::Ssh, _) => {
                let id = mount.id.clone().unwrap_or_else(|| "default".into());
                let Some(agent) = solver.request.ssh.get(&id) else {
                    if mount.required {
                        let help = format!("give an agent with --ssh {id}");
                        return Err(self.error(
                            ErrorKind::NotFound,
                            format!("no ssh agent `{id}` was given"),
                            Some(help),
                        ));
                    }
                    return Ok(());
                };
                let number = mounts.len();
                let (mode, uid, gid) = (
                    mount.mode.unwrap_or(0o600),
                    mount.uid.unwrap_or(0),
                    mount.gid.unwrap_or(0),
                );
                let socket = part.path().join(format!("agent{number}"));
                let forwarder = ssh::Forwarder::start(agent, &socket, mode, uid, gid)
                    .map_err(self.internal("listen for the ssh agent"))?;
                held.agents.push(forwarder);
                if !env.iter().any(|entry| entry.starts_with("SSH_AUTH_SOCK=")) {
                    env.push(format!("SSH_AUTH_SOCK={target}"));
                }
                mounts.push(RunMount::Bind {
                    source: socket,
                    below: String::new(),
                    target,
                    access: Access::ReadWrite,
                });
            }
        }
        Ok(())
    }

    /// The directory of a cache mount, locked as its sharing asks.
    fn cache_directory(
        &self,
        mount: &Mount,
        target: &str,
        seed: Option<&Files>,
        held: &mut Held,
    ) -> Result<PathBuf, BuildError> {
        let solver = self.stage.solver;
        let mut fields = Fields::new("cache mount");
        fields.add(
            solver
                .request
                .args
                .get("BUILDKIT_CACHE_MOUNT_NS")
                .map_or(&[][..], |ns| ns.as_bytes()),
        );
        fields.add(
            mount
                .id
                .as_deref()
                .map_or_else(|| values::clean(target), values::clean)
                .as_bytes(),
        );
        if let Some(Files::Stack(stack)) = seed {
            fields
                .add(&super::stage::stack_key(stack))
                .add(mount.source.as_bytes());
        }
        let home = solver.root.join("build/mounts").join(hex(&fields.finish()));
        let failed = self.internal("open a cache mount");
        std::fs::create_dir_all(&home).map_err(&failed)?;
        let lock_failed = |error: crate::state::StateError| {
            self.error(
                ErrorKind::Internal,
                format!("cannot lock a cache mount: {error}"),
                None,
            )
        };
        let mut number = 0;
        let (directory, fresh_lock) = loop {
            let directory = home.join(number.to_string());
            let path = home.join(format!("{number}.lock"));
            match mount.sharing {
                Sharing::Shared => break (directory, Lock::shared(&path).map_err(lock_failed)?),
                Sharing::Locked => break (directory, Lock::exclusive(&path).map_err(lock_failed)?),
                Sharing::Private => match Lock::try_exclusive(&path).map_err(lock_failed)? {
                    Some(lock) => break (directory, lock),
                    None => number += 1,
                },
            }
        };
        held.locks.push(fresh_lock);
        // One filler at a time.
        let making = Lock::exclusive(&home.join("making.lock")).map_err(lock_failed)?;
        if self.stage.no_cache && directory.exists() {
            let old = solver.scratch.directory().map_err(&failed)?;
            std::fs::rename(&directory, old.path().join("old")).map_err(&failed)?;
        }
        if !directory.exists() {
            let part = solver.scratch.directory().map_err(&failed)?;
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
            std::os::unix::fs::chown(
                &new,
                Some(mount.uid.unwrap_or(0)),
                Some(mount.gid.unwrap_or(0)),
            )
            .map_err(&failed)?;
            std::fs::set_permissions(
                &new,
                std::fs::Permissions::from_mode(mount.mode.unwrap_or(0o755)),
            )
            .map_err(&failed)?;
            std::fs::rename(&new, &directory).map_err(&failed)?;
        }
        drop(making);
        Ok(directory)
    }
}

/// Copies what a context mount shows to `to/files`; gives the path of the source below that.
fn copy_out(tree: &Tree, source: &str, to: &Path) -> Result<String, String> {
    let selected = one_source(tree, source)?;
    let directory = to.join("files");
    std::fs::create_dir(&directory).map_err(|error| error.to_string())?;
    let root = Tree::open(&directory, View::Image).map_err(|error| error.to_string())?;
    let attributes = Attributes::default();
    let mut copier = Copier::new(&root, &attributes);
    copier
        .copy(tree, &selected, "/", true, &Patterns::default())
        .map_err(|error| error.to_string())?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| error.to_string())?;
    Ok(match selected.entry {
        Some(_) => selected.name().to_string_lossy().into_owned(),
        None => String::new(),
    })
}
