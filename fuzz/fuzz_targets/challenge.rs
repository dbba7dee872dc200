//! `WWW-Authenticate` headers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &str| gantry_engine::registry::fuzzing::challenge(header));
