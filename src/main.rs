//! The `gantry` executable: roles first, then the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    gantry_engine::role::dispatch();
    gantry::cli::main()
}
