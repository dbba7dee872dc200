//! The mounts of a `RUN`: what each takes, and what each needs before the command starts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::document::{Access, RunMount};
use super::execute::Runner;
use super::ssh;
use crate::build::copier::{Attributes, Copier};
use crate::build::diagnostic::Span;
use crate::build::error::BuildError;
use crate::build::ignore::Patterns;
use crate::build::origin::Files;
use crate::build::parse::mount::{Mount, MountText, MountType, check_place};
use crate::build::request::SecretSource;
use crate::build::scratch::Part;
use crate::build::select::{self, Selected};
use crate::build::stage::{Stage, stack_key};
use crate::build::store::Stack;
use crate::build::tree::{Tree, View};
use crate::build::values;
use crate::error::ErrorKind;
use crate::state::Lock;

/// A mount with what it takes.
pub(super) struct Source {
    pub(super) mount: Mount,
    /// Absolute.
    pub(super) target: String,
    pub(super) files: Option<Files>,
}

/// What is ready when the command starts; dropped when it has ended.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) mounts: Vec<RunMount>,
    /// `NAME=value` entries that come with them.
    pub(super) env: Vec<String>,
    pub(super) locks: Vec<Lock>,
    agents: Vec<ssh::Forwarder>,
    parts: Vec<Part>,
}

/// Reads the `--mount` flags.
pub(super) fn sources(
    stage: &mut Stage<'_, '_>,
    span: Span,
    texts: &[MountText],
) -> Result<Vec<Source>, BuildError> {
    let mut sources = Vec::with_capacity(texts.len());
    for text in texts {
        let source = source(stage, span, text, &sources)?;
        sources.push(source);
    }
    Ok(sources)
}

fn source(
    stage: &mut Stage<'_, '_>,
    span: Span,
    text: &MountText,
    before: &[Source],
) -> Result<Source, BuildError> {
    let mut expand = |value: &str| stage.expand(span, value).map_err(|error| error.to_string());
    let mount = Mount::parse(&text.text, &mut expand);
    let mount = mount.map_err(|bad| stage.wrong(span, bad.of_flag(), bad.help.as_deref()))?;
    let reads = match mount.kind {
        MountType::Bind => true,
        MountType::Cache => mount.from.is_some(),
        _ => false,
    };
    let files = match reads {
        true => Some(stage.files(span, mount.from.as_deref())?),
        false => None,
    };
    let target = target(stage, &mount, before);
    check_place(&target).map_err(|bad| stage.wrong(span, bad.of_flag(), None))?;
    Ok(Source {
        mount,
        target,
        files,
    })
}

/// Where a mount goes: secrets and agents that name no place have one of their own.
fn target(stage: &Stage<'_, '_>, mount: &Mount, before: &[Source]) -> String {
    let target = match (mount.target.as_str(), mount.kind) {
        ("", MountType::Secret) => {
            let id = mount.id.as_deref().unwrap_or_default();
            format!("/run/secrets/{}", id.rsplit('/').next().unwrap_or_default())
        }
        ("", MountType::Ssh) => {
            let agents = before
                .iter()
                .filter(|other| other.mount.kind == MountType::Ssh);
            format!("/run/buildkit/ssh_agent.{}", agents.count())
        }
        (target, _) => values::absolute(&stage.result.config.config.working_dir, target),
    };
    match target.trim_end_matches('/') {
        "" => target,
        trimmed => trimmed.to_owned(),
    }
}

