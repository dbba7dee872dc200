//! What the builder keeps: layers of steps, and the directories of `RUN --mount=type=cache`.

use std::fs;
use std::time::SystemTime;

use serde::Serialize;

use super::disk::{DiskUsage, size_of};
use super::{Engine, Result};

/// What a piece of the build cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum CacheKind {
    /// The layer of a step.
    Regular,
    /// A directory that steps share.
    Mount,
}

impl CacheKind {
    /// BuildKit's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Mount => "exec.cachemount",
        }
    }
}

/// A piece of the build cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CachePiece {
    /// Its name: hexadecimal digits.
    pub id: String,
    /// What it is.
    pub kind: CacheKind,
    /// The step that made it.
    pub description: String,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// Bytes.
    pub size: u64,
    /// An image has it too: it would stay without the cache.
    pub shared: bool,
    /// A build uses it now.
    pub in_use: bool,
    /// When it was made or used last.
    pub last_used: Option<SystemTime>,
    /// How often it was made or used, where that is counted.
    pub uses: Option<usize>,
}

impl Engine {
    /// What the builder keeps.
    pub fn build_cache(&self) -> Result<Vec<CachePiece>> {
        let steps = self.images.cached_steps()?.into_iter();
        let mut pieces: Vec<CachePiece> = steps
            .map(|step| CachePiece {
                id: step.layer.hex(),
                kind: CacheKind::Regular,
                description: step.step,
                created: step
                    .created
                    .and_then(|text| text.parse::<jiff::Timestamp>().ok())
                    .map(SystemTime::from),
                size: step.size,
                shared: step.shared,
                in_use: step.in_use,
                last_used: step.last_used,
                uses: Some(step.uses),
            })
            .collect();
        let mounts = fs::read_dir(self.paths.root().join("build/mounts"));
        for entry in mounts.into_iter().flatten().flatten() {
            pieces.push(CachePiece {
                id: entry.file_name().to_string_lossy().into_owned(),
                kind: CacheKind::Mount,
                description: "cache mount of RUN steps".to_owned(),
                created: entry.metadata().and_then(|data| data.modified()).ok(),
                size: size_of(&entry.path()),
                shared: false,
                in_use: false,
                last_used: entry.metadata().and_then(|data| data.modified()).ok(),
                uses: None,
            });
        }
        Ok(pieces)
    }

    /// Its line of `system df`. What images have too is counted with them.
    pub(super) fn build_cache_usage(&self) -> Result<DiskUsage> {
        let mut usage = DiskUsage::none("Build Cache");
        for piece in self.build_cache()? {
            usage.total += 1;
            usage.active += usize::from(piece.in_use);
            if !piece.shared {
                usage.size += piece.size;
                usage.reclaimable += if piece.in_use { 0 } else { piece.size };
            }
        }
        Ok(usage)
    }
}
