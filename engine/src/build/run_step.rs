//! `RUN`: its cache key, its mounts, and waiting for the process that does it.
//!
//! The process is our own executable in the role `__build-run` (see `run_role`): it may fork and enter namespaces, we
//! may not. It gets a [`RunSpec`] and answers with an [`Outcome`]; when we go away it kills the command.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::copy::{Attributes, Copier};
use super::diagnostic::{Diagnostic, Severity};
use super::digest::{Fields, hex};
use super::error::BuildError;
use super::explain::Ingredients;
use super::ignore::Patterns;
use super::origin::Files;
use super::overlay;
use super::parse::mount::{Mount, MountType, Sharing};
use super::parse::{CommandLine, Instruction, RunFlags, chomp, parse_heredoc_word};
use super::progress::{BuildProgress, LogStream, StepId};
use super::request::{RunNetwork, SecretSource};
use super::run_role::{Access, Network, Outcome, RunMount, RunSpec};
use super::scratch::Part;
use super::select;
use super::ssh;
use super::stage::Stage;
use super::store;
use super::tree::{Found, Tree, View};
use super::values;
use crate::error::ErrorKind;
use crate::layer::Layer;
use crate::state::Lock;

/// Lines of output kept for the error.
const KEPT_LINES: usize = 20;
/// A longer line of output is told in pieces.
const LINE_LIMIT: u64 = 16 * 1024;

/// A mount with what it takes.
struct Taken {
    mount: Mount,
    /// Absolute.
    target: String,
    files: Option<Files>,
}

/// Does the instruction.
pub(super) fn run(
    stage: &mut Stage<'_, '_>,
    instruction: &Instruction,
    flags: &RunFlags,
    command: &CommandLine,
) -> Result<(), BuildError> {
    let span = instruction.span;
    let (command, script) = with_heredocs(stage, instruction, command)?;
    let argv = stage.wrapped(&command);
    if argv.is_empty() {
        return Err(stage.wrong(span, "RUN needs a command", None));
    }
    let name = stage.vertex_name(&format!("RUN {}", instruction.text));
    let network = network(stage, instruction, flags)?;
    let insecure = flags.security.as_deref() == Some("insecure");
    if insecure && !allowed(stage, "security.insecure") {
        let help = "allow it with --allow security.insecure";
        return Err(stage.wrong(
            span,
            "`--security=insecure` needs the entitlement `security.insecure`",
            Some(help),
        ));
    }
    if let Some(device) = flags.devices.first() {
        let message =
            format!("`--device={device}` is not supported: there are no CDI devices here");
        return Err(stage.wrong(span, message, None));
    }
    let mut taken = Vec::new();
    for text in &flags.mounts {
        let mount = {
            let mut expand =
                |value: &str| stage.expand(span, value).map_err(|error| error.to_string());
            Mount::parse(&text.text, &mut expand)
        };
        let mount = mount.map_err(|bad| {
            stage.wrong(
                span,
                format!("invalid `--mount`: {}", bad.message),
                bad.help.as_deref(),
            )
        })?;
        let files = match mount.kind {
            MountType::Bind => Some(stage.files(span, mount.from.as_deref())?),
            MountType::Cache if mount.from.is_some() => {
                Some(stage.files(span, mount.from.as_deref())?)
            }
            _ => None,
        };
        let target = match (mount.target.as_str(), mount.kind) {
            ("", MountType::Secret) => {
                let id = mount.id.clone().unwrap_or_default();
                format!("/run/secrets/{}", id.rsplit('/').next().unwrap_or_default())
            }
            ("", MountType::Ssh) => {
                let number = taken
                    .iter()
                    .filter(|other: &&Taken| other.mount.kind == MountType::Ssh)
                    .count();
                format!("/run/buildkit/ssh_agent.{number}")
            }
            (target, _) => values::absolute(&stage.result.config.config.working_dir, target),
        };
        let target = if target.len() > 1 {
            target.trim_end_matches('/').to_owned()
        } else {
            target
        };
        if target == "/" {
            return Err(stage.wrong(span, "invalid `--mount`: `target` cannot be `/`", None));
        }
        taken.push(Taken {
            mount,
            target,
            files,
        });
    }

    let cwd = stage.result.config.config.working_dir.clone();
    let user = stage.result.config.config.user.clone();
    let env = stage.result.variables.environment();
    let hosts = &stage.solver.request.extra_hosts;
    let mut fields = Fields::new("run");
    fields.add(&stage.result.key).list(&argv).list(&env);
    fields
        .add(cwd.as_bytes())
        .add(user.as_bytes())
        .add(format!("{network:?}").as_bytes())
        .add(&[u8::from(insecure)]);
    fields.list(
        hosts
            .iter()
            .map(|host| format!("{} {:?}", host.name, host.address)),
    );
    fields.add(script.as_ref().map_or(&[][..], |(_, text)| text.as_bytes()));
    let mut ingredients = Ingredients::default();
    ingredients.add("the network", format!("{network:?}").as_bytes());
    for taken in &taken {
        add_mount(stage, &mut fields, taken, &mut ingredients).map_err(|reason| {
            stage.solver.step_error(
                &name,
                &stage.source,
                span,
                ErrorKind::NotFound,
                reason,
                None,
            )
        })?;
    }
    let key = fields.finish();

    let below = stage.result.stack.clone();
    let runner = Runner {
        stage,
        instruction,
        name: &name,
        argv: &argv,
        env: &env,
        network,
        insecure,
        taken: &taken,
        script,
    };
    let made = stage
        .solver
        .vertex(&name, &key, &below, stage.no_cache, &mut |step| {
            runner.execute(step)
        })?;
    let mut ingredients = ingredients;
    ingredients
        .add("the step before", &stage.result.key)
        .add("the command", argv.join("\0").as_bytes())
        .add("the working directory", cwd.as_bytes())
        .add("the user", user.as_bytes());
    ingredients.variables(&env);
    stage.explain(
        &name,
        &format!("RUN {}", instruction.text),
        &made,
        &ingredients,
    );
    let arguments: Vec<String> = stage
        .result
        .variables
        .arguments()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let text = match arguments.as_slice() {
        [] => format!("RUN {}", argv.join(" ")),
        all => format!("RUN |{} {} {}", all.len(), all.join(" "), argv.join(" ")),
    };
    stage.push(key, made, &text);
    Ok(())
}

