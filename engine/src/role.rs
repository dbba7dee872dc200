//! Roles: what the executable does when it was started by itself.
//!
//! A process that forks, enters namespaces or becomes the parent of a container must have one
//! thread and no runtime; the caller's may have both. So such work is done by our own
//! executable, started again with a role as its first argument.

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
    if role.as_encoded_bytes().starts_with(b"__") {
        // What is executed by descriptor is called by its number. A name is for people alone.
        let _ = rustix::thread::set_name(c"gantry");
    }
    let code = match role.to_str() {
        Some(HOLDER) => crate::rootless::hold(arguments),
        Some(EGRESS) => crate::rootless::lead_out(arguments),
        Some(SUPERVISOR) => inside(|| crate::supervisor::role::main(arguments)),
        Some(EXEC) => inside(crate::container::exec::main),
        Some(BUILD_RUN) => inside(crate::build::run_role),
        Some(SWEEP) => inside(|| sweep(arguments.next())),
        _ => return,
    };
    std::process::exit(code)
}

/// A role that works with containers, in the namespace that its starter was in.
fn inside(role: impl FnOnce() -> i32) -> i32 {
    match crate::rootless::stay() {
        Ok(()) => role(),
        Err(error) => {
            eprintln!("error: {error}");
            1
        }
    }
}

/// Empties the trash directory given.
fn sweep(dir: Option<std::ffi::OsString>) -> i32 {
    let Some(dir) = dir else { return 2 };
    match crate::state::Trash::new(dir.into()).empty() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}
