//! The language server: a Compose file in an editor.
//!
//! Problems come from the loader, which reads the editor's unsaved texts in place of files; keys
//! and their meaning come from the loader's attribute tables. What stands where in a text that is
//! broken at the cursor is the `outline`'s to say. Everything is synchronous and in one thread,
//! besides the one that reads. Nothing here plans, runs, or knows the engine.

mod client;
mod completion;
mod cursor;
mod definition;
mod documents;
mod effective;
mod fixes;
mod hover;
mod names;
mod outline;
mod paths;
mod position;
mod problems;
mod references;
mod server;
mod shapes;
mod symbols;
mod variables;
mod wire;
mod workspace;

use std::io::{BufReader, Read, Write};
use std::sync::mpsc::sync_channel;

use crate::loader::LoadOptions;

pub use server::End;
pub use wire::WireError;

/// Messages between the reading thread and the answering one.
const WAITING: usize = 64;

/// Holds a conversation with an editor until it ends. `options` say what was typed on the command
/// line: files, profiles, environment.
///
/// # Errors
/// When the streams break, or what is read is not the protocol.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write,
    options: LoadOptions,
) -> Result<End, WireError> {
    let (sender, receiver) = sync_channel(WAITING);
    // The thread ends with its stream, or with the process: it may be waiting for an editor that
    // has gone, so nobody waits for it.
    std::thread::spawn(move || {
        let mut input = BufReader::new(input);
        while let Some(message) = wire::read(&mut input).transpose() {
            let last = message.is_err();
            if sender.send(message).is_err() || last {
                break;
            }
        }
    });
    server::Server::new(output, options).run(&receiver)
}
