//! The `gantry` executable: roles first, then the command line.

use std::io;
use std::process::ExitCode;

use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    trace();
    gantry_engine::role::dispatch();
    gantry::cli::main()
}

/// Lets what the code notes appear on standard error, which is a supervisor's log file:
/// warnings and errors, or what `GANTRY_LOG` says (`off`, `error`, … `trace`).
fn trace() {
    let level = std::env::var("GANTRY_LOG")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::WARN);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
}
