//! Named and anonymous volumes.
