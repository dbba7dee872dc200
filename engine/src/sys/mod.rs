//! Thin, typed system calls that nix and rustix lack. All of the engine's `unsafe` lives here.
