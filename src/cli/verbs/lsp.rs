//! `lsp`: the language server, for editors.

use std::io::IsTerminal as _;
use std::sync::Arc;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session;
use crate::loader::lint;
use crate::lsp::{self, End};

/// What was typed after `lsp`.
#[derive(Debug, Args)]
pub struct LspArgs {
    /// Talk over standard input and output (the only way; editors add this flag).
    #[arg(long)]
    pub stdio: bool,
}

/// Runs the verb.
///
/// # Errors
/// When the editor does not speak the protocol, or its streams break.
pub fn run(global: &Global, _args: LspArgs) -> Result<Exit, CliError> {
    let mut options = session::options(global)?;
    // Nothing is asked of images: an editor must not open, or make, a store.
    options.lints = Some(Arc::new(lint::Unknown));
    let input = std::io::stdin();
    if input.is_terminal() {
        // Nobody speaks the protocol by hand: say what this is waiting for.
        eprintln!("gantry lsp is for editors: it waits for the Language Server Protocol here");
    }
    match lsp::serve(input, std::io::stdout(), options)? {
        End::Orderly => Ok(Exit::Success),
        End::Cut => Ok(Exit::Failure),
    }
}
