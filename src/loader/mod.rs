//! Compose files to the typed model, one file a phase; every problem keeps its place in the user's text.
