//! The supervisor role: what lives as long as a container.
//!
//! [`role`] is the process's main: first, with one thread and no runtime, everything that makes a
//! container ([`setup`]: network, published ports, cgroup, keeper), or the taking over of a live one
//! ([`adopt`]); then, in its [`frame`], one loop on the
//! same thread ([`life`], with [`one_run`] of the program and the clients it [`obey`]s) that waits
//! for orders, output, probes and the end;
//! last, giving everything back ([`finish`]). When nothing happens it does nothing: no timer ticks.
//!
//! It knows no image, no registry, no build: all that was decided when the container was made.

mod adopt;
mod clients;
mod finish;
mod frame;
mod health;
mod job;
mod keeper;
mod life;
pub mod log;
mod net;
mod obey;
mod one_run;
mod output;
mod pipes;
mod reload;
mod restart;
pub(crate) mod role;
mod serve;
mod setup;
mod shared;
mod status;

pub use finish::{Volumes, clear_leftovers, remove};
pub use log::LogOptions;
