//! What a `RUN` asks for: its words, its heredocs, its network, its mounts; refusals of what it may not have.

use super::document::Network;
use super::mounts::{self, Source};
use crate::build::error::BuildError;
use crate::build::parse::{CommandLine, Instruction, RunFlags, chomp, parse_heredoc_word};
use crate::build::request::RunNetwork;
use crate::build::stage::Stage;

/// A `RUN`, with nothing left open.
pub(super) struct Command {
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) script: Option<Script>,
    pub(super) network: Network,
    /// Without isolation (`--security=insecure`).
    pub(super) insecure: bool,
    pub(super) mounts: Vec<Source>,
}

/// A heredoc that is executed as a file.
pub(super) struct Script {
    pub(super) name: String,
    pub(super) text: String,
}

impl Command {
    /// Reads the instruction with the variables and the shell of this point.
    pub(super) fn read(
        stage: &mut Stage<'_, '_>,
        instruction: &Instruction,
        flags: &RunFlags,
        line: &CommandLine,
    ) -> Result<Self, BuildError> {
        let (line, script) = with_heredocs(stage, instruction, line)?;
        let argv = stage.wrapped(&line);
        if argv.is_empty() {
            return Err(stage.wrong(instruction.span, "RUN needs a command", None));
        }
        let network = network(stage, instruction, flags)?;
        let insecure = insecure(stage, instruction, flags)?;
        if let Some(device) = flags.devices.first() {
            let message =
                format!("`--device={device}` is not supported: there are no CDI devices here");
            return Err(stage.wrong(instruction.span, message, None));
        }
        Ok(Self {
            argv,
            env: stage.result.variables.environment(),
            script,
            network,
            insecure,
            mounts: mounts::sources(stage, instruction.span, &flags.mounts)?,
        })
    }
}

/// Heredocs of a command: a script to run, a file to execute, or text for the shell.
fn with_heredocs(
    stage: &Stage<'_, '_>,
    instruction: &Instruction,
    command: &CommandLine,
) -> Result<(CommandLine, Option<Script>), BuildError> {
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
            let script = Script {
                name: first.name,
                text: body,
            };
            return Ok((command, Some(script)));
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

fn insecure(
    stage: &Stage<'_, '_>,
    instruction: &Instruction,
    flags: &RunFlags,
) -> Result<bool, BuildError> {
    let insecure = flags.security.as_deref() == Some("insecure");
    if insecure && !allowed(stage, "security.insecure") {
        let help = "allow it with --allow security.insecure";
        let message = "`--security=insecure` needs the entitlement `security.insecure`";
        return Err(stage.wrong(instruction.span, message, Some(help)));
    }
    Ok(insecure)
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
