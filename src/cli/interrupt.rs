//! Ctrl-C and SIGTERM as events instead of death.
//!
//! Only commands that have something to clean up install this: until then, and in every
//! command that can be repeated, the signal's default action is right.

use std::sync::mpsc::{self, Receiver};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

/// Tells of each SIGINT and SIGTERM from now on.
pub fn install() -> std::io::Result<Receiver<()>> {
    let (sender, receiver) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut interrupt, mut terminate) = {
        // Registration needs the runtime's driver and must be over before this returns: a
        // Ctrl-C in between would kill the program.
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    let more = tokio::select! {
                        more = interrupt.recv() => more,
                        more = terminate.recv() => more,
                    };
                    if more.is_none() || sender.send(()).is_err() {
                        break;
                    }
                }
            });
        })?;
    Ok(receiver)
}
