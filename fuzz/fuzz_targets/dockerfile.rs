//! Dockerfiles: parsed, expanded, linted.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| gantry_engine::build::fuzzing::dockerfile(text));
