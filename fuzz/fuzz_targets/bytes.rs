//! Sizes.
#![no_main]

use gantry::loader::short::bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = bytes::parse(text);
});
