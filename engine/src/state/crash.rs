//! Named places where a test can make a process die as if by kill -9.

use std::ffi::OsString;
use std::sync::OnceLock;

/// Kills this process on the spot when `GANTRY_CRASH_AT` names this place.
///
/// SIGKILL, so that no destructor and no handler runs: what a power cut or an
/// out-of-memory kill would leave is what the next command finds.
pub fn crash_point(name: &str) {
    static AT: OnceLock<Option<OsString>> = OnceLock::new();
    let at = AT.get_or_init(|| std::env::var_os("GANTRY_CRASH_AT"));
    if at.as_deref().is_some_and(|at| at == name) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }
}
