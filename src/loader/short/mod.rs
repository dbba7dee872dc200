//! Parsers of short syntax, one file a grammar; none of them panics on any text.

pub mod bytes;
pub mod duration;
pub mod number;
pub mod port;
pub mod shell;
pub mod volume;
