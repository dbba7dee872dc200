//! References, manifests, configurations, the `host` image, archives.
