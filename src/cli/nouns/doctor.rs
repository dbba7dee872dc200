//! `system doctor`: what this machine lets Gantry do, and what to change.

use clap::Args;
use gantry_engine::engine::{Condition, Engine, Finding};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::print;

/// What was typed after `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print a list for programs.
    #[arg(long, value_parser = ["json"])]
    format: Option<String>,
}

/// Tries everything; fails when containers cannot run.
pub fn run(engine: &Engine, args: &DoctorArgs) -> Result<Exit, CliError> {
    let findings = engine.examine();
    if args.format.is_some() {
        let list = serde_json::to_string_pretty(&findings).unwrap_or_default();
        print(&format!("{list}\n"))?;
    } else {
        for finding in &findings {
            print(&line(finding))?;
        }
    }
    let runs = findings
        .iter()
        .all(|finding| finding.condition != Condition::Missing);
    Ok(if runs { Exit::Success } else { Exit::Failure })
}

fn line(finding: &Finding) -> String {
    let condition = match finding.condition {
        Condition::Ok => "ok",
        Condition::Limited => "limited",
        Condition::Missing => "missing",
    };
    let mut text = format!("{condition:<8} {:<10} {}\n", finding.what, finding.found);
    if let Some(remedy) = &finding.remedy {
        text.push_str(&format!("{:<19} -> {remedy}\n", ""));
    }
    text
}
