//! The facade: everything a caller of the engine can do.
