//! `gantry oci` as programs drive it: bundles made here, from this machine's own files. The properties are those of the
//! OCI runtime specification; `README.md` beside this file says what its validation suite shows.

#[path = "../support/mod.rs"]
#[macro_use]
mod support;

mod bundle;
mod callers;
mod crashes;
mod environment;
mod exec;
mod hooks;
mod lifecycle;
mod limits;
mod process;
mod refusals;
mod terminals;
mod user_namespaces;
