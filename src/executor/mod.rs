//! Walks a plan: bounded concurrency, conditions, events. Decides nothing.
