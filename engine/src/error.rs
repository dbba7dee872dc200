//! What every engine error can be classed as.

/// The class of an error: decides exit codes and HTTP status, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ErrorKind {
    /// The thing named does not exist.
    NotFound,
    /// A thing of that name exists.
    AlreadyExists,
    /// The state of the thing does not allow it: still running, in use, port taken.
    Conflict,
    /// The request itself is wrong.
    Invalid,
    /// Right, but this machine or this version cannot do it.
    Unsupported,
    /// The caller may not.
    Permission,
    /// Something outside did not answer: registry, network, disk.
    Unavailable,
    /// The caller gave up.
    Cancelled,
    /// A broken promise of our own, or of the kernel.
    Internal,
}

/// Errors that know their class.
pub trait Classify {
    /// The class.
    fn kind(&self) -> ErrorKind;
}

/// An error with its causes on one line; what is said already is not said again.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        next = source.source();
    }
    text
}

/// The class of an I/O error, where nothing better is known.
impl Classify for std::io::Error {
    fn kind(&self) -> ErrorKind {
        match std::io::Error::kind(self) {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
            std::io::ErrorKind::AddrInUse | std::io::ErrorKind::ResourceBusy => ErrorKind::Conflict,
            std::io::ErrorKind::Unsupported => ErrorKind::Unsupported,
            std::io::ErrorKind::StorageFull => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layered(&'static str, #[source] std::io::Error);

    #[test]
    fn causes_are_told_once() {
        let told = |text, cause| with_causes(&Layered(text, std::io::Error::other(cause)));
        assert_eq!(told("cannot read", "because"), "cannot read: because");
        assert_eq!(
            told("cannot read: because", "because"),
            "cannot read: because"
        );
    }
}
