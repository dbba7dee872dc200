//! `top`: display the running processes.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::print;
use crate::cli::session::{OneOff, Session};
use crate::plan::observed::service;
use crate::ui::table::Table;

/// What was typed after `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: TopArgs) -> Result<Exit, CliError> {
    let session = Session::named(global)?;
    let mut containers = session.of_services(&args.services, OneOff::Include)?;
    containers.retain(|container| container.state.is_live());
    let mut table: Option<Table> = None;
    for container in &containers {
        let processes = session.backend.top(&container.id)?;
        let table = table.get_or_insert_with(|| {
            let titles = ["SERVICE", "#"]
                .into_iter()
                .chain(processes.titles.iter().map(String::as_str));
            Table::new(&titles.collect::<Vec<_>>(), 0)
        });
        let number = crate::plan::observed::number(container).to_string();
        for row in processes.rows {
            table.row(
                [service(container).to_owned(), number.clone()]
                    .into_iter()
                    .chain(row),
            );
        }
    }
    print(&table.map(|table| table.render()).unwrap_or_default())?;
    Ok(Exit::Success)
}
