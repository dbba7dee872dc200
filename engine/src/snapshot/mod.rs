//! Layers and a writable directory to a mount.