impl Runner<'_, '_, '_> {
    /// Prepares one mount; `part` is a directory of the step.
    pub(super) fn prepare_mount(
        &self,
        source: &Source,
        part: &Part,
        to: &mut Prepared,
    ) -> Result<(), BuildError> {
        match (source.mount.kind, &source.files) {
            (MountType::Bind, Some(Files::Context(context))) => {
                self.mount_context(source, &context.tree, to)
            }
            (MountType::Bind, Some(Files::Stack(stack))) => self.mount_stack(source, stack, to),
            (MountType::Bind, None) => Ok(()),
            (MountType::Cache, files) => {
                let (directory, lock) = self.cache_directory(&source.mount, files.as_ref())?;
                to.locks.push(lock);
                to.mounts.push(RunMount::Bind {
                    source: directory,
                    below: String::new(),
                    target: source.target.clone(),
                    access: source.access(),
                });
                Ok(())
            }
            (MountType::Tmpfs, _) => {
                to.mounts.push(RunMount::Tmpfs {
                    target: source.target.clone(),
                    size: source.mount.size,
                });
                Ok(())
            }
            (MountType::Secret, _) => self.mount_secret(source, to),
            (MountType::Ssh, _) => self.mount_agent(source, part, to),
        }
    }

    /// A copy: the command must not see what is ignored, nor change the context.
    fn mount_context(
        &self,
        source: &Source,
        context: &Tree,
        to: &mut Prepared,
    ) -> Result<(), BuildError> {
        let scratch = &self.stage.solver.scratch;
        let copy = scratch
            .directory()
            .map_err(self.internal("copy the mount's source"))?;
        let below = copy_out(context, &source.mount.source, copy.path())
            .map_err(|reason| self.error(ErrorKind::NotFound, reason, None))?;
        to.mounts.push(RunMount::Bind {
            source: copy.path().join("files"),
            below,
            target: source.target.clone(),
            access: source.access(),
        });
        to.parts.push(copy);
        Ok(())
    }

    /// The layers of a stage or an image, merged; what is written there is thrown away.
    fn mount_stack(
        &self,
        source: &Source,
        stack: &Stack,
        to: &mut Prepared,
    ) -> Result<(), BuildError> {
        let failed = self.internal("prepare a mount");
        let lower = self.stage.lower(stack)?;
        let below = with_tree(self.stage, &Files::Stack(stack.clone()), |tree, _| {
            let selected = one_source(tree, &source.mount.source)?;
            Ok(selected.path.to_string_lossy().into_owned())
        })
        .map_err(|reason| self.error(ErrorKind::NotFound, reason, None))?;
        let own = self.stage.solver.scratch.directory().map_err(&failed)?;
        own.make("at").map_err(&failed)?;
        if source.access() == Access::ReadWrite {
            own.make("upper").map_err(&failed)?;
            own.make("work").map_err(&failed)?;
        }
        to.mounts.push(RunMount::Layers {
            lower,
            directory: own.path().to_owned(),
            below,
            target: source.target.clone(),
            access: source.access(),
        });
        to.parts.push(own);
        Ok(())
    }

    /// A secret as a file, a variable, or both.
    fn mount_secret(&self, source: &Source, to: &mut Prepared) -> Result<(), BuildError> {
        let mount = &source.mount;
        let id = mount.id.as_deref().unwrap_or_default();
        let Some(secret) = self.stage.solver.request.secrets.get(id) else {
            let help = format!("give it with --secret id={id},src=FILE or id={id},env=NAME");
            // The variable is there all the same.
            to.env
                .extend(mount.env.as_ref().map(|name| format!("{name}=")));
            return self.missing(mount, format!("secret `{id}` not found"), help);
        };
        let content = match secret {
            SecretSource::Bytes(bytes) => bytes.clone(),
            SecretSource::File(path) => std::fs::read(path).map_err(|error| {
                let message = format!(
                    "cannot read secret `{id}` from `{}`: {error}",
                    path.display()
                );
                self.error(ErrorKind::NotFound, message, None)
            })?,
        };
        if let Some(name) = &mount.env {
            to.env
                .push(format!("{name}={}", String::from_utf8_lossy(&content)));
            if mount.target.is_empty() {
                return Ok(());
            }
        }
        to.mounts.push(RunMount::File {
            target: source.target.clone(),
            content,
            mode: mount.mode.unwrap_or(0o400),
            uid: mount.uid.unwrap_or(0),
            gid: mount.gid.unwrap_or(0),
        });
        Ok(())
    }

    /// A socket that leads to an agent of the user.
    fn mount_agent(
        &self,
        source: &Source,
        part: &Part,
        to: &mut Prepared,
    ) -> Result<(), BuildError> {
        let mount = &source.mount;
        let id = mount.id.as_deref().unwrap_or("default");
        let Some(agent) = self.stage.solver.request.ssh.get(id) else {
            let help = format!("give an agent with --ssh {id}");
            self.name_socket(source, to);
            return self.missing(mount, format!("no ssh agent `{id}` was given"), help);
        };
        let (mode, uid, gid) = (
            mount.mode.unwrap_or(0o600),
            mount.uid.unwrap_or(0),
            mount.gid.unwrap_or(0),
        );
        let socket = part.path().join(format!("agent{}", to.mounts.len()));
        let forwarder = ssh::Forwarder::start(agent, &socket, mode, uid, gid)
            .map_err(self.internal("listen for the ssh agent"))?;
        to.agents.push(forwarder);
        self.name_socket(source, to);
        to.mounts.push(RunMount::Bind {
            source: socket,
            below: String::new(),
            target: source.target.clone(),
            access: Access::ReadWrite,
        });
        Ok(())
    }

    /// Tells the command where its agent is, even one that was not given.
    fn name_socket(&self, source: &Source, to: &mut Prepared) {
        let known = self.command.env.iter().chain(&to.env);
        if !{ known }.any(|entry| entry.starts_with("SSH_AUTH_SOCK=")) {
            to.env.push(format!("SSH_AUTH_SOCK={}", source.target));
        }
    }

    /// What was not given is an error when the mount is `required`.
    fn missing(&self, mount: &Mount, message: String, help: String) -> Result<(), BuildError> {
        match mount.required {
            true => Err(self.error(ErrorKind::NotFound, message, Some(help))),
            false => Ok(()),
        }
    }
}

impl Source {
    fn access(&self) -> Access {
        if self.mount.read_only {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        }
    }
}

/// Opens what a mount reads; with the key of its layers, when it is layers.
pub(super) fn with_tree<T>(
    stage: &Stage<'_, '_>,
    files: &Files,
    work: impl FnOnce(&Tree, Option<&[u8; 32]>) -> Result<T, String>,
) -> Result<T, String> {
    match files {
        Files::Context(context) => work(&context.tree, None),
        Files::Stack(stack) => {
            let tree = stage.open(stack).map_err(|error| error.to_string())?;
            work(&tree, Some(&stack_key(stack)))
        }
    }
}

/// The one file or directory that `source=` names.
pub(super) fn one_source(tree: &Tree, source: &str) -> Result<Selected, String> {
    let shown = values::clean(&format!("/{source}"));
    let selected = select::select_plain(tree, &shown)
        .map_err(|error| format!("cannot use `{shown}`: {error}"))?;
    selected.ok_or_else(|| format!("mount source `{shown}` not found"))
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
