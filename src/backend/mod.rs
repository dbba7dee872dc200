//! What the executor calls: the trait, the engine's adapter, the fake for tests.
