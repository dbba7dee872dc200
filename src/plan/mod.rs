//! Model and observation in, operations with their reasons out. Pure.
