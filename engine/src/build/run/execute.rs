//! One execution of a `RUN`: everything it needs, the process that does it, and the layer it leaves.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::command::{Command, Script};
use super::document::{Access, Outcome, RunMount, RunSpec};
use super::mounts::Prepared;
use super::stubs;
use crate::build::diagnostic::{Diagnostic, Severity};
use crate::build::error::BuildError;
use crate::build::parse::Instruction;
use crate::build::progress::StepId;
use crate::build::scratch::{self, Part};
use crate::build::stage::Stage;
use crate::build::store;
use crate::build::variables::with_proxies;
use crate::error::ErrorKind;
use crate::layer::{Kin, Layer};

/// One execution.
pub(super) struct Runner<'r, 's, 'a> {
    pub(super) stage: &'r Stage<'s, 'a>,
    pub(super) instruction: &'r Instruction,
    pub(super) name: &'r str,
    pub(super) command: &'r Command,
}

/// The writable side of the step's root.
struct Writable {
    upper: PathBuf,
    work: PathBuf,
}

impl Runner<'_, '_, '_> {
    /// Runs the command on the stage's layers; what it wrote is the layer.
    pub(super) fn execute(&self, step: StepId) -> Result<Layer, BuildError> {
        let solver = self.stage.solver;
        let failed = self.internal("make a directory for the step");
        let part = solver.scratch.directory().map_err(&failed)?;
        let writable = Writable {
            upper: part.make("upper").map_err(&failed)?,
            work: part.make("work").map_err(&failed)?,
        };
        let mut prepared = Prepared::default();
        for source in &self.command.mounts {
            self.prepare_mount(source, &part, &mut prepared)?;
        }
        if let Some(script) = &self.command.script {
            prepared.mounts.push(self.script(script, &part)?);
        }
        let lower = self.stage.lower(&self.stage.result.stack)?;
        let stubs =
            stubs::of(&lower, &prepared.mounts).map_err(self.internal("mount the layers"))?;
        let spec = self.describe(lower, &writable, &part, &mut prepared);
        let (outcome, output) = self.spawn(step, &spec)?;
        drop(prepared);
        self.judge(outcome, output)?;
        for stub in stubs {
            stubs::remove(&writable.upper, &stub);
        }
        let (stack, epoch) = (&self.stage.result.stack, solver.epoch);
        store::commit(
            solver.images,
            &writable.upper,
            stack,
            Kin::None,
            epoch,
            &solver.lease,
        )
    }

    /// The script as a file that the command finds below `/dev/pipes`.
    fn script(&self, script: &Script, part: &Part) -> Result<RunMount, BuildError> {
        let failed = self.internal("write the script");
        let dir = part.make("pipes").map_err(&failed)?;
        let file = dir.join(&script.name);
        std::fs::write(&file, &script.text).map_err(&failed)?;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&file, executable).map_err(&failed)?;
        Ok(RunMount::Bind {
            source: dir,
            below: String::new(),
            target: "/dev/pipes".into(),
            access: Access::ReadOnly,
        })
    }

    fn describe(
        &self,
        lower: Vec<PathBuf>,
        writable: &Writable,
        part: &Part,
        prepared: &mut Prepared,
    ) -> RunSpec {
        let solver = self.stage.solver;
        let request = solver.request;
        let config = &self.stage.result.config.config;
        let mut env = with_proxies(self.command.env.clone(), &request.args);
        env.append(&mut prepared.env);
        RunSpec {
            id: format!("{:016x}{:016x}{:032x}", random(), random(), 0),
            root: solver.root.clone(),
            run_dir: solver.run_dir.clone(),
            scratch: part.path().to_owned(),
            lower,
            upper: writable.upper.clone(),
            work: writable.work.clone(),
            argv: self.command.argv.clone(),
            env,
            cwd: config.working_dir.clone(),
            user: Some(config.user.clone()).filter(|user| !user.is_empty()),
            hostname: request
                .args
                .get("BUILDKIT_SANDBOX_HOSTNAME")
                .cloned()
                .unwrap_or_else(|| "buildkitsandbox".into()),
            network: self.command.network.clone(),
            insecure: self.command.insecure,
            extra_hosts: request.extra_hosts.clone(),
            mounts: std::mem::take(&mut prepared.mounts),
            shm_size: request.shm_size,
            ulimits: request.ulimits.clone(),
            cgroup_parent: request.cgroup_parent.clone(),
        }
    }

    /// An error for everything but success.
    fn judge(&self, outcome: Outcome, output: Vec<String>) -> Result<(), BuildError> {
        let command = self.command.argv.join(" ");
        let incomplete =
            |why: &str| format!("process `{command}` did not complete successfully: {why}");
        match outcome {
            Outcome::Exited(0) => Ok(()),
            _ if self.stage.solver.is_stopped() => Err(BuildError::Cancelled),
            Outcome::Exited(code) => {
                let message = incomplete(&format!("exit code: {code}"));
                Err(self.failed_command(message, code, explain_exit(code), output))
            }
            Outcome::Failed {
                kind,
                message,
                exit_code,
            } => Err(match exit_code {
                Some(code) => self.failed_command(incomplete(&message), code, None, output),
                None => self.error(kind.into(), incomplete(&message), None),
            }),
        }
    }

    fn failed_command(
        &self,
        message: String,
        exit_code: i32,
        help: Option<&str>,
        output: Vec<String>,
    ) -> BuildError {
        BuildError::Command {
            step: self.name.to_owned(),
            diagnostic: Box::new(Diagnostic {
                severity: Severity::Error,
                source: self.stage.source.clone(),
                span: self.instruction.span,
                message,
                help: help.map(str::to_owned),
            }),
            exit_code,
            output,
        }
    }

    /// An error of the step, pointing at its line.
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
}

/// What an exit code usually means.
fn explain_exit(code: i32) -> Option<&'static str> {
    match code {
        126 => Some("the command was found but cannot be executed"),
        127 => Some("the command was not found: is it installed, and in PATH?"),
        137 => Some("it was killed, maybe for lack of memory"),
        _ => None,
    }
}

fn random() -> u64 {
    scratch::random().unwrap_or_default()
}
