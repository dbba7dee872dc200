//! Events to text: terminal, plain, JSON, quiet; log prefixes and tables.
//!
//! Data goes to standard output, talk to standard error. Text that containers control is
//! made printable by [`text::printable`] before it reaches a table or a message.

pub mod container;
pub mod logs;
pub mod progress;
pub mod table;
pub mod template;
pub mod text;
