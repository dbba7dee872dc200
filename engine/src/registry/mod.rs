//! The distribution protocol's client.