type Script = Option<(String, String)>;

/// Heredocs of a command: a script to run, a file to execute, or text for the shell.
fn with_heredocs(
    stage: &Stage<'_, '_>,
    instruction: &Instruction,
    command: &CommandLine,
) -> Result<(CommandLine, Script), BuildError> {
    let mut command = command.clone();
    let Some(first) = command.files.first().cloned() else {
        return Ok((command, None));
    };
    let text = command.words.first().cloned().unwrap_or_default();
    if parse_heredoc_word(&text).is_some() {
        let body = if first.chomp {
            chomp(&first.content)
        } else {
            first.content.clone()
        };
        if body.starts_with("#!") {
            if first.name.contains('/') {
                return Err(stage.wrong(
                    instruction.span,
                    "the name of a script heredoc must not hold `/`",
                    None,
                ));
            }
            command.words = vec![format!("/dev/pipes/{}", first.name)];
            return Ok((command, Some((first.name, body))));
        }
        command.words = vec![body];
        return Ok((command, None));
    }
    let mut whole = text;
    for file in &command.files {
        whole += &format!("\n{}{}", file.content, file.name);
    }
    command.words = vec![whole];
    Ok((command, None))
}

fn allowed(stage: &Stage<'_, '_>, entitlement: &str) -> bool {
    stage
        .solver
        .request
        .entitlements
        .iter()
        .any(|known| known == entitlement)
}

fn network(
    stage: &Stage<'_, '_>,
    instruction: &Instruction,
    flags: &RunFlags,
) -> Result<Network, BuildError> {
    Ok(
        match (flags.network.as_deref(), &stage.solver.request.network) {
            (Some("none"), _) | (None | Some("default"), RunNetwork::None) => Network::None,
            (Some("host"), RunNetwork::Host) => Network::Host,
            (Some("host"), _) if allowed(stage, "network.host") => Network::Host,
            (Some("host"), _) => {
                let help = "allow it with --allow network.host";
                let message = "`--network=host` needs the entitlement `network.host`";
                return Err(stage.wrong(instruction.span, message, Some(help)));
            }
            (_, RunNetwork::Host) => Network::Host,
            (_, RunNetwork::Named(name)) => Network::Named(name.clone()),
            _ => Network::Named("bridge".into()),
        },
    )
}

