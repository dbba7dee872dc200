//! Published ports.
