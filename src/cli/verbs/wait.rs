//! `wait`: block until containers of all (or specified) services stop.

use clap::Args;

use std::sync::mpsc;
use std::time::Duration;

use crate::backend::State;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::lifecycle::Held;
use crate::cli::output;
use crate::cli::session::{OneOff, Session};
use crate::plan::down::{DownOptions, Volumes};
use crate::plan::labels;

/// What was typed after `wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Drops project when the first container stops.
    #[arg(long)]
    pub down_project: bool,
    /// Services.
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
}

/// A supervisor that was killed tells nothing: look again after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Runs the verb.
pub fn run(global: &Global, args: WaitArgs) -> Result<Exit, CliError> {
    let session = Session::named(global)?;
    let (sender, changes) = mpsc::channel();
    let _subscription = session
        .backend
        .subscribe(&[(labels::PROJECT, &session.project_name)], sender)?;
    let first = session.of_services(&args.services, OneOff::Include)?;
    if first.is_empty() {
        return Err(CliError::NotFound {
            what: "container of service",
            name: args.services.join(", "),
            hint: None,
        });
    }
    let mut told = Vec::new();
    let mut code = 0;
    while told.len() < first.len() {
        let now = session.of_services(&args.services, OneOff::Include)?;
        for waited in first
            .iter()
            .filter(|c| !told.contains(&c.id))
            .cloned()
            .collect::<Vec<_>>()
        {
            let ended = match now.iter().find(|c| c.id == waited.id).map(|c| &c.state) {
                Some(State::Exited(ended)) => ended.code,
                // Removed: its code is not known any more.
                None | Some(State::Dead) => 0,
                Some(_) => continue,
            };
            output::print(&format!("{ended}\n"))?;
            if told.is_empty() || code == 0 {
                code = ended;
            }
            told.push(waited.id);
        }
        if args.down_project && !told.is_empty() {
            break;
        }
        if told.len() < first.len() && changes.recv_timeout(LOOK_AGAIN).is_ok() {
            while changes.try_recv().is_ok() {}
        }
    }
    if args.down_project {
        let options = DownOptions {
            services: Vec::new(),
            volumes: Volumes::Keep,
            images: Vec::new(),
            orphans: false,
            timeout: None,
        };
        super::down::down(global, &Held::of(global, session)?, &options)?;
    }
    Ok(Exit::of_child(code))
}
