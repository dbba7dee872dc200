//! The `gantry` executable: roles first, then the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    gantry::cli::main()
}
