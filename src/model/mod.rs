//! The typed, canonical Compose model. No I/O, no YAML.
