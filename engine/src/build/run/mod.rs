//! `RUN`: what it asks for (`command`), its cache key (`key`), and doing it (`execute`) in a process of its own.
//!
//! The process is our own executable in the role `__build-run` (`role`): it may fork and enter namespaces, we
//! may not. It gets a [`document::RunSpec`] and answers with a [`document::Outcome`] (`spawn`); when we go away it
//! kills the command.

mod attach;
mod cache_mount;
mod command;
mod document;
mod execute;
mod key;
mod mounts;
mod network;
mod oci;
mod role;
mod spawn;
mod ssh;
mod stubs;

use super::error::BuildError;
use super::explain::Ingredients;
use super::parse::{CommandLine, Instruction, RunFlags};
use super::stage::Stage;
use crate::error::ErrorKind;
use command::Command;
use execute::Runner;
pub use role::run_role;

/// Does the instruction.
pub(super) fn run(
    stage: &mut Stage<'_, '_>,
    instruction: &Instruction,
    flags: &RunFlags,
    line: &CommandLine,
) -> Result<(), BuildError> {
    runnable(stage, instruction)?;
    let command = Command::read(stage, instruction, flags, line)?;
    let written = format!("RUN {}", instruction.text);
    let name = stage.vertex_name(&written);
    let mut ingredients = Ingredients::default();
    let key = key::of(stage, &command, &mut ingredients).map_err(|reason| {
        let kind = ErrorKind::NotFound;
        stage
            .solver
            .step_error(&name, &stage.source, instruction.span, kind, reason, None)
    })?;
    let below = stage.result.stack.clone();
    let runner = Runner {
        stage,
        instruction,
        name: &name,
        command: &command,
    };
    let made = stage
        .solver
        .vertex(&name, &key, &below, stage.no_cache, &mut |step| {
            runner.execute(step)
        })?;
    stage.explain(&name, &written, &made, &ingredients);
    let history = stage.run_history(&command.argv);
    stage.push(key, made, history);
    Ok(())
}

/// Refuses programs that nobody here can run. The image says what they are: one without a word is ours.
fn runnable(stage: &Stage<'_, '_>, instruction: &Instruction) -> Result<(), BuildError> {
    let platform = stage.result.config.platform();
    if platform.runs_here() {
        return Ok(());
    }
    let message = format!(
        "cannot run programs for {platform}: {}",
        platform.needs_emulator()
    );
    Err(stage.wrong(instruction.span, message, None))
}
