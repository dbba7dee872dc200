//! What loads, pulls and pushes tell while they run.

/// One step of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Short digest of the layer, or the image's name.
    pub layer: String,
    /// What happens to it.
    pub state: TransferState,
    /// Bytes done.
    pub current: u64,
    /// Bytes in all, where known.
    pub total: Option<u64>,
}

/// What happens to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferState {
    /// It waits for its turn.
    Waiting,
    /// Bytes come in; they are hashed and unpacked on the way.
    Downloading,
    /// Bytes go out.
    Uploading,
    /// Tried again after a failure.
    Retrying,
    /// It was there.
    Exists,
    /// Taken over from another repository of the registry.
    Mounted,
    /// Finished.
    Done,
}

/// Takes progress; called from several threads.
pub type ProgressSink<'a> = dyn Fn(Transfer) + Send + Sync + 'a;

/// Ignores progress.
pub fn quiet(_: Transfer) {}
