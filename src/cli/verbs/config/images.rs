//! What lints may ask of images: only those in this machine's store, and nothing is fetched.

use std::path::{Path, PathBuf};

use gantry_engine::engine::{Engine, EngineOptions};

use crate::loader::lint::Images;

/// Where programs are looked for when an image does not say otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The store of this machine.
pub(super) struct Local {
    /// `None` when it cannot be opened: nothing is known then.
    engine: Option<Engine>,
}

impl Local {
    pub(super) fn open(root: Option<&Path>) -> Self {
        let options = EngineOptions {
            root: root.map(Path::to_owned),
        };
        Self {
            engine: Engine::open(options).ok(),
        }
    }

    fn find(&self, image: &str) -> Option<gantry_engine::image::Image> {
        self.engine.as_ref()?.images().resolve(image).ok()
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Local")
    }
}

impl Images for Local {
    /// What a layer takes away again counts as there: a lint may miss, but never be wrong.
    fn has_program(&self, image: &str, program: &str) -> Option<bool> {
        let image = self.find(image)?;
        let layers = image.lower();
        // Someone who may not look into the store knows nothing.
        if layers.is_empty() || layers.iter().any(|dir| dir.read_dir().is_err()) {
            return None;
        }
        let env = &image.config.config.env;
        let path = env.iter().find_map(|line| line.strip_prefix("PATH="));
        let candidates: Vec<PathBuf> = if program.starts_with('/') {
            vec![PathBuf::from(program)]
        } else if program.contains('/') {
            // Relative to a working directory that only the container knows.
            return None;
        } else {
            path.unwrap_or(PATH)
                .split(':')
                .map(|dir| Path::new(dir).join(program))
                .collect()
        };
        // Directories that are links in one layer (`/bin`) hold their files elsewhere.
        let usual = ["usr/bin", "usr/sbin", "bin", "sbin"].map(PathBuf::from);
        let name = Path::new(program).file_name()?;
        Some(layers.iter().any(|layer| {
            let there = |path: &Path| {
                let path = path.strip_prefix("/").unwrap_or(path);
                layer.join(path).symlink_metadata().is_ok()
            };
            candidates.iter().any(|path| there(path))
                || usual.iter().any(|dir| there(&dir.join(name)))
        }))
    }

    fn has_healthcheck(&self, image: &str) -> Option<bool> {
        let config = self.find(image)?.config.config;
        Some(
            config
                .healthcheck
                .is_some_and(|check| check.test.first().is_some_and(|kind| kind != "NONE")),
        )
    }
}
