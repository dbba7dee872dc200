//! Tar archives to layer directories and back.
