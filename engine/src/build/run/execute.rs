//! `RUN`: its cache key, its mounts, and waiting for the process that does it.
//!
//! The process is our own executable in the role `__build-run` (see `run_role`): it may fork and enter namespaces, we
//! may not. It gets a [`RunSpec`] and answers with an [`Outcome`]; when we go away it kills the command.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Severity};
use super::digest::Fields;
use super::error::BuildError;
use super::explain::Ingredients;
use super::ignore::Patterns;
use super::origin::Files;
use super::overlay;
use super::parse::mount::{Mount, MountType};
use super::parse::{CommandLine, Instruction, RunFlags, chomp, parse_heredoc_word};
use super::progress::StepId;
use super::request::RunNetwork;
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

/// A mount with what it takes.
pub(super) struct Taken {
    pub(super) mount: Mount,
    /// Absolute.
    pub(super) target: String,
    pub(super) files: Option<Files>,
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

pub(super) fn with_tree<T>(
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

pub(super) fn one_source(tree: &Tree, source: &str) -> Result<select::Selected, String> {
    let shown = values::clean(&format!("/{source}"));
    let selected = select::select_plain(tree, &shown)
        .map_err(|error| format!("cannot use `{shown}`: {error}"))?;
    selected.ok_or_else(|| format!("mount source `{shown}` not found"))
}

/// One execution.
pub(super) struct Runner<'r, 's, 'a> {
    pub(super) stage: &'r Stage<'s, 'a>,
    pub(super) instruction: &'r Instruction,
    pub(super) name: &'r str,
    pub(super) argv: &'r [String],
    pub(super) env: &'r [String],
    pub(super) network: Network,
    pub(super) insecure: bool,
    pub(super) taken: &'r [Taken],
    pub(super) script: Script,
}

/// Things that must live as long as the command runs.
#[derive(Default)]
pub(super) struct Held {
    pub(super) locks: Vec<Lock>,
    pub(super) agents: Vec<ssh::Forwarder>,
    pub(super) parts: Vec<Part>,
}

impl Runner<'_, '_, '_> {
    pub(super) fn error(
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

    pub(super) fn internal(&self, what: &'static str) -> impl Fn(std::io::Error) -> BuildError {
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
}

fn random() -> u64 {
    super::scratch::random().unwrap_or_default()
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
