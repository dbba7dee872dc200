//! The supervisor role: what lives as long as a container.
