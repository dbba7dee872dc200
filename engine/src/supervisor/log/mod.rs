//! The log of a container: Docker's json-file format, rotated, and pipes that lose nothing.
//!
//! Output reaches us through named pipes that also another process holds open, so what the
//! container has written survives our death. [`pipe`] takes bytes out of a pipe only after their
//! lines are in the file, and [`journal`] remembers across a crash how far that got.

pub mod file;
pub mod journal;
pub mod json;
mod options;
pub mod packed;
pub mod pipe;

pub use options::LogOptions;
