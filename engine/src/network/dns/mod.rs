//! DNS for containers.
