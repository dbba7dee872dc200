//! Whole projects: a Compose file, an override file, an `.env`, cut apart at NUL bytes.
//!
//! Nothing is written: the texts take the place of files.
#![no_main]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry::loader::{LoadOptions, examine, lint, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let directory = Path::new("/nowhere");
    let mut parts = text.splitn(3, '\0');
    let mut buffers: BTreeMap<PathBuf, Arc<str>> = BTreeMap::new();
    let mut options = LoadOptions::new(directory.to_owned(), BTreeMap::new());
    for name in ["compose.yaml", "compose.override.yaml", ".env"] {
        if let Some(text) = parts.next() {
            buffers.insert(directory.join(name), text.into());
            if name != ".env" {
                options.files.push(directory.join(name));
            }
        }
    }
    options.buffers = Arc::new(buffers);
    options.lints = Some(Arc::new(lint::Unknown));
    let examined = examine(&options);
    let _ = examined.diagnostics.render(false);
    let _ = examined.diagnostics.to_json();
    if let Ok(loaded) = load(&options) {
        let _ = gantry::model::canonical::json(&loaded.project);
        let _ = gantry::loader::why::why(&loaded, "services");
    }
});