/// What a mount adds to the key: what the command can see of it, not what it is called or what a cache holds.
fn add_mount(
    stage: &Stage<'_, '_>,
    fields: &mut Fields,
    taken: &Taken,
    ingredients: &mut Ingredients,
) -> Result<(), String> {
    let mount = &taken.mount;
    fields
        .add(format!("{:?}", mount.kind).as_bytes())
        .add(taken.target.as_bytes())
        .add(&[u8::from(mount.read_only)]);
    let attributes = (
        mount.size,
        mount.mode,
        mount.uid,
        mount.gid,
        &mount.env,
        mount.required,
    );
    fields.add(format!("{attributes:?}").as_bytes());
    if let (MountType::Bind, Some(files)) = (mount.kind, &taken.files) {
        let digest = bound_digest(stage, files, &mount.source)?;
        ingredients.add(format!("what is mounted on `{}`", taken.target), &digest);
        fields.add(&digest);
    }
    Ok(())
}

fn bound_digest(stage: &Stage<'_, '_>, files: &Files, source: &str) -> Result<[u8; 32], String> {
    with_tree(stage, files, |tree, stack| {
        let selected = one_source(tree, source)?;
        super::copy_step::digest(stage, tree, stack, &selected, &Patterns::default(), false)
            .map(|(digest, _)| digest)
            .map_err(|e| e.to_string())
    })
}

fn with_tree<T>(
    stage: &Stage<'_, '_>,
    files: &Files,
    work: impl FnOnce(&Tree, Option<&[u8; 32]>) -> Result<T, String>,
) -> Result<T, String> {
    match files {
        Files::Context(context) => work(&context.tree, None),
        Files::Stack(stack) => {
            let tree = stage.open(stack).map_err(|error| error.to_string())?;
            work(&tree, Some(&super::stage::stack_key(stack)))
        }
    }
}

fn one_source(tree: &Tree, source: &str) -> Result<select::Selected, String> {
    let shown = values::clean(&format!("/{source}"));
    let selected = select::select_plain(tree, &shown)
        .map_err(|error| format!("cannot use `{shown}`: {error}"))?;
    selected.ok_or_else(|| format!("mount source `{shown}` not found"))
}

/// One execution.
struct Runner<'r, 's, 'a> {
    stage: &'r Stage<'s, 'a>,
    instruction: &'r Instruction,
    name: &'r str,
    argv: &'r [String],
    env: &'r [String],
    network: Network,
    insecure: bool,
    taken: &'r [Taken],
    script: Script,
}

/// Things that must live as long as the command runs.
#[derive(Default)]
struct Held {
    locks: Vec<Lock>,
    agents: Vec<ssh::Forwarder>,
    parts: Vec<Part>,
}

