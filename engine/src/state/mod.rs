//! Paths below the root, atomic records, locks, ids and names.
