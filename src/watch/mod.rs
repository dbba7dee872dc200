//! Source changes to rebuilds, syncs and restarts.
