//! Events to text: terminal, plain, JSON, quiet; log prefixes and tables.
