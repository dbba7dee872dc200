//! The image store as the builder sees it.

use std::path::{Path, PathBuf};

use super::error::BuildError;
use super::platform::Platform;
use crate::content::Digest;
use crate::error::Classify;
use crate::image::{Base, Image, ImageConfig, ImageError, ImageStore, Lease, Reference};
use crate::layer::{Kin, Layer};

/// A base image, or what a stage has made so far: a stack of layers.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// Bottom first.
    pub(super) layers: Vec<Layer>,
    /// Below the layers, topmost first: the machine's own root for `FROM host`.
    pub(super) below: Vec<PathBuf>,
    /// What a cache key says about the bottom.
    pub(super) bottom: String,
}

impl Stack {
    /// `FROM scratch`.
    pub(super) fn empty() -> Self {
        Self {
            layers: Vec::new(),
            below: Vec::new(),
            bottom: "scratch".into(),
        }
    }

    /// The directories, topmost first.
    pub(super) fn lower(&self) -> Vec<PathBuf> {
        self.layers
            .iter()
            .rev()
            .flat_map(|layer| layer.dirs().cloned())
            .chain(self.below.iter().cloned())
            .collect()
    }

    /// The topmost layer.
    pub(super) fn top(&self) -> Option<&Digest> {
        self.layers.last().map(|layer| &layer.chain_id)
    }
}

pub(super) fn failed(action: String) -> impl FnOnce(ImageError) -> BuildError {
    move |source| BuildError::Store {
        action,
        kind: source.kind(),
        source: Box::new(source),
    }
}

/// Looks an image up. When the store lacks it for this platform, gives those for which it is there.
pub(super) fn resolve(
    store: &ImageStore,
    name: &str,
    platform: &Platform,
) -> Result<Result<Image, Option<String>>, BuildError> {
    match store.resolve_for(name, &platform.of_image()) {
        Ok(image) => Ok(Ok(image)),
        Err(ImageError::NotFound(_)) => Ok(Err(None)),
        Err(ImageError::NoPlatform { available, .. }) => Ok(Err(Some(available))),
        Err(error) => Err(failed(format!("look up `{name}`"))(error)),
    }
}

/// The layers of an image.
pub(super) fn stack(image: &Image) -> Stack {
    let below = match &image.base {
        Base::Scratch => Vec::new(),
        Base::Host(_) => {
            let all = image.lower();
            all[image.layers.len().min(all.len())..].to_vec()
        }
    };
    let bottom = match &image.base {
        Base::Scratch => "layers".to_owned(),
        Base::Host(host) => format!("host {}", host.key),
    };
    Stack {
        layers: image.layers.clone(),
        below,
        bottom,
    }
}

/// Makes a directory the layer on top of a stack; see [`Kin`].
/// Nothing in it is younger than `epoch` (SOURCE_DATE_EPOCH), so that it is the same at any time.
pub(super) fn commit(
    store: &ImageStore,
    upper: &Path,
    below: &Stack,
    kin: Kin<'_>,
    epoch: Option<i64>,
    lease: &Lease,
) -> Result<Layer, BuildError> {
    let clamped = match epoch {
        Some(epoch) => crate::layer::clamp_times(upper, epoch),
        None => Ok(()),
    };
    clamped
        .and_then(|()| {
            let claim = |chain: &_| lease.claim(chain);
            let layers = store.layers();
            layers.commit(upper, below.top(), &below.below, kin, &claim)
        })
        .map_err(|source| BuildError::Store {
            action: "make a layer".into(),
            kind: source.kind(),
            source: Box::new(source),
        })
}

/// Brings the image of an OCI layout into the store: `directory[:tag][@digest]`. It gets no name.
pub(super) fn layout(store: &ImageStore, place: &str) -> Result<Image, BuildError> {
    let wrong = |reason: String| BuildError::Context {
        context: format!("oci-layout://{place}"),
        reason,
    };
    let layout = super::layout::Layout::open(place).map_err(wrong)?;
    let (reader, writer) = std::io::pipe().map_err(|error| wrong(error.to_string()))?;
    let loaded = std::thread::scope(|scope| {
        let writing = scope.spawn(|| layout.write(writer));
        let loaded = store.load(reader, &|_| {});
        // When loading failed, writing did because nobody read: the first says why.
        let written = writing.join();
        match (loaded, written) {
            (Ok(loaded), Ok(Ok(()))) => Ok(loaded),
            (Err(error), _) => Err(failed(format!("load `{place}`"))(error)),
            (_, Ok(Err(error))) => Err(wrong(error.to_string())),
            (_, Err(_)) => Err(wrong("reading it ended early".into())),
        }
    })?;
    let id = loaded
        .first()
        .ok_or_else(|| wrong("it holds no image".into()))?
        .id;
    store
        .get(&id)
        .map_err(failed(format!("look up the image of `{place}`")))
}

/// The layer of a cache record, if it is still there.
pub(super) fn layer(store: &ImageStore, chain: &str) -> Option<Layer> {
    store.layers().get(&chain.parse().ok()?).ok()
}

/// What becomes of an image that was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It stays in the store.
    Stored,
    /// It goes into an archive, and is not wanted here.
    Described,
}

/// Makes an image.
pub(super) fn image(
    store: &ImageStore,
    config: &ImageConfig,
    stack: &Stack,
    keep: Keep,
    lease: &Lease,
) -> Result<Image, BuildError> {
    let chains: Vec<Digest> = stack.layers.iter().map(|layer| layer.chain_id).collect();
    let made = match keep {
        Keep::Stored => store.add_leased(config, &chains, lease),
        Keep::Described => store.describe(config, &chains),
    };
    made.map_err(failed("store the image".into()))
}

/// Gives images a name, one for each platform.
pub(super) fn tag(
    store: &ImageStore,
    images: &[Image],
    reference: &Reference,
) -> Result<(), BuildError> {
    let ids: Vec<Digest> = images.iter().map(|image| image.id).collect();
    store
        .tag_variants(&ids, reference)
        .map_err(failed(format!("tag `{}`", reference.familiar())))
}
