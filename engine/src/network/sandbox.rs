//! A container's network namespace and its endpoints on networks.
