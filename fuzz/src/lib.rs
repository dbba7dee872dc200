//! What the targets share: [`archive`], and whole projects. Of those nothing is written: texts take the place of files.

pub mod archive;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry::loader::{Diagnostics, LoadOptions, Loaded, lint};

/// A project of these texts, by name of their file; `.env` is no Compose file.
pub fn project<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> LoadOptions {
    let directory = Path::new("/nowhere");
    let mut buffers: BTreeMap<PathBuf, Arc<str>> = BTreeMap::new();
    let mut options = LoadOptions::new(directory.to_owned(), BTreeMap::new());
    for (name, text) in texts {
        buffers.insert(directory.join(name), text.into());
        if name != ".env" {
            options.files.push(directory.join(name));
        }
    }
    options.buffers = Arc::new(buffers);
    options.lints = Some(Arc::new(lint::Unknown));
    options
}

/// Everything that is made of what was loaded.
pub fn go_through(loaded: Result<Loaded, Diagnostics>) {
    match loaded {
        Ok(loaded) => {
            let _ = loaded.warnings.render(false);
            let _ = gantry::model::canonical::json(&loaded.project);
            let _ = gantry::model::canonical::yaml(&loaded.project);
            let _ = gantry::loader::why::why(&loaded, "services");
        }
        Err(problems) => {
            let _ = problems.render(false);
            let _ = problems.to_json();
        }
    }
}
