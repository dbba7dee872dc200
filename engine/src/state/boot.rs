//! Which boot this is.

use std::fs;
use std::sync::OnceLock;

/// The kernel's random id of this boot. Runtime state that carries another one is a leftover.
pub fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        // Without /proc nothing works; "unknown" then equals itself, and the pid checks decide.
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
    })
}
