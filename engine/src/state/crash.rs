//! Named places where a test can make a process die as if by kill -9.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Kills this process on the spot when `GANTRY_CRASH_AT` names this place and the file that
/// `GANTRY_CRASH_TOKEN` names is there. The file goes with it: of all processes that come
/// here, supervisors and their replacements too, one dies.
///
/// SIGKILL, so that no destructor and no handler runs: what a power cut or an
/// out-of-memory kill would leave is what the next command finds.
pub fn crash_point(name: &str) {
    static AT: OnceLock<Option<(OsString, PathBuf)>> = OnceLock::new();
    let at = AT.get_or_init(|| {
        let token = std::env::var_os("GANTRY_CRASH_TOKEN")?;
        Some((std::env::var_os("GANTRY_CRASH_AT")?, token.into()))
    });
    if let Some((at, token)) = at
        && at == name
        && std::fs::remove_file(token).is_ok()
    {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }
}