impl Runner<'_, '_, '_> {
    fn error(
        &self,
        kind: ErrorKind,
        message: impl Into<String>,
        help: Option<String>,
    ) -> BuildError {
        self.stage.solver.step_error(
            self.name,
            &self.stage.source,
            self.instruction.span,
            kind,
            message,
            help,
        )
    }

    fn internal(&self, what: &'static str) -> impl Fn(std::io::Error) -> BuildError {
        move |error| self.error(ErrorKind::Internal, format!("cannot {what}: {error}"), None)
    }

    fn execute(&self, step: StepId) -> Result<Layer, BuildError> {
        let solver = self.stage.solver;
        let part = solver
            .scratch
            .directory()
            .map_err(self.internal("make a directory for the step"))?;
        let upper = part
            .make("upper")
            .map_err(self.internal("make a directory for the step"))?;
        let work = part
            .make("work")
            .map_err(self.internal("make a directory for the step"))?;
        let mut held = Held::default();
        let mut env = self.env.to_vec();
        env.extend(self.stage.result.variables.proxies(&solver.request.args));
        let mut mounts = Vec::new();
        for taken in self.taken {
            self.mount(taken, &part, &mut mounts, &mut env, &mut held)?;
        }
        if let Some((name, text)) = &self.script {
            let dir = part
                .make("pipes")
                .map_err(self.internal("write the script"))?;
            let file = dir.join(name);
            std::fs::write(&file, text)
                .and_then(|()| {
                    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))
                })
                .map_err(self.internal("write the script"))?;
            mounts.push(RunMount::Bind {
                source: dir,
                below: String::new(),
                target: "/dev/pipes".into(),
                access: Access::ReadOnly,
            });
        }
        let mut lower = self.stage.result.stack.lower();
        if lower.is_empty() {
            lower.push(self.stage.empty_directory()?);
        }
        let stubs = self.stubs(&lower, &mounts)?;
        let request = solver.request;
        let spec = RunSpec {
            id: format!("{:016x}{:016x}{:032x}", random(), random(), 0),
            root: solver.root.clone(),
            run_dir: solver.run_dir.clone(),
            scratch: part.path().to_owned(),
            lower,
            upper: upper.clone(),
            work,
            argv: self.argv.to_vec(),
            env,
            cwd: self.stage.result.config.config.working_dir.clone(),
            user: Some(self.stage.result.config.config.user.clone())
                .filter(|user| !user.is_empty()),
            hostname: request
                .args
                .get("BUILDKIT_SANDBOX_HOSTNAME")
                .cloned()
                .unwrap_or_else(|| "buildkitsandbox".into()),
            network: self.network.clone(),
            insecure: self.insecure,
            extra_hosts: request.extra_hosts.clone(),
            mounts,
            shm_size: request.shm_size,
            ulimits: request.ulimits.clone(),
            cgroup_parent: request.cgroup_parent.clone(),
        };
        let (outcome, output) = self.spawn(step, &spec)?;
        drop(held);
        let command = self.argv.join(" ");
        match outcome {
            Outcome::Exited(0) => {}
            _ if solver.is_stopped() => return Err(BuildError::Cancelled),
            Outcome::Exited(code) => {
                let help = match code {
                    126 => Some("the command was found but cannot be executed".to_owned()),
                    127 => {
                        Some("the command was not found: is it installed, and in PATH?".to_owned())
                    }
                    137 => Some("it was killed, maybe for lack of memory".to_owned()),
                    _ => None,
                };
                return Err(self.failed_command(&command, code, help, output));
            }
            Outcome::Failed {
                kind,
                message,
                exit_code,
            } => {
                let shown = format!("process `{command}` did not complete successfully: {message}");
                return Err(match exit_code {
                    Some(code) => self.failed_command_message(shown, code, None, output),
                    None => self.error(kind.into(), shown, None),
                });
            }
        }
        for stub in stubs {
            remove_stub(&upper, &stub);
        }
        store::commit(
            solver.images,
            &upper,
            &self.stage.result.stack,
            None,
            solver.epoch,
        )
    }

    fn failed_command(
        &self,
        command: &str,
        code: i32,
        help: Option<String>,
        output: Vec<String>,
    ) -> BuildError {
        let message =
            format!("process `{command}` did not complete successfully: exit code: {code}");
        self.failed_command_message(message, code, help, output)
    }

    fn failed_command_message(
        &self,
        message: String,
        code: i32,
        help: Option<String>,
        output: Vec<String>,
    ) -> BuildError {
        BuildError::Command {
            step: self.name.to_owned(),
            diagnostic: Box::new(Diagnostic {
                severity: Severity::Error,
                source: self.stage.source.clone(),
                span: self.instruction.span,
                message,
                help,
            }),
            exit_code: code,
            output,
        }
    }

    /// Prepares one mount.
    fn mount(
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

    /// Paths that the root lacks and the mounts will make: removed again when they are left empty.
    fn stubs(&self, lower: &[PathBuf], mounts: &[RunMount]) -> Result<Vec<PathBuf>, BuildError> {
        let root = overlay::mount(lower, None).map_err(self.internal("mount the layers"))?;
        let tree = Tree::new(root, View::Image);
        let mut stubs = Vec::new();
        let targets = ["/etc/resolv.conf", "/etc/hosts"]
            .into_iter()
            .chain(mounts.iter().map(RunMount::target));
        for target in targets {
            let Ok(place) = tree.locate(OsStr::new(target)) else {
                continue;
            };
            let Found::Missing(names) = place.found else {
                continue;
            };
            let mut path = PathBuf::from(&place.path);
            let mut made = Vec::new();
            for name in names {
                path.push(name);
                made.push(path.clone());
            }
            // Deepest first.
            stubs.extend(made.into_iter().rev());
        }
        Ok(stubs)
    }

    /// Starts the role, passes its output on, and waits for its answer.
    fn spawn(&self, step: StepId, spec: &RunSpec) -> Result<(Outcome, Vec<String>), BuildError> {
        let solver = self.stage.solver;
        let failed = self.internal("start the step's process");
        let document = serde_json::to_vec(spec).map_err(|error| failed(error.into()))?;
        let memory = rustix::fs::memfd_create("build-run", rustix::fs::MemfdFlags::CLOEXEC)
            .map_err(|e| failed(e.into()))?;
        let mut memory = std::fs::File::from(memory);
        memory
            .write_all(&document)
            .and_then(|()| std::io::Seek::rewind(&mut memory))
            .map_err(&failed)?;
        let (mut answer, theirs) = UnixStream::pair().map_err(&failed)?;
        let (out_read, out_write) = pipe().map_err(&failed)?;
        let (err_read, err_write) = pipe().map_err(&failed)?;
        let executable = crate::sys::Executable::current().map_err(&failed)?;
        let child = crate::sys::spawn_role(
            &executable,
            &[OsStr::new("gantry"), OsStr::new(crate::role::BUILD_RUN)],
            &[
                theirs.as_fd(),
                out_write.as_fd(),
                err_write.as_fd(),
                memory.as_fd(),
            ],
        )
        .map_err(&failed)?;
        drop((out_write, err_write, theirs, memory));

        let kept = Mutex::new(VecDeque::new());
        let mut text = Vec::new();
        std::thread::scope(|scope| {
            for (fd, stream) in [(out_read, LogStream::Stdout), (err_read, LogStream::Stderr)] {
                let kept = &kept;
                scope.spawn(move || {
                    pass_on(fd, &mut |line| {
                        let mut kept = kept
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner);
                        if kept.len() == KEPT_LINES {
                            kept.pop_front();
                        }
                        kept.push_back(line.clone());
                        drop(kept);
                        solver.tell(BuildProgress::Log { step, stream, line });
                    });
                });
            }
            // Short waits, so that a build that is over does not sit out its commands.
            let _ = answer.set_read_timeout(Some(std::time::Duration::from_millis(50)));
            let mut buffer = [0u8; 4096];
            loop {
                match answer.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => text.extend_from_slice(&buffer[..count]),
                    Err(error)
                        if matches!(
                            error.kind(),
                            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                        ) =>
                    {
                        if solver.is_stopped() {
                            // The role sees this and kills the command.
                            let _ = answer.shutdown(std::net::Shutdown::Write);
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        });
        let exit = crate::sys::process::wait(child.pidfd.as_fd());
        let output = kept
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .into();
        match serde_json::from_slice(&text) {
            Ok(outcome) => Ok((outcome, output)),
            Err(_) => {
                let message = format!("the step's process ended without an answer ({exit:?})");
                Err(self.error(ErrorKind::Internal, message, None))
            }
        }
    }
}

fn random() -> u64 {
    super::scratch::random().unwrap_or_default()
}

fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Splits output into lines.
fn pass_on(fd: OwnedFd, tell: &mut dyn FnMut(String)) {
    let mut reader = BufReader::new(std::fs::File::from(fd));
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader
            .by_ref()
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => tell(
                String::from_utf8_lossy(&line)
                    .trim_end_matches(['\n', '\r'])
                    .to_owned(),
            ),
        }
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

/// Removes an empty file or directory of the upper directory, not through links.
fn remove_stub(upper: &Path, stub: &Path) {
    let Ok(tree) = Tree::open(upper, View::Image) else {
        return;
    };
    let Some(name) = stub.file_name() else { return };
    let parent = stub.parent().unwrap_or(Path::new(""));
    let Ok(place) = tree.locate(parent.as_os_str()) else {
        return;
    };
    if !matches!(place.found, Found::Directory) || place.path != parent.as_os_str() {
        return;
    }
    let Ok(stat) = rustix::fs::statat(&place.dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
    else {
        return;
    };
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::Directory => {
            let _ = rustix::fs::unlinkat(&place.dir, name, rustix::fs::AtFlags::REMOVEDIR);
        }
        rustix::fs::FileType::RegularFile if stat.st_size == 0 => {
            let _ = rustix::fs::unlinkat(&place.dir, name, rustix::fs::AtFlags::empty());
        }
        _ => {}
    }
}
