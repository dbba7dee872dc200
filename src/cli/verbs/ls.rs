//! `ls`: list running compose projects.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use crate::backend::{Container, engine};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::nouns::listing::Filters;
use crate::cli::output::{print, print_json};
use crate::plan::labels;
use crate::plan::observed::is_one_off;
use crate::ui::table::Table;

/// What was typed after `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Show all stopped Compose projects.
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Filter output based on conditions provided.
    #[arg(long)]
    pub filter: Vec<String>,
    /// Format the output. Values: [table | json].
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only display project names.
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: LsArgs) -> Result<Exit, CliError> {
    let filters = Filters::parse(&args.filter, &["name"])?;
    let backend = engine::open(global.root.as_deref())?;
    let mut projects: BTreeMap<String, Vec<Container>> = BTreeMap::new();
    for container in backend.containers(&[(labels::PROJECT, "")])? {
        let project = container
            .label(labels::PROJECT)
            .unwrap_or_default()
            .to_owned();
        if !is_one_off(&container) && (args.all || container.state.is_live()) {
            projects.entry(project).or_default().push(container);
        }
    }
    projects.retain(|project, _| filters.name(project));
    if args.quiet {
        print(
            &projects
                .keys()
                .map(|name| format!("{name}\n"))
                .collect::<String>(),
        )?;
        return Ok(Exit::Success);
    }
    match args.format.as_str() {
        "" | "table" => {
            let mut table = Table::new(&["NAME", "STATUS", "CONFIG FILES"], 20);
            for (name, containers) in &projects {
                table.row([name.clone(), states(containers), files(containers)]);
            }
            print(&table.render())?;
        }
        "json" => {
            let one = |(name, containers): (&String, &Vec<Container>)| json!({ "Name": name, "Status": states(containers), "ConfigFiles": files(containers) });
            print_json(&projects.iter().map(one).collect::<Vec<_>>().into())?;
        }
        other => {
            return Err(CliError::usage(format!(
                "unknown format `{other}`: table or json"
            )));
        }
    }
    Ok(Exit::Success)
}

/// `exited(1), running(2)`.
fn states(containers: &[Container]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for container in containers {
        *counts.entry(container.state.word()).or_default() += 1;
    }
    counts
        .iter()
        .map(|(state, count)| format!("{state}({count})"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn files(containers: &[Container]) -> String {
    let mut files: Vec<&str> = containers
        .iter()
        .filter_map(|c| c.label(labels::CONFIG_FILES))
        .collect();
    files.sort_unstable();
    files.dedup();
    files.join(",")
}
