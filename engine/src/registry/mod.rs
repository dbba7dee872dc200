//! Registry client.

mod fetch;

pub use fetch::{FetchError, Fetched, fetch};
