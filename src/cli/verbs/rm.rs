//! `rm`: removes stopped service containers.

use std::io::Write as _;

use clap::Args;

use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::Session;
use crate::executor::{Cancel, Execution};
use crate::plan::Operation;
use crate::plan::lifecycle::{Scope, remove};
use crate::plan::operation::StopFirst;

/// What was typed after `rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// Don't ask to confirm removal.
    #[arg(short = 'f', long)]
    pub force: bool,
    /// Stop the containers, if required, before removing.
    #[arg(short = 's', long)]
    pub stop: bool,
    /// Remove any anonymous volumes attached to containers.
    #[arg(short = 'v', long)]
    pub volumes: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: RmArgs) -> Result<Exit, CliError> {
    let stop = args.stop.then_some(StopFirst::Yes(None));
    let session = Session::named(global)?;
    let stack = apply::known(global, &session);
    let project = &session.project_name;
    let lock = apply::lock(&*session.backend, project)?;
    let desired = stack.as_ref().map(|stack| &stack.desired);
    let observed = apply::observe(&*session.backend, project, desired)?;
    let scope = Scope {
        desired,
        observed: &observed,
        services: &args.services,
    };
    let plan = remove(&scope, stop, args.volumes)?;
    let mut names = Vec::new();
    for (_, step) in plan.steps() {
        if let Operation::Remove { name, .. } = &step.operation {
            names.push(name.clone());
        }
    }
    if names.is_empty() {
        talk("no stopped containers\n");
        return Ok(Exit::Success);
    }
    if !args.force && !global.dry_run {
        talk(&format!("going to remove {}\n", names.join(", ")));
        if !confirm("are you sure? [yN] ") {
            return Ok(Exit::Success);
        }
    }
    let reporter = apply::reporter(global);
    let result = apply::carry_out(
        global,
        &Execution {
            backend: &*session.backend,
            project: project,
            stack: stack.as_ref(),
            events: &|event| reporter.tell(event),
            parallel: global.parallel,
            cancel: &Cancel::default(),
            lock: Some(&*lock),
        },
        &plan,
    );
    reporter.finish();
    result.map(|_| Exit::Success)
}

fn talk(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Asks; no answer is no.
fn confirm(question: &str) -> bool {
    talk(question);
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer) {
        Ok(_) => matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"),
        Err(_) => false,
    }
}
