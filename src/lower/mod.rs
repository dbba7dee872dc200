//! The one translation from the model to the engine's specifications.
