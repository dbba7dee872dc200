//! Env files of `format: raw`.
#![no_main]

use gantry::loader::{FileId, env};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = env::parse_raw(text, FileId(0), &|_| None);
});
