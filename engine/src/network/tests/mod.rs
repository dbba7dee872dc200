//! Networks in a real kernel. Every test has a "machine" of its own: a network namespace on a
//! thread of its own, so nothing is seen of it outside, and nothing is left.

mod machine;
mod names;
mod publish;
mod routes;
mod sandboxes;
mod sublinks;
mod sweep;
mod translate;
