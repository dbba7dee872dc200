//! Flags to calls; returns an exit code.
