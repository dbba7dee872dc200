//! Roles: what the executable does when it was started by itself.
//!
//! A process that forks, enters namespaces or becomes the parent of a container must have one
//! thread and no runtime; the caller's may have both. So such work is done by our own
//! executable, started again with a role as its first argument.

use std::ffi::OsStr;

/// The supervisor of one container.
pub const SUPERVISOR: &str = "__supervisor";
/// A further process in a running container.
pub const EXEC: &str = "__exec";
/// A `RUN` step of a build.
pub const BUILD_RUN: &str = "__build-run";
/// Holds the namespaces of an ordinary user.
pub const HOLDER: &str = "__holder";
/// Leads out of the namespaces of an ordinary user.
pub const EGRESS: &str = "__egress";
/// Empties the trash, with nobody waiting.
pub const SWEEP: &str = "__sweep";

/// Runs the role named by the first argument and never returns, or returns at once when there is none.
/// To be called first in `main`, before anything makes a thread.
pub fn dispatch() {
    let mut arguments = std::env::args_os().skip(1);
    let Some(role) = arguments.next() else {
        return;
    };
    if [SUPERVISOR, EXEC, SWEEP, BUILD_RUN]
        .iter()
        .any(|known| role == OsStr::new(known))
        && let Err(error) = crate::rootless::stay()
    {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
    let code = if role == OsStr::new(SUPERVISOR) {
        crate::supervisor::role::main(arguments)
    } else if role == OsStr::new(EXEC) {
        crate::container::exec::main()
    } else if role == OsStr::new(SWEEP) {
        sweep(arguments.next())
    } else if role == OsStr::new(HOLDER) {
        crate::rootless::hold(arguments)
    } else if role == OsStr::new(EGRESS) {
        crate::rootless::lead_out(arguments)
    } else if role == OsStr::new(BUILD_RUN) {
        crate::build::run_role()
    } else {
        return;
    };
    std::process::exit(code)
}

/// Empties the trash directory given.
fn sweep(dir: Option<std::ffi::OsString>) -> i32 {
    let Some(dir) = dir else { return 2 };
    match crate::state::Trash::new(dir.into()).empty() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}
