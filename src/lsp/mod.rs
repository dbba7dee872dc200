//! The language server: a Compose file in an editor.
//!
//! Problems come from the loader, which reads the editor's unsaved texts in place of files; keys
//! and their meaning come from the loader's attribute tables. What stands where in a text that is
//! broken at the cursor is the `outline`'s to say. Everything is synchronous and in one thread,
//! besides the one that reads. Nothing here plans, runs, or knows the engine.

pub mod documents;
pub mod outline;
pub mod position;
pub mod wire;
