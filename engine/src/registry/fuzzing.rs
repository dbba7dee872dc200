//! What the fuzz targets call: what registries and credential files say.
//!
//! Only built with `--cfg fuzzing`.

use super::{auth, credentials};

/// A `WWW-Authenticate` header.
pub fn challenge(header: &str) {
    let _ = auth::parse(header);
}

/// A `config.json`, asked about a host. Helper programs are not run.
pub fn credentials(text: &[u8], host: &str) {
    if let Ok(config) = serde_json::from_slice::<credentials::Config>(text) {
        let _ = config.helper(host);
        let _ = config.entry(host);
    }
}
