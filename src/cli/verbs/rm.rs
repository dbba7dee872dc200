//! `rm`: removes stopped service containers.

use std::io::Write as _;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::lifecycle::Held;
use crate::cli::output::print;
use crate::plan::Operation;
use crate::plan::lifecycle::remove;
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
    let held = Held::take(global, &args.services)?;
    let plan = remove(&held.scope(&args.services), stop, args.volumes)?;
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
    let names = names.join(", ");
    match (global.dry_run, args.force) {
        (true, _) => {}
        // As Docker Compose: without a question, it is an answer.
        (false, true) => print(&format!("Going to remove {names}\n"))?,
        (false, false) => {
            talk(&format!("going to remove {names}\n"));
            if !confirm("are you sure? [yN] ") {
                return Ok(Exit::Success);
            }
        }
    }
    held.carry_out(global, "Removing", &plan)
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
